//! What can be done to a link, and what can be seen of it.

/// One step of a schedule: what a side does, or what comes from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    FarStart,
    FarSend,
    FarTrySend,
    FarRecv,
    /// Waits for the cancel.
    FarListen,
    /// Drops the operation that it waits in.
    FarLeave,
    /// Asks whether the other side is gone.
    FarAsk,
    /// Drops its end.
    FarDrop,
    FarReturn,
    FarFail,
    FarPanic,
    /// Returns the last error that it was given.
    FarPass,
    NearSend,
    NearTrySend,
    NearRecv,
    /// Sends no more.
    NearStop,
    /// Waits for the result.
    NearFinish,
    NearLeave,
    NearAsk,
    NearDrop,
    NearReturn,
    NearFail,
    NearPanic,
    /// The scope around the link is cancelled.
    Cancel,
    /// The deadline of that scope passes.
    Deadline,
    /// The future of the link is dropped.
    DropLink,
    /// Somebody else ends the foreign task.
    AbortFar,
    /// The foreign task has not started in time.
    StartDeadline,
    /// It has not ended in time.
    GraceEnds,
}

impl Event {
    pub(crate) const ALL: [Self; 29] = {
        use Event::*;
        [
            FarStart,
            FarSend,
            FarTrySend,
            FarRecv,
            FarListen,
            FarLeave,
            FarAsk,
            FarDrop,
            FarReturn,
            FarFail,
            FarPanic,
            FarPass,
            NearSend,
            NearTrySend,
            NearRecv,
            NearStop,
            NearFinish,
            NearLeave,
            NearAsk,
            NearDrop,
            NearReturn,
            NearFail,
            NearPanic,
            Cancel,
            Deadline,
            DropLink,
            AbortFar,
            StartDeadline,
            GraceEnds,
        ]
    };

    /// Whether it may happen at once with one of the other side: it tells that side of nothing but values and their end.
    pub(crate) fn races(self, other: Self) -> bool {
        use Event::*;
        let near = matches!(other, NearSend | NearTrySend | NearRecv | NearStop | NearFinish | NearAsk);
        matches!(self, FarSend | FarTrySend | FarRecv | FarAsk | FarReturn) && near
    }

    pub(crate) fn is_far(self) -> bool {
        self <= Self::FarPass
    }

    pub(crate) fn is_near(self) -> bool {
        !self.is_far() && self <= Self::NearPanic
    }
}

/// What a side says of its step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Said {
    /// It runs.
    Begun,
    /// The operation was possible.
    Done,
    /// It waits in its operation.
    Waits,
    /// It has dropped it.
    Left,
    Value(u32),
    /// There are no more values.
    End,
    /// There is no room, and the value came back.
    Full,
    /// The foreign task's result.
    Result,
    Refused(Why),
    /// How the other side is gone.
    Gone(Gone),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    Cancelled,
    Misuse,
    FarReturned,
    NearGone,
    /// What nobody may be told.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gone {
    No,
    Finished,
    Failed,
    Cancelled,
}

/// Something that is seen from outside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seen {
    Far(Said),
    Near(Said),
    /// Nothing is left of the foreign task.
    FarEnded,
    /// The link is complete, or its future dropped and the scope around complete.
    Over(Outcome),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Value,
    /// The scope around was cancelled, and has absorbed that.
    Absorbed,
    Dropped,
    Failed(Vec<Leaf>),
}

/// One failure in an outcome.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leaf {
    Near,
    NearPanic,
    Far,
    FarPanic,
    FarMisuse,
    ForeignCancelled,
    NeverStarted,
    StartTimeout,
    Escalated,
    /// What no link may end with.
    Other(String),
}

/// What the body does when it is told of a cancel, or of the foreign task's failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reaction {
    #[default]
    Obeys,
    Fails,
    Value,
}

/// How a link is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) capacity: usize,
    pub(crate) reaction: Reaction,
    /// The foreign task has little time to start.
    pub(crate) late: bool,
    /// It has little time to end.
    pub(crate) short: bool,
    /// The link has a loop of its own, where there is a choice.
    pub(crate) alone: bool,
    /// The two sides are given their next steps at once, where that leaves no doubt about the rest.
    pub(crate) races: bool,
}

/// What a step must show, and what it may show beside that where two threads race.
#[derive(Clone, Default)]
pub(crate) struct Step {
    pub(crate) must: Vec<Seen>,
    pub(crate) may: Vec<Seen>,
}

impl Step {
    pub(crate) fn add(&mut self, more: Self) {
        self.must.extend(more.must);
        self.may.extend(more.may);
    }

    /// A grace that is short may be over before the foreign task has heard of anything, or when it hears of the cancel alone.
    pub(crate) fn leaves_open_what_is_told(&mut self) {
        let (told, must): (Vec<_>, _) =
            std::mem::take(&mut self.must).into_iter().partition(|seen| matches!(seen, Seen::Far(_)));
        self.must = must;
        if !told.is_empty() {
            self.may.push(Seen::Far(Said::Refused(Why::Cancelled)));
        }
        self.may.extend(told);
    }

    /// Of two steps at once, a side that waits no more may have waited.
    pub(crate) fn leaves_open_who_waited(&mut self, near_waits: bool, far_waits: bool) {
        for (waits, seen) in [(near_waits, Seen::Near(Said::Waits)), (far_waits, Seen::Far(Said::Waits))] {
            if !waits {
                self.must.retain(|must| *must != seen);
                self.may.push(seen);
            }
        }
    }
}
