//! A hundred requests of reqwest, which needs tokio, from a plain smol program; afterwards nothing of tokio is left.
//!
//! `cargo run --example legacy_call`

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pleach::Result;
use pleach_bridge::{Tokio, foreign, stragglers};
use smol::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use smol::net::{TcpListener, TcpStream};
use smol::stream::StreamExt;

const CALLS: usize = 100;

fn main() -> Result<()> {
    smol::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let accepted = Arc::new(AtomicUsize::new(0));
        let server = smol::spawn(serve(listener, accepted.clone()));

        let answers = fetch_all(url).await?;
        println!("{answers} answers over {} TCP connection(s)", accepted.load(Ordering::Relaxed));

        server.cancel().await;
        println!("threads of tokio: {:?}", threads("tokio"));
        println!("TCP sockets: {}", sockets());
        println!("threads of scopes that are over: {}", stragglers());
        Ok(())
    })
}

/// One scope, one client, many calls: the client's pool of connections lives as long as the scope. It is a strict one, so
/// that it would fail also for a task that is left.
async fn fetch_all(url: String) -> Result<usize> {
    foreign(Tokio::thread().strict(), async |tokio| {
        // Built in the scope, as its timeouts are timers of tokio.
        let client = tokio
            .run(async || Ok(reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build()?))
            .await?;
        let mut answers = 0;
        for n in 0..CALLS {
            let (client, url) = (client.clone(), format!("{url}{n}"));
            let text = tokio.run(async move || Ok(client.get(url).send().await?.text().await?)).await?;
            assert_eq!(text, format!("hello /{n}"));
            answers += 1;
        }
        println!("while it runs: {} thread of tokio, {} TCP sockets", threads("tokio").len(), sockets());
        Ok(answers)
    })
    .await
}

/// A small HTTP server that keeps its connections open; they end with it.
async fn serve(listener: TcpListener, accepted: Arc<AtomicUsize>) -> std::io::Result<()> {
    let connections = smol::Executor::new();
    let accept = async {
        loop {
            let (stream, _) = listener.accept().await?;
            accepted.fetch_add(1, Ordering::Relaxed);
            connections.spawn(answer(stream)).detach();
        }
    };
    connections.run(accept).await
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.clone()).lines();
    let mut path = String::new();
    while let Some(line) = lines.next().await {
        let line = line?;
        if let Some(get) = line.strip_prefix("GET ") {
            path = get.split(' ').next().unwrap_or_default().to_owned();
        } else if line.is_empty() {
            let body = format!("hello {path}");
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await?;
        }
    }
    Ok(())
}

/// The threads of this process that have `word` in their name.
fn threads(word: &str) -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("a Linux with /proc").flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).filter(|name| name.contains(word)).collect()
}

/// How many TCP sockets this process has open.
///
/// tokio, where it is built with `process` or `signal`, keeps a pair of local sockets for all of its runtimes.
fn sockets() -> usize {
    let tables =
        ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let files = fs::read_dir("/proc/self/fd").expect("a Linux with /proc").flatten();
    let targets = files.filter_map(|file| fs::read_link(file.path()).ok()?.into_os_string().into_string().ok());
    let inodes = targets.filter_map(|target| Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()));
    inodes.filter(|inode| tables.iter().any(|table| table.split_whitespace().any(|word| word == inode))).count()
}
