//! The values of a dialog on their way to bytes and back: at once where they are small, beside the actor's thread where they
//! are large, since its other dialogs would wait as long as that takes.

use std::mem;
use std::task::{Context, Poll, Waker, ready};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Wire;
use crate::actor::aside::Aside;
use crate::codec::{Codec, DecodeError, EncodeError};
use crate::proto::segments::Segments;
use crate::task::Entitled;
use crate::{Error, Result};

/// Up to so many bytes a value is encoded and decoded at once: that takes less than a message may wait for others.
pub(super) const AT_ONCE: usize = 512 * 1024;
/// The largest buffer that is kept for the next value; to free a larger one takes a while too.
const KEEP: usize = 4 * 1024 * 1024;

/// The value that is being sent, or that a sink has taken to send it, in memory that is kept from one to the next.
pub(super) struct Outgoing<T: Send + 'static> {
    bytes: Vec<u8>,
    /// They are the value of the send that is waiting: it is not encoded again at each attempt.
    encoded: bool,
    aside: Option<Aside<Encoded<T>>>,
    /// The send was cancelled meanwhile, and waits to give its value back.
    entitled: Option<Entitled>,
    /// The last value was one to be encoded aside, so the next one will be.
    was_large: bool,
}

struct Encoded<T> {
    value: T,
    bytes: Vec<u8>,
    result: Result<(), EncodeError>,
}

impl<T: Send + 'static> Default for Outgoing<T> {
    fn default() -> Self {
        Self { bytes: Vec::new(), encoded: false, aside: None, entitled: None, was_large: false }
    }
}

impl<T: Send + 'static> Outgoing<T> {
    /// Whatever was there is of no use any more.
    pub(super) fn forget(&mut self) {
        self.bytes.clear();
        self.encoded = false;
        self.leave();
    }

    /// The send that waited has been dropped: the scope around waits for what is done aside, and nobody wants it.
    pub(super) fn leave(&mut self) {
        self.aside = None;
        self.entitled = None;
    }

    /// Whether the value is being encoded.
    pub(super) fn is_aside(&self) -> bool {
        self.aside.is_some()
    }

    /// Whether there is no value, neither encoded nor on its way to that.
    pub(super) fn is_empty(&self) -> bool {
        !self.encoded && !self.is_aside()
    }

    /// The bytes of the value that was encoded last.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The send is cancelled: gives its value back. If that is being encoded, it waits for the end of it.
    pub(super) fn poll_cancelled(&mut self, value: &mut Option<T>, cx: &mut Context<'_>) -> Poll<()> {
        let back = self.poll_back(value, cx);
        if back.is_pending() && self.entitled.is_none() {
            self.entitled = Entitled::here();
        }
        // What the codec said of it matters no more.
        back.map(drop)
    }

    /// Waits until nothing is done aside any more, and gives the value back.
    fn poll_back(&mut self, value: &mut Option<T>, cx: &mut Context<'_>) -> Poll<Result<(), EncodeError>> {
        let Some(aside) = &mut self.aside else { return Poll::Ready(Ok(())) };
        let ended = ready!(aside.poll_ended(cx));
        self.leave();
        let encoded = ended.unwrap_or_else(|raised| raised.resume());
        *value = Some(encoded.value);
        self.bytes = encoded.bytes;
        self.encoded = encoded.result.is_ok();
        self.was_large = self.bytes.len() > AT_ONCE;
        Poll::Ready(encoded.result)
    }

    /// Waits until the value has been encoded.
    pub(super) fn poll_end(&mut self, wire: &Wire, value: &mut Option<T>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let encoded = ready!(self.poll_back(value, cx));
        Poll::Ready(encoded.map_err(|error| wire.not_encoded(error)))
    }

    /// Whether it has been by now, of a value that nobody wants back. Whoever waits for it goes on to do so.
    pub(super) fn has_ended(&mut self, wire: &Wire) -> Result<bool> {
        if self.aside.as_ref().is_some_and(|aside| !aside.is_done()) {
            return Ok(false);
        }
        match self.poll_end(wire, &mut None, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ended) => ended.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }
}

impl<T: Serialize + Send + 'static> Outgoing<T> {
    /// Encodes the value, on the spot.
    pub(super) fn encode(&mut self, wire: &Wire, value: &T) -> Result<()> {
        self.forget();
        wire.encode(value, &mut self.bytes)
    }

    /// Encodes the value, unless that has been done, or begins to do so aside, and then it is not there meanwhile.
    pub(super) fn begin(&mut self, wire: &Wire, value: &mut Option<T>) -> Result<()> {
        if !self.is_empty() {
            return Ok(());
        }
        self.bytes.clear();
        let wanted = value.as_ref().expect("a send is not polled after it has completed");
        self.encoded = !self.was_large && wire.encode_within(wanted, &mut self.bytes, AT_ONCE)?;
        if self.encoded {
            self.was_large = self.bytes.len() > AT_ONCE;
        } else {
            self.aside = value.take().map(|value| encode_aside(wire.codec, value, mem::take(&mut self.bytes)));
        }
        Ok(())
    }

    /// Encodes the value of the send that is waiting, unless that has been done.
    pub(super) fn poll_encode(&mut self, wire: &Wire, value: &mut Option<T>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.begin(wire, value)?;
        self.poll_end(wire, value, cx)
    }
}

fn encode_aside<T>(codec: Codec, value: T, mut bytes: Vec<u8>) -> Aside<Encoded<T>>
where
    T: Serialize + Send + 'static,
{
    Aside::begin(move || {
        let result = codec.encode(&value, &mut bytes);
        Encoded { value, bytes, result }
    })
}

/// The value that is being received, in memory that is kept from one to the next.
pub(super) struct Incoming<T: Send + 'static> {
    bytes: Segments,
    aside: Option<Aside<Decoded<T>>>,
}

struct Decoded<T> {
    /// Memory for the next one.
    bytes: Segments,
    result: Result<T, DecodeError>,
}

impl<T: Send + 'static> Default for Incoming<T> {
    fn default() -> Self {
        Self { bytes: Segments::default(), aside: None }
    }
}

impl<T: Send + 'static> Incoming<T> {
    /// For the bytes of the next value.
    pub(super) fn bytes(&mut self) -> &mut Segments {
        &mut self.bytes
    }

    /// Whether a value is on its way: until it is there, the next one is not asked for.
    pub(super) fn is_aside(&self) -> bool {
        self.aside.is_some()
    }
}

impl<T: DeserializeOwned + Send + 'static> Incoming<T> {
    /// The value whose bytes have come. If whoever waits for it goes away, it is there for the next one.
    pub(super) fn poll_decode(&mut self, wire: &Wire, cx: &mut Context<'_>) -> Poll<Result<T>> {
        if self.aside.is_none() {
            if let Some(bytes) = at_once(&self.bytes) {
                return Poll::Ready(wire.decode(bytes));
            }
            self.aside = Some(decode_aside(wire.codec, mem::take(&mut self.bytes)));
        }
        let aside = self.aside.as_mut().expect("begun above, or before");
        let ended = ready!(aside.poll_ended(cx));
        self.aside = None;
        let decoded = ended.unwrap_or_else(|raised| raised.resume());
        self.bytes = decoded.bytes;
        Poll::Ready(decoded.result.map_err(|error| wire.not_decoded(error)))
    }
}

fn decode_aside<T>(codec: Codec, bytes: Segments) -> Aside<Decoded<T>>
where
    T: DeserializeOwned + Send + 'static,
{
    Aside::begin(move || {
        let bytes = bytes.join();
        let result = codec.decode(&bytes);
        let bytes = if bytes.capacity() > KEEP { Segments::default() } else { Segments::new(bytes) };
        Decoded { bytes, result }
    })
}

/// Puts a value that nothing can be asked for beside behind these bytes.
pub(super) async fn encode_all<T>(wire: &Wire, value: T, mut bytes: Vec<u8>) -> Result<Vec<u8>>
where
    T: Serialize + Send + 'static,
{
    if wire.encode_within(&value, &mut bytes, AT_ONCE)? {
        return Ok(bytes);
    }
    let encoded = encode_aside(wire.codec, value, bytes).ended().await;
    encoded.result.map_err(|error| wire.not_encoded(error))?;
    Ok(encoded.bytes)
}

/// The value that these bytes are behind the first `from`.
pub(super) async fn decode_all<T>(codec: Codec, bytes: Segments, from: usize) -> Result<T, DecodeError>
where
    T: DeserializeOwned + Send + 'static,
{
    match at_once(&bytes) {
        Some(bytes) => codec.decode(&bytes[from..]),
        None => Aside::begin(move || codec.decode(&bytes.join()[from..])).ended().await,
    }
}

/// The bytes, if there are so few of them.
fn at_once(bytes: &Segments) -> Option<&[u8]> {
    bytes.single().filter(|bytes| bytes.len() <= AT_ONCE)
}

impl Wire {
    pub(super) fn encode<T: Serialize>(&self, value: &T, bytes: &mut Vec<u8>) -> Result<()> {
        self.codec.encode(value, bytes).map_err(|error| self.not_encoded(error))
    }

    /// The same for a value of no more than so many bytes; false if it has more.
    fn encode_within<T: Serialize>(&self, value: &T, bytes: &mut Vec<u8>, room: usize) -> Result<bool> {
        self.codec.encode_within(value, bytes, room).map_err(|error| self.not_encoded(error))
    }

    pub(super) fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T> {
        self.codec.decode(bytes).map_err(|error| self.not_decoded(error))
    }

    #[cold]
    fn not_encoded(&self, error: EncodeError) -> Error {
        Error::from(error).context(format!("to {}", self.peer))
    }

    #[cold]
    pub(super) fn not_decoded(&self, error: DecodeError) -> Error {
        Error::from(error).context(format!("from {}", self.peer))
    }
}
