//! Where peers come in that are not connected by birth: they prove a key before a single byte of theirs is decoded.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use futures_lite::{AsyncReadExt, AsyncWriteExt, future::poll_once};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

use crate::actor::ambient::Me;
use crate::host::Reactor;
use crate::proto::auth::{Acceptor, AuthError, NONCE, Purpose, Step, refusal};
use crate::proto::key::{KEY, Key};
use crate::proto::lobby::{Entry, Lobby};
use crate::task::{CancelScope, cancellable, nursery, sleep};
use crate::transport::folder::{Folder, Removed};
use crate::transport::socket::{Accept, Listener, Stream};
use crate::transport::{Address, Tcp, Transport};
use crate::{Error, Result};

/// How long a stranger may take to prove the key.
pub(in crate::actor) const HANDSHAKE: Duration = Duration::from_secs(3);
/// How long nobody is let in when there is no descriptor for him.
const BACK_OFF: Duration = Duration::from_millis(100);
/// One refusal in this time is told.
const TELL: Duration = Duration::from_secs(1);

/// Random bytes of the system.
pub(in crate::actor) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::from(io::Error::from(error)).context("random bytes"))?;
    Ok(bytes)
}

/// A new key, which nobody can guess.
pub(in crate::actor) fn fresh_key() -> Result<Key> {
    Ok(Key::take(&mut random::<KEY>()?))
}

/// Where the sockets of this process are, by tree.
#[derive(Debug)]
pub(in crate::actor) struct Places {
    tree: Arc<str>,
    /// It is there as long as there is a socket in it.
    folder: Mutex<Weak<Folder>>,
    next: AtomicU64,
}

impl Places {
    pub(in crate::actor) fn new(tree: &Arc<str>) -> Self {
        Self { tree: tree.clone(), folder: Mutex::default(), next: AtomicU64::new(0) }
    }

    /// The folder of this tree.
    pub(in crate::actor) fn folder(&self) -> io::Result<Arc<Folder>> {
        let mut slot = self.folder.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(folder) = slot.upgrade() {
            return Ok(folder);
        }
        let folder = Arc::new(Folder::new(&self.tree)?);
        *slot = Arc::downgrade(&folder);
        Ok(folder)
    }

    /// A name for a socket that no other process has.
    fn name(&self) -> String {
        format!("{}-{}", std::process::id(), self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// A key that another one may take the place of.
pub(in crate::actor) type SharedKey = Arc<Mutex<Key>>;

/// A socket that waits for peers.
#[derive(Debug)]
pub(in crate::actor) struct Gate {
    listener: Box<dyn Accept>,
    address: Address,
    reactor: Arc<dyn Reactor>,
    /// What is to be proven now.
    key: SharedKey,
    purpose: Purpose,
    state: Mutex<State>,
    /// Its file and the folder of that, in this order.
    _file: Option<(Removed, Arc<Folder>)>,
}

/// Who has proven the key.
pub(in crate::actor) struct Peer {
    pub(in crate::actor) stream: Box<dyn Transport>,
    pub(in crate::actor) transport: &'static str,
    /// Its process, if the system knows it.
    pub(in crate::actor) pid: Option<u32>,
}

#[derive(Debug, Default)]
struct State {
    lobby: Lobby<Source>,
    /// Those in the lobby, by number.
    waiting: HashMap<u64, CancelScope>,
    next: u64,
    told: Option<Instant>,
    untold: u64,
}

/// Where a connection comes from, as far as places are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    User(u32),
    Ip(IpAddr),
}

/// Why somebody was not let in.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error("it belongs to another user")]
    User,
    #[error("too many are waiting to be let in")]
    Crowd,
    #[error("it did not prove the key within {HANDSHAKE:?}")]
    Late,
    #[error("it went away: {0}")]
    Gone(io::Error),
}

impl Gate {
    /// One in the tree's folder.
    pub(in crate::actor) fn uds(me: &Me, key: SharedKey) -> io::Result<Self> {
        Self::in_folder(me, &me.places.name(), key, Purpose::Data)
    }

    /// One for programs from outside the tree, under a name that they can be told.
    pub(in crate::actor) fn door(me: &Me, name: &str, key: SharedKey) -> io::Result<Self> {
        Self::in_folder(me, name, key, Purpose::Join)
    }

    fn in_folder(me: &Me, name: &str, key: SharedKey, purpose: Purpose) -> io::Result<Self> {
        let folder = me.places.folder()?;
        let (listener, address, file) = folder.listen(name)?;
        Self::new(me, listener, address, key, purpose, Some((file, folder)))
    }

    /// One of the loopback interface.
    pub(in crate::actor) fn tcp(me: &Me, tcp: Tcp, key: SharedKey) -> io::Result<Self> {
        let (listener, address) = tcp.listen()?;
        Self::new(me, listener, address, key, Purpose::Data, None)
    }

    fn new(
        me: &Me,
        listener: Listener,
        address: Address,
        key: SharedKey,
        purpose: Purpose,
        file: Option<(Removed, Arc<Folder>)>,
    ) -> io::Result<Self> {
        let (reactor, state) = (me.reactor.clone(), Mutex::default());
        Ok(Self { listener: reactor.listen(listener)?, address, reactor, key, purpose, state, _file: file })
    }

    /// How it is reached.
    pub(in crate::actor) fn address(&self) -> &Address {
        &self.address
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn key(&self) -> Key {
        self.key.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// The first one who proves the key.
    ///
    /// # Errors
    /// A cancel; that the listener is broken.
    pub(in crate::actor) async fn first(self) -> Result<Peer> {
        let slot = Mutex::new(None);
        let scope = CancelScope::new();
        let keep = |peer| {
            slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(peer);
            scope.cancel("somebody was let in");
        };
        scope.run(self.run(keep)).await?;
        let first = slot.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        first.ok_or_else(|| Error::msg(format!("nobody came to {}", self.address)))
    }

    /// Lets in everybody who proves the key, until it is cancelled.
    ///
    /// # Errors
    /// A cancel; that the listener is broken.
    pub(in crate::actor) async fn run(&self, let_in: impl Fn(Peer) + Sync) -> Result<Infallible> {
        let let_in = &let_in;
        nursery(async move |n| {
            loop {
                let stream = self.accept().await?;
                if let Some((scope, source, number)) = self.enter(&stream) {
                    n.spawn(async move {
                        let peer = scope.run(self.meet(stream, source)).await;
                        self.leave(source, number);
                        // Cancelled by one who was to have its place.
                        peer?.flatten().map(let_in);
                        Ok(())
                    })?;
                }
            }
        })
        .await
    }

    async fn accept(&self) -> Result<Stream> {
        loop {
            match cancellable(self.listener.accept()).await? {
                Ok(stream) => return Ok(stream),
                Err(error) if is_lack(&error) => {
                    tracing::warn!(gate = %self.address, %error, "nobody can be let in for a moment");
                    sleep(BACK_OFF).await?;
                }
                // It was gone before it was taken in.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::from(error).context(format!("taking connections at {}", self.address))),
            }
        }
    }

    /// Gives it a place to wait, if there is one.
    fn enter(&self, stream: &Stream) -> Option<(CancelScope, Source, u64)> {
        let source = source(stream)?;
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        let makes_room = match state.lobby.enter(&source, number) {
            Entry::Admitted => None,
            Entry::Instead(other) => state.waiting.get(&other).cloned(),
            Entry::Refused => {
                drop(state);
                self.refuse_loose(stream, source);
                return None;
            }
        };
        let scope = CancelScope::new();
        state.waiting.insert(number, scope.clone());
        drop(state);
        if let Some(other) = makes_room {
            other.cancel("its place is needed");
        }
        Some((scope, source, number))
    }

    fn leave(&self, source: Source, number: u64) {
        let mut state = self.state();
        state.lobby.leave(&source, number);
        state.waiting.remove(&number);
    }

    /// Gives the peer if it has proven the key.
    async fn meet(&self, stream: Stream, source: Source) -> Result<Option<Peer>> {
        let (transport, pid) = (stream.kind(), peer_pid(&stream));
        let mut stream = match stream {
            Stream::Unix(socket) => self.reactor.serve(socket),
            Stream::Tcp(socket) => self.reactor.serve_tcp(socket),
        }?;
        let met = within(HANDSHAKE, self.authenticate(&mut stream, source)).await;
        match met? {
            Ok(()) => Ok(Some(Peer { stream, transport, pid })),
            Err(refusal) => {
                // A few bytes always fit into a socket to which little was written.
                let _ = poll_once(stream.write_all(&self::refusal(self.purpose))).await;
                self.tell(source, pid, &refusal);
                Ok(None)
            }
        }
    }

    async fn authenticate(&self, stream: &mut Box<dyn Transport>, source: Source) -> Result<Result<(), Refusal>> {
        if matches!(source, Source::User(user) if user != geteuid().as_raw()) {
            return Ok(Err(Refusal::User));
        }
        let key = self.key();
        let mut acceptor = Acceptor::new(&key, self.purpose, random::<NONCE>()?);
        let mut buffer = [0; 256];
        while !acceptor.is_done() {
            let wants = acceptor.wants().min(buffer.len());
            let taken = match cancellable(stream.read(&mut buffer[..wants])).await? {
                Ok(0) => return Ok(Err(Refusal::Gone(io::ErrorKind::UnexpectedEof.into()))),
                Ok(taken) => taken,
                Err(error) => return Ok(Err(Refusal::Gone(error))),
            };
            match acceptor.receive(&buffer[..taken]) {
                Ok(Step::Send(bytes)) => {
                    if let Err(error) = cancellable(stream.write_all(&bytes)).await? {
                        return Ok(Err(Refusal::Gone(error)));
                    }
                }
                Ok(Step::Read | Step::Done) => {}
                Err(error) => return Ok(Err(error.into())),
            }
        }
        // It may have been revoked meanwhile.
        Ok(if key == self.key() { Ok(()) } else { Err(AuthError::Key.into()) })
    }

    /// Refuses one that has no place, before anybody serves its socket.
    fn refuse_loose(&self, stream: &Stream, source: Source) {
        let flags = rustix::net::SendFlags::NOSIGNAL | rustix::net::SendFlags::DONTWAIT;
        let _ = rustix::net::send(stream, &refusal(self.purpose), flags);
        self.tell(source, peer_pid(stream), &Refusal::Crowd);
    }

    /// One line in a while, with the number of those that were left out.
    fn tell(&self, source: Source, pid: Option<u32>, refusal: &Refusal) {
        let left_out = {
            let mut state = self.state();
            if state.told.is_some_and(|told| told.elapsed() < TELL) {
                state.untold += 1;
                return;
            }
            state.told = Some(Instant::now());
            std::mem::take(&mut state.untold)
        };
        tracing::warn!(gate = %self.address, ?source, pid, %refusal, left_out, "a connection was refused");
    }
}

/// The same, or that it came too late.
async fn within(
    bound: Duration,
    meeting: impl Future<Output = Result<Result<(), Refusal>>>,
) -> Result<Result<(), Refusal>> {
    Ok(crate::task::move_on_after(bound, meeting).await?.unwrap_or(Err(Refusal::Late)))
}

/// Nobody knows of it: it is dropped, which closes it.
fn source(stream: &Stream) -> Option<Source> {
    match stream {
        Stream::Unix(socket) => socket_peercred(socket).ok().map(|peer| Source::User(peer.uid.as_raw())),
        Stream::Tcp(socket) => socket.peer_addr().ok().map(|peer| Source::Ip(peer.ip())),
    }
}

fn peer_pid(stream: &Stream) -> Option<u32> {
    let Stream::Unix(socket) = stream else { return None };
    let peer = socket_peercred(socket).ok()?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
}

/// Whether the system lacks something that it may have again in a moment.
fn is_lack(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
