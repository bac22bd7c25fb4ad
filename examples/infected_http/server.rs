//! The server: axum on one side of a link, the pool of workers on the other.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use pleach::prelude::*;
use pleach_bridge::{Tokio, open_link};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::pool::Pool;
use crate::worker::Job;

/// How long running requests may take when the server is to end.
const GRACE: Duration = Duration::from_millis(1500);

/// What crosses the link: the values move, also the way back to the one that waits for the answer.
pub(crate) struct Request {
    pub(crate) job: Job,
    pub(crate) answer: oneshot::Sender<Result<String, String>>,
}

type Requests = mpsc::Sender<Request>;

/// Plain axum: it knows of no tree.
async fn http(mut far: Far<SocketAddr, (), Request>, port: u16, stop: oneshot::Receiver<()>) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    far.started(listener.local_addr()?).await?;
    let (requests, mut asked) = mpsc::channel(1);
    let served = axum::serve(listener, routes(requests)).with_graceful_shutdown(async { drop(stop.await) });
    let mut served = pin!(served.into_future());
    loop {
        tokio::select! {
            ended = &mut served => return Ok(ended?),
            Some(request) = asked.recv() => far.send(request).await?,
        }
    }
}

fn routes(requests: Requests) -> Router {
    Router::new()
        .route("/prime/{n}", get(|State(to): State<Requests>, Path(n): Path<u64>| ask(to, Job::Factor(n))))
        .route("/slow/{ms}", get(|State(to): State<Requests>, Path(ms): Path<u64>| ask(to, Job::Wait(ms))))
        .route("/crash", get(|State(to): State<Requests>| ask(to, Job::Crash)))
        .with_state(requests)
}

async fn ask(requests: Requests, job: Job) -> (StatusCode, String) {
    let (answer, answered) = oneshot::channel();
    // Refused, it is dropped, and the way back with it.
    let _ = requests.send(Request { job, answer }).await;
    match answered.await {
        Ok(Ok(text)) => (StatusCode::OK, text),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the server is ending".to_owned()),
    }
}

/// The tree's side: gives each request to a worker, until the root has finished or cancels. Then, in this order: nothing
/// more is accepted, what runs is answered, the workers end. Returns how many workers have died.
#[pleach::endpoint]
pub(crate) async fn serve(mut far: Far<SocketAddr, (), ()>, port: u16, workers: usize) -> Result<usize> {
    let (stop, stopping) = oneshot::channel();
    // A cancel reaches what is started outside of the shield, and that says so to axum. What is inside goes on.
    nursery(async |outside| {
        let served = nursery(async |inside| {
            let mut pool = Pool::start(&inside, workers).await?;
            let http = move |far| http(far, port, stopping);
            open_link(Tokio::here()?, http, async |mut near, address| {
                far.started(address).await?;
                outside.spawn(async move {
                    let asked = far.recv().await;
                    drop(stop);
                    asked.map(drop)
                })?;
                while let Some(request) = near.recv().await? {
                    pool.take(request, &inside).await?;
                }
                Ok(())
            })
            .await?;
            inside.cancel();
            Ok(pool.deaths())
        });
        shield(GRACE, served).await
    })
    .await
}
