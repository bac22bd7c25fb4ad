//! What needs `unsafe`, or a fact about one operating system, and nothing else.
#![allow(unsafe_code, reason = "the one place for it: each block says why it is sound")]

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

mod entry;

/// The number of SIGPIPE.
const SIGPIPE: i32 = 13;
/// The number of SIGTERM.
pub(crate) const SIGTERM: i32 = 15;
/// The number of SIGCHLD.
pub(crate) const SIGCHLD: i32 = 17;

/// Moves descriptor 0 to a close-on-exec one that is at least 3, and opens `/dev/null` as 0.
///
/// A program started later must not inherit what was there: its copy would hide the end of this process.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    let taken = rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?;
    let null = File::open("/dev/null")?;
    if null.as_raw_fd() == 0 {
        // It was closed, and so its place was free.
        std::mem::forget(null);
        return Ok(taken);
    }
    // SAFETY: descriptor 0 is open (it was just duplicated), and forgetting the handle below leaves it open for whoever
    // else uses standard input, who finds another file there but never a closed or foreign descriptor.
    let mut stdin = unsafe { OwnedFd::from_raw_fd(0) };
    let put = rustix::io::dup2(&null, &mut stdin);
    std::mem::forget(stdin);
    put?;
    Ok(taken)
}

/// Descriptor 2, whatever it is.
pub(crate) fn stderr() -> BorrowedFd<'static> {
    // SAFETY: the runtime of Rust's standard library sees to it that 2 is open when a program starts and never closes it. A
    // program that closes it itself makes calls on it fail or reach another file; no memory depends on it.
    unsafe { BorrowedFd::borrow_raw(2) }
}

/// A pipe that becomes readable when `signal` arrives. There is one per signal, for the life of the process.
fn signal_pipe(signal: i32) -> io::Result<OwnedFd> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let wake = move || {
        // A full pipe is readable already.
        let _ = rustix::io::write(&writer, &[1]);
    };
    // SAFETY: the action makes one `write(2)` call, which is async-signal-safe; it allocates nothing, takes no lock and
    // cannot panic.
    unsafe { signal_hook_registry::register(signal, wake) }?;
    Ok(reader)
}

/// The pipe that becomes readable when SIGTERM arrives; from the first call on SIGTERM does not end the process.
pub(crate) fn sigterm_pipe() -> io::Result<&'static OwnedFd> {
    static PIPE: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(pipe) = PIPE.get() {
        return Ok(pipe);
    }
    let pipe = signal_pipe(SIGTERM)?;
    Ok(PIPE.get_or_init(|| pipe))
}

/// Has the process killed when the thread that starts it ends, from before its program runs.
///
/// The program arms the same again on a thread of its own, but one that is stopped before it gets there would stay.
pub(crate) fn tie_to_this_thread(process: &mut Command) {
    let parent = getpid();
    let arm = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It ended before the signal was armed: then there is nobody to report to, and the child just exits.
        if getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH.into()) }
    };
    // SAFETY: the closure makes two system calls. It allocates nothing (an error made of a number needs no memory), takes
    // no lock and cannot panic, so it may run in the copy of a process with many threads.
    unsafe { process.pre_exec(arm) };
}

/// Sees to it that the exit status of children is kept.
///
/// A process that was started with SIGCHLD ignored keeps ignoring it, and then the kernel throws the status away.
pub(crate) fn keep_exit_statuses() -> io::Result<()> {
    if !ignores(SIGCHLD) {
        return Ok(());
    }
    // SAFETY: an empty action does nothing that is not async-signal-safe.
    unsafe { signal_hook_registry::register(SIGCHLD, || {}) }?;
    Ok(())
}

/// Makes a write to a closed pipe an error instead of the end of the process, as the start of `main` does.
pub(crate) fn survive_broken_pipes() -> io::Result<()> {
    // SAFETY: an empty action does nothing that is not async-signal-safe.
    unsafe { signal_hook_registry::register(SIGPIPE, || {}) }?;
    Ok(())
}

/// Whether this process ignores `signal`.
fn ignores(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}
