//! Both ends in the traits of futures.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::Stream;
use futures_sink::Sink;

use super::{Far, Near};
use crate::{Error, Result};

/// The next item of a stream that is over after its end, and after its first error.
fn poll_item<T>(over: &mut bool, next: impl FnOnce() -> Poll<Result<Option<T>>>) -> Poll<Option<Result<T>>> {
    if *over {
        return Poll::Ready(None);
    }
    let received = ready!(next());
    *over = !matches!(received, Ok(Some(_)));
    Poll::Ready(received.transpose())
}

impl<In, Out, R> Stream for Near<In, Out, R> {
    type Item = Result<Out>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Out>>> {
        let Self { end, over } = self.get_mut();
        poll_item(over, || end.poll_recv(cx))
    }
}

impl<In, Out, R> Sink<In> for Near<In, Out, R> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.get_mut().end.poll_ready(cx)
    }

    fn start_send(self: Pin<&mut Self>, value: In) -> Result<()> {
        self.get_mut().end.start_send(value)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.get_mut().end.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let end = &mut self.get_mut().end;
        ready!(end.poll_flush(cx))?;
        end.stop();
        Poll::Ready(Ok(()))
    }
}

impl<First, In, Out> Stream for Far<First, In, Out> {
    type Item = Result<In>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<In>>> {
        let Self { end, over } = self.get_mut();
        poll_item(over, || end.poll_next(cx))
    }
}

impl<First, In, Out> Sink<Out> for Far<First, In, Out> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.get_mut().end.poll_ready(cx)
    }

    fn start_send(self: Pin<&mut Self>, value: Out) -> Result<()> {
        self.get_mut().end.start_send(value)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.get_mut().end.poll_flush(cx)
    }

    /// The direction ends when the far function returns.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.get_mut().end.poll_flush(cx)
    }
}
