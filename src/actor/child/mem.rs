//! An actor in its parent's process, over memory.

use std::sync::Arc;
use std::time::Duration;

use super::{Child, Reins};
use crate::actor::ambient::Me;
use crate::actor::builder::{ActorBuilder, Own};
use crate::actor::endpoint::Entry;
use crate::actor::serve::serve;
use crate::actor::wire::{Lost, Setup, Wire, connection_info};
use crate::error::{Error, Reason};
use crate::proto::connection::Role;
use crate::proto::handshake::{Agreed, MINOR};
use crate::task::CancelScope;
use crate::transport::mem;
use crate::{Result, error};

/// Starts it: two ends of a connection, and the actor's root beside those of this process.
pub(in crate::actor) fn start(builder: &ActorBuilder, child: &Arc<Child>, exposed: Vec<&'static Entry>) -> Result<()> {
    let started = connect(builder, child, exposed);
    if started.is_err() {
        child.gone(None, None);
    }
    started
}

fn connect(builder: &ActorBuilder, child: &Arc<Child>, exposed: Vec<&'static Entry>) -> Result<()> {
    let parent = builder.nursery.me.clone();
    let me = Arc::new(Me {
        path: child.path.clone(),
        incarnation: child.incarnation,
        grace: builder.grace,
        ..Me::clone(&parent)
    });
    // The builder has seen that there is one, and that each is known.
    let codec = builder.codecs[0];
    let own = builder.own.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    let transport = if own.is_some() { "own" } else { "mem" };
    let (ours, theirs) = own.unwrap_or_else(ends);
    let agreed = Agreed {
        minor: MINOR,
        codec: codec.name().to_owned(),
        max_message: builder.max_message as u64,
        peer: std::process::id(),
    };
    let setup = |role, here: &Arc<Me>, peer: &str| Setup {
        role,
        here: here.clone(),
        peer: peer.to_owned(),
        codec,
        max_message: builder.max_message,
        waiting: builder.waiting,
        control: None,
        info: connection_info(transport, &agreed),
        watched: true,
        door: None,
    };
    let ours = Wire::start(setup(Role::Parent, &parent, &child.path), ours)?;
    let theirs = Wire::start(setup(Role::Child, &me, &parent.path), theirs)?;
    let scope = CancelScope::new().with_grace(builder.grace);
    child.rein(Box::new(TaskReins { scope: scope.clone() }));
    let _ = child.wire.set(ours.clone());
    let child = child.clone();
    parent.services.spawn(async move {
        let ended = serve(&me, &theirs, exposed, &scope).await;
        theirs.close();
        theirs.closed().await;
        ours.lost(child.unanswered().map_or(Lost::Closed, |cancelled| Lost::Died(Box::new(cancelled))));
        ours.closed().await;
        let failure = match ended {
            Ok(()) if !child.was_asked() => Some(unasked(&child)),
            Ok(()) => None,
            Err(error) => Some(error),
        };
        child.gone(failure, None);
        Ok(())
    })?;
    Ok(())
}

fn ends() -> Own {
    let (ours, theirs) = mem::pair();
    (Box::new(ours), Box::new(theirs))
}

fn unasked(child: &Child) -> Error {
    error::Misuse::new(format!("{} ended without having been asked to", child.path)).into()
}

/// A task can be asked, and dropped; it cannot be killed.
struct TaskReins {
    scope: CancelScope,
}

impl Reins for TaskReins {
    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn cancel(&self, reason: Reason, _: Duration) {
        self.scope.request(reason);
    }

    fn kill(&self) {
        self.scope.request(Reason::NurseryDropped);
    }
}
