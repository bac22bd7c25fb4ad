//! A panic of user code, as an error with payload, place and backtrace.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::sync::{Mutex, Once};

/// User code panicked; the runtime caught it and made it an error.
pub struct Panicked {
    message: String,
    backtrace: Option<String>,
    payload: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Panicked {
    /// The panic that was just caught on this thread, with what the hook saw of it.
    pub(super) fn caught(payload: Box<dyn Any + Send>) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| NO_TEXT.to_owned());
        // A panic that was raised on another thread is not the last one of this.
        let backtrace = last().filter(|last| last.message == message).map(|last| last.trace);
        Self { message, backtrace, payload: Mutex::new(Some(payload)) }
    }

    /// The text of the panic.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The source location of the panic, if it was recorded.
    pub fn location(&self) -> Option<&str> {
        self.backtrace.as_deref()?.lines().next()
    }

    /// Where it panicked and through what, if it was recorded.
    pub fn backtrace(&self) -> Option<&str> {
        self.backtrace.as_deref()
    }

    /// The panic's payload, the first time it is asked for; give it to [`std::panic::resume_unwind`] to go on panicking.
    pub fn take_payload(&self) -> Option<Box<dyn Any + Send>> {
        self.payload.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }
}

/// A panic that was caught on one thread, to go on on another one as if it had been raised there.
pub(crate) struct Raised {
    payload: Box<dyn Any + Send>,
    seen: Option<Seen>,
}

impl Raised {
    pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Self> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Self { payload, seen: last() })
    }

    fn see(seen: Option<Seen>) {
        let _ = LAST.try_with(|last| *last.borrow_mut() = seen);
    }

    pub(crate) fn resume(self) -> ! {
        Self::see(self.seen);
        resume_unwind(self.payload)
    }
}

impl From<Raised> for crate::Error {
    fn from(raised: Raised) -> Self {
        Raised::see(raised.seen);
        Self::from_panic(raised.payload)
    }
}

impl fmt::Debug for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panicked").field("message", &self.message).finish_non_exhaustive()
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.message)
    }
}

impl StdError for Panicked {}

/// The text of a panic that has none.
const NO_TEXT: &str = "a value that is not text";

/// What the hook saw of a panic.
struct Seen {
    message: String,
    trace: String,
}

thread_local! {
    /// What the hook saw of the last panic on this thread. The hook runs where the panic is raised; the catcher comes
    /// too late to see the stack.
    static LAST: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

/// Takes what the hook saw last on this thread.
fn last() -> Option<Seen> {
    LAST.try_with(|last| last.borrow_mut().take()).ok().flatten()
}

/// Puts the recording hook in front of the one that is there, once per process.
pub(crate) fn install_hook() {
    static INSTALLED: Once = Once::new();
    if INSTALLED.is_completed() || std::thread::panicking() {
        return; // hooks cannot be changed by a panicking thread; the next scope will do it
    }
    INSTALLED.call_once(|| {
        if cfg!(panic = "abort") {
            tracing::warn!(
                "this program is built with `panic = \"abort\"`: a panic of one task ends the process, and is no error of that task"
            );
        }
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            record(info);
            previous(info);
        }));
    });
}

fn record(info: &PanicHookInfo<'_>) {
    let mut trace = String::new();
    if let Some(location) = info.location() {
        let _ = write!(trace, "{location}");
    }
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        let _ = write!(trace, "\n{backtrace}");
    }
    let seen = Seen { message: info.payload_as_str().unwrap_or(NO_TEXT).to_owned(), trace };
    let _ = LAST.try_with(|last| *last.borrow_mut() = Some(seen));
}
