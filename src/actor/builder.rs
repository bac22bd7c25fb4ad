//! What an actor is to be, before it is started.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::carrier::{Carrier, CarrierKind};
use super::child::{self, Child};
use super::defaults::Defaults;
use super::endpoint::{self, Entry};
use super::nursery::{ACTOR_GRACE, Shared};
use super::portal::Portal;
use super::preference;
use crate::codec::Codec;
use crate::error::Misuse;
use crate::host::{self, Host, Smol};
use crate::task::not_cancelled;
use crate::transport::Transport;
use crate::{Error, Result, Waiting};

/// The smallest limit of a message: an error must fit.
const MIN_MESSAGE: usize = 4096;
/// The largest one: its length and its credit are counted in 32 bits.
const MAX_MESSAGE: usize = 1 << 30;

/// Both ends of a connection of somebody else's making: that of the parent, that of the actor.
pub(super) type Own = (Box<dyn Transport>, Box<dyn Transport>);

/// An actor that is being described, see [`ActorNursery::actor`](super::ActorNursery::actor).
#[must_use = "an actor is started by `.start().await`, or by `.run(function, (..)).await` for one call"]
pub struct ActorBuilder {
    pub(super) nursery: Arc<Shared>,
    pub(super) name: String,
    pub(super) host: Option<Box<dyn Host>>,
    pub(super) exposed: Vec<Result<&'static Entry>>,
    /// What the program has chosen for this one.
    chosen: Defaults,
    /// The codecs that are offered, once it is started.
    pub(super) codecs: Vec<Codec>,
    pub(super) grace: Duration,
    /// Behind a lock only because a transport need not be `Sync`.
    pub(super) own: Mutex<Option<Own>>,
    pub(super) max_message: usize,
    pub(super) waiting: Waiting,
    pub(super) blocked_limit: Option<Duration>,
}

impl ActorBuilder {
    pub(super) fn new(nursery: Arc<Shared>, name: String) -> Self {
        Self {
            nursery,
            name,
            host: None,
            exposed: Vec::new(),
            chosen: Defaults::new(),
            codecs: Vec::new(),
            grace: ACTOR_GRACE,
            own: Mutex::default(),
            max_message: 16 << 20,
            waiting: Waiting::default(),
            blocked_limit: None,
        }
    }

    /// What runs the actor; smol on one thread by default. An actor on [`Carrier::Mem`] runs on its parent's host and has
    /// none of its own to choose.
    pub fn host(mut self, host: impl Host) -> Self {
        self.host = Some(Box::new(host));
        self
    }

    /// Lets the parent call this endpoint in it. Nothing else can be called.
    ///
    /// A function that is no endpoint is refused by [`start`](Self::start).
    pub fn expose<F: 'static>(self, function: F) -> Self {
        self.expose_type_of(&function)
    }

    /// [`expose`](Self::expose) of a function that is needed further.
    pub(super) fn expose_type_of<F: 'static>(mut self, _function: &F) -> Self {
        self.exposed.push(endpoint::of::<F>());
        self
    }

    /// The codecs to offer, the favourite first; by default those of the [tree](Defaults), or msgpack, then JSON. The first one is
    /// used for everything between the actor and its parent, as [`connection`](Portal::connection) says, unless the environment
    /// variable `PLEACH_CODEC` names another of them, for an experiment.
    ///
    /// An actor knows msgpack, JSON and those in the list [`CODECS`](crate::codec::CODECS) of its program. Any other one is refused by
    /// [`start`](Self::start), alone and beside others.
    pub fn codecs(mut self, codecs: impl IntoIterator<Item = Codec>) -> Self {
        self.chosen = self.chosen.codecs(codecs);
        self
    }

    /// The codecs to offer if it is over this carrier, instead of [`codecs`](Self::codecs); for programs in which the carrier is
    /// chosen elsewhere.
    ///
    /// ```
    /// # use pleach::prelude::*;
    /// use pleach::codec::Codec;
    ///
    /// async fn start_on(carrier: Carrier) -> Result<()> {
    ///     actor_nursery(async |n| {
    ///         // JSON for those who watch the socket, msgpack where nobody can.
    ///         let feed = n.actor("feed").carrier(carrier).codecs_for(Carrier::Uds, [Codec::Json]).start().await?;
    ///         let expected = if carrier == Carrier::Uds { "json" } else { "msgpack" };
    ///         assert_eq!(feed.connection().codec, expected);
    ///         feed.cancel_actor().await
    ///     })
    ///     .await
    /// }
    /// ```
    pub fn codecs_for(mut self, carrier: impl Into<CarrierKind>, codecs: impl IntoIterator<Item = Codec>) -> Self {
        self.chosen = self.chosen.codecs_for(carrier, codecs);
        self
    }

    /// How long it may take to unwind when it is cancelled; 5 s by default. After it come SIGTERM and, half a
    /// second later, SIGKILL. The scope around may leave less than this.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Which way the bytes go; by default as the [tree](Defaults) says, or a process over inherited sockets.
    ///
    /// Where neither says it, the environment variable `PLEACH_TRANSPORT` may say `uds` instead, for an experiment.
    pub fn carrier(mut self, carrier: Carrier) -> Self {
        self.chosen = self.chosen.carrier(carrier);
        self
    }

    /// Over a transport of one's own: two ends of it that are connected to each other. Apart from that it is an actor on
    /// [`Carrier::Mem`]: in this process, where it cannot be killed.
    ///
    /// ```
    /// # use pleach::prelude::*;
    /// use pleach::transport::mem; // or what implements `Transport` in your program
    ///
    /// async fn start_one() -> Result<()> {
    ///     let (ours, its) = mem::pair();
    ///     actor_nursery(async |n| {
    ///         let near = n.actor("near").over(ours, its).start().await?;
    ///         assert_eq!(near.connection().transport, "own");
    ///         near.cancel_actor().await
    ///     })
    ///     .await
    /// }
    /// ```
    pub fn over(mut self, ours: impl Transport, its: impl Transport) -> Self {
        self.own = Mutex::new(Some((Box::new(ours), Box::new(its))));
        self.carrier(Carrier::Mem)
    }

    /// The largest message in bytes, refused at its sender if it is larger; 16 MiB by default, 4 KiB at least, 1 GiB at
    /// most.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// What both ends of its connection spend while each waits for the other; CPU for short gaps by default.
    ///
    /// ```
    /// # use pleach::prelude::*;
    /// use pleach::Waiting;
    ///
    /// async fn start_a_quiet_one() -> Result<()> {
    ///     actor_nursery(async |n| {
    ///         let logger = n.actor("logger").waiting(Waiting::Idle).start().await?;
    ///         logger.cancel_actor().await
    ///     })
    ///     .await
    /// }
    /// ```
    pub fn waiting(mut self, waiting: Waiting) -> Self {
        self.waiting = waiting;
        self
    }

    /// Ends the actor when its thread has not turned for this long: it is cancelled, which a blocked thread does not hear, and after
    /// its grace come SIGTERM and SIGKILL. Its nursery fails, and its dialogs, with [`ActorDied`](super::ActorDied), which
    /// says what [blocked](super::Blocked) it.
    ///
    /// For infected actors: their thread runs code of others. Without this call, a thread that has not turned for a second is only reported,
    /// by the parent, at the level WARN; and once more each time when that has become twice as long. Shorter limits than a second are one.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use pleach::prelude::*;
    /// async fn start_a_doubtful_one() -> Result<()> {
    ///     actor_nursery(async |n| {
    ///         let legacy = n.actor("legacy").end_when_blocked(Duration::from_secs(30)).start().await?;
    ///         legacy.cancel_actor().await
    ///     })
    ///     .await
    /// }
    /// ```
    pub fn end_when_blocked(mut self, limit: Duration) -> Self {
        self.blocked_limit = Some(limit);
        self
    }

    /// Where it will stand in the tree.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.nursery.me.path, self.name)
    }

    /// Starts the actor and waits until it can be called.
    ///
    /// # Errors
    /// [`Misuse`] for a name, a function, a codec or a host that cannot be, and where the entry point was not taken, before
    /// anything is started; [`StartFailed`] if there is no process, with what was lacking, or if it ended before its
    /// handshake, with the exit status and the end of its standard error, or did not answer within 3 s; a cancel.
    ///
    /// # Cancel safety
    /// If it is dropped, the process is killed, and the nursery waits until it is reaped.
    pub async fn start(mut self) -> Result<Portal> {
        let carrier = self.choose()?;
        let exposed = self.check(carrier)?;
        not_cancelled().await?;
        let child = Child::new(&self);
        self.nursery.adopt(child.clone())?;
        match carrier {
            Carrier::Mem => child::mem::start(&self, &child, exposed)?,
            process => child::process::start(&self, process, &child, &exposed).await?,
        }
        Ok(Portal::new(child))
    }

    /// Hears what the tree has chosen, and what the environment prefers.
    fn choose(&mut self) -> Result<Carrier> {
        let chosen = self.chosen.clone().within(&self.nursery.me.defaults);
        let carrier = chosen.chosen_carrier()?;
        preference::check_codec()?;
        self.codecs = chosen.chosen_codecs(self.kind(carrier));
        Ok(carrier)
    }

    fn kind(&self, carrier: Carrier) -> CarrierKind {
        let own = self.own.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if own.is_some() { CarrierKind::Own } else { carrier.kind() }
    }

    fn check(&self, carrier: Carrier) -> Result<Vec<&'static Entry>> {
        if let Carrier::Tcp(tcp) = carrier {
            tcp.check().map_err(|text| Misuse::new(format!("{}: {text}", self.path())))?;
        }
        if self.name.is_empty() || self.name.contains(['/', '\0']) {
            let text = format!(
                "{:?} cannot be the name of an actor: it is one step of a path and an argument of its process, not \
                 empty, with no `/` and no zero byte; give it another one",
                self.name
            );
            return Err(Misuse::new(text).into());
        }
        self.chosen.check_codecs(&self.path())?;
        if self.max_message < MIN_MESSAGE {
            let text = format!(
                "{}: a limit of {} bytes holds no error report; allow {MIN_MESSAGE} at least",
                self.path(),
                self.max_message
            );
            return Err(Misuse::new(text).into());
        }
        if self.max_message > MAX_MESSAGE {
            let text = format!(
                "{}: a message of {} bytes cannot be sent, {MAX_MESSAGE} at most: send large values in parts",
                self.path(),
                self.max_message
            );
            return Err(Misuse::new(text).into());
        }
        self.check_host(carrier)?;
        self.exposed.iter().map(|entry| entry.as_ref().copied().map_err(again)).collect()
    }

    fn check_host(&self, carrier: Carrier) -> Result<()> {
        let Some(host) = &self.host else { return Ok(()) };
        let (path, name) = (self.path(), host.name());
        if carrier == Carrier::Mem {
            let text = format!("{path} is carried by memory and runs on its parent's host: leave out `.host({name})`");
            return Err(Misuse::new(text).into());
        }
        if host::make(name, &host.config()).is_none() {
            let known = host::names().join(", ");
            let text =
                format!("{path} cannot run on the host `{name}`: a child finds hosts by name, and knows {known}");
            return Err(Misuse::new(text).into());
        }
        Ok(())
    }

    /// The name and the configuration of the host it is to run on.
    pub(super) fn host_by_name(&self) -> (String, Vec<u8>) {
        let smol = Smol::one_thread();
        let host = self.host.as_deref().unwrap_or(&smol);
        (host.name().to_owned(), host.config())
    }
}

/// The same refusal once more: an error is not cloned, but this one is only text.
pub(super) fn again(error: &Error) -> Error {
    Misuse::new(error.to_string()).into()
}

impl fmt::Debug for ActorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorBuilder").field("path", &self.path()).field("host", &self.host).finish_non_exhaustive()
    }
}

/// An actor could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailed {
    pub(super) path: String,
    pub(super) text: String,
}

impl StartFailed {
    /// The actor that was to be started.
    pub fn actor(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for StartFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not be started: {}", self.path, self.text)
    }
}

impl std::error::Error for StartFailed {}
