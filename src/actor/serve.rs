//! What an actor does all its life: run what its parent opens, until it is cancelled.

use std::sync::Arc;

use super::ambient::{In, Me};
use super::endpoint::Entry;
use super::wire::Wire;
use crate::error::{Closed, Reason};
use crate::task::CancelScope;
use crate::{Error, Result};

/// Serves the connection until `scope` is cancelled, and completes when the last dialog has ended.
///
/// The dialogs are tasks beside this one, not below it: a message then crosses one executor less. What holds them
/// together is the connection, which knows the scope of each.
///
/// # Errors
/// If the connection ends before that.
pub(super) async fn serve(
    me: &Arc<Me>,
    wire: &Arc<Wire>,
    exposed: Vec<&'static Entry>,
    scope: &CancelScope,
) -> Result<()> {
    let served = scope.run(accept(me, wire, exposed.into())).await;
    // Whatever has not been taken in, or still comes, will not run.
    wire.end_inbound(&scope.mark().map_or(Reason::Shutdown, |mark| mark.reason));
    // Bounded by the grace of each.
    wire.inbound_ended().await;
    match served {
        Err(error) if error.downcast_ref::<Closed>().is_some() => {
            Err(Error::from(Closed).context(format!("{}: the connection to its parent", me.path)))
        }
        other => other.map(drop),
    }
}

/// Runs each dialog that the peer opens as a task of its own.
async fn accept(me: &Arc<Me>, wire: &Arc<Wire>, exposed: Arc<[&'static Entry]>) -> Result<()> {
    loop {
        let inbound = wire.incoming().await?;
        me.services.spawn(In::new(me.clone(), inbound.serve(exposed.clone())))?;
    }
}
