//! Moves the bytes of one connection: everything that is ready in one write, everything that has come in one read. Small
//! messages are gathered in one buffer; large ones are written from where they lie.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::intake::Intake;
use super::look::{Look, Next};
use super::outflow::Outflow;
use super::{Lost, Wire, register};
use crate::Result;
use crate::error::RemoteError;
use crate::task::clock::Alarm;
use crate::transport::Transport;

/// Reads and writes before other tasks get a turn.
const ROUNDS: u32 = 16;
/// Bytes read before they get one: who decodes them soon finds them in the cache, and the sender does not have to wait for
/// the credit.
const BYTES: usize = 128 * 1024;
/// How long the last bytes of a dead peer may take.
const DRAIN: Duration = Duration::from_millis(250);
/// How long the news of its death may take: a process closes its sockets before it is dead, and on a machine that has too
/// much to do it may lose its turn in between.
const NEWS: Duration = Duration::from_secs(2);

/// How the driver came to its end.
enum End {
    /// We closed it, and everything is written.
    Closed,
    /// The peer sends nothing more, or the transport broke, as it does when the peer dies with bytes unread. What is to be
    /// said if its death does not explain it.
    Gone(String),
    /// The protocol broke, or the peer's death was reported and its bytes did not end in time.
    Broken(String),
}

/// Drives the connection until it ends, then gives every open dialog its outcome.
pub(super) async fn drive(wire: Arc<Wire>, transport: Box<dyn Transport>) -> Result<()> {
    let mut driver = Driver {
        wire: &wire,
        transport,
        outflow: Outflow::default(),
        intake: Intake::new(),
        drained: false,
        look: Look::new(wire.waiting, wire.here.turns.clone()),
        drain: None,
    };
    let end = poll_fn(|cx| driver.poll(cx)).await;
    let verdict = match end {
        End::Closed => wire.broken("this side has closed the connection".to_owned()),
        End::Gone(message) => verdict(&wire, message).await,
        End::Broken(message) => match take_lost(&wire) {
            Some(error) => error,
            None => wire.broken(message),
        },
    };
    // The peer sees the end of the connection when it is dropped, not when this task is.
    drop(driver);
    wire.step(|state| state.proto.abort(verdict));
    let acceptor = {
        let mut state = wire.state();
        state.over = true;
        state.acceptor.take()
    };
    if let Some(acceptor) = acceptor {
        acceptor.wake();
    }
    Ok(())
}

/// The connection has ended; the reason is known to whoever watches the process, now or in a moment.
async fn verdict(wire: &Wire, otherwise: String) -> RemoteError {
    let mut sleep = Alarm::after(NEWS);
    let known = poll_fn(|cx| {
        {
            let mut state = wire.state();
            if state.lost.is_some() || state.closing || !wire.watched {
                return Poll::Ready(());
            }
            let old = register(&mut state.driver, cx);
            drop(state);
            drop(old);
        }
        sleep.poll(cx)
    });
    known.await;
    take_lost(wire).unwrap_or_else(|| wire.broken(otherwise))
}

fn take_lost(wire: &Wire) -> Option<RemoteError> {
    let lost = wire.state().lost.take();
    match lost? {
        Lost::Died(error) => Some(*error),
        Lost::Closed => Some(wire.broken(format!("{} has ended", wire.peer))),
    }
}

/// What the driver saw at its last look.
struct Turn {
    /// There is more to write than was taken.
    more: bool,
    closing: bool,
    lost: bool,
    /// The CPU on which the peer wrote last.
    peer_cpu: Option<usize>,
}

struct Driver<'a> {
    wire: &'a Wire,
    transport: Box<dyn Transport>,
    outflow: Outflow,
    intake: Intake,
    /// The last read took all there was.
    drained: bool,
    look: Look,
    /// Runs from the news of the peer's death.
    drain: Option<Alarm>,
}

impl Driver<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.look.lets_others_go_first() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut bytes = 0;
        for _ in 0..ROUNDS {
            let turn = self.turn(cx);
            if let Err(error) = self.write(cx) {
                return Poll::Ready(self.write_failed(&error));
            }
            let written = self.outflow.is_written();
            if written && turn.closing && !turn.more {
                return Poll::Ready(End::Closed);
            }
            // Without room it has nothing to do either, and a peer that reads makes room before it wakes anybody for it.
            let idle = !(turn.lost || written && turn.more);
            let read = if idle { self.poll_look(turn.peer_cpu, cx) } else { self.poll_read(cx) };
            match read {
                Poll::Ready(Ok(0)) => return Poll::Ready(self.eof()),
                Poll::Ready(Ok(taken)) => {
                    self.drained = self.intake.has_taken_all(taken);
                    self.look.data();
                    if let Err(error) = self.wire.step(|state| self.intake.give(taken, &mut state.proto)) {
                        return Poll::Ready(End::Broken(format!("{} broke the protocol: {error}", self.wire.peer)));
                    }
                    if self.drained && self.look.ask(cx) {
                        // Those who have got something go first: what they answer is then written at once.
                        return Poll::Pending;
                    }
                    bytes += taken;
                    if bytes >= BYTES {
                        break;
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(self.broke(&error)),
                Poll::Pending if written && turn.more => {}
                Poll::Pending => return self.poll_drain(turn.lost, cx),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The one look at what is shared: registers for news, and takes what is to be written. Whatever comes after it
    /// wakes the driver.
    fn turn(&mut self, cx: &Context<'_>) -> Turn {
        let mut state = self.wire.state();
        let old = register(&mut state.driver, cx);
        if self.outflow.is_written() {
            self.outflow.refill(&mut state.proto);
        }
        let turn = Turn {
            more: state.proto.has_output(),
            closing: state.closing,
            lost: state.lost.is_some(),
            peer_cpu: state.proto.peer_cpu(),
        };
        let room = state.proto.has_events();
        drop(state);
        drop(old);
        if room {
            // Somebody waits until there is less to write.
            self.wire.tell();
        }
        turn
    }

    /// Writes what was taken, as far as there is room.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.outflow.poll(&mut *self.transport, cx)? {
            self.look.data();
        }
        if self.outflow.is_written() && self.outflow.has_lent() {
            // At once, so that whoever sends next has these buffers and not others.
            self.outflow.give_back(&mut self.wire.state().proto);
        }
        Ok(())
    }

    /// Reads, or registers for something to read.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.intake.poll(&mut *self.transport, cx)
    }

    /// Reads, or looks for something to read as long as that is worth it; then registers.
    fn poll_look(&mut self, peer: Option<usize>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut tries = usize::from(!self.drained);
        loop {
            if let Some(read) = self.try_read(tries) {
                return Poll::Ready(read);
            }
            tries = match self.look.next(peer, cx) {
                Next::Turn => return Poll::Pending,
                Next::Try(tries) => tries,
                Next::Sleep => return self.poll_read(cx),
            };
        }
    }

    /// What a few tries gave, if one of them gave anything.
    fn try_read(&mut self, tries: usize) -> Option<io::Result<usize>> {
        for _ in 0..tries {
            match self.intake.try_read(&mut *self.transport) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.drained = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    self.look.is_blind();
                    return None;
                }
                read => return Some(read),
            }
        }
        None
    }

    /// A dead peer's socket ends by itself, unless a helper of it holds the other end.
    fn poll_drain(&mut self, lost: bool, cx: &mut Context<'_>) -> Poll<End> {
        if !lost {
            return Poll::Pending;
        }
        let drain = self.drain.get_or_insert_with(|| Alarm::after(DRAIN));
        drain.poll(cx).map(|()| End::Broken(format!("{} is gone", self.wire.peer)))
    }

    /// The peer reads no more: what it has written before may still be there to be read.
    fn write_failed(&mut self, error: &io::Error) -> End {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        loop {
            match self.poll_read(&mut cx) {
                Poll::Ready(Ok(0)) => return self.eof(),
                Poll::Ready(Ok(taken)) => {
                    if self.wire.step(|state| self.intake.give(taken, &mut state.proto)).is_err() {
                        break;
                    }
                }
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        self.broke(error)
    }

    fn eof(&self) -> End {
        let how = if self.wire.state().said_bye { "has ended" } else { "has closed the connection without a word" };
        End::Gone(format!("{} {how}", self.wire.peer))
    }

    fn broke(&self, error: &io::Error) -> End {
        End::Gone(format!("the connection to {} broke: {error}", self.wire.peer))
    }
}
