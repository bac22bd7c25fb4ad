//! A pool of connections to redis, the server too: what a scope has used is gone when it is over.

use std::collections::BTreeSet;
use std::future::pending;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use deadpool_redis::{Config, Pool, Runtime, redis};
use futures_lite::future::or;
use libtest_mimic::{Arguments, Trial};
use pleach::dialog::Far;
use pleach::host::Smol;
use pleach::prelude::*;
use pleach::tree::Command;
use pleach_bridge::{Foreign, Tokio, foreign, open_link, stragglers};

const SERVER: &str = "redis-server";
const COMMANDS: usize = 1000;
const POOL: usize = 4;
/// Longer than a busy machine needs.
const SOON: Duration = Duration::from_secs(20);

fn main() {
    pleach::actor::enter(|| {});
    let is_there = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(SERVER).is_file());
    if !is_there {
        eprintln!("skipped, and counted as ignored: {SERVER} is not installed (`apt-get install -y {SERVER}`)");
    }
    let trial = |name: &str, test: fn(u16) -> Proof| {
        let run = move || pleach::actor::run(Smol::one_thread(), move || with_server(test));
        Trial::test(name, move || run().map_err(|error| format!("{error:?}").into())).with_ignored_flag(!is_there)
    };
    let trials = vec![
        trial("l03_a_pool_of_redis_leaves_nothing", |port| Box::pin(a_pool_leaves_nothing(port))),
        trial("l03_a_pool_over_links_leaves_nothing", |port| Box::pin(a_pool_over_links_leaves_nothing(port))),
        trial("l02_a_pool_that_is_cancelled_leaves_nothing", |port| Box::pin(a_cancelled_pool_leaves_nothing(port))),
    ];
    // One after the other: they count the threads and the sockets of this process.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials).exit();
}

type Proof = std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Runs `test` beside a server of its own, and ends that.
async fn with_server(test: fn(u16) -> Proof) -> Result<()> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let pid = fail_after(
        3 * SOON,
        nursery(async move |n: Nursery<'_>| {
            let arguments = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"];
            let server = Command::new(SERVER).args(arguments).arg(port.to_string());
            let server = server.current_dir(std::env::temp_dir()).stdout(Stdio::null()).spawn(&n).await?;
            let pid = server.id();
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                sleep(Duration::from_millis(5)).await?;
            }
            test(port).await?;
            server.end();
            let status = server.wait().await?;
            assert!(status.success(), "the server: {status}");
            Ok(pid)
        }),
    )
    .await?;
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the server lives on");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "its port is open");
    Ok(())
}

/// What this process has of what a scope may leave behind.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    threads: BTreeSet<String>,
    sockets: usize,
    stragglers: usize,
}

impl Left {
    fn now(port: u16) -> Self {
        let tasks = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
        let threads = tasks.map(|task| task.file_name().to_string_lossy().into_owned()).collect();
        Self { threads, sockets: sockets(port), stragglers: stragglers() }
    }
}

/// The sockets of this process to or from that port.
fn sockets(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/self/net/tcp").expect("Linux");
    let port = format!(":{port:04X}");
    let inodes: BTreeSet<String> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.len() > 9 && (words[1].ends_with(&port) || words[2].ends_with(&port)))
        .map(|words| format!("socket:[{}]", words[9]))
        .collect();
    let open = std::fs::read_dir("/proc/self/fd").expect("Linux").flatten();
    let links = open.filter_map(|fd| std::fs::read_link(fd.path()).ok());
    links.filter(|link| inodes.contains(&*link.to_string_lossy())).count()
}

/// A client is made where it is used. Somebody forgets to drop it: its connections end with the scope all the same.
async fn pool(tk: &Foreign, port: u16) -> Result<Pool> {
    tk.run(async move || {
        let config = Config::from_url(format!("redis://127.0.0.1:{port}"));
        let pool = config.builder()?.max_size(POOL).runtime(Runtime::Tokio1).build()?;
        std::mem::forget(pool.clone());
        Ok(pool)
    })
    .await
}

async fn increment(pool: &Pool) -> Result<usize> {
    let mut connection = pool.get().await?;
    Ok(redis::cmd("INCR").arg("counter").query_async(&mut connection).await?)
}

fn assert_all(answers: impl IntoIterator<Item = usize>) {
    let answers: BTreeSet<usize> = answers.into_iter().collect();
    assert!(answers.into_iter().eq(1..=COMMANDS), "each command was answered, with a number of its own");
}

/// As many calls at once as there are commands.
async fn calls(tk: Foreign, port: u16) -> Result<Vec<usize>> {
    let pool = pool(&tk, port).await?;
    let answers = nursery(async |n| {
        let mut commands = Vec::new();
        for _ in 0..COMMANDS {
            let (tk, pool) = (tk.clone(), pool.clone());
            commands.push(n.spawn(async move { tk.run(async move || increment(&pool).await).await })?);
        }
        let mut answers = Vec::new();
        for command in commands {
            answers.push(command.join().await?);
        }
        Ok(answers)
    })
    .await?;
    let open = sockets(port);
    assert!((1..=POOL).contains(&open), "{open} connections of a pool of {POOL}");
    Ok(answers)
}

async fn a_pool_leaves_nothing(port: u16) -> Result<()> {
    let before = Left::now(port);
    assert_all(foreign(Tokio::thread(), async move |tk| calls(tk, port).await).await?);
    assert_eq!(Left::now(port), before);
    Ok(())
}

/// Plain tokio code: a worker that shares the pool.
async fn increments(mut far: Far<(), (), usize>, pool: Pool) -> Result<()> {
    far.started(()).await?;
    while far.recv().await?.is_some() {
        far.send(increment(&pool).await?).await?;
    }
    Ok(())
}

/// Some workers, each with its share of the commands.
async fn links(tk: Foreign, port: u16) -> Result<Vec<usize>> {
    const LINKS: usize = 10;
    let pool = pool(&tk, port).await?;
    nursery(async |n| {
        let mut links = Vec::new();
        for _ in 0..LINKS {
            let (tk, pool) = (tk.clone(), pool.clone());
            let asks = async move |mut near: Near<(), usize, ()>, ()| {
                let mut answers = Vec::new();
                for _ in 0..COMMANDS / LINKS {
                    near.send(()).await?;
                    answers.push(near.recv().await?.ok_or(Ended)?);
                }
                near.finish().await?;
                Ok(answers)
            };
            links.push(n.spawn(async move { open_link(tk, |far| increments(far, pool), asks).await })?);
        }
        let mut answers = Vec::new();
        for link in links {
            answers.extend(link.join().await?);
        }
        Ok(answers)
    })
    .await
}

async fn a_pool_over_links_leaves_nothing(port: u16) -> Result<()> {
    let before = Left::now(port);
    assert_all(foreign(Tokio::thread(), async move |tk| links(tk, port).await).await?);
    assert_eq!(Left::now(port), before);
    Ok(())
}

/// Is answered by nobody.
async fn waits(pool: &Pool) -> Result<usize> {
    let mut connection = pool.get().await?;
    Ok(redis::cmd("BLPOP").arg("nothing").arg(0).query_async(&mut connection).await?)
}

/// Waits for more than will ever come: the second half of the commands has no answer.
async fn counts(tk: Foreign, port: u16, answered: Arc<AtomicUsize>) -> Result<()> {
    let pool = pool(&tk, port).await?;
    nursery(async |n| {
        for number in 0..COMMANDS {
            let (tk, pool, answered) = (tk.clone(), pool.clone(), answered.clone());
            n.spawn(async move {
                let has_answer = number < COMMANDS / 2;
                tk.run(async move || if has_answer { increment(&pool).await } else { waits(&pool).await }).await?;
                answered.fetch_add(1, SeqCst);
                Ok(())
            })?;
        }
        pending::<Result<()>>().await
    })
    .await
}

async fn a_cancelled_pool_leaves_nothing(port: u16) -> Result<()> {
    let before = Left::now(port);
    let answered = Arc::new(AtomicUsize::new(0));
    let counted = answered.clone();
    let scope = CancelScope::new().with_grace(SOON);
    let commands = scope.run(foreign(Tokio::thread(), async move |tk| counts(tk, port, counted).await));
    let cancel = async {
        while answered.load(SeqCst) < COMMANDS / 4 {
            checkpoint().await?;
        }
        scope.cancel("enough");
        pending().await
    };
    assert!(or(commands, cancel).await?.is_none());
    let answered = answered.load(SeqCst);
    assert!((COMMANDS / 4..=COMMANDS / 2).contains(&answered), "{answered} were answered: that is not the middle");
    assert_eq!(Left::now(port), before);
    Ok(())
}
