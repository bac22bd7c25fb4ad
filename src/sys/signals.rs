//! Signals: which ones this process hears of through a pipe, and what the others do.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;

/// A pipe for a signal handler: it never waits.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
}

/// The pipe that becomes readable when SIGTERM arrives; from the first call on SIGTERM does not end the process.
pub(crate) fn sigterm_pipe() -> io::Result<&'static OwnedFd> {
    static PIPE: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(pipe) = PIPE.get() {
        return Ok(pipe);
    }
    let (reader, writer) = pipe()?;
    let wake = move || {
        // A full pipe is readable already.
        let _ = rustix::io::write(&writer, &[1]);
    };
    // SAFETY: the action makes one `write(2)` call, which is async-signal-safe; it allocates nothing, takes no lock and
    // cannot panic.
    unsafe { signal_hook_registry::register(Signal::TERM.as_raw(), wake) }?;
    Ok(PIPE.get_or_init(|| reader))
}

/// How many in this process want to be told of an interrupt instead of dying of it.
static INTERRUPTIBLE: AtomicUsize = AtomicUsize::new(0);

/// As long as one of these is there, SIGINT and SIGTERM go to [`interrupts`]; else they do what they did before.
#[derive(Debug)]
pub(crate) struct Interruptible(());

impl Interruptible {
    pub(crate) fn new() -> Self {
        INTERRUPTIBLE.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        INTERRUPTIBLE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The pipe in which the number of each SIGINT and SIGTERM arrives, as a byte, while there is an [`Interruptible`].
pub(crate) fn interrupts() -> io::Result<&'static OwnedFd> {
    static PIPE: Mutex<Option<&'static OwnedFd>> = Mutex::new(None);
    let mut pipe_slot = PIPE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(pipe) = *pipe_slot {
        return Ok(pipe);
    }
    let (reader, writer) = pipe()?;
    // The handlers stay for the life of the process, and so do both ends.
    let writer: &'static OwnedFd = Box::leak(Box::new(writer));
    for signal in [Signal::INT, Signal::TERM] {
        hear(signal, writer)?;
    }
    Ok(pipe_slot.insert(Box::leak(Box::new(reader))))
}

fn hear(signal: Signal, writer: &'static OwnedFd) -> io::Result<()> {
    let number = signal.as_raw();
    let fatal = !listed("SigIgn", number) && !listed("SigCgt", number);
    let byte = [number.to_le_bytes()[0]];
    let act = move || {
        if INTERRUPTIBLE.load(Ordering::SeqCst) > 0 {
            // A full pipe holds more interrupts than anybody counts.
            let _ = rustix::io::write(writer, &byte);
        } else if fatal {
            die_of(number);
        }
    };
    // SAFETY: the action makes one `write(2)` call, or those of `die_of`, which are async-signal-safe; it allocates nothing,
    // takes no lock and cannot panic.
    unsafe { signal_hook_registry::register(number, act) }?;
    Ok(())
}

unsafe extern "C" {
    safe fn signal(number: i32, handler: usize) -> usize;
    safe fn raise(number: i32) -> i32;
}

/// Gives the signal that is being handled its first meaning back and sends it once more: it takes effect when the handler
/// returns, during which it is blocked. Whoever waits for this process then sees that it died of that signal.
fn die_of(number: i32) {
    const DEFAULT: usize = 0;
    signal(number, DEFAULT);
    raise(number);
}

/// Makes the signals of a terminal do nothing here: they are for the root, which cancels its actors as it sees fit.
///
/// With a handler that does nothing, because programs that this process starts would inherit that they are ignored.
pub(crate) fn leave_the_terminal_to_the_root() -> io::Result<()> {
    for signal in [Signal::INT, Signal::QUIT, Signal::HUP, Signal::TSTP] {
        do_nothing_at(signal)?;
    }
    Ok(())
}

/// Sees to it that the exit status of children is kept.
///
/// A process that was started with SIGCHLD ignored keeps ignoring it, and then the kernel throws the status away.
pub(crate) fn keep_exit_statuses() -> io::Result<()> {
    if listed("SigIgn", Signal::CHILD.as_raw()) {
        handle(Signal::CHILD)?;
    }
    Ok(())
}

/// Makes a write to a closed pipe an error instead of the end of the process, as the start of `main` does.
pub(crate) fn survive_broken_pipes() -> io::Result<()> {
    handle(Signal::PIPE)
}

/// One that is ignored already stays so, for the programs that this process starts: `nohup` is meant for them as well.
fn do_nothing_at(signal: Signal) -> io::Result<()> {
    if listed("SigIgn", signal.as_raw()) { Ok(()) } else { handle(signal) }
}

fn handle(signal: Signal) -> io::Result<()> {
    // SAFETY: an empty action does nothing that is not async-signal-safe.
    unsafe { signal_hook_registry::register(signal.as_raw(), || {}) }?;
    Ok(())
}

/// Whether this process has `signal` in this list of the kernel: `SigIgn` or `SigCgt`.
fn listed(list: &str, signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix(list)?.strip_prefix(':'));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}
