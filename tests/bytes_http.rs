//! Links of bytes carry HTTP: hyper speaks over them, between a task of the tree and a tokio task, either one the server,
//! on both placements.

mod harness;

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_lite::future::or;
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _};
use harness::{eventually, plain, soon};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::client::conn::http1 as client;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use libtest_mimic::{Failed, Trial};
use pleach::dialog::Escalated;
use pleach::host::Smol;
use pleach::prelude::*;
use pleach::task::oneshot;
use pleach_bridge::{FarBytes, Here, NearBytes, Placement, Thread, Tokio, link, open_byte_link};
use thiserror::Error;

/// Longer than any test may take.
const FOR_EVER: Duration = Duration::from_secs(3600);
const A_WHILE: Duration = Duration::from_millis(20);
/// Bytes that a direction of these links holds: less than any of the bodies.
const CAPACITY: usize = 4096;
/// Bytes that hyper keeps of what it writes.
const BUFFER: usize = 16 * 1024;
const LARGE: usize = 512 * 1024;

/// Where a link may be placed, as often as a test wants.
trait Place: Placement + Copy + Send + 'static {}
impl<P: Placement + Copy + Send + 'static> Place for P {}

#[derive(Debug, Error, PartialEq, Eq)]
#[error("boom")]
struct Boom;

/// What hyper reads and writes, over the traits of futures: all that the tree's side needs, which knows no tokio.
struct FuturesIo(NearBytes);

impl Read for FuturesIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut room: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 1024];
        let limit = room.remaining().min(bytes.len());
        let count = ready!(futures_lite::AsyncRead::poll_read(Pin::new(&mut self.0), cx, &mut bytes[..limit]))?;
        room.put_slice(&bytes[..count]);
        Poll::Ready(Ok(()))
    }
}

impl Write for FuturesIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        futures_lite::AsyncWrite::poll_write(Pin::new(&mut self.0), cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        futures_lite::AsyncWrite::poll_flush(Pin::new(&mut self.0), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        futures_lite::AsyncWrite::poll_close(Pin::new(&mut self.0), cx)
    }
}

/// A body of so many frames, which counts those that were asked for.
struct Frames {
    left: usize,
    made: Arc<AtomicUsize>,
}

const FRAME: usize = 1000;

impl Frames {
    fn new(left: usize) -> (Self, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        (Self { left, made: made.clone() }, made)
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.made.fetch_add(1, SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; FRAME])))))
    }
}

/// Whether a task is gone: everything it owned has been dropped.
#[derive(Clone, Default)]
struct Gone(Arc<AtomicBool>);

struct Guard(Gone);

impl Gone {
    fn guard(&self) -> Guard {
        Guard(self.clone())
    }

    fn get(&self) -> bool {
        self.0.load(SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.store(true, SeqCst);
    }
}

/// Sends back what comes, as it comes.
async fn echo(request: Request<Incoming>) -> Result<Response<Incoming>, Infallible> {
    Ok(Response::new(request.into_body()))
}

/// Serves `echo` until the client has enough.
async fn serve_echo(io: impl Read + Write + Unpin) -> Result<()> {
    Ok(server::Builder::new().max_buf_size(BUFFER).serve_connection(io, service_fn(echo)).await?)
}

/// A connection as a client has it: who sends requests, and what must be polled beside.
async fn connect<I, B>(io: I) -> Result<(client::SendRequest<B>, client::Connection<I, B>)>
where
    I: Read + Write + Unpin + Send,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    Ok(client::Builder::new().max_buf_size(BUFFER).handshake(io).await?)
}

/// Sends small and large bodies over one connection, and gets each of them back.
async fn talk<I>(io: I) -> Result<()>
where
    I: Read + Write + Unpin + Send,
{
    let (mut sender, connection) = connect(io).await?;
    let requests = async {
        for round in 0..6_u8 {
            let size = if round % 2 == 0 { 100 } else { LARGE };
            let bytes = Bytes::from(vec![round; size]);
            let request = Request::post("/echo").header("host", "tree").body(Full::new(bytes.clone()))?;
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            assert_eq!(response.status(), StatusCode::OK);
            let back = response.into_body().collect().await?.to_bytes();
            assert!(back == bytes, "round {round}: {} bytes came back, not the {size} that were sent", back.len());
        }
        drop(sender); // the client has enough, and the connection ends
        Ok::<_, Error>(())
    };
    let ((), ()) = futures_lite::future::try_zip(requests, async { Ok(connection.await?) }).await?;
    Ok(())
}

// ---- requests and responses

async fn l28_bytes_http_to_a_tokio_server<P: Place>(on: P) -> Result<()> {
    let far = async |io| serve_echo(TokioIo::new(io)).await;
    eventually(link(on).capacity_bytes(CAPACITY).open_bytes(far, async |io| talk(FuturesIo(io)).await)).await
}

async fn l28_bytes_http_to_a_server_in_the_tree<P: Place>(on: P) -> Result<()> {
    let far = async |io| talk(TokioIo::new(io)).await;
    eventually(link(on).capacity_bytes(CAPACITY).open_bytes(far, async |io| serve_echo(FuturesIo(io)).await)).await
}

/// The connection in a task of its own, as a nursery has it, and both sides over tokio's traits.
async fn l28_bytes_http_from_a_nursery<P: Place>(on: P) -> Result<()> {
    let far = async |io| serve_echo(TokioIo::new(io)).await;
    let body = async |io: NearBytes| {
        let (mut sender, connection) = connect(TokioIo::new(io)).await?;
        nursery(async move |n| {
            n.spawn(async move { Ok(connection.await?) })?;
            let request = Request::post("/").body(Full::new(Bytes::from_static(b"hello")))?;
            let response = sender.send_request(request).await?;
            Ok(response.into_body().collect().await?.to_bytes())
        })
        .await
    };
    assert_eq!(soon(open_byte_link(on, far, body)).await?, "hello");
    Ok(())
}

// ---- L23: back-pressure

/// Nobody reads the request: what the client has made of it is what the link and hyper hold.
async fn l23_bytes_http_a_request_waits_for_its_reader<P: Place>(on: P) -> Result<()> {
    let (frames, made) = Frames::new(10 * LARGE / FRAME);
    let (asked, mut is_asked) = oneshot::channel();
    let asked = Mutex::new(Some(asked));
    let far = async move |io: FarBytes| {
        let service = service_fn(|request: Request<Incoming>| {
            asked.lock().unwrap().take().map(|asked| asked.send(()));
            async move {
                let held = request;
                pending::<()>().await;
                drop(held);
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
            }
        });
        Ok(server::Builder::new().serve_connection(TokioIo::new(io), service).await?)
    };
    let body = async |io| {
        let (mut sender, connection) = connect(FuturesIo(io)).await?;
        let request = sender.send_request(Request::post("/").body(frames)?);
        let stalled = async {
            is_asked.recv().await?;
            sleep(2 * A_WHILE).await // long enough to fill what is unbounded
        };
        let talks = async {
            let (_response, ()) = futures_lite::future::try_zip(request, connection).await?;
            Ok(())
        };
        or(stalled, talks).await
    };
    let ended = soon(link(on).capacity_bytes(CAPACITY).grace(A_WHILE).open_bytes(far, body)).await;
    // The service waits for ever, so that the server had to be dropped.
    assert!(ended.is_err_and(|error| error.downcast_ref::<Escalated>().is_some()));
    let bytes = made.load(SeqCst) * FRAME;
    assert!(bytes > 0 && bytes < 8 * (CAPACITY + BUFFER), "{bytes} bytes were made of a request that nobody reads");
    Ok(())
}

// ---- L24: half-close

/// The client writes its request, closes its direction and reads the response, which is larger than the link.
async fn l24_bytes_http_a_half_closed_client_gets_its_answer<P: Place>(on: P) -> Result<()> {
    let far = async |io: FarBytes| {
        let service = service_fn(async |_request| Ok::<_, Infallible>(Response::new(Frames::new(LARGE / FRAME).0)));
        Ok(server::Builder::new().half_close(true).serve_connection(TokioIo::new(io), service).await?)
    };
    let body = async |mut io: NearBytes| {
        io.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        io.close().await?;
        let mut answer = Vec::new();
        io.read_to_end(&mut answer).await?;
        Ok(answer)
    };
    let answer = eventually(link(on).capacity_bytes(CAPACITY).open_bytes(far, body)).await?;
    assert!(answer.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&answer[..100]));
    assert!(answer.iter().rev().take_while(|byte| **byte == b'x').count() == LARGE / FRAME * FRAME);
    Ok(())
}

// ---- L1, L10: cancel, failure and drop in the middle

/// Serves one request and never answers it; says that it came.
async fn never_answers(io: FarBytes, came: oneshot::Sender<()>, guard: Guard) -> Result<()> {
    let _guard = guard;
    let came = Mutex::new(Some(came));
    let service = service_fn(|_request: Request<Incoming>| {
        came.lock().unwrap().take().map(|came| came.send(()));
        pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    Ok(server::Builder::new().serve_connection(TokioIo::new(io), service).await?)
}

/// Asks, and waits for the answer.
async fn asks(io: NearBytes) -> Result<StatusCode> {
    let (mut sender, connection) = connect(FuturesIo(io)).await?;
    nursery(async move |n| {
        n.spawn(async move { Ok(connection.await?) })?;
        Ok(sender.send_request(Request::get("/").body(Full::new(Bytes::new()))?).await?.status())
    })
    .await
}

async fn l01_bytes_http_cancelled<P: Place>(on: P) -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let (came, mut has_come) = oneshot::channel();
    let scope = CancelScope::new();
    let inner = scope.clone();
    nursery(async |n| {
        n.spawn(async move {
            has_come.recv().await?;
            scope.cancel("enough");
            Ok(())
        })?;
        let request = open_byte_link(on, |io| never_answers(io, came, guard), asks);
        assert_eq!(soon(inner.run(request)).await?, None, "a cancel comes back through hyper as itself");
        Ok(())
    })
    .await?;
    assert!(gone.get(), "the link completed before its server");
    Ok(())
}

async fn l01_bytes_http_dropped<P: Place>(on: P) -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let (came, mut has_come) = oneshot::channel();
    CancelScope::new()
        .run(async {
            let request = open_byte_link(on, |io| never_answers(io, came, guard), asks);
            or(async { request.await.map(drop) }, async { has_come.recv().await.map(drop) }).await
        })
        .await?;
    assert!(gone.get(), "the scope completed before the server of a dropped link");
    Ok(())
}

/// The server fails in the middle of a body: its failure is the result, and not what hyper's client makes of it.
async fn l10_bytes_http_the_server_fails<P: Place>(on: P) -> Result<()> {
    for at in [0, 10_000] {
        let far = async move |io: FarBytes| -> Result<()> {
            let (frames, made) = Frames::new(10 * LARGE / FRAME);
            let frames = Mutex::new(Some(frames));
            let service = service_fn(|_request| {
                let frames = frames.lock().unwrap().take().expect("there is one request");
                async { Ok::<_, Infallible>(Response::new(frames)) }
            });
            let serves = server::Builder::new().max_buf_size(BUFFER).serve_connection(TokioIo::new(io), service);
            or(async { Ok(serves.await?) }, async {
                while made.load(SeqCst) * FRAME <= at {
                    tokio::task::yield_now().await;
                }
                Err(Boom)?
            })
            .await
        };
        let body = async |io| {
            let (mut sender, connection) = connect(FuturesIo(io)).await?;
            let reads = async {
                let response = sender.send_request(Request::get("/").body(Full::new(Bytes::new()))?).await?;
                Ok::<_, Error>(response.into_body().collect().await?.to_bytes().len())
            };
            let (count, ()) = futures_lite::future::try_zip(reads, async { Ok(connection.await?) }).await?;
            Ok(count)
        };
        let error = soon(link(on).capacity_bytes(CAPACITY).open_bytes(far, body)).await.unwrap_err();
        assert_eq!(error.downcast_ref::<Boom>(), Some(&Boom), "{error:?}");
    }
    Ok(())
}

/// The same the other way round, with the connection in a task of its own.
async fn l10_bytes_http_the_client_fails<P: Place>(on: P) -> Result<()> {
    let far = async move |io: FarBytes| -> Result<()> {
        let (mut sender, connection) = connect(TokioIo::new(io)).await?;
        let (frames, made) = Frames::new(10 * LARGE / FRAME);
        let request = sender.send_request(Request::post("/").body(frames)?);
        let sends = async {
            let (_response, ()) = futures_lite::future::try_zip(request, connection).await?;
            Ok(())
        };
        or(sends, async {
            while made.load(SeqCst) * FRAME < 10_000 {
                tokio::task::yield_now().await;
            }
            Err(Boom)?
        })
        .await
    };
    let body = async |io| {
        let service = service_fn(async |request: Request<Incoming>| {
            let read = request.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>(Response::new(Full::new(read)))
        });
        nursery(async move |n| {
            n.spawn(async move { Ok(server::Builder::new().serve_connection(FuturesIo(io), service).await?) })?;
            sleep(FOR_EVER).await
        })
        .await
    };
    let error = soon(link(on).capacity_bytes(CAPACITY).open_bytes(far, body)).await.unwrap_err();
    assert_eq!(error.downcast_ref::<Boom>(), Some(&Boom), "{error:?}");
    Ok(())
}

/// The body has what it wants after the first bytes of a long answer. A server that ignores that its client has closed, as
/// a half-closed one has, ends at a write that nobody will read; any other calls the message incomplete, and that is its
/// own affair.
async fn l17_bytes_http_the_client_has_enough<P: Place>(on: P) -> Result<()> {
    let (frames, made) = Frames::new(100 * LARGE / FRAME);
    let frames = Mutex::new(Some(frames));
    let far = async move |io: FarBytes| {
        let service = service_fn(|_request| {
            let frames = frames.lock().unwrap().take().expect("there is one request");
            async { Ok::<_, Infallible>(Response::new(frames)) }
        });
        let mut server = server::Builder::new();
        server.max_buf_size(BUFFER).half_close(true);
        Ok(server.serve_connection(TokioIo::new(io), service).await?)
    };
    assert_eq!(link(on).capacity_bytes(CAPACITY).open_bytes(far, asks).await?, StatusCode::OK);
    let bytes = made.load(SeqCst) * FRAME;
    assert!(bytes < 8 * (CAPACITY + BUFFER), "{bytes} bytes were made of an answer that nobody reads");
    Ok(())
}

// ---- running them

fn in_guest<F, Fut>(law: F) -> Result<(), Failed>
where
    F: FnOnce(Here) -> Fut + Send + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    pleach::actor::run(Tokio::current_thread(), || eventually(async { law(Tokio::here()?).await }))
        .map_err(|error| format!("{error:?}").into())
}

fn in_thread<F, Fut>(law: F) -> Result<(), Failed>
where
    F: FnOnce(Thread) -> Fut + Send + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    pleach::actor::run(Smol::one_thread(), || eventually(law(Tokio::thread())))
        .map_err(|error| format!("{error:?}").into())
}

macro_rules! on_both {
    ($($law:ident),* $(,)?) => {
        vec![$(
            plain(concat!("guest::", stringify!($law)), || in_guest($law)),
            plain(concat!("thread::", stringify!($law)), || in_thread($law)),
        )*]
    };
}

fn main() {
    let laws: Vec<Trial> = on_both![
        l28_bytes_http_to_a_tokio_server,
        l28_bytes_http_to_a_server_in_the_tree,
        l28_bytes_http_from_a_nursery,
        l23_bytes_http_a_request_waits_for_its_reader,
        l24_bytes_http_a_half_closed_client_gets_its_answer,
        l01_bytes_http_cancelled,
        l01_bytes_http_dropped,
        l10_bytes_http_the_server_fails,
        l10_bytes_http_the_client_fails,
        l17_bytes_http_the_client_has_enough,
    ];
    harness::main(laws);
}
