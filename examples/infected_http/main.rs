//! A web server and its client, each in an actor that tokio hosts, and the work in processes of its own.
//!
//! ```text
//! root ─┬─ server          axum; each request crosses a link, out of tokio and into the tree
//!       │    ├─ worker-1   factors numbers, one at a time; whoever kills it sees another start
//!       │    └─ worker-2   ..
//!       └─ client          reqwest
//! ```
//!
//! ```sh
//! cargo run --release --example infected_http                        # a few requests, and a clean end
//! cargo run --release --example infected_http -- --serve 8080        # curl localhost:8080/prime/91; until Ctrl-C
//! cargo run --release --example infected_http -- --load 10000 --connections 16 --kill-every 100
//! ```
//!
//! Ctrl-C cancels the tree: nothing more is accepted, what runs is finished, then the workers end.

mod client;
mod options;
mod pool;
mod processes;
mod server;
mod worker;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use client::{get, load};
use options::{Load, Mode, Options};
use pleach::actor::ActorNursery;
use pleach::prelude::*;
use pleach_bridge::Tokio;
use server::serve;

#[pleach::main]
async fn main() -> Result<()> {
    let Options { mode, port, workers } = Options::parse()?;
    actor_nursery(async |n| {
        let server = n.actor("server").host(Tokio::current_thread()).expose(serve).start().await?;
        let deaths = server.open_context(serve, (port, workers), async |mut near, address| {
            println!("serving http://{address}\n{}", processes::picture());
            match mode {
                Mode::Demo => demo(&n, address).await?,
                Mode::Serve => while near.recv().await?.is_some() {},
                Mode::Load(load) => measure(&n, server.pid(), address, load).await?,
            }
            near.finish().await
        });
        println!("workers that died and were replaced: {}", deaths.await?);
        n.cancel_actors("done");
        Ok(())
    })
    .await
}

async fn start_client(n: &ActorNursery) -> Result<Portal> {
    n.actor("client").host(Tokio::current_thread()).expose(get).expose(load).start().await
}

/// Some requests at once, one of which goes wrong.
async fn demo(n: &ActorNursery, address: SocketAddr) -> Result<()> {
    let client = start_client(n).await?;
    let paths = ["/slow/300", "/prime/91", "/crash", "/prime/1000000007", "/slow/300"].map(str::to_owned);
    for (path, (status, body)) in paths.iter().zip(client.run(get, (address, paths.to_vec())).await?) {
        println!("{path}: {status} {body}");
    }
    client.cancel_actor().await
}

/// Many requests, while somebody kills workers.
async fn measure(n: &ActorNursery, server: u32, address: SocketAddr, options: Load) -> Result<()> {
    let Load { requests, connections, kill_every } = options;
    let client = start_client(n).await?;
    let mut kills = Vec::new();
    let since = Instant::now();
    let counted = nursery(async |tasks| {
        if let Some(every) = kill_every {
            tasks.spawn(kill_workers(server, every, &mut kills))?;
        }
        let counted = client.run(load, (address, requests, connections)).await?;
        println!("{}", processes::picture());
        tasks.cancel();
        Ok(counted)
    });
    let (right, killed) = counted.await?;
    let seconds = since.elapsed().as_secs_f64();
    println!(
        "{requests} requests over {connections} connections in {seconds:.2} s: {right} answers, all right; \
         {killed} errors that name a killed worker; {} workers killed",
        kills.len()
    );
    client.cancel_actor().await
}

/// Kills one worker after the other, from outside, as an operator would; the oldest first.
async fn kill_workers(server: u32, every: Duration, killed: &mut Vec<u32>) -> Result<()> {
    loop {
        sleep(every).await?;
        let workers = processes::children(server);
        if let Some(victim) = workers.into_iter().find(|worker| !killed.contains(worker)) {
            processes::kill(victim);
            killed.push(victim);
        }
    }
}
