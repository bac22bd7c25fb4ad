//! The phases of a dialog, seen from each of its two ends.
//!
//! Nothing here knows what carries the dialog: a connection between two processes and a pair of in-memory channels ask the
//! same machines whether a step is allowed, and what an end means. Local steps that are refused are a [`Refused`] at the
//! caller, at once; steps of the other end that it may not take are [`OutOfTurn`].

use thiserror::Error;

/// A step that the local side may not take now. The text names the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refused {
    /// `started` was called before.
    #[error("`started` was called a second time; a dialog starts exactly once")]
    StartedTwice,
    /// An item, or the end of them, before `started`.
    #[error("the stream was used before `started`; call `started(first)` first")]
    NotStarted,
    /// A plain call has neither `started` nor items.
    #[error("this was opened as a plain call, which has no `started` and no stream; open a context for that")]
    PlainCall,
    /// An item after the local end of the items.
    #[error("send after close: this side has already ended its items")]
    Closed,
    /// Anything after the outcome.
    #[error("the dialog has ended")]
    Ended,
}

/// The other end took a step that its phase does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a step out of turn")]
pub(crate) struct OutOfTurn;

/// What the end of a dialog means to its opener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The callee returned a value.
    Returned,
    /// The callee returned without having called `started`, in a dialog that has one.
    NeverStarted,
}

/// How far one end of a dialog has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Running,
    Ended,
}

/// How far a cancel has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancel {
    No,
    Requested,
    Acked,
}

/// What both ends have in common: a phase and two half-closes.
#[derive(Clone, Copy, Debug)]
struct Half {
    phase: Phase,
    call: bool,
    closed: bool,
    peer_closed: bool,
}

impl Half {
    fn new(call: bool) -> Self {
        Self { phase: Phase::Starting, call, closed: false, peer_closed: false }
    }

    /// Whether the stream can be used at all.
    fn streaming(&self) -> Result<(), Refused> {
        match self.phase {
            Phase::Ended => Err(Refused::Ended),
            _ if self.call => Err(Refused::PlainCall),
            Phase::Starting => Err(Refused::NotStarted),
            Phase::Running => Ok(()),
        }
    }

    fn send(&self) -> Result<(), Refused> {
        self.streaming()?;
        if self.closed { Err(Refused::Closed) } else { Ok(()) }
    }

    fn stop(&mut self) -> Result<bool, Refused> {
        self.streaming()?;
        Ok(!std::mem::replace(&mut self.closed, true))
    }

    fn on_item(&self) -> Result<(), OutOfTurn> {
        if self.phase == Phase::Running && !self.peer_closed { Ok(()) } else { Err(OutOfTurn) }
    }

    fn on_stop(&mut self) -> Result<(), OutOfTurn> {
        self.on_item()?;
        self.peer_closed = true;
        Ok(())
    }

    /// Ends it, the first time.
    fn end(&mut self) -> bool {
        std::mem::replace(&mut self.phase, Phase::Ended) != Phase::Ended
    }
}

/// The end that opened the dialog: starting, running, ended; each direction may be closed before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opener {
    half: Half,
    cancel: Cancel,
}

impl Opener {
    /// A dialog whose start has just been sent. A `call` has no `started` and no items.
    pub(crate) fn new(call: bool) -> Self {
        Self { half: Half::new(call), cancel: Cancel::No }
    }

    /// May an item be sent?
    pub(crate) fn send(&self) -> Result<(), Refused> {
        self.half.send()
    }

    /// Ends the items of this side; `false` if they had already ended.
    pub(crate) fn stop(&mut self) -> Result<bool, Refused> {
        self.half.stop()
    }

    /// Asks for the end; `true` if the request has to travel: the first one, in a dialog that has not ended.
    pub(crate) fn cancel(&mut self) -> bool {
        let first = self.cancel == Cancel::No && !self.is_ended();
        if first {
            self.cancel = Cancel::Requested;
        }
        first
    }

    /// The callee's side has the request; `true` the first time.
    pub(crate) fn on_cancel_ack(&mut self) -> bool {
        let first = self.cancel == Cancel::Requested;
        if first {
            self.cancel = Cancel::Acked;
        }
        first
    }

    /// The callee has started.
    pub(crate) fn on_started(&mut self) -> Result<(), OutOfTurn> {
        if self.half.phase != Phase::Starting || self.half.call {
            return Err(OutOfTurn);
        }
        self.half.phase = Phase::Running;
        Ok(())
    }

    /// The callee has sent an item.
    pub(crate) fn on_item(&self) -> Result<(), OutOfTurn> {
        self.half.on_item()
    }

    /// The callee has ended its items.
    pub(crate) fn on_stop(&mut self) -> Result<(), OutOfTurn> {
        self.half.on_stop()
    }

    /// The callee has returned.
    pub(crate) fn on_return(&mut self) -> Result<Ending, OutOfTurn> {
        let started = self.half.call || self.half.phase == Phase::Running;
        if !self.half.end() {
            return Err(OutOfTurn);
        }
        Ok(if started { Ending::Returned } else { Ending::NeverStarted })
    }

    /// The callee has failed.
    pub(crate) fn on_error(&mut self) -> Result<(), OutOfTurn> {
        if self.half.end() { Ok(()) } else { Err(OutOfTurn) }
    }

    /// The other end is gone; `true` if that is the outcome of this dialog.
    pub(crate) fn on_lost(&mut self) -> bool {
        self.half.end()
    }

    /// Whether the callee has ended its items, or itself.
    pub(crate) fn is_peer_closed(&self) -> bool {
        self.half.peer_closed || self.is_ended()
    }

    /// Whether there is an outcome.
    pub(crate) fn is_ended(&self) -> bool {
        self.half.phase == Phase::Ended
    }
}

/// The end that was started: `started` exactly once, then items, then one outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callee {
    half: Half,
    cancelled: bool,
}

impl Callee {
    /// A dialog whose start has just arrived. A `call` has no `started` and no items.
    pub(crate) fn new(call: bool) -> Self {
        Self { half: Half::new(call), cancelled: false }
    }

    /// Starts it.
    pub(crate) fn started(&mut self) -> Result<(), Refused> {
        match self.half.phase {
            Phase::Ended => return Err(Refused::Ended),
            _ if self.half.call => return Err(Refused::PlainCall),
            Phase::Running => return Err(Refused::StartedTwice),
            Phase::Starting => self.half.phase = Phase::Running,
        }
        Ok(())
    }

    /// May an item be sent?
    pub(crate) fn send(&self) -> Result<(), Refused> {
        self.half.send()
    }

    /// Ends the items of this side; `false` if they had already ended.
    pub(crate) fn stop(&mut self) -> Result<bool, Refused> {
        self.half.stop()
    }

    /// Gives the one outcome.
    pub(crate) fn finish(&mut self) -> Result<(), Refused> {
        if self.half.end() { Ok(()) } else { Err(Refused::Ended) }
    }

    /// The opener has sent an item.
    pub(crate) fn on_item(&self) -> Result<(), OutOfTurn> {
        self.half.on_item()
    }

    /// The opener has ended its items.
    pub(crate) fn on_stop(&mut self) -> Result<(), OutOfTurn> {
        self.half.on_stop()
    }

    /// The opener asks for the end; `true` if that is news to a dialog that has not ended.
    pub(crate) fn on_cancel(&mut self) -> bool {
        !self.is_ended() && !std::mem::replace(&mut self.cancelled, true)
    }

    /// The other end is gone; `true` if that is the outcome of this dialog.
    pub(crate) fn on_lost(&mut self) -> bool {
        self.half.end()
    }

    /// Whether the opener has ended its items.
    pub(crate) fn is_peer_closed(&self) -> bool {
        self.half.peer_closed || self.is_ended()
    }

    /// Whether there is an outcome.
    pub(crate) fn is_ended(&self) -> bool {
        self.half.phase == Phase::Ended
    }

    /// Whether it was opened as a plain call.
    pub(crate) fn is_call(&self) -> bool {
        self.half.call
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> (Opener, Callee) {
        let (mut opener, mut callee) = (Opener::new(false), Callee::new(false));
        callee.started().unwrap();
        opener.on_started().unwrap();
        (opener, callee)
    }

    #[test]
    fn d01_each_end_has_one_outcome_whatever_comes_second() {
        let (mut opener, mut callee) = running();
        callee.finish().unwrap();
        assert_eq!(callee.finish(), Err(Refused::Ended));
        assert!(!callee.on_lost(), "it had its outcome");
        assert_eq!(opener.on_return(), Ok(Ending::Returned));
        assert_eq!(opener.on_error(), Err(OutOfTurn));
        assert_eq!(opener.on_return(), Err(OutOfTurn));
        assert!(!opener.on_lost());
    }

    #[test]
    fn d03_misuse_is_refused_at_its_caller() {
        let mut callee = Callee::new(false);
        assert_eq!(callee.send(), Err(Refused::NotStarted));
        assert_eq!(callee.stop(), Err(Refused::NotStarted));
        assert_eq!(callee.started(), Ok(()));
        assert_eq!(callee.started(), Err(Refused::StartedTwice));
        assert_eq!(callee.stop(), Ok(true));
        assert_eq!(callee.stop(), Ok(false), "closing twice is closing once");
        assert_eq!(callee.send(), Err(Refused::Closed));
        callee.finish().unwrap();
        assert_eq!(callee.send(), Err(Refused::Ended));
        assert_eq!(Opener::new(false).send(), Err(Refused::NotStarted));
    }

    #[test]
    fn d04_a_return_before_started_is_never_started_unless_it_is_a_call() {
        assert_eq!(Opener::new(false).on_return(), Ok(Ending::NeverStarted));
        assert_eq!(Opener::new(true).on_return(), Ok(Ending::Returned));
        assert_eq!(running().0.on_return(), Ok(Ending::Returned));
        assert_eq!(Callee::new(true).started(), Err(Refused::PlainCall));
        assert_eq!(Opener::new(true).on_started(), Err(OutOfTurn));
    }

    #[test]
    fn a_cancel_travels_once_and_never_after_the_end() {
        let (mut opener, mut callee) = running();
        assert!(opener.cancel());
        assert!(!opener.cancel());
        assert!(callee.on_cancel());
        assert!(!callee.on_cancel());
        assert!(opener.on_cancel_ack());
        assert!(!opener.on_cancel_ack());
        let mut ended = Opener::new(true);
        ended.on_return().unwrap();
        assert!(!ended.cancel());
    }
}
