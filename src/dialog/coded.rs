//! A dialog whose values are encoded though its carrier would move them: what a context costs, and refuses, in a link.

use std::marker::PhantomData;
use std::task::{Context, Poll, ready};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{End, Far, FarEnd, Near, NearEnd, SideGone, TrySendError};
use crate::Result;
use crate::codec::Codec;

fn encode<T: Serialize>(codec: Codec, value: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    codec.encode(value, &mut bytes)?;
    Ok(bytes)
}

/// A value and, while it waits for room, its bytes.
#[derive(Default)]
struct Sending(Option<Vec<u8>>);

impl Sending {
    fn poll<T: Serialize>(
        &mut self,
        codec: Codec,
        value: &mut Option<T>,
        send: impl FnOnce(&mut Option<Vec<u8>>) -> Poll<Result<()>>,
    ) -> Poll<Result<()>> {
        if self.0.is_none() {
            self.0 = Some(encode(codec, value.as_ref().expect("a send is not polled after it has completed"))?);
        }
        let sent = ready!(send(&mut self.0));
        self.0 = None;
        if sent.is_ok() {
            *value = None;
        }
        Poll::Ready(sent)
    }
}

fn try_send<T: Serialize>(
    codec: Codec,
    value: T,
    send: impl FnOnce(Vec<u8>) -> Result<(), TrySendError<Vec<u8>>>,
) -> Result<(), TrySendError<T>> {
    let bytes = match encode(codec, &value) {
        Ok(bytes) => bytes,
        Err(error) => return Err(TrySendError::Refused(value, error)),
    };
    send(bytes).map_err(|refused| match refused {
        TrySendError::Full(_) => TrySendError::Full(value),
        TrySendError::Refused(_, error) => TrySendError::Refused(value, error),
    })
}

/// The far end of a dialog of bytes, as one of values.
struct CodedFar<First, In, Out> {
    bytes: Far<Vec<u8>, Vec<u8>, Vec<u8>>,
    codec: Codec,
    sending: Sending,
    values: PhantomData<fn(First, In, Out)>,
}

impl Far<Vec<u8>, Vec<u8>, Vec<u8>> {
    /// The same end, for values that this codec makes bytes of. The other end must do the same.
    ///
    /// # Errors
    /// Its operations then fail also for a value that the codec cannot carry, or that does not decode.
    pub fn coded<First, In, Out>(self, codec: Codec) -> Far<First, In, Out>
    where
        First: Serialize + Send + 'static,
        In: DeserializeOwned + Send + 'static,
        Out: Serialize + Send + 'static,
    {
        Far::new(CodedFar { bytes: self, codec, sending: Sending::default(), values: PhantomData })
    }
}

impl<First, In, Out> End for CodedFar<First, In, Out> {
    fn leave(&mut self) {
        self.bytes.end.leave();
    }
}

impl<First, In, Out> FarEnd<First, In, Out> for CodedFar<First, In, Out>
where
    First: Serialize + Send,
    In: DeserializeOwned + Send,
    Out: Serialize + Send,
{
    fn poll_started(&mut self, cx: &mut Context<'_>, first: &mut Option<First>) -> Poll<Result<()>> {
        self.sending.poll(self.codec, first, |bytes| self.bytes.end.poll_started(cx, bytes))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<In>>> {
        let bytes = ready!(self.bytes.end.poll_recv(cx))?;
        Poll::Ready(Ok(bytes.map(|bytes| self.codec.decode(&bytes)).transpose()?))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<In>>> {
        let bytes = ready!(self.bytes.end.poll_next(cx))?;
        Poll::Ready(Ok(bytes.map(|bytes| self.codec.decode(&bytes)).transpose()?))
    }

    fn begin_send(&mut self) {
        self.sending = Sending::default();
        self.bytes.end.begin_send();
    }

    fn try_send(&mut self, value: Out) -> Result<(), TrySendError<Out>> {
        try_send(self.codec, value, |bytes| self.bytes.end.try_send(bytes))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, value: &mut Option<Out>) -> Poll<Result<()>> {
        self.sending.poll(self.codec, value, |bytes| self.bytes.end.poll_send(cx, bytes))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.bytes.end.poll_ready(cx)
    }

    fn start_send(&mut self, value: Out) -> Result<()> {
        self.bytes.end.start_send(encode(self.codec, &value)?)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.bytes.end.poll_flush(cx)
    }

    fn poll_cancelled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.bytes.end.poll_cancelled(cx)
    }

    fn gone(&self) -> Option<SideGone> {
        self.bytes.end.gone()
    }
}

/// The opener's end of a dialog of bytes, as one of values.
struct CodedNear<In, Out, R> {
    bytes: Near<Vec<u8>, Vec<u8>, Vec<u8>>,
    codec: Codec,
    sending: Sending,
    values: PhantomData<fn(In, Out, R)>,
}

impl Near<Vec<u8>, Vec<u8>, Vec<u8>> {
    /// The same end, for values that this codec makes bytes of. The other end must do the same, with its result as well.
    ///
    /// # Errors
    /// Its operations then fail also for a value that the codec cannot carry, or that does not decode.
    pub fn coded<In, Out, R>(self, codec: Codec) -> Near<In, Out, R>
    where
        In: Serialize + Send + 'static,
        Out: DeserializeOwned + Send + 'static,
        R: DeserializeOwned + Send + 'static,
    {
        Near::new(CodedNear { bytes: self, codec, sending: Sending::default(), values: PhantomData })
    }
}

impl<In, Out, R> End for CodedNear<In, Out, R> {
    fn leave(&mut self) {
        self.bytes.end.leave();
    }
}

impl<In, Out, R> NearEnd<In, Out, R> for CodedNear<In, Out, R>
where
    In: Serialize + Send,
    Out: DeserializeOwned + Send,
    R: DeserializeOwned + Send,
{
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Out>>> {
        let bytes = ready!(self.bytes.end.poll_recv(cx))?;
        Poll::Ready(Ok(bytes.map(|bytes| self.codec.decode(&bytes)).transpose()?))
    }

    fn begin_send(&mut self) {
        self.sending = Sending::default();
        self.bytes.end.begin_send();
    }

    fn try_send(&mut self, value: In) -> Result<(), TrySendError<In>> {
        try_send(self.codec, value, |bytes| self.bytes.end.try_send(bytes))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, value: &mut Option<In>) -> Poll<Result<()>> {
        self.sending.poll(self.codec, value, |bytes| self.bytes.end.poll_send(cx, bytes))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.bytes.end.poll_ready(cx)
    }

    fn start_send(&mut self, value: In) -> Result<()> {
        self.bytes.end.start_send(encode(self.codec, &value)?)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.bytes.end.poll_flush(cx)
    }

    fn stop(&mut self) {
        self.bytes.end.stop();
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<R>> {
        let bytes = ready!(self.bytes.end.poll_finish(cx))?;
        Poll::Ready(Ok(self.codec.decode(&bytes)?))
    }

    fn gone(&self) -> Option<SideGone> {
        self.bytes.end.gone()
    }
}
