//! The pulse of a host's thread: whether it turns, seen from another thread, and what it does if it does not.
//!
//! A foreign loop runs code that knows nothing of the tree beside it, on one thread: if that code blocks, the tree stands still.
//! The thread writes a word at each turn and the name of what it begins, which costs two stores; whoever watches reads them.

use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::{Job, Named};

/// Kept by a host that runs foreign code on the thread of the tree, for as long as it runs: by it the tree's watchdog sees that the thread
/// is blocked, and by what.
///
/// Every poll of the tree is a turn of the thread; and so is every foreign task that is polled within [`during`]. Between
/// those the thread is taken to be idle, unless the host says when it [rests](Self::rests) and when it [goes on](Self::goes_on): then
/// what it runs besides is watched as well.
///
/// ```
/// use pleach::host::Pulse;
///
/// let pulse = Pulse::new();
/// let (rests, goes_on) = (pulse.clone(), pulse.clone());
/// // For the hooks that the loop has:
/// let before_it_waits = move || rests.rests();
/// let after_it_waits = move || goes_on.goes_on();
/// let _here = pulse.here();
/// # before_it_waits();
/// # after_it_waits();
/// ```
#[derive(Clone, Default)]
pub struct Pulse(Arc<Beat>);

impl Pulse {
    /// One that does not beat yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// It is the pulse of this thread, until what this gives is dropped.
    #[must_use = "when it is dropped, the pulse is no longer that of this thread"]
    pub fn here(&self) -> Here {
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        self.0.thread.store(thread.cast_unsigned().into(), Ordering::Relaxed);
        Here { before: HERE.replace(Some(Rc::new(Own(self.0.clone())))) }
    }

    /// The thread has nothing to do, and waits.
    pub fn rests(&self) {
        self.0.rests();
    }

    /// It has something to do. From the first call on only this begins its work, and only [`rests`](Self::rests) ends it.
    pub fn goes_on(&self) {
        self.0.goes_on();
    }
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulse").field("seen", &self.0.look()).finish()
    }
}

thread_local! {
    static HERE: RefCell<Option<Rc<Own>>> = const { RefCell::new(None) };
}

/// The beat as its own thread has it: each turn takes an `Rc` of this, which is cheaper.
#[derive(Debug)]
struct Own(Arc<Beat>);

impl Deref for Own {
    type Target = Beat;

    fn deref(&self) -> &Beat {
        &self.0
    }
}

/// A thread has a [`Pulse`], as long as this is there.
#[derive(Debug)]
pub struct Here {
    before: Option<Rc<Own>>,
}

impl Drop for Here {
    fn drop(&mut self) {
        HERE.set(self.before.take());
    }
}

/// Does a piece of work that is called `name`, as a turn of this thread: a poll of a foreign task. For whoever runs those.
#[inline]
pub fn during<T>(name: fn() -> &'static str, work: impl FnOnce() -> T) -> T {
    turn(Some(name), work)
}

/// A turn of this thread, if it has a pulse.
#[inline]
pub(crate) fn turn<T>(name: Option<Named>, work: impl FnOnce() -> T) -> T {
    let _turn = HERE.with_borrow(Clone::clone).map(|beat| Turn::begin(beat, name));
    work()
}

/// The pulse of this thread.
pub(crate) fn here() -> Option<Arc<Beat>> {
    HERE.with_borrow(|here| here.as_ref().map(|own| own.0.clone()))
}

/// Also if the work panics.
struct Turn {
    beat: Rc<Own>,
    before: Option<Named>,
    alone: bool,
}

impl Turn {
    #[inline]
    fn begin(beat: Rc<Own>, name: Option<Named>) -> Self {
        let before = beat.job.set(name);
        let alone = beat.begin();
        Self { beat, before, alone }
    }
}

impl Drop for Turn {
    #[inline]
    fn drop(&mut self) {
        self.beat.job.set(self.before);
        if self.alone {
            self.beat.rests();
        }
    }
}

/// What the thread writes.
#[derive(Debug, Default)]
pub(crate) struct Beat {
    /// The number of the turn, and below it two bits.
    word: AtomicU64,
    thread: AtomicU64,
    job: Job,
}

const BUSY: u64 = 1;
/// The loop says itself when it rests.
const SAYS: u64 = 1 << 1;
const ONE: u64 = 1 << 2;

impl Beat {
    /// Only the thread itself writes.
    #[inline]
    fn write(&self, change: impl FnOnce(u64) -> u64) -> u64 {
        let before = self.word.load(Ordering::Relaxed);
        self.word.store(change(before).wrapping_add(ONE), Ordering::Relaxed);
        before
    }

    #[inline]
    fn rests(&self) {
        self.write(|word| word & !BUSY);
    }

    fn goes_on(&self) {
        self.write(|word| word | BUSY | SAYS);
    }

    /// A turn begins. Whether its end is the beginning of a rest.
    #[inline]
    fn begin(&self) -> bool {
        self.write(|word| word | BUSY) & (BUSY | SAYS) == 0
    }

    /// Which turn it is at, or `None` if it rests.
    pub(crate) fn look(&self) -> Option<u64> {
        let word = self.word.load(Ordering::Relaxed);
        (word & BUSY != 0).then_some(word)
    }

    /// The number of the thread.
    pub(crate) fn thread(&self) -> i32 {
        i32::try_from(self.thread.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// What it does, if that has a name.
    pub(crate) fn job(&self) -> Option<&'static str> {
        self.job.get().map(|name| name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> &'static str {
        "a job"
    }

    #[test]
    fn a_turn_is_seen_while_it_lasts() {
        let pulse = Pulse::new();
        let beat = pulse.0.clone();
        during(name, || assert!(beat.look().is_none(), "it is of no thread"));
        {
            let _here = pulse.here();
            let first = turn(None, || {
                let outer = beat.look().expect("it is busy");
                during(name, || {
                    assert!(beat.look().is_some_and(|inner| inner != outer));
                    assert_eq!(beat.job(), Some("a job"));
                });
                assert!(beat.look().is_some(), "the outer turn goes on");
                outer
            });
            assert_eq!((beat.look(), beat.job()), (None, None));
            assert!(turn(None, || beat.look()) > Some(first));
        }
        during(name, || assert!(beat.look().is_none(), "it is of no thread any more"));
    }

    #[test]
    fn a_loop_that_says_when_it_rests_is_busy_in_between() {
        let pulse = Pulse::new();
        let _here = pulse.here();
        pulse.goes_on();
        let before = pulse.0.look().expect("it is busy");
        during(name, || ());
        assert!(pulse.0.look().is_some_and(|after| after != before), "and turns");
        assert_eq!(pulse.0.job(), None);
        pulse.rests();
        assert_eq!(pulse.0.look(), None);
    }

    #[test]
    fn a_panic_ends_the_turn() {
        let pulse = Pulse::new();
        let _here = pulse.here();
        let panics = std::panic::AssertUnwindSafe(|| during(name, || std::panic::panic_any("at once")));
        std::panic::catch_unwind(panics).unwrap_err();
        assert_eq!((pulse.0.look(), pulse.0.job()), (None, None));
    }
}
