//! Where programs from outside the tree come in: they have a key of their own, and what they may call is said for them alone.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::ambient::{self, Me};
use super::endpoint::{self, Entry};
use super::wire::gate::{Gate, Peer, SharedKey};
use super::wire::join::{self, Joined};
use crate::codec::Codec;
use crate::error::{Misuse, Reason};
use crate::task::{CancelScope, Nursery, nursery};
use crate::transport::Address;
use crate::transport::folder::Removed;
use crate::{Error, Result};

/// The longest name: the path of a socket is short.
const LONGEST: usize = 20;
/// The largest message of a program from outside.
const MAX_MESSAGE: usize = 16 << 20;

/// Describes a door in the running task's actor, at which programs from outside the tree can join it, in whatever language they
/// are written; `.open(body)` opens it.
///
/// It is a socket in a folder that only this user can enter, with a file beside it that holds the *join key*. A program proves
/// that key, hears nothing of the tree's own one, and can call what this door exposes, nothing else. The protocol is in
/// `docs/protocol.md`.
///
/// ```no_run
/// use pleach::actor::door;
/// use pleach::prelude::*;
///
/// #[pleach::endpoint]
/// async fn double(n: u64) -> Result<u64> {
///     Ok(2 * n)
/// }
///
/// #[pleach::main]
/// async fn main() -> Result<()> {
///     door("tools").expose(double).open(async |door| {
///         println!("join at {} with the key in {}", door.address(), door.key_file().display());
///         sleep(std::time::Duration::from_secs(60)).await
///     })
///     .await
/// }
/// ```
pub fn door(name: impl Into<String>) -> DoorBuilder {
    DoorBuilder { name: name.into(), exposed: Vec::new(), codecs: vec![Codec::MsgPack, Codec::Json] }
}

/// A door that is being described, see [`door`].
#[must_use = "a door is opened by `.open(body).await`"]
pub struct DoorBuilder {
    name: String,
    exposed: Vec<Result<&'static Entry>>,
    codecs: Vec<Codec>,
}

impl DoorBuilder {
    /// Lets those who join call this endpoint. Nothing else can be called, whatever the actor itself exposes to its parent.
    pub fn expose<F: 'static>(mut self, _function: F) -> Self {
        self.exposed.push(endpoint::of::<F>());
        self
    }

    /// The codecs to offer, the favourite first; msgpack, then JSON by default.
    pub fn codecs(mut self, codecs: impl IntoIterator<Item = Codec>) -> Self {
        self.codecs = codecs.into_iter().collect();
        self
    }

    /// Opens it for as long as `body` runs. When that has ended, those who have joined are told, their dialogs are cancelled and
    /// waited for, and socket and key are gone.
    ///
    /// # Errors
    /// The body's; [`Misuse`] for a name that cannot be one of a file or that another door of this tree has, for a function
    /// that is no endpoint, and outside an actor tree; that there is no safe place for the socket.
    ///
    /// # Cancel safety
    /// If the future is dropped, all connections have been closed, and their dialogs cancelled.
    pub async fn open<T, F, Fut>(self, body: F) -> Result<T>
    where
        F: FnOnce(Door) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let me = ambient::me()?;
        let exposed = self.check(&me)?;
        let state = OpenDoor::new(&me, &self.name, exposed, self.codecs)?;
        let state = &state;
        let closing = CancelScope::new();
        nursery(async move |n| {
            let inside = n.clone();
            let keeper = closing.clone();
            n.spawn(async move {
                let let_in = |peer| state.let_in(peer, &inside);
                keeper.run(state.gate.run(let_in)).await.map(drop)
            })?;
            let ended = body(Door { shared: state.shared.clone() }).await;
            closing.cancel("the door is closed");
            state.shared.end(&Reason::Shutdown);
            ended
        })
        .await
    }

    fn check(&self, me: &Me) -> Result<Arc<[&'static Entry]>> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > LONGEST || !self.name.chars().all(plain) {
            let text = format!(
                "{}: a door cannot be called {:?}, which is to be the name of a file: use up to {LONGEST} letters, digits, \
                 `-` and `_`",
                me.path, self.name
            );
            return Err(Misuse::new(text).into());
        }
        if self.codecs.is_empty() {
            return Err(Misuse::new(format!("the door `{}`: there is no codec; list at least one", self.name)).into());
        }
        self.exposed.iter().map(|entry| entry.as_ref().copied().map_err(super::builder::again)).collect()
    }
}

impl fmt::Debug for DoorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DoorBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

/// An open door.
#[derive(Clone)]
pub struct Door {
    shared: Arc<Shared>,
}

impl Door {
    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    /// The file with the join key: 64 hexadecimal digits and a line end, readable by this user alone.
    pub fn key_file(&self) -> &Path {
        &self.shared.key_path
    }

    /// Makes the join key worthless: who has joined with it is told to go, and its dialogs are cancelled. The file then holds
    /// another one.
    ///
    /// # Errors
    /// If the file cannot be written; the old key is worthless all the same.
    pub fn revoke(&self) -> Result<()> {
        self.shared.revoke()
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("address", self.address()).finish_non_exhaustive()
    }
}

/// What its handles and its keeper share.
struct Shared {
    me: Arc<Me>,
    name: String,
    address: Address,
    key_path: PathBuf,
    key: SharedKey,
    state: Mutex<Generation>,
}

/// Everybody who has joined with one key.
#[derive(Default)]
struct Generation {
    number: u64,
    joined: Vec<CancelScope>,
    file: Option<Removed>,
}

/// What the keeper has.
struct OpenDoor {
    gate: Gate,
    shared: Arc<Shared>,
    exposed: Arc<[&'static Entry]>,
    codecs: Vec<Codec>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Generation> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// One more has joined.
    fn enter(&self) -> CancelScope {
        let scope = CancelScope::new().with_grace(self.me.grace);
        self.state().joined.push(scope.clone());
        scope
    }

    fn leave(&self, scope: &CancelScope) {
        self.state().joined.retain(|other| other.id() != scope.id());
    }

    /// All who have joined are to go.
    fn end(&self, reason: &Reason) {
        let joined = std::mem::take(&mut self.state().joined);
        joined.iter().for_each(|scope| scope.request(reason.clone()));
    }

    fn revoke(&self) -> Result<()> {
        let number = {
            let mut state = self.state();
            state.number += 1;
            state.number
        };
        *self.key.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = join::key(&self.me, &self.name, number);
        self.end(&Reason::Explicit { by: self.me.path.clone(), message: "the join key was revoked".to_owned() });
        self.write_key(number)
    }

    fn write_key(&self, number: u64) -> Result<()> {
        let text = join::key_text(&join::key(&self.me, &self.name, number));
        let (_, file) = self.me.places.folder()?.write(&format!("{}.key", self.name), text.as_bytes())?;
        let old = self.state().file.replace(file);
        // It is the same path, and what is there now is the new one.
        if let Some(old) = old {
            old.keep();
        }
        Ok(())
    }
}

impl OpenDoor {
    fn new(me: &Arc<Me>, name: &str, exposed: Arc<[&'static Entry]>, codecs: Vec<Codec>) -> Result<Self> {
        let key = Arc::new(Mutex::new(me.key.clone()));
        let gate = Gate::door(me, name, key.clone())
            .map_err(|error| Error::from(error).context(format!("{}: the door `{name}`", me.path)))?;
        let Address::Uds(path) = gate.address() else { return Err(Misuse::new("a door is no file").into()) };
        let shared = Shared {
            me: me.clone(),
            name: name.to_owned(),
            address: gate.address().clone(),
            key_path: path.with_extension("key"),
            key,
            state: Mutex::default(),
        };
        // From the tree's key to the first join key.
        shared.revoke()?;
        Ok(Self { gate, shared: Arc::new(shared), exposed, codecs })
    }

    /// Serves one who has proven the key, as a task of the door.
    fn let_in<'env>(&'env self, peer: Peer, inside: &Nursery<'env>) {
        let shared = &self.shared;
        let scope = shared.enter();
        let joined = Joined {
            me: self.shared.me.clone(),
            door: self.shared.name.clone(),
            exposed: self.exposed.clone(),
            codecs: self.codecs.clone(),
            max_message: MAX_MESSAGE,
            scope: scope.clone(),
        };
        // Refused where the door is closing.
        let _ = inside.spawn(async move {
            let ended = joined.serve(peer).await;
            shared.leave(&scope);
            if let Err(error) = ended.as_ref()
                && !error.is_cancelled()
            {
                tracing::warn!(door = shared.name, %error, "a program that had joined is gone");
            }
            Ok(())
        });
    }
}
