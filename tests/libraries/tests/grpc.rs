//! gRPC over links of bytes: tonic's client on one side, its health service on the other, and HTTP/2 of hyper between them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use futures_channel::mpsc;
use futures_lite::future::or;
use futures_util::{StreamExt, stream};

use hyper::body::Incoming;
use hyper::client::conn::http2 as client;
use hyper::server::conn::http2 as server;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use pleach::prelude::*;
use pleach_bridge::{FarBytes, NearBytes, Placement, link, spawn, stragglers};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus as Answer;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::{HealthReporter, health_reporter};
use tower_service::Service;

pleach::test_entry!();

/// Each test in an infected actor's place, and with a tokio on a thread of its own.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod guest {
            use pleach_bridge::Tokio;
            $(#[pleach::test(host = Tokio::current_thread())]
            async fn $test() -> pleach::Result<()> {
                super::$test(Tokio::here()?).await
            })*
        }
        mod thread {
            use pleach_bridge::Tokio;
            $(#[pleach::test]
            async fn $test() -> pleach::Result<()> {
                super::$test(Tokio::thread()).await
            })*
        }
    };
}

on_both![l28_bytes_calls_are_answered, l28_bytes_a_stream_is_watched, l01_a_stream_that_is_cancelled_leaves_nothing];

// ---- the tokio side

/// What hyper starts for each request is owned by the link.
#[derive(Clone)]
struct Linked;

impl<F: Future + 'static> hyper::rt::Executor<F> for Linked {
    fn execute(&self, future: F) {
        let spawned = spawn(async move {
            future.await;
            Ok(())
        });
        spawned.expect("hyper starts it in the linked task");
    }
}

/// How many servers there are.
#[derive(Clone, Default)]
struct Serving(Arc<AtomicUsize>);

impl Serving {
    fn one(&self) -> One {
        self.0.fetch_add(1, SeqCst);
        One(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

struct One(Serving);

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}

/// Plain tokio code: the health service of tonic, where `word` is served, until its client is gone.
async fn serves(io: FarBytes, reporter: HealthReporter, one: One) -> Result<()> {
    let _one = one;
    let health = tonic_health::pb::health_server::HealthServer::new(
        tonic_health::server::HealthService::from_health_reporter(reporter),
    );
    let builder = server::Builder::new(Linked);
    Ok(builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(health)).await?)
}

// ---- the tree's side

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Has hyper's tasks run by whoever drives the connection.
#[derive(Clone)]
struct Driven(mpsc::UnboundedSender<Task>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Driven {
    fn execute(&self, future: F) {
        // Refused only when the connection is over.
        let _ = self.0.unbounded_send(Box::pin(future));
    }
}

/// Runs them; it does not end.
struct Drive {
    started: mpsc::UnboundedReceiver<Task>,
    running: stream::FuturesUnordered<Task>,
}

impl Future for Drive {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(Some(task)) = self.started.poll_next_unpin(cx) {
            self.running.push(task);
        }
        while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {}
        Poll::Pending
    }
}

/// A connection as tonic's clients want it.
#[derive(Clone)]
struct Channel(client::SendRequest<Body>);

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// The work of a connection, which does not end well.
type Drives<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// Connects to the server: a client of it, and what has to run beside that.
async fn connect<T: Send + 'static>(io: NearBytes) -> Result<(HealthClient<Channel>, Drives<T>)> {
    let (tasks, started) = mpsc::unbounded::<Task>();
    let (requests, connection) = client::handshake(Driven(tasks), TokioIo::new(io)).await?;
    let drive = Drive { started, running: stream::FuturesUnordered::new() };
    let drives = async {
        futures_util::future::join(connection, drive).await.0?;
        std::future::pending().await
    };
    let origin = "http://health.example".parse().expect("an address");
    Ok((HealthClient::with_origin(Channel(requests), origin), Box::pin(drives)))
}

fn asks(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

/// A health service whose one subject is `word`, which serves.
async fn health() -> HealthReporter {
    let (reporter, _) = health_reporter();
    reporter.set_service_status("word", ServingStatus::Serving).await;
    reporter
}

async fn calls(io: NearBytes) -> Result<()> {
    let (client, drives) = connect(io).await?;
    let talks = async move {
        let mut calls = stream::FuturesUnordered::new();
        for _ in 0..100 {
            let mut client = client.clone();
            calls.push(async move { client.check(asks("word")).await });
        }
        while let Some(answer) = calls.next().await {
            assert_eq!(answer?.into_inner().status(), Answer::Serving);
        }
        let unknown: Status = client.clone().check(asks("nothing")).await.unwrap_err();
        assert_eq!(unknown.code(), Code::NotFound);
        Ok(())
    };
    or(talks, drives).await
}

async fn l28_bytes_calls_are_answered<P: Placement>(on: P) -> Result<()> {
    let (reporter, serving) = (health().await, Serving::default());
    let one = serving.one();
    link(on).open_bytes(|io| serves(io, reporter, one), calls).await?;
    assert_eq!((serving.count(), stragglers()), (0, 0));
    Ok(())
}

async fn watches(io: NearBytes, changes: HealthReporter) -> Result<()> {
    let (mut client, drives) = connect(io).await?;
    let talks = async move {
        let mut states = client.watch(asks("word")).await?.into_inner();
        for (state, next) in [
            (Answer::Serving, ServingStatus::NotServing),
            (Answer::NotServing, ServingStatus::Serving),
            (Answer::Serving, ServingStatus::Unknown),
        ] {
            assert_eq!(states.message().await?.map(|answer| answer.status()), Some(state));
            changes.set_service_status("word", next).await;
        }
        Ok(())
    };
    or(talks, drives).await
}

async fn l28_bytes_a_stream_is_watched<P: Placement>(on: P) -> Result<()> {
    let (reporter, serving) = (health().await, Serving::default());
    let (one, changes) = (serving.one(), reporter.clone());
    link(on).open_bytes(|io| serves(io, reporter, one), |io| watches(io, changes)).await?;
    assert_eq!((serving.count(), stragglers()), (0, 0));
    Ok(())
}

/// Is cancelled while a stream is open.
async fn is_cancelled(io: NearBytes, scope: CancelScope, serving: Serving) -> Result<()> {
    let (mut client, drives) = connect(io).await?;
    let talks = async move {
        let mut states = client.watch(asks("word")).await?.into_inner();
        assert!(states.message().await?.is_some());
        assert_eq!(serving.count(), 1);
        scope.cancel("enough");
        // Nothing will come; what comes is the cancel.
        Ok(states.message().await.map(drop)?)
    };
    or(talks, drives).await
}

async fn l01_a_stream_that_is_cancelled_leaves_nothing<P: Placement>(on: P) -> Result<()> {
    let (reporter, serving) = (health().await, Serving::default());
    let (one, scope) = (serving.one(), CancelScope::new());
    let (cancels, counts) = (scope.clone(), serving.clone());
    let opened = link(on).open_bytes(|io| serves(io, reporter, one), |io| is_cancelled(io, cancels, counts));
    assert!(scope.run(opened).await?.is_none(), "it is the scope's cancel, through all of tonic and hyper");
    assert_eq!((serving.count(), stragglers()), (0, 0));
    Ok(())
}
