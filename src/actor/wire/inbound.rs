//! A dialog that the peer has opened: finds the endpoint, runs it, says how it ended.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::far::{RemoteFar, refused};
use super::value::{AT_ONCE, decode_all, encode_all};
use super::{Waiting, Wire};
use crate::actor::endpoint::{self, Entry};
use crate::dialog::Far;
use crate::error::{Cancelled, Closed, Kind, Mark, Misuse, Reason, ScopeId};
use crate::proto::event::DialogId;
use crate::proto::segments::Segments;
use crate::proto::start::Start;
use crate::task::{CancelScope, not_cancelled};
use crate::{Error, Result};

/// A dialog that a peer has opened with this actor.
pub struct Inbound {
    wire: Arc<Wire>,
    id: DialogId,
    endpoint: String,
    signature: u64,
    version: u32,
    /// The start of the dialog; behind so many bytes of it are the arguments.
    start: Segments,
    head: usize,
    scope: CancelScope,
}

impl Inbound {
    /// Takes the dialog in; `None` if there is nobody any more who wants it run, or its start cannot be read.
    pub(super) fn new(wire: Arc<Wire>, id: DialogId) -> Option<Self> {
        let scope = CancelScope::new().with_grace(wire.here.grace);
        let mut bytes = Segments::default();
        wire.step(|state| state.proto.take_start(id, &mut bytes))?;
        let Ok(start) = Start::decode(bytes.front()) else {
            wire.step(|state| state.proto.forget(id));
            return None;
        };
        let endpoint = start.endpoint.to_owned();
        let waiting = Waiting { endpoint: endpoint.clone(), scope: Some(scope.clone()), ..Waiting::default() };
        let cancel = wire.step(|state| {
            state.waiting.insert(id, waiting);
            state.proto.take_cancel(id)
        });
        if let Some(reason) = cancel {
            scope.request(reason);
        }
        let (signature, version, head) = (start.signature, start.version, bytes.front().len() - start.args.len());
        Some(Self { wire, id, endpoint, signature, version, start: bytes, head, scope })
    }

    /// Runs the endpoint, if it is exposed and is the one the peer means, and tells the peer how it ended.
    ///
    /// The peer gets an answer also if the future is dropped before it was ever polled.
    pub(in crate::actor) fn serve(self, exposed: Arc<[&'static Entry]>) -> impl Future<Output = Result<()>> + Send {
        let mut answer = Answer { wire: self.wire.clone(), id: self.id, scope: self.scope.clone(), given: false };
        async move {
            let outcome = match self.find(&exposed) {
                Ok(entry) => {
                    let scope = self.scope.clone();
                    scope.run((entry.serve)(self)).await
                }
                Err(error) => Err(error),
            };
            answer.give(outcome);
            Ok(())
        }
    }

    fn find(&self, exposed: &[&'static Entry]) -> Result<&'static Entry> {
        let (here, name) = (&self.wire.here.path, &self.endpoint);
        let Some(entry) = exposed.iter().find(|entry| entry.name == name) else {
            // The same answer for what is forbidden and what does not exist, so that nothing can be probed.
            let function = name.rsplit("::").next().unwrap_or(name);
            let text = match &self.wire.door {
                None => format!(
                    "endpoint `{name}` is not exposed by {here}: add `.expose({function})` where {here} is started"
                ),
                Some(door) => format!(
                    "endpoint `{name}` is not exposed by the door `{door}` of {here}: add `.expose({function})` where \
                     that is opened"
                ),
            };
            return Err(Misuse::new(text).into());
        };
        let checked = self.version != 0;
        if checked && self.version != entry.version {
            let text = format!(
                "endpoint `{name}` of {here} has version {}, the caller was built against version {}: \
                 build both from the same source",
                entry.version, self.version
            );
            return Err(Misuse::new(text).into());
        }
        if checked && self.signature != entry.hash {
            let text = format!(
                "endpoint `{name}` of {here} is `{}`, the caller was built against another signature: \
                 build both from the same source, or give the new one another name",
                entry.signature
            );
            return Err(Misuse::new(text).into());
        }
        Ok(endpoint::by_name(name).unwrap_or(entry))
    }

    /// The arguments, as a tuple.
    ///
    /// # Errors
    /// [`Misuse`] if they are of other types; [`DecodeError`](crate::codec::DecodeError) if the types are those of the caller, and
    /// what has come is all the same no such value.
    #[doc(hidden)]
    pub async fn arguments<A: DeserializeOwned + Send + 'static>(&mut self) -> Result<A> {
        let start = std::mem::take(&mut self.start);
        let is_long = start.len() > AT_ONCE;
        let arguments = decode_all(self.wire.codec, start, self.head).await;
        if is_long {
            // A cancel that came meanwhile: then nothing is begun.
            not_cancelled().await?;
        }
        arguments.map_err(|error| {
            let (here, name) = (&self.wire.here.path, &self.endpoint);
            if self.version != 0 && self.signature != 0 {
                // The caller has the same function, so it is the codec that cannot give such a value back.
                return Error::from(error).context(format!("the arguments for endpoint `{name}` of {here}"));
            }
            let takes = endpoint::by_name(name).map_or("", |entry| entry.signature);
            let text = format!(
                "the arguments for endpoint `{name}` of {here} are of another type: it is `{takes}`; {error}; \
                 pass a tuple of just these types"
            );
            Misuse::new(text).into()
        })
    }

    /// The far end of this dialog.
    #[doc(hidden)]
    pub fn far<First, In, Out>(&self) -> Far<First, In, Out>
    where
        First: Serialize + Send + 'static,
        In: DeserializeOwned + Send + 'static,
        Out: Serialize + Send + 'static,
    {
        Far::new(RemoteFar::new(self.wire.clone(), self.id, self.scope.clone()))
    }

    /// A result as the peer wants it.
    ///
    /// # Errors
    /// If the codec cannot carry it.
    #[doc(hidden)]
    pub async fn encode<R: Serialize + Send + 'static>(&self, result: R) -> Result<Vec<u8>> {
        let encoded = encode_all(&self.wire, result, Vec::new()).await;
        encoded.map_err(|error| error.context(format!("the result of {}", self.wire.name_of(self.id))))
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Gives the dialog its one outcome, also when the task that runs it is dropped.
struct Answer {
    wire: Arc<Wire>,
    id: DialogId,
    scope: CancelScope,
    given: bool,
}

impl Answer {
    fn give(&mut self, outcome: Result<Option<Vec<u8>>>) {
        self.given = true;
        let error = match outcome {
            Ok(Some(mut bytes)) => match self.wire.step(|state| state.proto.finish(self.id, Ok(&mut bytes))) {
                Ok(()) => return self.forget(),
                Err(error) => refused(error).context(format!("the result of {}", self.wire.name_of(self.id))),
            },
            Ok(None) => Cancelled { mark: self.mark() }.into(),
            Err(error) => error,
        };
        let remote = error.to_remote(&self.wire.here.path, self.wire.here.incarnation);
        // Refused only if the peer is gone, and then nobody waits for it.
        let _ = self.wire.step(|state| state.proto.finish(self.id, Err(&remote)));
        self.forget();
    }

    fn mark(&self) -> Mark {
        self.scope.mark().unwrap_or_else(|| Mark { scope: ScopeId::fresh(), reason: Reason::Shutdown })
    }

    fn forget(&self) {
        let (waiting, acceptor) = self.wire.step(|state| {
            state.proto.forget(self.id);
            (state.waiting.remove(&self.id), state.acceptor.take())
        });
        drop(waiting);
        if let Some(acceptor) = acceptor {
            acceptor.wake();
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.given {
            let cut = Error::from(Closed).context("the task was dropped before it ended").with_kind(Kind::Cancelled);
            self.give(Err(cut));
        }
    }
}
