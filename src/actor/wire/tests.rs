//! How the driver looks before it sleeps, over a transport that counts; and what its lock is not held over.

use std::io;
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite};

use super::gate::Places;
use super::{Setup, Wire, connection_info};
use crate::actor::ambient::Me;
use crate::actor::turns::Turns;
use crate::codec::Codec;
use crate::host::Reactor;
use crate::proto::connection::{Connection, Limits, Role};
use crate::proto::handshake::Agreed;
use crate::proto::key::{KEY, Key};
use crate::task::nursery;
use crate::task::time::VirtualClock;
use crate::transport::Transport;
use crate::{Result, Waiting};

/// A CPU that no machine has: the peer is always on another one.
const ELSEWHERE: usize = 60_000;

/// Has one write of a peer to give, and ends when somebody sleeps on it.
struct Counted {
    bytes: Vec<u8>,
    can_be_tried: bool,
    tries: Arc<AtomicUsize>,
}

impl Counted {
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let taken = std::mem::take(&mut self.bytes);
        buffer[..taken.len()].copy_from_slice(&taken);
        taken.len()
    }
}

impl Transport for Counted {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tries.fetch_add(1, Ordering::SeqCst);
        match self.can_be_tried {
            false => Err(io::ErrorKind::Unsupported.into()),
            true if self.bytes.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            true => Ok(self.take(buffer)),
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.take(buffer)))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct NoSockets;

impl Reactor for NoSockets {
    fn serve(&self, _: UnixStream) -> io::Result<Box<dyn Transport>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What a peer on another CPU writes.
fn written_elsewhere() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut peer = Connection::new(Role::Child, Limits::default());
    peer.ping();
    peer.transmit(&mut bytes, usize::MAX, Some(ELSEWHERE));
    bytes
}

fn agreed() -> Agreed {
    Agreed { minor: 0, codec: "msgpack".to_owned(), max_message: 1, peer: 1 }
}

/// Runs `body` with a connection over `transport`, of a root that waits like this.
fn with_wire<Fut>(waiting: Waiting, transport: Counted, body: impl FnOnce(Arc<Wire>) -> Fut + Send)
where
    Fut: Future<Output = Result<()>> + Send,
{
    let reactor: Arc<dyn Reactor> = Arc::new(NoSockets);
    let turns = Arc::new(Turns::new(reactor.clone()));
    let root = nursery({
        let turns = turns.clone();
        async move |services| {
            let me = Me {
                path: "root".into(),
                tree: "t".into(),
                defaults: Arc::default(),
                key: Key::take(&mut [0; KEY]),
                places: Arc::new(Places::new(&"t".into())),
                started: Arc::default(),
                programs: Arc::default(),
                incarnation: 1,
                grace: Duration::ZERO,
                reactor,
                turns,
                services: services.clone(),
            };
            let setup = Setup {
                role: Role::Parent,
                here: Arc::new(me),
                peer: "root/a".into(),
                codec: Codec::MsgPack,
                max_message: 1 << 20,
                waiting,
                control: None,
                info: connection_info("mem", &agreed()),
                watched: true,
                door: None,
            };
            body(Wire::start(setup, Box::new(transport))?).await
        }
    });
    VirtualClock::block_on(turns.around(root)).unwrap();
}

/// How often the driver tries to read, with one read that gives something, before it sleeps.
fn tries(waiting: Waiting, can_be_tried: bool) -> usize {
    let tries = Arc::new(AtomicUsize::new(0));
    let transport = Counted { bytes: written_elsewhere(), can_be_tried, tries: tries.clone() };
    with_wire(waiting, transport, async |wire: Arc<Wire>| {
        wire.closed().await;
        Ok(())
    });
    tries.load(Ordering::SeqCst)
}

#[test]
fn an_idle_connection_never_looks() {
    assert_eq!(tries(Waiting::Idle, true), 1, "the one that gave something");
}

#[test]
fn others_look_before_they_sleep() {
    for waiting in [Waiting::Balanced, Waiting::Latency] {
        assert!(tries(waiting, true) > 1, "{waiting:?}");
    }
}

#[test]
fn what_cannot_be_tried_is_tried_once() {
    assert_eq!(tries(Waiting::Latency, false), 1);
}

/// A waker of somebody's: what it wakes goes with it, and asks the connection on its way.
struct Asks(Arc<Wire>);

impl Wake for Asks {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Asks {
    fn drop(&mut self) {
        self.0.open_dialogs();
    }
}

#[test]
fn a_waker_that_is_replaced_is_not_dropped_under_the_lock() {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let transport = Counted { bytes: written_elsewhere(), can_be_tried: true, tries: Arc::default() };
        with_wire(Waiting::Idle, transport, async |wire: Arc<Wire>| {
            {
                let waker = Arc::new(Asks(wire.clone())).into();
                let mut closed = pin!(wire.closed());
                assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                drop(waker);
                assert!(closed.poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            wire.closed().await;
            Ok(())
        });
        done.send(()).unwrap();
    });
    is_done.recv_timeout(Duration::from_secs(60)).expect("it waits for a lock that it has itself");
}
