//! Where each side of a link can be, and what cannot happen there.

use crate::model::Model;
use crate::words::Event;

/// Where the opener is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Near {
    /// It waits for the first value.
    #[default]
    Opening,
    Idle,
    Receiving,
    Sending,
    Finishing,
    /// The body is done; the foreign task may end in its own time.
    Ending,
    /// The foreign task was cancelled, and is waited for.
    Closing,
    Over,
}

/// Where the foreign task is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Far {
    /// It has not started.
    #[default]
    Fresh,
    Idle,
    Receiving,
    Sending,
    Listening,
    /// It has heard of the cancel, and has its grace.
    Told,
    Gone,
}

impl Near {
    pub(crate) const ALL: [Self; 8] = {
        use Near::*;
        [Opening, Idle, Receiving, Sending, Finishing, Ending, Closing, Over]
    };

    pub(crate) fn waits(self) -> bool {
        matches!(self, Self::Receiving | Self::Sending | Self::Finishing)
    }

    /// Why an event cannot be, wherever the foreign task is.
    pub(crate) fn bars(self, event: Event) -> Option<&'static str> {
        use Event::*;
        let running = self == Self::Idle || self.waits();
        match event {
            _ if self == Self::Over => Some("the link is over"),
            _ if event.is_near() && self == Self::Opening => Some("the body begins with the first value"),
            _ if event.is_near() && !running => Some("the body is gone"),
            NearLeave if self == Self::Idle => Some("it waits in nothing"),
            NearLeave => None,
            _ if event.is_near() && self.waits() => Some("a body that waits does nothing else"),
            FarLeave if self == Self::Closing => Some("whoever was cancelled waits in nothing"),
            StartDeadline if self != Self::Opening => Some("it has started"),
            GraceEnds if self != Self::Ending && self != Self::Closing => Some("nobody waits for the end yet"),
            _ => None,
        }
    }
}

impl Far {
    pub(crate) const ALL: [Self; 7] = {
        use Far::*;
        [Fresh, Idle, Receiving, Sending, Listening, Told, Gone]
    };

    pub(crate) fn waits(self) -> bool {
        matches!(self, Self::Receiving | Self::Sending | Self::Listening)
    }

    /// Why an event cannot be, wherever the opener is.
    pub(crate) fn bars(self, event: Event) -> Option<&'static str> {
        use Event::*;
        match event {
            _ if self == Self::Gone && (event.is_far() || event == AbortFar) => Some("the foreign task has ended"),
            StartDeadline | GraceEnds if self == Self::Gone => Some("the foreign task has ended"),
            NearLeave if self == Self::Gone => Some("nobody waits for one that has ended"),
            FarLeave if !self.waits() => Some("it waits in nothing"),
            FarLeave => None,
            _ if event.is_far() && self.waits() => Some("a task that waits does nothing else"),
            _ if event.is_near() && self == Self::Fresh => Some("the body begins with the first value"),
            _ if event.is_near() && self == Self::Told => Some("it is cancelled when the body is gone"),
            StartDeadline if matches!(self, Self::Idle | Self::Sending) => Some("it has started"),
            StartDeadline if self == Self::Told => Some("it was cancelled before"),
            GraceEnds if matches!(self, Self::Receiving | Self::Sending) => Some("the end of the body ends that wait"),
            GraceEnds if self == Self::Fresh => Some("it was dropped when the opener left"),
            _ => None,
        }
    }
}

impl Model {
    /// Why an event cannot be now.
    pub(crate) fn bars(&self, event: Event) -> Option<&'static str> {
        use Event::*;
        let waits_for_the_end = matches!(self.near, Near::Ending | Near::Closing);
        self.near.bars(event).or_else(|| self.far.bars(event)).or(match event {
            FarStart | FarSend | FarTrySend | FarRecv | FarListen | FarAsk | FarDrop if self.far_end_gone => {
                Some("no end")
            }
            NearSend | NearTrySend | NearRecv | NearStop | NearFinish | NearAsk | NearDrop if self.near_end_gone => {
                Some("no end")
            }
            FarTrySend if self.drained >= self.terms.capacity => Some("room may come in its own time"),
            NearLeave if self.near == Near::Finishing && self.drained > 0 => Some("room may come in its own time"),
            FarPass if self.given.is_none() => Some("it was given none"),
            StartDeadline if !self.terms.late => Some("there is time"),
            GraceEnds if !self.terms.short => Some("there is time"),
            _ if event != GraceEnds && self.terms.short && waits_for_the_end => Some("the grace ends first"),
            _ => None,
        })
    }
}
