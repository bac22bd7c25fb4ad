//! The two sides of a link under test: each does one operation at a time, as it is told, and says what came of it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use async_channel::{Receiver, Sender};
use futures_lite::future::{or, poll_once};
use pleach::dialog::{FarReturned, NearGone, SideGone, TrySendError};
use pleach::prelude::*;
use pleach::task::cancellable;
use thiserror::Error;

use crate::words::{Event, Gone, Reaction, Said, Seen, Why};

#[derive(Debug, Error)]
#[error("the body fails as planned")]
pub(crate) struct NearFails;

#[derive(Debug, Error)]
#[error("the foreign task fails as planned")]
pub(crate) struct FarFails;

/// How their texts end.
pub(crate) const AS_PLANNED: &str = "panics as planned";
pub(crate) const NEAR_PANIC: &str = "the body panics as planned";
pub(crate) const FAR_PANIC: &str = "the foreign task panics as planned";
/// What the foreign task returns.
pub(crate) const RESULT: u32 = 42;

/// Counts what lives of something.
#[derive(Clone, Default)]
pub(crate) struct Lives(Arc<AtomicUsize>);

impl Lives {
    pub(crate) fn one(&self) -> Alive {
        self.0.fetch_add(1, SeqCst);
        Alive(self.0.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

pub(crate) struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// What travels: a number, and its life.
pub(crate) struct Value(u32, #[expect(dead_code, reason = "its drop is what counts")] Alive);

pub(crate) type FarEnd = Far<(), Value, Value>;
pub(crate) type NearEnd = Near<Value, Value, u32>;

/// What a side needs to be told, and to answer.
pub(crate) struct Side {
    pub(crate) commands: Receiver<(Event, u32)>,
    pub(crate) seen: Sender<Seen>,
    pub(crate) says: fn(Said) -> Seen,
    pub(crate) values: Lives,
}

impl Side {
    fn say(&self, said: Said) {
        // Unbounded; who does not listen any more has seen enough.
        let _ = self.seen.try_send((self.says)(said));
    }

    /// The next step. When the schedule is over there is none, and nobody waits for one.
    async fn command(&self) -> (Event, u32) {
        match self.commands.recv().await {
            Ok(command) => command,
            Err(_) => std::future::pending().await,
        }
    }

    fn value(&self, number: u32) -> Value {
        Value(number, self.values.one())
    }

    /// Does what may have to wait, until it is told to leave.
    async fn operate(&self, operation: impl Future<Output = Result<Said>>) -> Result<Said> {
        let mut operation = pin!(operation);
        if let Some(said) = poll_once(&mut operation).await {
            return said;
        }
        self.say(Said::Waits);
        let leaves = async {
            let (event, _) = self.command().await;
            assert!(matches!(event, Event::FarLeave | Event::NearLeave), "{event:?} while it waits");
            Ok(Said::Left)
        };
        or(operation, leaves).await
    }
}

/// The foreign task.
pub(crate) async fn far(end: FarEnd, side: Side, _alive: Alive) -> Result<u32> {
    let mut end = Some(end);
    let mut given = None;
    side.say(Said::Begun);
    loop {
        let (event, number) = side.command().await;
        let said = match event {
            Event::FarReturn => return Ok(RESULT),
            Event::FarFail => return Err(FarFails.into()),
            Event::FarPanic => panic!("{FAR_PANIC}"),
            Event::FarPass => return Err(given.take().expect("it was given an error")),
            Event::FarDrop => {
                end = None;
                Ok(Said::Done)
            }
            event => {
                let far = end.as_mut().expect("it has an end");
                side.operate(far_operation(far, event, side.value(number))).await
            }
        };
        side.say(said.unwrap_or_else(|error| {
            let why = why(&error);
            given = Some(error);
            Said::Refused(why)
        }));
    }
}

async fn far_operation(far: &mut FarEnd, event: Event, value: Value) -> Result<Said> {
    match event {
        Event::FarStart => far.started(()).await?,
        Event::FarSend => far.send(value).await?,
        Event::FarTrySend => return tried(value.0, far.try_send(value)),
        Event::FarRecv => return Ok(received(far.recv().await?)),
        Event::FarListen => far.cancelled().await,
        Event::FarAsk => return Ok(Said::Gone(gone(far.gone()))),
        other => unreachable!("{other:?} is no operation of the foreign task"),
    }
    Ok(Said::Done)
}

/// The body.
pub(crate) async fn near(end: NearEnd, side: Side, reaction: Reaction) -> Result<u32> {
    let mut end = Some(end);
    side.say(Said::Begun);
    loop {
        let said = match cancellable(side.command()).await {
            Err(told) => Err(told),
            Ok((Event::NearReturn, _)) => {
                // The opener goes on in this same turn.
                side.say(Said::Done);
                return Ok(RESULT);
            }
            Ok((Event::NearFail, _)) => return Err(NearFails.into()),
            Ok((Event::NearPanic, _)) => panic!("{NEAR_PANIC}"),
            Ok((Event::NearDrop, _)) => {
                end = None;
                Ok(Said::Done)
            }
            Ok((Event::NearFinish, _)) => {
                let near = end.take().expect("it has an end");
                side.operate(async { near.finish().await.map(|result| result_is(result, RESULT)) }).await
            }
            Ok((event, number)) => {
                let near = end.as_mut().expect("it has an end");
                side.operate(near_operation(near, event, side.value(number))).await
            }
        };
        match said {
            Ok(said) => side.say(said),
            Err(error) => {
                let why = why(&error);
                side.say(Said::Refused(why));
                if why == Why::Cancelled {
                    return react(reaction, error);
                }
            }
        }
    }
}

fn result_is(result: u32, expected: u32) -> Said {
    if result == expected { Said::Result } else { Said::Value(result) }
}

fn react(reaction: Reaction, told: Error) -> Result<u32> {
    match reaction {
        Reaction::Obeys => Err(told),
        Reaction::Fails => Err(NearFails.into()),
        Reaction::Value => Ok(RESULT),
    }
}

async fn near_operation(near: &mut NearEnd, event: Event, value: Value) -> Result<Said> {
    match event {
        Event::NearSend => near.send(value).await?,
        Event::NearTrySend => return tried(value.0, near.try_send(value)),
        Event::NearRecv => return Ok(received(near.recv().await?)),
        Event::NearStop => near.stop(),
        Event::NearAsk => return Ok(Said::Gone(gone(near.gone()))),
        other => unreachable!("{other:?} is no operation of the body"),
    }
    Ok(Said::Done)
}

fn received(value: Option<Value>) -> Said {
    value.map_or(Said::End, |value| Said::Value(value.0))
}

fn tried(number: u32, tried: Result<(), TrySendError<Value>>) -> Result<Said> {
    match tried {
        Ok(()) => Ok(Said::Done),
        Err(TrySendError::Full(back)) if back.0 == number => Ok(Said::Full),
        Err(TrySendError::Refused(back, error)) if back.0 == number => Err(error),
        Err(_) => Ok(Said::Value(number)),
    }
}

fn gone(gone: Option<SideGone>) -> Gone {
    match gone {
        None => Gone::No,
        Some(SideGone::Finished) => Gone::Finished,
        Some(SideGone::Failed { .. }) => Gone::Failed,
        Some(_) => Gone::Cancelled,
    }
}

fn why(error: &Error) -> Why {
    if error.is_cancelled() {
        Why::Cancelled
    } else if error.is_misuse() {
        Why::Misuse
    } else if error.downcast_ref::<FarReturned>().is_some() {
        Why::FarReturned
    } else if error.downcast_ref::<NearGone>().is_some() {
        Why::NearGone
    } else {
        Why::Other
    }
}
