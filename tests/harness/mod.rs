//! The harness of the tests that start actors: their `main` takes the entry point first, as every program must that is
//! to be its own child. Each test runs as the root of a tree of its own, with a bound that dumps who is running.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod gate;
pub(crate) mod item;
pub(crate) mod processes;
pub(crate) mod programs;
pub(crate) mod terminal;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use pleach::Result;
use pleach::actor::{ActorBuilder, Carrier};
use pleach::codec::Codec;
use pleach::host::Smol;
use pleach::transport::Tcp;
use pleach_bridge::Tokio;

/// No test may take longer; three minutes are enough for the whole suite.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// When each running test was started, and how long it may take.
static RUNNING: Mutex<BTreeMap<String, (Instant, Duration)>> = Mutex::new(BTreeMap::new());

/// Runs the tests of this binary, or lives an actor's life in one of its children.
pub(crate) fn main(trials: Vec<Trial>) {
    main_with(|| {}, trials);
}

/// The same for a program that runs `init` first, as do its actors.
pub(crate) fn main_with(init: fn(), trials: Vec<Trial>) {
    pleach::actor::enter(init);
    init();
    run(&Arguments::from_args(), trials);
}

/// Runs the tests of a binary whose processes are no actors.
pub(crate) fn run(arguments: &Arguments, trials: Vec<Trial>) {
    conclude(arguments, trials).exit();
}

/// The same for a binary that has something to say at its end.
pub(crate) fn conclude(arguments: &Arguments, trials: Vec<Trial>) -> Conclusion {
    std::thread::spawn(watch);
    let conclusion = libtest_mimic::run(arguments, trials);
    for (cell, passed) in PASSED.lock().unwrap().iter() {
        println!("{cell:>18}: {passed} passed");
    }
    conclusion
}

/// A test that runs `root` as the root actor of a tree.
pub(crate) fn actors<F, Fut>(name: impl Into<String>, root: F) -> Trial
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    plain(name, move || pleach::actor::run(Smol::one_thread(), root).map_err(|error| format!("{error:?}").into()))
}

/// What an actor is on and in, and how it is talked to: whatever that is, from outside it is an actor (laws L31 and T1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) on: On,
    /// In a process that tokio hosts.
    pub(crate) infected: bool,
    /// Values are JSON, else msgpack.
    pub(crate) json: bool,
}

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Mem,
    Inherited,
    Uds,
    Tcp,
}

impl Way {
    pub(crate) const MEM: Self = Self { on: On::Mem, infected: false, json: false };
    pub(crate) const INHERITED: Self = Self { on: On::Inherited, infected: false, json: false };

    /// Its cell in the table of transports and codecs, and what the names of its tests begin with.
    fn names(self) -> (String, &'static str) {
        let on = format!("{:?}", self.on).to_lowercase();
        match (self.infected, self.json, self.on) {
            (true, false, On::Inherited) => ("infected".to_owned(), "l31_"),
            (true, ..) => (format!("infected+{on}"), "l31_"),
            (_, true, _) => (format!("{on}+json"), "t01_"),
            (_, false, On::Mem | On::Inherited) => (on, ""),
            _ => (on, "t01_"),
        }
    }
}

/// Every way: each transport with each codec, and each transport of a process that tokio hosts.
fn ways() -> Vec<Way> {
    let on = [On::Mem, On::Inherited, On::Uds, On::Tcp];
    let plain = [false, true].into_iter().flat_map(|json| on.map(|on| Way { on, infected: false, json }));
    plain.chain(on[1..].iter().map(|&on| Way { on, infected: true, json: false })).collect()
}

/// How many tests of each cell have passed.
static PASSED: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());

/// A builder that takes a [`Way`].
pub(crate) trait By {
    fn by(self, way: Way) -> Self;
}

impl By for ActorBuilder {
    fn by(self, way: Way) -> Self {
        let codecs = if way.json { vec![Codec::Json] } else { vec![Codec::MsgPack] };
        let built = self.codecs(codecs).carrier(match way.on {
            On::Mem => Carrier::Mem,
            On::Inherited => Carrier::Inherited,
            On::Uds => Carrier::Uds,
            On::Tcp => Carrier::Tcp(Tcp::insecure_for_measurement()),
        });
        if way.infected { built.host(Tokio::current_thread()) } else { built }
    }
}

/// A test of all ways: `mem::name`, `uds+json::t01_name`, `infected::l31_name` and so on.
pub(crate) fn all_ways<F, Fut>(name: &str, root: F) -> Vec<Trial>
where
    F: FnOnce(Way) -> Fut + Copy + Send + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    let trial = |way: Way| {
        let (cell, law) = way.names();
        actors(format!("{cell}::{law}{name}"), move || async move {
            root(way).await?;
            *PASSED.lock().unwrap().entry(cell).or_default() += 1;
            Ok(())
        })
    };
    ways().into_iter().map(trial).collect()
}

/// What must happen soon, whatever the machine is busy with.
pub(crate) async fn soon<T>(what: impl Future<Output = Result<T>>) -> Result<T> {
    pleach::task::fail_after(SOON, what).await
}

/// The same for what moves many bytes, in a build without optimisation.
pub(crate) async fn eventually<T>(what: impl Future<Output = Result<T>>) -> Result<T> {
    pleach::task::fail_after(SOON * 10, what).await
}

/// Long enough for a busy machine, and far below every wait that a failure would run into.
pub(crate) const SOON: Duration = Duration::from_secs(2);

/// A word that nothing else on this machine has: names of actors, keys, files.
pub(crate) fn unique(word: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{word}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A test that is an ordinary function.
pub(crate) fn plain(name: impl Into<String>, test: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Trial {
    bounded(name, BOUND, test)
}

/// One that may take this long.
pub(crate) fn bounded(
    name: impl Into<String>,
    bound: Duration,
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let name = name.into();
    let key = name.clone();
    Trial::test(name, move || {
        RUNNING.lock().unwrap().insert(key.clone(), (Instant::now(), bound));
        let outcome = test();
        RUNNING.lock().unwrap().remove(&key);
        outcome
    })
}

/// The program of an example of this package, built first if a source is newer.
pub(crate) fn example(name: &str) -> std::io::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let profile = test.ancestors().nth(2).expect("tests are built in `PROFILE/deps`");
    let program = profile.join("examples").join(name);
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources =
        ["src", "bridge/src", "codecs/src", "macros/src", "examples"].map(|folder| newest(&package.join(folder)));
    let built = program.metadata().and_then(|data| data.modified());
    if !built.is_ok_and(|built| sources.into_iter().flatten().all(|source| source <= built)) {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--example", name]).current_dir(package);
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        let status = cargo.status()?;
        if !status.success() {
            return Err(std::io::Error::other(format!("building the example {name}: {status}")));
        }
    }
    Ok(program)
}

/// When the youngest file below `folder` was changed.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let times = entries.filter_map(|entry| match entry.file_type().ok()?.is_dir() {
        true => newest(&entry.path()),
        false => entry.metadata().ok()?.modified().ok(),
    });
    times.max()
}

/// Ends the process when a test is over its bound, and says which tests were running.
fn watch() {
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let running = RUNNING.lock().unwrap();
        if running.values().any(|(since, bound)| since.elapsed() > *bound) {
            for (name, (since, _)) in running.iter() {
                eprintln!("still running after {:?}: {name}", since.elapsed());
            }
            eprintln!("{}", threads());
            std::process::abort();
        }
    }
}

/// What the threads of this process and its children are waiting for, from `/proc`.
fn threads() -> String {
    let mut lines = String::new();
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return lines };
    for task in tasks.flatten() {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let (name, wchan, children) = (read("comm"), read("wchan"), read("children"));
        lines += &format!("thread {:?} {} waits in {wchan}, children {children}\n", task.file_name(), name.trim());
    }
    lines
}
