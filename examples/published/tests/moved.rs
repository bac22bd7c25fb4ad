//! The published program in a tree: it serves as before, and nothing of it is left however it ends.

mod processes;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

/// Inherited by every process of a tree, so that they can all be found.
const MARKER: &str = "PLEACH_PUBLISHED_TREE";
const ORIGINAL: &str = env!("CARGO_BIN_EXE_published_original");
const MOVED: &str = env!("CARGO_BIN_EXE_published_moved");
const CRASHING: &str = env!("CARGO_BIN_EXE_published_crashing");
/// Long enough for a slow machine, for something that takes milliseconds.
const SOON: Duration = Duration::from_secs(30);
/// What a killed root may leave behind for so long.
const GONE: Duration = Duration::from_secs(2);

type Outcome<T = ()> = Result<T, Failed>;

fn main() {
    let trials = vec![
        Trial::test("the_diff_is_less_than_twenty_lines", diff),
        Trial::test("the_original_serves", || serves(ORIGINAL)),
        Trial::test("moved_serves", || serves(MOVED)),
        Trial::test("l01_cancelled_it_leaves_nothing", cancelled),
        Trial::test("l10_crashed_it_says_so_and_leaves_nothing", crashed),
        Trial::test("p02_killed_it_leaves_nothing", killed),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn diff() -> Outcome {
    let git = |what: &str| {
        let mut git = Command::new("git");
        git.args(["diff", "--no-index", what, "original.rs", "moved.rs"])
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        git.output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    println!("{}", git("--stat")?);
    let counts = git("--numstat")?;
    let mut counts = counts
        .split_whitespace()
        .map_while(|word| word.parse::<usize>().ok());
    let (added, removed) = (
        counts.next().ok_or("no count")?,
        counts.next().ok_or("no count")?,
    );
    assert!(
        added + removed < 20,
        "{added} lines are new and {removed} are gone"
    );
    let lines = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/original.rs"))?
        .lines()
        .count();
    assert!(lines >= 200, "a program of {lines} lines");
    Ok(())
}

// ---- the program

/// The router, which serves. When it is dropped it is killed.
struct Router {
    child: Child,
    port: u16,
    marker: String,
}

impl Router {
    fn start(program: &str) -> Outcome<Self> {
        // The port is free now; should somebody else take it before the program does, that ends at once.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let marker = format!("{}-{port}", std::process::id());
        let mut command = Command::new(program);
        command
            .args(["--listen-addr", &format!("127.0.0.1:{port}"), "no-auth"])
            .env(MARKER, &marker)
            .env("RUST_LOG", "off");
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut router = Self {
            child: piped.spawn()?,
            port,
            marker: format!("{MARKER}={marker}"),
        };
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                router.child.try_wait()?.is_none() && since.elapsed() < SOON,
                "it does not serve"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(router)
    }

    /// Its end, and that nothing of it is there: what it wrote.
    fn end(mut self) -> Outcome<(ExitStatus, String, String)> {
        let since = Instant::now();
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None => assert!(since.elapsed() < SOON, "it lives on"),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let mut wrote = [String::new(), String::new()];
        self.child
            .stdout
            .take()
            .ok_or("piped")?
            .read_to_string(&mut wrote[0])?;
        self.child
            .stderr
            .take()
            .ok_or("piped")?
            .read_to_string(&mut wrote[1])?;
        assert_eq!(
            processes::marked(&self.marker),
            [0; 0],
            "processes that are left behind"
        );
        assert!(
            TcpStream::connect(("127.0.0.1", self.port)).is_err(),
            "its port is open"
        );
        let [stdout, stderr] = wrote;
        Ok((status, stdout, stderr))
    }

    /// A connection through it, in the words of SOCKS5.
    fn connect(&self, host: &str) -> Outcome<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(SOON))?;
        stream.write_all(&[5, 1, 0])?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer)?;
        assert_eq!(answer, [5, 0]);
        stream.write_all(
            &[
                &[5, 1, 0, 3, host.len() as u8],
                host.as_bytes(),
                &[0x12, 0x34],
            ]
            .concat(),
        )?;
        let mut answer = [0; 10];
        stream.read_exact(&mut answer)?;
        assert_eq!(answer[..2], [5, 0], "it refuses");
        Ok(stream)
    }

    /// Its console, with a backend that was added.
    fn console(&self, backend: &str) -> Outcome<BufReader<TcpStream>> {
        let mut console = BufReader::new(self.connect("admin.internal")?);
        let mut line = String::new();
        console.read_line(&mut line)?;
        assert!(line.starts_with("Welcome"), "{line}");
        write!(console.get_mut(), "ADD {backend}\nLIST\n")?;
        line.clear();
        console.read_line(&mut line)?;
        assert_eq!(line.trim(), backend);
        Ok(console)
    }

    /// Its console and a connection through a backend, both open.
    fn in_use(&self) -> Outcome<(BufReader<TcpStream>, TcpStream)> {
        let console = self.console(&backend()?)?;
        let mut through = self.connect("somewhere.example")?;
        through.write_all(b"hello")?;
        let mut echo = [0; 5];
        through.read_exact(&mut echo)?;
        assert_eq!(&echo, b"hello");
        Ok((console, through))
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A SOCKS5 server for one connection, which echoes: its address.
fn backend() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || -> io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        // The client has skipped the greeting: version, command, a name, its length, a port.
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        stream.read_exact(&mut vec![0; usize::from(head[4]) + 2])?;
        stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])?;
        io::copy(&mut stream.try_clone()?, &mut stream).map(drop)
    });
    Ok(address)
}

// ---- what it does, and how it ends

fn serves(program: &str) -> Outcome {
    let router = Router::start(program)?;
    router.in_use()?;
    Ok(())
}

fn cancelled() -> Outcome {
    let router = Router::start(MOVED)?;
    let (mut console, mut through) = router.in_use()?;
    processes::interrupt(router.child.id());
    let (status, stdout, stderr) = router.end()?;
    assert_eq!(
        (status.code(), stdout.as_str(), stderr.as_str()),
        (Some(130), "", "")
    );
    let mut rest = Vec::new();
    console.read_to_end(&mut rest)?;
    through.read_to_end(&mut rest)?;
    assert!(rest.is_empty(), "its connections are closed");
    Ok(())
}

fn killed() -> Outcome {
    let router = Router::start(MOVED)?;
    let _in_use = router.in_use()?;
    let all: Vec<_> = processes::marked(&router.marker)
        .into_iter()
        .map(processes::Watched::new)
        .collect();
    assert!(!all.is_empty());
    let since = Instant::now();
    processes::kill(router.child.id());
    for process in all {
        assert!(
            process.ends_within(GONE.saturating_sub(since.elapsed())),
            "something is left after {GONE:?}"
        );
    }
    router.end().map(drop)
}

fn crashed() -> Outcome {
    let mut router = Router::start(CRASHING)?;
    let _in_use = router.in_use()?;
    router.child.stdin.take().ok_or("piped")?.write_all(b"!")?;
    let (status, stdout, stderr) = router.end()?;
    assert!(status.success(), "{status}: {stderr}");
    assert!(
        stdout.contains("panicked: it was asked to crash"),
        "{stdout}"
    );
    assert!(
        stdout.ends_with("left: 0 threads, 0 TCP sockets, 0 stragglers\n"),
        "{stdout}"
    );
    Ok(())
}
