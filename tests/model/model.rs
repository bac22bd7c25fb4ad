//! What a link promises, as a state machine. It is written from the laws, and knows nothing of the code that keeps them.

use std::collections::VecDeque;

use crate::states::{Far, Near};
use crate::words::{Event, Gone, Leaf, Outcome, Reaction, Said, Seen, Step, Terms, Why};

/// A link. What its values are and which of them wait is known exactly.
#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(crate) terms: Terms,
    pub(crate) near: Near,
    pub(crate) far: Far,
    started: bool,
    stopped: bool,
    pub(crate) near_end_gone: bool,
    pub(crate) far_end_gone: bool,
    /// Accepted and not read; the last one may be that of a send that waits.
    to_far: VecDeque<u32>,
    to_near: VecDeque<u32>,
    /// Values sent while the body waits for the result, which takes them out in its own time.
    pub(crate) drained: usize,
    /// How the opener has ended.
    done: Option<Outcome>,
    /// The body was told of a cancel: what it fails with comes after other failures.
    told: bool,
    cancel: Option<Gone>,
    /// The last error that the foreign task was given.
    pub(crate) given: Option<Why>,
    step: Step,
}

impl Model {
    pub(crate) fn new(terms: Terms) -> Self {
        Self { terms, ..Self::default() }
    }

    /// What an event that is possible leads to; what is sent is `value`.
    pub(crate) fn apply(&mut self, event: Event, value: u32) -> Step {
        use Event::*;
        self.far_end_gone |= event == FarDrop;
        self.near_end_gone |= event == NearDrop || event == NearFinish;
        match event {
            FarStart => self.far_starts(),
            FarSend | FarTrySend => self.far_sends(event == FarTrySend, value),
            FarRecv => self.far_receives(),
            FarListen if self.cancel.is_some() => self.far_says(Said::Done),
            FarListen => self.waits(self.near, Far::Listening),
            FarLeave => self.far_leaves(),
            FarAsk => {
                let finished = if self.near == Near::Ending { Gone::Finished } else { Gone::No };
                self.far_says(Said::Gone(self.cancel.unwrap_or(finished)));
            }
            FarDrop => self.far_says(Said::Done),
            FarReturn => self.far_ends(None),
            FarFail => self.far_ends(Some(Leaf::Far)),
            FarPanic => self.far_ends(Some(Leaf::FarPanic)),
            FarPass => self.far_ends((self.given == Some(Why::Misuse)).then_some(Leaf::FarMisuse)),
            AbortFar => self.far_ends(self.cancel.is_none().then_some(Leaf::ForeignCancelled)),
            NearSend | NearTrySend => self.near_sends(event == NearTrySend, value),
            NearRecv => self.near_receives(),
            NearFinish => self.near_finishes(),
            NearLeave => self.near_leaves(),
            NearAsk => self.near_says(Said::Gone(if self.far == Far::Gone { Gone::Finished } else { Gone::No })),
            NearDrop => self.near_says(Said::Done),
            NearStop => self.near_stops(),
            NearReturn => self.body_returns(),
            NearFail => self.closes(Outcome::Failed(vec![Leaf::Near]), Gone::Failed),
            NearPanic => self.closes(Outcome::Failed(vec![Leaf::NearPanic]), Gone::Failed),
            Cancel | Deadline => self.cancelled(),
            StartDeadline => self.closes(Outcome::Failed(vec![Leaf::StartTimeout]), Gone::Cancelled),
            DropLink | GraceEnds => self.drops_far(event == GraceEnds),
        }
        std::mem::take(&mut self.step)
    }

    fn must(&mut self, seen: Seen) {
        self.step.must.push(seen);
    }

    /// One of them waits now.
    fn waits(&mut self, near: Near, far: Far) {
        let seen = if self.near == near { Seen::Far(Said::Waits) } else { Seen::Near(Said::Waits) };
        (self.near, self.far) = (near, far);
        self.must(seen);
    }

    /// It has done something, and waits in nothing.
    fn far_says(&mut self, said: Said) {
        if let Said::Refused(why) = said {
            self.given = Some(why);
        }
        let rests = if self.started { Far::Idle } else { Far::Fresh };
        self.far = if self.cancel.is_some() { Far::Told } else { rests };
        self.must(Seen::Far(said));
    }

    fn far_starts(&mut self) {
        match (self.cancel, self.started) {
            (Some(_), _) => self.far_says(Said::Refused(Why::Cancelled)),
            (None, true) => self.far_says(Said::Refused(Why::Misuse)),
            (None, false) => {
                (self.started, self.near) = (true, Near::Idle);
                self.far_says(Said::Done);
                self.must(Seen::Near(Said::Begun));
            }
        }
    }

    fn far_sends(&mut self, tries: bool, value: u32) {
        let room = self.to_near.len() < self.terms.capacity;
        match self.near {
            _ if self.cancel.is_some() => return self.far_says(Said::Refused(Why::Cancelled)),
            Near::Opening => return self.far_says(Said::Refused(Why::Misuse)),
            Near::Ending => return self.far_says(Said::Refused(Why::NearGone)),
            Near::Finishing => {
                self.drained += 1;
                self.step.may.push(Seen::Far(Said::Waits));
            }
            Near::Receiving => self.near_says(Said::Value(value)),
            _ if room || !tries => self.to_near.push_back(value),
            _ => return self.far_says(Said::Full),
        }
        if room { self.far_says(Said::Done) } else { self.waits(self.near, Far::Sending) }
    }

    fn far_receives(&mut self) {
        match self.to_far.pop_front() {
            _ if self.cancel.is_some() => self.far_says(Said::Refused(Why::Cancelled)),
            Some(value) => {
                self.far_says(Said::Value(value));
                if self.near == Near::Sending {
                    self.near_says(Said::Done);
                }
            }
            None if self.stopped => self.far_says(Said::End),
            None => self.waits(self.near, Far::Receiving),
        }
    }

    fn far_leaves(&mut self) {
        if self.far == Far::Sending {
            self.to_near.pop_back();
        }
        self.far_says(Said::Left);
    }

    /// Without a failure it has returned, or says no more than it was told.
    fn far_ends(&mut self, failure: Option<Leaf>) {
        self.far = Far::Gone;
        self.must(Seen::FarEnded);
        match (self.near, failure) {
            (Near::Opening, failure) => self.over(Outcome::Failed(vec![failure.unwrap_or(Leaf::NeverStarted)])),
            (Near::Ending | Near::Closing, failure) => self.over_with(failure),
            (_, Some(failure)) => {
                self.must(Seen::Near(Said::Refused(Why::Cancelled)));
                let own = (self.terms.reaction == Reaction::Fails).then_some(Leaf::Near);
                self.over(Outcome::Failed([failure].into_iter().chain(own).collect()));
            }
            (Near::Receiving, None) => self.near_says(Said::End),
            (Near::Sending, None) => self.near_says(Said::Refused(Why::FarReturned)),
            (Near::Finishing, None) => self.near_finishes(),
            _ => {}
        }
    }

    /// One that waits where it hears of it has its grace, any other is dropped.
    fn cancels_far(&mut self, gone: Gone) {
        (self.near, self.cancel) = (Near::Closing, Some(gone));
        match self.far {
            Far::Fresh | Far::Idle => self.far_ends(None),
            Far::Listening => self.far_says(Said::Done),
            Far::Receiving | Far::Sending => self.far_says(Said::Refused(Why::Cancelled)),
            Far::Gone => self.over_with(None),
            Far::Told => {}
        }
    }

    fn near_says(&mut self, said: Said) {
        self.near = Near::Idle;
        self.must(Seen::Near(said));
    }

    fn near_sends(&mut self, tries: bool, value: u32) {
        let room = self.to_far.len() < self.terms.capacity;
        match self.far {
            Far::Gone => return self.near_says(Said::Refused(Why::FarReturned)),
            _ if self.stopped => return self.near_says(Said::Refused(Why::Misuse)),
            Far::Receiving => self.far_says(Said::Value(value)),
            _ if room || !tries => self.to_far.push_back(value),
            _ => return self.near_says(Said::Full),
        }
        if room { self.near_says(Said::Done) } else { self.waits(Near::Sending, self.far) }
    }

    fn near_receives(&mut self) {
        match self.to_near.pop_front() {
            Some(value) => {
                self.near_says(Said::Value(value));
                if self.far == Far::Sending {
                    self.far_says(Said::Done);
                }
            }
            None if self.far == Far::Gone => self.near_says(Said::End),
            None => self.waits(Near::Receiving, self.far),
        }
    }

    fn near_leaves(&mut self) {
        if self.near == Near::Sending {
            self.to_far.pop_back();
        }
        self.near_says(Said::Left);
    }

    /// Nothing more is sent.
    fn stops(&mut self) {
        self.stopped = true;
        if self.far == Far::Receiving {
            self.far_says(Said::End);
        }
    }

    fn near_stops(&mut self) {
        self.stops();
        self.near_says(Said::Done);
    }

    fn near_finishes(&mut self) {
        self.stops();
        self.to_near.clear();
        self.drained = usize::from(self.far == Far::Sending);
        match self.far {
            Far::Gone => return self.near_says(Said::Result),
            Far::Sending => self.far_says(Said::Done),
            _ => {}
        }
        self.waits(Near::Finishing, self.far);
    }

    fn body_returns(&mut self) {
        self.must(Seen::Near(Said::Done));
        (self.near, self.done) = (Near::Ending, Some(Outcome::Value));
        self.stops();
        match self.far {
            Far::Gone => self.over_with(None),
            Far::Sending => self.far_says(Said::Refused(Why::NearGone)),
            _ => {}
        }
    }

    /// The opener leaves with this, and does not wait.
    fn closes(&mut self, outcome: Outcome, gone: Gone) {
        self.done = Some(outcome);
        self.cancels_far(gone);
    }

    fn cancelled(&mut self) {
        match self.near {
            Near::Opening => return self.closes(Outcome::Absorbed, Gone::Cancelled),
            Near::Ending => return self.cancels_far(Gone::Cancelled),
            Near::Closing => return,
            _ => self.must(Seen::Near(Said::Refused(Why::Cancelled))),
        }
        self.told = true;
        match self.terms.reaction {
            Reaction::Obeys => self.closes(Outcome::Absorbed, Gone::Cancelled),
            Reaction::Fails => self.closes(Outcome::Failed(vec![Leaf::Near]), Gone::Failed),
            Reaction::Value => self.closes(Outcome::Value, Gone::Cancelled),
        }
    }

    /// On another thread it may hear of that first.
    fn drops_far(&mut self, after_a_grace: bool) {
        if self.far.waits() {
            self.step.may.extend([Seen::Far(Said::Done), Seen::Far(Said::Refused(Why::Cancelled))]);
        }
        if std::mem::replace(&mut self.far, Far::Gone) != Far::Gone {
            self.must(Seen::FarEnded);
        }
        if after_a_grace { self.over_with(Some(Leaf::Escalated)) } else { self.over(Outcome::Dropped) }
    }

    /// Over as the opener has it, and a failure that came after.
    fn over_with(&mut self, failure: Option<Leaf>) {
        let done = self.done.take().expect("the opener has ended");
        self.over(match (done, failure) {
            (done, None) => done,
            (Outcome::Failed(own), Some(failure)) if self.told => Outcome::Failed([vec![failure], own].concat()),
            (Outcome::Failed(own), Some(failure)) => Outcome::Failed([own, vec![failure]].concat()),
            (_, Some(failure)) => Outcome::Failed(vec![failure]),
        });
    }

    fn over(&mut self, outcome: Outcome) {
        self.near = Near::Over;
        self.must(Seen::Over(outcome));
    }
}
