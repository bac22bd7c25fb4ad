//! One direction of a link: a ring between one writer and one reader, who wait for each other.

use std::sync::Arc;
use std::task::{Context, Poll};

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use super::link::{Link, Side};
use super::lookout::{Eye, Look, Lookout};
use crate::waiting::Waiting;

/// What became of an attempt that found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// There is something now: try again.
    Again,
    /// The waker is known to the other side from now on: try once more.
    Asleep,
    /// It will be polled again, at once.
    Turn,
}

/// Attempts, and rests in between, as far as one poll goes.
#[inline]
pub(super) fn poll_attempts<E, T>(
    end: &mut E,
    cx: &mut Context<'_>,
    mut attempt: impl FnMut(&mut E) -> Option<T>,
    mut rest: impl FnMut(&mut E, &mut Context<'_>) -> Rest,
) -> Poll<T> {
    let mut asleep = false;
    loop {
        // In one place only, so that it is compiled into its caller.
        if let Some(value) = attempt(end) {
            return Poll::Ready(value);
        }
        if asleep {
            return Poll::Pending;
        }
        match rest(end, cx) {
            Rest::Again => {}
            Rest::Asleep => asleep = true, // one more attempt: something may have come meanwhile
            Rest::Turn => return Poll::Pending,
        }
    }
}

/// Makes the direction in which `writer` writes; `waiting` is how both sides of it wait.
pub(super) fn queue<T>(capacity: usize, link: &Arc<Link>, writer: Side, waiting: Waiting) -> (Writer<T>, Reader<T>) {
    let (producer, consumer) = RingBuffer::new(capacity);
    let half = capacity.div_ceil(2);
    let writer = Writer { ring: producer, half, link: link.clone(), side: writer, lookout: Lookout::new(waiting) };
    let reader = Reader {
        ring: consumer,
        unanswered: 0,
        link: link.clone(),
        side: writer.side.other(),
        lookout: Lookout::new(waiting),
    };
    (writer, reader)
}

/// The end that values go into.
pub(super) struct Writer<T> {
    ring: Producer<T>,
    /// Room that is worth going on for.
    half: usize,
    link: Arc<Link>,
    side: Side,
    lookout: Lookout,
}

impl<T> Writer<T> {
    /// Puts the value in and wakes the reader, or gives the value back.
    #[inline]
    pub(super) fn push(&mut self, value: T) -> Result<(), T> {
        match self.ring.push(value) {
            Ok(()) => {
                self.link.gate(self.side).reader.wake();
                Ok(())
            }
            Err(PushError::Full(value)) => Err(value),
        }
    }

    /// Whether a value can be put in.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.ring.slots() > 0
    }

    /// Waits for room.
    ///
    /// Who looks for it waits until half of the queue is free, if that comes soon, so that the two sides do not hand over
    /// to each other at each value. Who sleeps is woken by the first free place: the reader may take no second value
    /// before it has heard of something that the writer does after its send.
    pub(super) fn rest(&mut self, cx: &Context<'_>) -> Rest {
        let (ring, half) = (&self.ring, self.half);
        let room = |any: bool| ring.slots() >= if any { 1 } else { half };
        let (own, other) = (self.link.seat(self.side), self.link.seat(self.side.other()));
        match self.lookout.look(own, other, Eye::Relaxed, room) {
            Look::Found => Rest::Again,
            Look::Turn => turn(cx),
            Look::Sleep => {
                self.link.gate(self.side).writer.sleep(cx.waker());
                Rest::Asleep
            }
        }
    }

    /// Whether it is time to let others run.
    #[inline]
    pub(super) fn is_spent(&mut self) -> bool {
        self.lookout.is_spent(self.link.seat(self.side), self.link.seat(self.side.other()))
    }

    /// The wait is over, and has been successful.
    #[inline]
    pub(super) fn done(&mut self) {
        if self.lookout.over() {
            self.lookout.data();
            self.link.gate(self.side).writer.leave();
        }
    }

    /// The wait is over.
    pub(super) fn leave(&mut self) {
        if self.lookout.over() {
            self.link.gate(self.side).writer.leave();
        }
    }
}

/// The end that values come out of.
pub(super) struct Reader<T> {
    ring: Consumer<T>,
    /// Values that came since this side has sent one.
    unanswered: u32,
    link: Arc<Link>,
    side: Side,
    lookout: Lookout,
}

impl<T> Reader<T> {
    /// Takes a value out, and wakes the writer.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        let value = self.ring.pop().ok()?;
        self.unanswered = self.unanswered.saturating_add(1);
        self.link.gate(self.side.other()).writer.wake();
        Some(value)
    }

    /// This side has sent something, which may have an answer.
    #[inline]
    pub(super) fn answered(&mut self) {
        self.unanswered = 0;
    }

    /// Waits for a value.
    pub(super) fn rest(&mut self, cx: &Context<'_>) -> Rest {
        let ring = &self.ring;
        let (own, other) = (self.link.seat(self.side), self.link.seat(self.side.other()));
        let eye = if self.unanswered > 1 { Eye::Relaxed } else { Eye::Close };
        match self.lookout.look(own, other, eye, |_| !ring.is_empty()) {
            Look::Found => Rest::Again,
            Look::Turn => turn(cx),
            Look::Sleep => {
                self.link.gate(self.side.other()).reader.sleep(cx.waker());
                Rest::Asleep
            }
        }
    }

    /// Whether it is time to let others run.
    #[inline]
    pub(super) fn is_spent(&mut self) -> bool {
        self.lookout.is_spent(self.link.seat(self.side), self.link.seat(self.side.other()))
    }

    /// The wait is over, and has been successful.
    #[inline]
    pub(super) fn done(&mut self) {
        if self.lookout.over() {
            self.lookout.data();
            self.link.gate(self.side.other()).reader.leave();
        }
    }

    /// The wait is over.
    pub(super) fn leave(&mut self) {
        if self.lookout.over() {
            self.link.gate(self.side.other()).reader.leave();
        }
    }
}

/// Has the task polled again, after whoever else is ready.
pub(super) fn turn(cx: &Context<'_>) -> Rest {
    cx.waker().wake_by_ref();
    Rest::Turn
}
