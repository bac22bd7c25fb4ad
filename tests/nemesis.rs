//! Kills what the tree of the `kill_root` example is made of, at random moments, and looks for what is left (laws P2, P3).
//!
//! `cargo test --test nemesis -- --rounds 100 --seed 7`

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed};
use rustix::process::{Pid, Signal, kill_process};

/// Inherited by every process of a tree, so that they can all be found.
const MARKER: &str = "PLEACH_NEMESIS_TREE";
/// What must be over by then.
const GONE: Duration = Duration::from_secs(2);
/// A tree that is not up by then, on however slow a machine, never will be.
const UP: Duration = Duration::from_secs(20);
/// A root that does not end by itself by then hangs: two graces, the ladder's steps, and a slow machine.
const HANG: Duration = Duration::from_secs(10);
/// A zombie that its living parent has not reaped by then is forgotten: its stderr may be drained for 250 ms.
const ZOMBIE: Duration = Duration::from_secs(2);
/// The processes of the tree.
const ACTORS: usize = 8;

/// Times of one tree are not to be measured beside the noise of another.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The same moments and victims for the same seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % end
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Lets a random time go by.
    fn moment(&mut self, most: Duration) {
        std::thread::sleep(Duration::from_micros(self.below(most.as_micros() as usize) as u64));
    }
}

// ---- what /proc knows

#[derive(Clone, Copy, Debug)]
struct Stat {
    state: u8,
    parent: i32,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut rest = stat.rsplit_once(") ")?.1.split(' ');
        Some(Self { state: *rest.next()?.as_bytes().first()?, parent: rest.next()?.parse().ok()? })
    }

    fn is_zombie(self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

fn has_marker(pid: i32, marker: &str) -> bool {
    let wanted = format!("{MARKER}={marker}");
    let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
}

/// The path of the actor that a process is, once it is one.
fn actor_path(pid: i32) -> Option<String> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    line.split('\0').find_map(|word| word.strip_prefix("--pleach-actor=")).map(str::to_owned)
}

/// The same, once it has executed its program: until then it has the arguments of its parent.
fn own_path(pid: i32) -> Option<String> {
    let path = actor_path(pid)?;
    let parent = actor_path(Stat::of(pid)?.parent);
    (parent.as_ref() != Some(&path)).then_some(path)
}

fn signal(pid: i32, signal: Signal) {
    // A process that has ended meanwhile is no failure of the test.
    let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, signal));
}

// ---- a tree

struct Tree {
    root: Child,
    marker: String,
    printed: Arc<Mutex<BTreeMap<i32, String>>>,
    stdout: Option<JoinHandle<()>>,
    stderr: Option<JoinHandle<String>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    /// One actor never gives way.
    busy: bool,
    /// SIGTERM is ignored, from before the root on.
    deaf: bool,
}

impl Tree {
    fn start(kind: Kind, marker: String) -> Result<Self, Failed> {
        let mut command = Command::new("sh");
        let script = if kind.deaf { "trap '' TERM; exec \"$0\" \"$@\"" } else { "exec \"$0\" \"$@\"" };
        command.args(["-c", script]).arg(harness::example("kill_root")?);
        if kind.busy {
            command.arg("--busy");
        }
        command.env(MARKER, &marker).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut root = command.process_group(0).spawn()?;
        let printed = Arc::new(Mutex::new(BTreeMap::new()));
        let stdout = BufReader::new(root.stdout.take().expect("it is piped"));
        let mut stderr = root.stderr.take().expect("it is piped");
        let pids = printed.clone();
        let stdout = std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some((path, pid)) = line.split_once(' ')
                    && let Ok(pid) = pid.parse()
                {
                    pids.lock().unwrap().insert(pid, path.to_owned());
                }
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Self { root, marker, printed, stdout: Some(stdout), stderr: Some(stderr) })
    }

    fn root(&self) -> i32 {
        self.root.id().cast_signed()
    }

    fn printed(&self) -> BTreeMap<i32, String> {
        self.printed.lock().unwrap().clone()
    }

    fn wait_until_up(&self) -> Result<(), Failed> {
        wait_until("the tree to be up", UP, || self.printed().len() == ACTORS).map(drop)
    }

    /// Every process of this tree that runs, by its marker, and by its printed number unless that is another's by now.
    fn running(&self) -> Vec<i32> {
        let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
        let pids = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let mut found: Vec<i32> = pids.filter(|pid| has_marker(*pid, &self.marker)).collect();
        found.extend(
            self.printed()
                .into_iter()
                .filter(|(pid, path)| actor_path(*pid).as_ref() == Some(path))
                .map(|(pid, _)| pid),
        );
        found.retain(|pid| Stat::of(*pid).is_some_and(|stat| !stat.is_zombie()));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Waits until nothing of it runs; the root must have been killed or have ended.
    fn until_gone(&self) -> Result<Duration, Failed> {
        let gone = wait_until("the tree to be gone", GONE, || self.running().is_empty());
        gone.map_err(|error| {
            let mut text = format!("{error:?}");
            for pid in self.running() {
                let _ = write!(text, "\n  left: {pid} {:?} {:?}", actor_path(pid), Stat::of(pid));
            }
            text.into()
        })
    }

    /// What the root has written to stderr, once nobody can write to it any more.
    fn stderr(&mut self) -> String {
        self.stdout.take().map(JoinHandle::join);
        self.stderr.take().and_then(|reader| reader.join().ok()).unwrap_or_default()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        for pid in self.running() {
            signal(pid, Signal::KILL);
        }
        let _ = self.root.kill();
        let _ = self.root.wait();
    }
}

/// Looks again and again, and says how long it took.
fn wait_until(what: &str, bound: Duration, mut done: impl FnMut() -> bool) -> Result<Duration, Failed> {
    let since = Instant::now();
    loop {
        // The time before the look: one that takes long must not count as late.
        let now = since.elapsed();
        if done() {
            return Ok(since.elapsed());
        }
        if now > bound {
            return Err(format!("waited {bound:?} for {what}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The times of all rounds, in words.
fn statistics(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    format!("p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms", at(50), at(99), at(100))
}

// ---- P2

fn p02_kill_root(rounds: usize, seed: u64) -> Result<(), Failed> {
    let _alone = alone();
    let mut random = Random::new(seed);
    let (mut times, mut starting, mut stopped) = (Vec::new(), 0, 0);
    for round in 0..rounds {
        // Each fourth: plain and starting; plain and up; busy, deaf and up; busy, deaf and starting.
        let hard = round % 4 >= 2;
        let kind = Kind { busy: hard, deaf: hard };
        let mut tree = Tree::start(kind, format!("p02-{}-{seed}-{round}", std::process::id()))?;
        if matches!(round % 4, 1 | 2) {
            tree.wait_until_up()?;
        } else {
            starting += 1;
        }
        if round % 4 == 3 {
            stopped += stop_newborns(&tree, &mut random);
        } else {
            random.moment(Duration::from_millis(50));
        }
        if hard {
            for pid in tree.running() {
                if random.flip() {
                    stopped += 1;
                    signal(pid, Signal::STOP);
                }
            }
        }
        tree.root.kill()?;
        let gone = tree.until_gone();
        times.push(gone.map_err(|error| format!("round {round} of seed {seed}, {kind:?}: {error:?}"))?);
        tree.root.wait()?;
    }
    println!(
        "p02_kill_root: {rounds} roots killed (seed {seed}), {starting} while starting, {stopped} processes stopped \
         before; 0 left; gone after: {}",
        statistics(times)
    );
    Ok(())
}

/// Stops every other actor the moment it is seen, before it can do anything for itself; for a random time.
fn stop_newborns(tree: &Tree, random: &mut Random) -> usize {
    let end = Instant::now() + Duration::from_micros(random.below(50_000) as u64);
    let (mut seen, mut stopped) = (BTreeSet::new(), 0);
    while Instant::now() < end {
        for pid in tree.running() {
            if own_path(pid).is_some() && seen.insert(pid) && random.flip() {
                stopped += 1;
                signal(pid, Signal::STOP);
            }
        }
    }
    stopped
}

// ---- P3

fn p03_kill_a_random_actor(rounds: usize, seed: u64) -> Result<(), Failed> {
    let _alone = alone();
    let mut random = Random::new(seed);
    let (mut ends, mut gones, mut starting, mut by_actor) = (Vec::new(), Vec::new(), 0, BTreeMap::new());
    for round in 0..rounds {
        let kind = Kind { busy: round % 4 == 3, deaf: false };
        let mut tree = Tree::start(kind, format!("p03-{}-{seed}-{round}", std::process::id()))?;
        if round % 3 == 2 {
            starting += 1;
        } else {
            tree.wait_until_up()?;
        }
        random.moment(Duration::from_millis(30));
        let (pid, path) = victim(&tree, &mut random)?;
        let what = format!("round {round} of seed {seed}, {kind:?}, {path} (pid {pid}) killed");
        signal(pid, Signal::KILL);
        let since = Instant::now();
        let status = wait_for_root(&mut tree).map_err(|error| format!("{what}: {error:?}"))?;
        ends.push(since.elapsed());
        gones.push(tree.until_gone().map_err(|error| format!("{what}: {error:?}"))?);
        let stderr = tree.stderr();
        if status.code() != Some(1) || !is_the_one_error(&stderr, &path) {
            return Err(format!("{what}: the root ended with {status} and said:\n{stderr}").into());
        }
        *by_actor.entry(path).or_insert(0) += 1;
    }
    println!(
        "p03_kill_a_random_actor: {rounds} actors killed (seed {seed}), {starting} while the tree was starting; each \
         named in the one error of its root; no zombie, 0 left\n  killed: {by_actor:?}\n  root ended after: {}\n  \
         gone after that: {}",
        statistics(ends),
        statistics(gones)
    );
    Ok(())
}

/// Any process of the tree that is an actor and not the root.
fn victim(tree: &Tree, random: &mut Random) -> Result<(i32, String), Failed> {
    let mut actors = Vec::new();
    wait_until("an actor to kill", UP, || {
        let pids = tree.running().into_iter().filter(|pid| *pid != tree.root());
        actors = pids.filter_map(|pid| Some((pid, own_path(pid)?))).collect();
        !actors.is_empty()
    })?;
    Ok(actors.swap_remove(random.below(actors.len())))
}

/// Waits until the root has ended by itself; no zombie may stay with a living parent meanwhile.
fn wait_for_root(tree: &mut Tree) -> Result<ExitStatus, Failed> {
    let mut zombies: BTreeMap<i32, Instant> = BTreeMap::new();
    let mut forgotten = None;
    let mut status = None;
    let ended = wait_until("the root to end by itself", HANG, || {
        status = tree.root.try_wait().ok().flatten();
        let actors = tree.printed();
        for pid in actors.keys().filter(|pid| **pid != tree.root()) {
            match Stat::of(*pid) {
                Some(stat) if stat.is_zombie() && actors.contains_key(&stat.parent) => {
                    let since = zombies.entry(*pid).or_insert_with(Instant::now);
                    if since.elapsed() > ZOMBIE {
                        forgotten = Some((*pid, stat.parent));
                    }
                }
                _ => drop(zombies.remove(pid)),
            }
        }
        status.is_some() || forgotten.is_some()
    });
    if let Some((pid, parent)) = forgotten {
        return Err(format!("{pid} is a zombie that its parent {parent} does not reap").into());
    }
    ended.map_err(|error| format!("{error:?}; still running: {:?}", tree.running()))?;
    Ok(status.expect("it has ended"))
}

/// One error, and it names the actor that was killed, and the signal.
///
/// The nursery that owned the actor fails with its death; what is above only relays that. Whatever died below the actor
/// died with it, and is not news.
fn is_the_one_error(stderr: &str, path: &str) -> bool {
    let errors = stderr.lines().filter(|line| line.starts_with("error: ")).count();
    let deaths = stderr.matches("SIGKILL (9)").count();
    errors == 1 && deaths == 1 && stderr.contains(&format!("actor {path} (")) && !stderr.contains("failures:")
}

// ---- options

/// Takes `--name N` or `--name=N` out of the arguments.
fn take(arguments: &mut Vec<String>, name: &str, default: u64) -> u64 {
    let Some(at) = arguments.iter().position(|word| word == name || word.starts_with(&format!("{name}="))) else {
        return default;
    };
    let word = arguments.remove(at);
    let value = match word.split_once('=') {
        Some((_, value)) => value.to_owned(),
        None if at < arguments.len() => arguments.remove(at),
        None => panic!("{name} needs a value"),
    };
    value.parse().unwrap_or_else(|error| panic!("{name} {value}: {error}"))
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().collect();
    let rounds = take(&mut arguments, "--rounds", 5).max(1) as usize;
    let seed = take(&mut arguments, "--seed", 1);
    // Both wait for each other, and a round is bounded by what it waits for.
    let bound = harness::BOUND + Duration::from_secs(4) * rounds as u32;
    harness::run(
        &Arguments::from_iter(arguments),
        vec![
            harness::bounded("p02_kill_root", bound, move || p02_kill_root(rounds, seed)),
            harness::bounded("p03_kill_a_random_actor", bound, move || p03_kill_a_random_actor(rounds, seed)),
        ],
    );
}
