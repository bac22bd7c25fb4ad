//! The stack of another thread of this process.
//!
//! It is asked for by a signal whose default is to do nothing. The handler notes the addresses of the callers and no more;
//! their names are looked up by whoever asked.

use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use rustix::process::Signal;

/// The most callers that are noted.
const DEPTH: usize = 96;
/// No thread has this number.
const NOBODY: i32 = 0;

/// Which thread is asked.
static ASKED: AtomicI32 = AtomicI32::new(NOBODY);
static CALLERS: [AtomicUsize; DEPTH] = [const { AtomicUsize::new(0) }; DEPTH];
/// How many callers were noted, once that is done.
static NOTED: AtomicUsize = AtomicUsize::new(0);

/// The callers of what the thread with this number runs, innermost first, as `function at file:line` where that is known. Empty if
/// it does not answer within `bound`: it has blocked the signal, or the kernel does not let it go.
///
/// It can interrupt a call of the kernel on that thread, so it is only asked one that is stuck.
pub(crate) fn stack_of(thread: i32, bound: Duration) -> Vec<String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if !can_answer() {
        return Vec::new();
    }
    NOTED.store(0, Ordering::SeqCst);
    ASKED.store(thread, Ordering::SeqCst);
    ask(thread);
    let end = Instant::now() + bound;
    while NOTED.load(Ordering::SeqCst) == 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    ASKED.store(NOBODY, Ordering::SeqCst);
    let noted = NOTED.load(Ordering::SeqCst);
    let callers = CALLERS[..noted].iter().map(|caller| caller.load(Ordering::SeqCst));
    below_the_handler(callers.flat_map(names).collect())
}

/// Sees to the handler, once. Whether there is one.
fn can_answer() -> bool {
    static ONCE: Once = Once::new();
    static SET: AtomicUsize = AtomicUsize::new(0);
    ONCE.call_once(|| {
        // The first walk loads what the later ones need, which a handler must not.
        backtrace::trace(|_| false);
        // SAFETY: the action reads a thread number and walks the stack into an array of atomics. It allocates nothing and
        // cannot panic. The walk takes no lock once it has been done before, but that of a loader which is just loading a
        // library: a thread that has not moved for a second is not.
        let set = unsafe { signal_hook_registry::register(Signal::URG.as_raw(), answer) };
        SET.store(set.is_ok().into(), Ordering::SeqCst);
    });
    SET.load(Ordering::SeqCst) == 1
}

fn ask(thread: i32) {
    let process = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: the call has three numbers as its arguments. If the thread has ended it fails, or another one of this process gets
    // the signal, which then does nothing.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, Signal::URG.as_raw()) };
}

/// In the handler.
fn answer() {
    let me = rustix::thread::gettid().as_raw_nonzero().get();
    if ASKED.compare_exchange(me, NOBODY, Ordering::SeqCst, Ordering::SeqCst).is_err() {
        return;
    }
    let mut noted = 0;
    // SAFETY: nobody else walks a stack by this library at the same time but for reading: what would have to be synchronised
    // is the lookup of names, which is not done here.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            CALLERS[noted].store(frame.ip().addr(), Ordering::SeqCst);
            noted += 1;
            noted < DEPTH
        });
    }
    NOTED.store(noted, Ordering::SeqCst);
}

/// One line for each function that has become this address.
fn names(address: usize) -> Vec<String> {
    let mut lines = Vec::new();
    // The address is the one to return to, behind the call.
    backtrace::resolve(std::ptr::without_provenance_mut(address.saturating_sub(1)), |symbol| {
        let Some(name) = symbol.name() else { return };
        let mut line = format!("{name:#}");
        // Where a function of the standard library is helps nobody.
        let file = symbol.filename().filter(|file| !file.starts_with("/rustc"));
        if let (Some(file), Some(number)) = (file, symbol.lineno()) {
            line += &format!(" at {}:{number}", file.display());
        }
        lines.push(line);
    });
    lines
}

/// Without the frames of the handler, the innermost ones.
fn below_the_handler(mut lines: Vec<String>) -> Vec<String> {
    let is_handler = |line: &String| line.contains("signal_hook_registry") || line.contains("__restore_rt");
    if let Some(last) = lines.iter().rposition(is_handler) {
        lines.drain(..=last);
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[inline(never)]
    fn is_stuck_here(started: &std::sync::mpsc::Sender<i32>, released: &std::sync::mpsc::Receiver<()>) {
        started.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
        let _ = released.recv();
    }

    #[test]
    fn a_thread_that_is_stuck_shows_where() {
        let ((started, thread), (release, released)) = (channel(), channel());
        let stuck = std::thread::spawn(move || is_stuck_here(&started, &released));
        let thread = thread.recv().unwrap();
        for _ in 0..3 {
            let stack = stack_of(thread, Duration::from_secs(10));
            assert!(stack.iter().any(|line| line.contains("is_stuck_here")), "{stack:#?}");
            assert!(!stack.iter().any(|line| line.contains("sys::stack::answer")), "{stack:#?}");
        }
        release.send(()).unwrap();
        stuck.join().unwrap();
        assert_eq!(stack_of(thread, Duration::from_millis(20)), [""; 0], "it has ended");
    }
}
