//! A program from outside the tree that has proven its join key: it says what it knows, and then opens dialogs.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use thiserror::Error;

use super::gate::{HANDSHAKE, Peer};
use super::{Setup, Wire, connection_info};
use crate::actor::ambient::{In, Me};
use crate::actor::endpoint::Entry;
use crate::codec::Codec;
use crate::error::{Closed, Reason};
use crate::proto::connection::Role;
use crate::proto::control::{ControlError, ControlMessage, Decoder, EncodeError};
use crate::proto::fragment::{BadHeader, HEADER, Header};
use crate::proto::handshake::{Agreed, HandshakeError, Known, ParentSide};
use crate::proto::key::Key;
use crate::task::{CancelScope, cancellable, fail_after, shield};
use crate::transport::Transport;
use crate::{Error, Result, Waiting};

/// How much longer than its grace the end of a dialog may take.
const AIR: Duration = Duration::from_secs(1);

/// The key of those who join at a door now: the generation is raised when one is revoked.
pub(in crate::actor) fn key(me: &Me, door: &str, generation: u64) -> Key {
    me.key.derive("join", &[me.path.as_bytes(), door.as_bytes(), &generation.to_le_bytes()])
}

/// A join key as its file has it.
pub(in crate::actor) fn key_text(key: &Key) -> zeroize::Zeroizing<String> {
    let mut text = zeroize::Zeroizing::new(String::with_capacity(80));
    for byte in key.expose() {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    text
}

/// Why it is not talked to.
#[derive(Debug, Error)]
enum HelloError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Header(#[from] BadHeader),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("it answered with something else than its Hello")]
    NoHello,
}

/// What one that joins gets.
pub(in crate::actor) struct Joined {
    pub(in crate::actor) me: Arc<Me>,
    /// The name of the door.
    pub(in crate::actor) door: String,
    /// What it may call.
    pub(in crate::actor) exposed: Arc<[&'static Entry]>,
    pub(in crate::actor) codecs: Vec<Codec>,
    pub(in crate::actor) max_message: usize,
    /// Ends it.
    pub(in crate::actor) scope: CancelScope,
}

impl Joined {
    /// Talks to it until it goes, or until it is sent away.
    ///
    /// # Errors
    /// That it did not keep to the protocol; a cancel.
    pub(in crate::actor) async fn serve(self, mut peer: Peer) -> Result<()> {
        let agreed = fail_after(HANDSHAKE, self.hello(&mut peer.stream)).await?;
        let wire = self.connect(peer, &agreed)?;
        // Also if this is dropped.
        let closing = Closing(wire);
        let wire = &closing.0;
        let ended = self.scope.run(self.accept(wire)).await.map(drop);
        wire.end_inbound(&self.scope.mark().map_or(Reason::PeerGone, |mark| mark.reason));
        let bound = self.me.grace.saturating_add(AIR);
        shield(bound, async {
            wire.inbound_ended().await;
            wire.close();
            wire.closed().await;
            Ok(())
        })
        .await?;
        match ended {
            Err(error) if error.downcast_ref::<Closed>().is_some() => Ok(()),
            other => other,
        }
    }

    /// Runs each dialog that it opens as a task of its own, as for a parent.
    async fn accept(&self, wire: &Arc<Wire>) -> Result<()> {
        loop {
            let inbound = wire.incoming().await?;
            self.me.services.spawn(In::new(self.me.clone(), inbound.serve(self.exposed.clone())))?;
        }
    }

    fn connect(&self, peer: Peer, agreed: &Agreed) -> Result<Arc<Wire>> {
        let codec = self.codecs.iter().find(|codec| codec.name() == agreed.codec).copied();
        let codec = codec.ok_or_else(|| Error::msg(format!("it chose the codec `{}`", agreed.codec)))?;
        let pid = peer.pid.unwrap_or_default();
        let setup = Setup {
            role: Role::Parent,
            here: self.me.clone(),
            peer: format!("the program that joined at `{}` (pid {pid})", self.door),
            codec,
            max_message: usize::try_from(agreed.max_message).unwrap_or(usize::MAX),
            // It may be any number of programs in any language, which cannot be looked for.
            waiting: Waiting::Idle,
            control: None,
            info: connection_info(peer.transport, agreed),
            watched: false,
            door: Some(self.door.clone()),
        };
        Wire::start(setup, peer.stream)
    }

    async fn hello(&self, stream: &mut Box<dyn Transport>) -> Result<Agreed> {
        let codecs = self.codecs.iter().map(|codec| codec.name().to_owned()).collect();
        let known = Known { codecs, max_message: self.max_message as u64 };
        let side = ParentSide::new(&self.me.tree, std::process::id(), &known);
        let agreed = cancellable(exchange(side, stream)).await?;
        agreed.map_err(|error| Error::from(error).context(format!("the door `{}`", self.door)))
    }
}

/// Says Hello and hears the answer, of which not one byte too many is read: the rest belongs to the connection.
async fn exchange(side: ParentSide, stream: &mut Box<dyn Transport>) -> Result<Agreed, HelloError> {
    let mut bytes = Vec::new();
    ControlMessage::Hello(side.hello().clone()).encode(&mut bytes)?;
    stream.write_all(&bytes).await?;
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await?;
    let len = Header::parse(&header)?.len as usize;
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload).await?;
    let mut decoder = Decoder::default();
    decoder.feed(&header);
    decoder.feed(&payload);
    match decoder.next()? {
        Some(ControlMessage::Hello(answer)) => Ok(side.finish(&answer)?),
        _ => Err(HelloError::NoHello),
    }
}

/// Closes the connection, whatever becomes of whoever serves it.
struct Closing(Arc<Wire>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.end_inbound(&Reason::Shutdown);
        self.0.close();
    }
}
