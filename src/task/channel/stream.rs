//! Both ends in the traits of futures.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::Stream;
use futures_sink::Sink;

use super::receive::{self, Receiver};
use super::send::{self, Sender};
use super::{TrySendError, Why};
use crate::task::waiters::Ticket;
use crate::task::{Wait, WaitsFor};
use crate::{Error, Result};

/// The receiving end as a stream; see [`Receiver::into_stream`].
#[must_use = "streams do nothing unless polled"]
pub struct IntoStream<T> {
    receiver: Receiver<T>,
    ticket: Ticket,
    wait: Wait,
    over: bool,
}

impl<T> IntoStream<T> {
    #[track_caller]
    pub(super) fn new(receiver: Receiver<T>) -> Self {
        Self { receiver, ticket: Ticket::default(), wait: Wait::new(WaitsFor::Value), over: false }
    }
}

impl<T> Stream for IntoStream<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        if let Err(error) = ready!(this.wait.check(cx)) {
            receive::leave(&this.receiver.shared, &mut this.ticket);
            this.over = true;
            return Poll::Ready(Some(Err(error)));
        }
        let attempt = receive::attempt(&this.receiver.shared, &mut this.ticket, cx);
        match &attempt {
            Poll::Ready(received) => {
                this.wait.done();
                this.over = !matches!(received, Ok(Some(_)));
            }
            Poll::Pending => this.wait.park(cx),
        }
        attempt.map(Result::transpose)
    }
}

impl<T> Drop for IntoStream<T> {
    fn drop(&mut self) {
        receive::leave(&self.receiver.shared, &mut self.ticket);
    }
}

impl<T> fmt::Debug for IntoStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoStream").field("receiver", &self.receiver).finish_non_exhaustive()
    }
}

/// The sending end as a sink; see [`Sender::into_sink`]. Closing it closes the channel for this end: others go on sending.
#[must_use = "sinks do nothing unless polled"]
pub struct IntoSink<T> {
    sender: Option<Sender<T>>,
    ticket: Ticket,
    wait: Wait,
    /// A place in the channel is reserved.
    ready: bool,
}

impl<T> IntoSink<T> {
    #[track_caller]
    pub(super) fn new(sender: Sender<T>) -> Self {
        Self { sender: Some(sender), ticket: Ticket::default(), wait: Wait::new(WaitsFor::Room), ready: false }
    }

    fn give_back(&mut self) {
        let Some(sender) = &self.sender else { return };
        send::leave(&sender.shared, &mut self.ticket);
        if std::mem::take(&mut self.ready) {
            sender.shared.settle(None);
        }
    }
}

impl<T> Sink<T> for IntoSink<T> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        let Some(sender) = &this.sender else { return Poll::Ready(Err(Why::Closed.error())) };
        if this.ready {
            return Poll::Ready(Ok(()));
        }
        if let Err(error) = ready!(this.wait.check(cx)) {
            send::leave(&sender.shared, &mut this.ticket);
            return Poll::Ready(Err(error));
        }
        loop {
            match sender.shared.reserve() {
                Ok(()) => {
                    this.wait.done();
                    send::leave(&sender.shared, &mut this.ticket);
                    this.ready = true;
                    return Poll::Ready(Ok(()));
                }
                Err(TrySendError::Closed(())) => return Poll::Ready(Err(send::why(&sender.shared).error())),
                Err(TrySendError::Full(())) => {}
            }
            if send::enqueue(&sender.shared, &mut this.ticket, cx) {
                this.wait.park(cx);
                return Poll::Pending;
            }
        }
    }

    fn start_send(mut self: Pin<&mut Self>, item: T) -> Result<()> {
        let this = &mut *self;
        let Some(sender) = &this.sender else { return Err(Why::Closed.error()) };
        if !std::mem::take(&mut this.ready) {
            return sender.try_send(item).map_err(|_| Why::Because("start_send before poll_ready".into()).error());
        }
        match sender.shared.settle(Some(item)) {
            None => Ok(()),
            Some(_) => Err(send::why(&sender.shared).error()),
        }
    }

    /// A value that was sent is in the channel already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.give_back();
        self.sender = None;
        Poll::Ready(Ok(()))
    }
}

impl<T> Unpin for IntoSink<T> {}

impl<T> Drop for IntoSink<T> {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl<T> fmt::Debug for IntoSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoSink").field("sender", &self.sender).finish_non_exhaustive()
    }
}
