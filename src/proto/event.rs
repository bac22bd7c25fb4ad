//! What a connection tells its driver, and what it hands out and refuses.

use thiserror::Error;

use super::credit::CreditError;
use super::dialog::{OutOfTurn, Refused};
use super::fragment::{BadHeader, Kind};
use crate::error::{Reason, RemoteError};

/// The number of a dialog: never reused, even from the parent and odd from the child.
pub(crate) type DialogId = u64;

/// Something has changed; the driver wakes whoever waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The dialog, 0 for the connection itself.
    pub(crate) id: DialogId,
    /// What has changed.
    pub(crate) kind: EventKind,
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    /// The other side opened a dialog: `take_start`.
    Incoming,
    /// The callee has started: `take_started`.
    Started,
    /// Items are there. Comes once, until `recv` was told that there is none.
    Readable,
    /// After a `Sent::NoCredit`: try again.
    Writable,
    /// The other side has ended its items; what it sent before is still to be read.
    Stopped,
    /// The dialog has its outcome: `take_outcome`. Items that came before are still to be read.
    Outcome,
    /// The opener asks for the end, or is gone: `take_cancel`.
    CancelRequested,
    /// The other side's runtime has the request to cancel.
    CancelAcked,
    /// The answer to a `ping`.
    Pong,
    /// The other side sends nothing more.
    Bye,
}

/// Where an item went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "without credit the item was not taken"]
pub(crate) enum Sent {
    /// It is on its way.
    Queued,
    /// It was not taken: wait for [`EventKind::Writable`] and try again.
    NoCredit,
}

/// What `recv` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received<R> {
    /// An item.
    Item(R),
    /// None yet: wait for [`EventKind::Readable`], `Stopped` or `Outcome`.
    Empty,
    /// None will come: the other side ended its items, or returned.
    End,
    /// None will come: the dialog has failed; the outcome says how.
    Failed,
}

/// The one outcome of a dialog, at its opener; at the callee only after the loss of the peer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// A result; its bytes were handed out beside it.
    Return,
    /// The failure, or the answer to a cancel.
    Error(Box<RemoteError>),
    /// The callee returned without `started`.
    NeverStarted,
}

/// A frame that travels on the control connection where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ControlFrame {
    /// The dialog.
    pub(crate) id: DialogId,
    /// What about it.
    pub(crate) verb: ControlVerb,
}

/// What a [`ControlFrame`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ControlVerb {
    /// End the dialog.
    Cancel(Reason),
    /// The request has arrived.
    CancelAck,
}

/// Why no dialog was opened.
#[derive(Clone, Debug, PartialEq, Error)]
pub(crate) enum OpenError {
    /// Too many are open.
    #[error("{max} dialogs are open to this peer, which is all there may be; wait for one to end")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// The arguments are too large.
    #[error(
        "the arguments are {len} bytes, at most {max} are allowed; send them as a stream, or raise the limit with `.max_message(..)` where the actor is started"
    )]
    TooLarge {
        /// Their size.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The peer is gone.
    #[error("the peer is gone: {0}")]
    Lost(Box<RemoteError>),
}

/// Why a local step was not taken.
#[derive(Clone, Debug, PartialEq, Error)]
pub(crate) enum SendError {
    /// The phase of the dialog does not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The message is too large.
    #[error(
        "the message is {len} bytes, at most {max} are allowed; send it in parts, or raise the limit with `.max_message(..)` where the actor is started"
    )]
    TooLarge {
        /// Its size.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The peer is gone.
    #[error("the peer is gone: {0}")]
    Lost(Box<RemoteError>),
}

/// The other side does not speak the protocol. The connection is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ProtocolError {
    /// Bytes that are no header.
    #[error(transparent)]
    Header(#[from] BadHeader),
    /// A frame that has no place in an open connection, or not about this.
    #[error("a frame {0:?} has no place here")]
    Misplaced(Kind),
    /// The content of a frame is not what its kind has.
    #[error("a frame {0:?} with malformed content")]
    Malformed(Kind),
    /// A dialog that nobody opened, or a start that is not above all starts before it.
    #[error("dialog {id} in a frame {kind:?}: no such dialog")]
    NoSuchDialog {
        /// The dialog.
        id: DialogId,
        /// The frame.
        kind: Kind,
    },
    /// A step that the dialog's phase does not allow.
    #[error("dialog {id}: a frame {kind:?} out of turn")]
    OutOfTurn {
        /// The dialog.
        id: DialogId,
        /// The frame.
        kind: Kind,
    },
    /// A message beyond the limit.
    #[error("dialog {id}: a message of more than {max} bytes")]
    TooLarge {
        /// The dialog.
        id: DialogId,
        /// The limit.
        max: usize,
    },
    /// More dialogs, cancels or acks than the limits allow.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// The credit was not kept to.
    #[error("dialog {id}: {error}")]
    Credit {
        /// The dialog, 0 for the connection.
        id: DialogId,
        /// How.
        error: CreditError,
    },
    /// The connection was given up before.
    #[error("the connection is closed")]
    Closed,
}

impl ProtocolError {
    /// Puts the dialog and the frame to a step out of turn.
    pub(crate) fn out_of_turn(id: DialogId, kind: Kind) -> impl FnOnce(OutOfTurn) -> Self {
        move |_| Self::OutOfTurn { id, kind }
    }

    /// Puts the dialog to a fault of credit.
    pub(crate) fn credit(id: DialogId) -> impl FnOnce(CreditError) -> Self {
        move |error| Self::Credit { id, error }
    }
}
