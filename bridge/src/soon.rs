//! A loop that can do no more than run something soon, as one that links can be opened to.

use std::fmt;
use std::sync::Arc;

use pleach::Result;
use pleach::task::start_guest_run;

use crate::{ForeignLoop, ForeignTask};

/// Something for a loop to run, once, on its thread.
pub type Job = Box<dyn FnOnce() + Send>;

/// Any loop that runs what it is given, soon and on its own thread: of a GUI, of a game, of an interpreter. That is all that
/// links, calls and cancels need of it.
///
/// Foreign tasks become guests of that thread, see [`guest`](pleach::task::guest). They wait for what their loop offers by any
/// waker, and they are dropped by the thread if the loop ends before them, which their openers are told.
///
/// ```
/// use pleach::prelude::*;
/// use pleach_bridge::{Job, RunSoon, open_link};
/// use std::sync::mpsc;
/// use std::thread;
///
/// // The loop: a thread that runs what comes out of a queue.
/// let (queue, jobs) = mpsc::channel::<Job>();
/// let event_loop = thread::spawn(move || jobs.into_iter().for_each(|job| job()));
/// let on = RunSoon::new("toy task", move |job| drop(queue.send(job)));
///
/// /// Runs on the loop's thread.
/// async fn doubles(mut far: Far<(), u64, u64>) -> Result<()> {
///     far.started(()).await?;
///     while let Some(n) = far.recv().await? {
///         far.send(2 * n).await?;
///     }
///     Ok(())
/// }
///
/// let doubled = smol::block_on(open_link(on, doubles, async |mut near, ()| {
///     near.send(21).await?;
///     near.recv().await
/// }));
/// assert_eq!(doubled.unwrap(), Some(42));
/// event_loop.join().unwrap(); // nobody can send it anything any more
/// ```
#[derive(Clone)]
pub struct RunSoon {
    noun: &'static str,
    run_soon: Arc<dyn Fn(Job) + Send + Sync>,
}

impl RunSoon {
    /// `noun` is what its tasks are called in errors. `run_soon` has the loop run a job soon; it is called from any thread, must
    /// not run the job itself nor wait for anything, and drops the job if the loop has ended.
    pub fn new(noun: &'static str, run_soon: impl Fn(Job) + Send + Sync + 'static) -> Self {
        Self { noun, run_soon: Arc::new(run_soon) }
    }
}

impl ForeignLoop for RunSoon {
    fn start(&self, task: ForeignTask) -> Result<()> {
        let again = self.run_soon.clone();
        (self.run_soon)(Box::new(move || {
            // How it has ended is said by the task itself.
            let _ = start_guest_run(move |tick| again(Box::new(move || tick.run())), task(), drop);
        }));
        Ok(())
    }

    fn noun(&self) -> &'static str {
        self.noun
    }
}

impl fmt::Debug for RunSoon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunSoon").field("noun", &self.noun).finish_non_exhaustive()
    }
}
