//! What the `infected_http` example promises: answers, errors that name who died, and a clean end.

mod harness;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use harness::processes::{self, Watched};
use harness::{BOUND, unique};
use libtest_mimic::{Arguments, Failed};

/// Inherited by every process of a tree, so that they can all be found.
const MARKER: &str = "PLEACH_HTTP_TREE";
/// Long enough for a slow machine, for something that takes milliseconds.
const SOON: Duration = Duration::from_secs(30);
/// What a killed root may leave behind for so long.
const GONE: Duration = Duration::from_secs(2);

type Outcome<T = ()> = Result<T, Failed>;

fn main() {
    let trials = vec![
        harness::plain("a_demo_run_answers_and_ends_clean", demo),
        harness::plain("every_answer_is_right", || load(500, None)),
        harness::plain("p03_a_killed_worker_fails_only_its_request", || load(2_000, Some(50))),
        harness::plain("p03_the_error_names_the_worker_while_others_answer", killed_worker),
        harness::plain("p03_a_worker_that_dies_idle_fails_nothing", killed_idle_worker),
        harness::plain("d01_who_hangs_up_frees_the_worker", hang_up),
        harness::plain("c16_an_interrupted_server_finishes_what_runs", interrupted),
        harness::plain("p02_a_killed_root_leaves_nothing", killed_root),
    ];
    harness::run(&Arguments::from_args(), trials);
}

// ---- the program

struct Program {
    child: Child,
    marker: String,
    stdout: Option<BufReader<std::process::ChildStdout>>,
    stderr: Option<JoinHandle<String>>,
}

impl Program {
    fn start(arguments: &[&str]) -> Outcome<Self> {
        let mut command = Command::new(harness::example("infected_http")?);
        let marker = unique("tree");
        command.args(arguments).env(MARKER, &marker).env_remove("RUST_BACKTRACE");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().map(BufReader::new);
        let mut stderr = child.stderr.take().ok_or("it is piped")?;
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        Ok(Self { child, marker: format!("{MARKER}={marker}"), stdout, stderr: Some(stderr) })
    }

    /// The end of it: its status and what it wrote. Every process of its tree is gone then.
    fn end(&mut self) -> Outcome<(ExitStatus, String, String)> {
        let mut stdout = String::new();
        self.stdout.take().ok_or("it ends once")?.read_to_string(&mut stdout)?;
        let stderr = self.stderr.take().map(JoinHandle::join).ok_or("it ends once")?;
        let status = self.child.wait()?;
        assert_eq!(processes::marked(&self.marker), [0; 0], "processes that are left behind; it wrote {stdout}");
        Ok((status, stdout, stderr.map_err(|_| "stderr could not be read")?))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Server {
    program: Program,
    address: String,
}

impl Server {
    fn start(workers: &str) -> Outcome<Self> {
        let mut program = Program::start(&["--serve", "0", "--workers", workers])?;
        let mut line = String::new();
        program.stdout.as_mut().ok_or("it runs")?.read_line(&mut line)?;
        let address = line.trim().strip_prefix("serving http://").ok_or("it says where it serves")?.to_owned();
        Ok(Self { program, address })
    }

    fn ask(&self, path: &str) -> Outcome<TcpStream> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")?;
        Ok(stream)
    }

    /// Its workers, by path and process.
    fn workers(&self) -> Vec<(String, u32)> {
        let pids = processes::marked(&self.program.marker).into_iter();
        let mut workers: Vec<_> = pids.filter_map(|pid| Some((worker_path(pid)?, pid))).collect();
        workers.sort();
        workers
    }

    /// Waits until another worker has the place of this one; then all answer as before.
    fn replaces(&self, path: &str, pid: u32) -> Outcome {
        until("another worker has its place", || {
            self.workers().iter().any(|(other, number)| other == path && *number != pid)
        })?;
        for _ in 0..4 {
            assert_eq!(answer(self.ask("/prime/91")?)?, (200, "91 = 7 * 13".to_owned()));
        }
        Ok(())
    }
}

fn worker_path(pid: u32) -> Option<String> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    let path = line.split('\0').find_map(|word| word.strip_prefix("--pleach-actor="))?;
    path.contains("/worker-").then(|| path.to_owned())
}

/// The status and the body.
fn answer(mut stream: TcpStream) -> Outcome<(u16, String)> {
    stream.set_read_timeout(Some(BOUND / 2))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| format!("no answer but {text:?}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(|| format!("no status in {head:?}"))?, body.to_owned()))
}

fn until(what: &str, mut holds: impl FnMut() -> bool) -> Outcome {
    let since = Instant::now();
    while !holds() {
        if since.elapsed() > SOON {
            return Err(format!("after {SOON:?} it does not hold that {what}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

// ---- what it does

fn demo() -> Outcome {
    let (status, stdout, stderr) = Program::start(&[])?.end()?;
    assert!(status.success(), "{status}: {stderr}");
    for line in
        ["/slow/300: 200 300 ms", "/prime/91: 200 91 = 7 * 13", "/prime/1000000007: 200 1000000007 = 1000000007"]
    {
        assert!(stdout.lines().any(|written| written == line), "no {line} in {stdout}");
    }
    let crash = stdout.lines().find(|line| line.starts_with("/crash: 500 root/server/worker-"));
    assert!(crash.is_some_and(|line| line.ends_with("panicked: it was asked to crash")), "{stdout}");
    Ok(())
}

fn load(requests: u64, kill_every: Option<u32>) -> Outcome {
    let (count, pause) = (requests.to_string(), kill_every.unwrap_or_default().to_string());
    let mut arguments = vec!["--load", count.as_str(), "--workers", "4"];
    if kill_every.is_some() {
        arguments.extend(["--kill-every", pause.as_str()]);
    }
    let (status, stdout, stderr) = Program::start(&arguments)?.end()?;
    assert!(status.success(), "{status}: {stderr}");
    let right = number_before(&stdout, " answers, all right")?;
    let errors = number_before(&stdout, " errors that name a killed worker")?;
    let kills = number_before(&stdout, " workers killed")?;
    let deaths: u64 = stdout.trim_end().rsplit(' ').next().ok_or("it wrote nothing")?.parse()?;
    assert_eq!(right + errors, requests, "{stdout}");
    assert_eq!(kills > 0, kill_every.is_some(), "{stdout}");
    // A death fails the one request that the worker had; one at the very end may not have been heard of.
    assert!(errors <= kills && deaths <= kills && kills <= deaths + 4, "{stdout}");
    Ok(())
}

fn number_before(text: &str, what: &str) -> Outcome<u64> {
    let (before, _) = text.split_once(what).ok_or_else(|| format!("no{what} in {text}"))?;
    Ok(before.rsplit(' ').next().ok_or("nothing before it")?.parse()?)
}

/// The largest prime of 64 bits: whoever factors it computes for seconds.
const LARGE: &str = "/prime/18446744073709551557";

fn killed_worker() -> Outcome {
    let server = Server::start("2")?;
    let before = server.workers();
    let large = server.ask(LARGE)?;
    let mut busy = None;
    until("a worker computes", || {
        busy = before.iter().find(|(_, pid)| cpu_ticks(*pid) >= 10);
        busy.is_some()
    })?;
    let (path, pid) = busy.ok_or("it was just found")?;
    processes::kill(*pid);
    assert_eq!(answer(server.ask("/prime/91")?)?, (200, "91 = 7 * 13".to_owned()));
    let (status, body) = answer(large)?;
    assert_eq!(status, 500, "{body}");
    assert!(body.contains(path) && body.contains(&pid.to_string()) && body.contains("SIGKILL (9)"), "{body}");
    server.replaces(path, *pid)
}

/// Nobody has asked it anything, so nobody is to hear of its death.
fn killed_idle_worker() -> Outcome {
    let server = Server::start("2")?;
    for (path, pid) in server.workers() {
        processes::kill(pid);
        server.replaces(&path, pid)?;
    }
    Ok(())
}

/// The processor time that a process has used, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let words = stat.rsplit_once(") ").map_or("", |(_, words)| words);
    words.split(' ').nth(11).and_then(|user| user.parse().ok()).unwrap_or_default()
}

fn hang_up() -> Outcome {
    let server = Server::start("1")?;
    let slow = server.ask("/slow/3600000")?;
    until("it was read", || was_read(&slow))?;
    drop(slow);
    assert_eq!(answer(server.ask("/prime/91")?)?, (200, "91 = 7 * 13".to_owned()));
    Ok(())
}

/// Whether the server has taken everything out of its socket that was written to this one.
fn was_read(stream: &TcpStream) -> bool {
    let (Ok(here), Ok(there)) = (stream.local_addr(), stream.peer_addr()) else { return false };
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let (local, remote) = (format!(":{:04X}", there.port()), format!(":{:04X}", here.port()));
    table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|line| {
        let [_, at, from, _, queues, ..] = line[..] else { return false };
        at.ends_with(&local) && from.ends_with(&remote) && queues.ends_with(":00000000")
    })
}

fn interrupted() -> Outcome {
    let mut server = Server::start("2")?;
    let slow = server.ask("/slow/800")?;
    until("it was read", || was_read(&slow))?;
    let running = std::thread::spawn(move || answer(slow));
    processes::interrupt(server.program.child.id());
    until("nothing more is accepted", || TcpStream::connect(&server.address).is_err())?;
    assert!(!running.is_finished(), "it was to go on when the server had stopped accepting");
    let answered = running.join().map_err(|_| "it panicked")??;
    assert_eq!(answered, (200, "800 ms".to_owned()));
    let (status, _, stderr) = server.program.end()?;
    assert_eq!((status.code(), stderr.as_str()), (Some(130), ""));
    Ok(())
}

fn killed_root() -> Outcome {
    let server = Server::start("3")?;
    let slow = server.ask("/slow/3600000")?;
    until("it was read", || was_read(&slow))?;
    let below = processes::marked(&server.program.marker);
    assert_eq!(below.len(), 5, "the root, the server and three workers: {below:?}");
    let watched: Vec<_> = below.into_iter().map(Watched::new).collect();
    let since = Instant::now();
    processes::kill(server.program.child.id());
    for process in watched {
        assert!(process.ends_within(GONE.saturating_sub(since.elapsed())), "something is left after {GONE:?}");
    }
    Ok(())
}
