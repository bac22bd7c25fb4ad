//! What needs `unsafe`, or a fact about one operating system, and nothing else.
#![allow(unsafe_code, reason = "the one place for it: each block says why it is sound")]

mod entry;
mod job;
mod run_queue;
mod signals;
mod stack;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

pub(crate) use job::{Job, Named};
pub(crate) use run_queue::{LocalRunQueue, RunQueue};
pub(crate) use signals::{
    Interruptible, interrupts, keep_exit_statuses, leave_the_terminal_to_the_root, sigterm_pipe, survive_broken_pipes,
};
pub(crate) use stack::stack_of;

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

/// Has the process write its number into this pipe before its program runs, as four bytes.
pub(crate) fn tell_number(process: &mut Command, pipe: OwnedFd) {
    let tell = move || {
        rustix::io::write(&pipe, &getpid().as_raw_nonzero().get().to_ne_bytes())?;
        Ok(())
    };
    // SAFETY: the closure makes two system calls. It allocates nothing, takes no lock and cannot panic, so it may run in the
    // copy of a process with many threads.
    unsafe { process.pre_exec(tell) };
}
