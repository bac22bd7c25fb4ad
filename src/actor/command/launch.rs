//! From a description to a process: forked on the spawner thread, watched before anybody else knows of it.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::panic::catch_unwind;
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use async_io::Async;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, kill_process, kill_process_group};
use rustix::process::{pidfd_open, waitid};

use super::running::Running;
use crate::Result;
use crate::actor::process::{Unreaped, on_spawner};
use crate::error::Closed;
use crate::sys;
use crate::task::{entrust, oneshot, shield};

pub use crate::actor::process::SpawnErrorKind as Lack;

/// A program that could not be started. No process is left of it.
#[derive(Debug)]
pub struct NotStarted {
    /// The program, as it was described.
    pub program: String,
    /// What sort of lack it is.
    pub lack: Lack,
    step: &'static str,
    source: io::Error,
}

impl NotStarted {
    fn new(program: &str, step: &'static str, source: io::Error) -> Self {
        Self { program: program.to_owned(), lack: Lack::of(&source), step, source }
    }
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, step, source, .. } = self;
        write!(f, "the program `{program}` was not started: {step} failed: {source}{}", remedy(self.lack))
    }
}

impl std::error::Error for NotStarted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

fn remedy(lack: Lack) -> &'static str {
    match lack {
        Lack::Descriptors => {
            ". Close some, or raise the limit (`ulimit -n`): a program takes two, and one for each of its streams"
        }
        Lack::Processes => ". Raise the limit (`ulimit -u`, pids.max of the cgroup), or start fewer at a time",
        Lack::Permission => ". Check that the file is executable and its file system not mounted noexec",
        Lack::Missing => {
            ". Check that it is installed and found in PATH, or give its path; and that the directory it is to run in exists"
        }
        Lack::Other => "",
    }
}

/// Starts the program.
///
/// # Cancel safety
/// A process that is being born when it is dropped is killed, and the scope around waits until it is reaped.
pub(super) async fn start(process: Process, stdio: [Stdio; 3], grace: Duration) -> Result<Running> {
    let name = OsStr::to_string_lossy(process.get_program()).into_owned();
    let (born, receiver) = oneshot::channel();
    let job_name = name.clone();
    let job = move || {
        // If nobody waits any more, it is killed by being dropped.
        let _ = born.send(launch(&job_name, process, stdio, grace));
    };
    on_spawner(Box::new(job)).map_err(|error| NotStarted::new(&name, "starting a runtime thread", error))?;
    let mut birth = Birth(Some(receiver));
    // It takes as long as a fork: what is being born cannot be cancelled, only ended.
    let born = shield(Duration::MAX, async { birth.receiver().recv().await }).await?;
    birth.0 = None;
    Ok(born.ok_or(Closed)??)
}

type Receiver = oneshot::Receiver<Result<Running, NotStarted>>;

/// Waits for a process that is being born, also when it is dropped.
struct Birth(Option<Receiver>);

impl Birth {
    fn receiver(&mut self) -> &mut Receiver {
        self.0.as_mut().expect("it is waited for once")
    }
}

impl Drop for Birth {
    fn drop(&mut self) {
        let Some(mut receiver) = self.0.take() else { return };
        let _ = entrust(async move {
            if let Ok(Some(Ok(mut running))) = receiver.recv().await {
                running.end_now().await;
            }
        });
    }
}

/// On the spawner thread: the kernel ends the program when this thread ends, which is when the process does.
fn launch(name: &str, mut process: Process, stdio: [Stdio; 3], grace: Duration) -> Result<Running, NotStarted> {
    let pipe = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK);
    let (number, writer) = pipe.map_err(|error| NotStarted::new(name, "opening a pipe", error.into()))?;
    process.process_group(0);
    sys::tie_to_this_thread(&mut process);
    sys::tell_number(&mut process, writer);
    let mut command = async_process::Command::from(process);
    let [stdin, stdout, stderr] = stdio;
    let spawned = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn();
    let child = spawned.map_err(|error| {
        bury(&number);
        NotStarted::new(name, "executing it", error)
    })?;
    // Closed, they are two free descriptors.
    drop((command, number));
    let pid = Pid::from_raw(child.id().cast_signed()).expect("a process has a number");
    match watch(pid) {
        Ok(process) => Ok(Running::new(name, child, process, grace)),
        Err(error) => {
            end(pid);
            Err(NotStarted::new(name, "watching it", error))
        }
    }
}

fn watch(pid: Pid) -> io::Result<Async<Unreaped>> {
    // It is not reaped, so its number cannot be another's.
    Async::new(Unreaped { pid, pidfd: pidfd_open(pid, PidfdFlags::empty())? })
}

/// Sets async-io up while it can be told that this fails: later on the crate, and async-process, would panic.
///
/// # Errors
/// [`NotStarted`], for this program.
pub(super) fn set_up(name: &str) -> Result<(), NotStarted> {
    // What it takes if it is not there yet, and what async-process takes to find out how to wait.
    let spare: io::Result<Vec<File>> = (0..4).map(|_| File::open("/dev/null")).collect();
    let up = spare.map(drop).and_then(|()| {
        let up = catch_unwind(|| Async::new(pidfd_open(getpid(), PidfdFlags::empty())?).map(drop));
        up.unwrap_or_else(|_| Err(io::Error::other("it panicked")))
    });
    up.map_err(|error| NotStarted::new(name, "setting up async-io", error))
}

/// Ends a process that async-process has started and could not register: it forgets it, alive.
fn bury(number: &OwnedFd) {
    let mut bytes = [0; 4];
    // What was never forked has told no number.
    if rustix::io::read(number, &mut bytes) != Ok(bytes.len()) {
        return;
    }
    let Some(pid) = Pid::from_raw(i32::from_ne_bytes(bytes)) else { return };
    // What could not be executed has been reaped: it is no child of ours any more.
    let look = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT);
    if look.err() != Some(Errno::CHILD) {
        end(pid);
    }
}

/// Kills and reaps a child that nobody else waits for.
fn end(pid: Pid) {
    let _ = kill_process(pid, Signal::KILL);
    let _ = kill_process_group(pid, Signal::KILL);
    while waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).err() == Some(Errno::INTR) {}
}
