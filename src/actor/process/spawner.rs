//! The spawner: one thread, never ended, on which every child is forked.
//!
//! The kernel sends a child its parent-death signal when the *thread* that forked it ends, so that thread must live as
//! long as the process.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use thiserror::Error;
use zeroize::Zeroizing;

use super::conn::Conn;
use super::control::{AbortOnPanic, Command, Control};
use super::unreaped::Unreaped;
use crate::sys;

/// The argument by which a child is told that it is one.
pub(super) const ROLE: &str = "--pleach-actor=";

/// What a child runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// How errors name it.
    pub(crate) name: String,
    /// The file to execute.
    pub(crate) file: PathBuf,
    /// All arguments after the zeroth.
    pub(crate) args: Vec<OsString>,
}

impl Program {
    /// This very program, in the role of the actor `path`; also if its file has been replaced since it was started.
    pub(crate) fn this(path: &str) -> Self {
        let name = std::env::current_exe().map_or_else(|_| "this program".into(), |exe| exe.display().to_string());
        Self { name, file: "/proc/self/exe".into(), args: vec![format!("{ROLE}{path}").into()] }
    }

    /// Any program.
    #[cfg(test)]
    pub(crate) fn new(file: &str, args: &[&str]) -> Self {
        Self { name: file.into(), file: file.into(), args: args.iter().map(OsString::from).collect() }
    }
}

/// Why there is no process.
#[derive(Debug, Error)]
#[error("actor {path} ({program}) was not started: {step} failed: {source}{}", remedy(*kind))]
pub(crate) struct SpawnError {
    /// What sort of lack it is.
    pub(crate) kind: SpawnErrorKind,
    /// The actor.
    pub(crate) path: String,
    /// The program.
    pub(crate) program: String,
    /// What was being done.
    pub(crate) step: &'static str,
    /// What the system said.
    pub(crate) source: io::Error,
}

/// What sort of lack keeps a process from being started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnErrorKind {
    /// No descriptor is free.
    Descriptors,
    /// No process or thread, or no memory for one, is free.
    Processes,
    /// The program may not be run.
    Permission,
    /// There is no such program.
    Missing,
    /// Something else.
    Other,
}

impl SpawnError {
    pub(super) fn new(path: &str, program: &Program, step: &'static str, source: io::Error) -> Self {
        let kind = SpawnErrorKind::of(&source);
        Self { kind, path: path.to_owned(), program: program.name.clone(), step, source }
    }
}

impl SpawnErrorKind {
    /// What this error of the system comes of.
    pub(crate) fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE) => Self::Descriptors,
            Some(Errno::AGAIN | Errno::NOMEM) => Self::Processes,
            Some(Errno::ACCESS | Errno::PERM) => Self::Permission,
            Some(Errno::NOENT | Errno::NOTDIR) => Self::Missing,
            _ => Self::Other,
        }
    }
}

/// What to do about it.
fn remedy(kind: SpawnErrorKind) -> &'static str {
    match kind {
        SpawnErrorKind::Descriptors => ". Close some, or raise the limit (`ulimit -n`): an actor takes five here",
        SpawnErrorKind::Processes => {
            ". Raise the limit (`ulimit -u`, pids.max of the cgroup), or start fewer at a time"
        }
        SpawnErrorKind::Permission => ". Check that the file is executable and its file system not mounted noexec",
        SpawnErrorKind::Missing => ". Check that the file, and the interpreter that it names, exist",
        SpawnErrorKind::Other => "",
    }
}

/// One child to fork.
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) path: String,
    pub(super) program: Program,
    /// The bytes that it finds in its control connection.
    pub(super) first: Zeroizing<Vec<u8>>,
    /// Passed with them, unless it finds its data connection otherwise.
    pub(super) data: Option<OwnedFd>,
    pub(super) control: &'static Control,
}

/// A process that was just forked.
#[derive(Debug)]
pub(super) struct Newborn {
    pub(super) process: Unreaped,
    pub(super) conn: Conn,
    pub(super) stderr: OwnedFd,
}

/// What the spawner does.
enum Work {
    Fork(Job),
    Run(Box<dyn FnOnce() + Send>),
}

/// Does this on the spawner, for what must happen on a thread that never ends. It must not panic.
///
/// # Errors
/// If the thread cannot be started.
pub(crate) fn on_spawner(job: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    spawner()?.0.send(Work::Run(job)).expect("the spawner never ends");
    Ok(())
}

/// The way to the spawner.
pub(super) struct Spawner(Sender<Work>);

impl Spawner {
    /// Has the child forked; the control thread is told what came of it.
    pub(super) fn send(&self, job: Job) {
        self.0.send(Work::Fork(job)).expect("the spawner never ends");
    }
}

/// The spawner of this process, which is started if there is none yet.
pub(super) fn spawner() -> io::Result<Spawner> {
    static SPAWNER: Mutex<Option<Sender<Work>>> = Mutex::new(None);
    let mut slot = SPAWNER.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(jobs) = &*slot {
        return Ok(Spawner(jobs.clone()));
    }
    sys::keep_exit_statuses()?;
    let (sender, jobs) = channel();
    std::thread::Builder::new().name("pleach-spawner".into()).stack_size(128 * 1024).spawn(move || run(&jobs))?;
    Ok(Spawner(slot.insert(sender).clone()))
}

fn run(works: &Receiver<Work>) {
    let _guard = AbortOnPanic;
    for work in works {
        let job = match work {
            Work::Fork(job) => job,
            Work::Run(job) => {
                job();
                continue;
            }
        };
        let (id, control) = (job.id, job.control);
        let born = fork(job);
        control.push(match born {
            Ok(newborn) => Command::Born(id, Box::new(newborn)),
            Err(error) => Command::NotBorn(id, error),
        });
    }
}

/// Forks one child. If that fails half way, no process is left.
fn fork(job: Job) -> Result<Newborn, SpawnError> {
    let Job { path, program, first, data, .. } = job;
    let failed = |step| {
        let (path, program) = (&path, &program);
        move |error: io::Error| SpawnError::new(path, program, step, error)
    };
    let (conn, theirs) = connect(&first, data).map_err(failed("opening its control connection"))?;
    // Kept free for the pidfd, which must not be what is lacking once the child runs.
    let spare = File::open("/dev/null").map_err(failed("reserving a descriptor"))?;
    let mut process = Process::new(&program.file);
    // For whoever looks at `ps`: the program's name, not the way to it.
    process.arg0(&program.name);
    process.args(&program.args).stdin(theirs).stderr(Stdio::piped()).process_group(0);
    sys::tie_to_this_thread(&mut process);
    let child = process.spawn().map_err(failed("executing the program"))?;
    drop(process);
    drop(spare);
    let (process, stderr) = watch(child).map_err(failed("watching the process"))?;
    Ok(Newborn { process, conn, stderr })
}

/// A control connection in which the first bytes and the data descriptor already wait for the child.
fn connect(first: &[u8], data: Option<OwnedFd>) -> io::Result<(Conn, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let mut conn = Conn::new(ours);
    conn.send_with_fd(first, data.as_ref().map(AsFd::as_fd))?;
    Ok((conn, theirs))
}

/// The handle and the stderr of a child. A child that cannot be watched is killed and reaped.
pub(super) fn watch(mut child: Child) -> io::Result<(Unreaped, OwnedFd)> {
    let watched = try_watch(&mut child);
    if watched.is_err() {
        // It is not reaped, so the signal can hit nobody else, and it cannot escape SIGKILL.
        let _ = child.kill();
        let _ = child.wait();
    }
    watched
}

fn try_watch(child: &mut Child) -> io::Result<(Unreaped, OwnedFd)> {
    // The child is not reaped, so its number cannot be another's.
    let pid = Pid::from_child(child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let stderr = OwnedFd::from(child.stderr.take().ok_or(Errno::BADF)?);
    rustix::io::ioctl_fionbio(&stderr, true)?;
    Ok((Unreaped { pid, pidfd }, stderr))
}
