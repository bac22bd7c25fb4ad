//! What foreign code has left behind, as an error.

use std::fmt;

/// What becomes of a scope whose foreign code has left something behind that did not end by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnLeak {
    /// The scope fails with [`Leaked`]; what its body returned is dropped.
    #[default]
    Error,
    /// The scope has its value, and [`Leaked`] is an event of `tracing`.
    Warn,
    /// As `Error`, and the actor fails with it as well, also if the scope's own thread is
    /// [`Stuck`](pleach::dialog::Stuck): only the end of its process ends a thread that blocks. The root of a tree, and a
    /// program without one, get the error.
    EndActor,
}

/// A foreign scope was over, and its code had left something behind.
///
/// Everything that is named here has ended, except for [`threads_running`](Leaked::threads_running) and processes that
/// are not [`ended`](LeakedProcess::ended).
///
/// ```
/// use pleach_bridge::{Leaked, Tokio, run};
///
/// let error = smol::block_on(run(Tokio::thread(), async || {
///     std::process::Command::new("sleep").arg("3600").spawn()?;
///     Ok(())
/// }))
/// .unwrap_err();
/// let leaked: &Leaked = error.downcast_ref().unwrap();
/// assert_eq!(leaked.processes[0].program, "sleep");
/// assert!(leaked.processes[0].ended);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Leaked {
    /// The name that the scope's threads had.
    pub scope: String,
    /// tokio tasks that belonged to no link and no call; they were dropped.
    pub tasks: usize,
    /// How many of them were spawned while a linked or called task was being dropped.
    pub tasks_by_drops: usize,
    /// Threads that blocked on when the tasks were gone.
    pub threads: usize,
    /// How many of them still do so: nothing but the end of this process ends them.
    pub threads_running: usize,
    /// Processes that had to be killed.
    pub processes: Vec<LeakedProcess>,
    /// Why some of it could not be looked at, if so: nothing is proven then.
    pub unproven: Option<String>,
}

/// A process that foreign code has left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeakedProcess {
    /// Its number.
    pub pid: u32,
    /// The name of its program, its first 15 bytes.
    pub program: String,
    /// Whether it is dead.
    pub ended: bool,
}

impl Leaked {
    /// Whether there is something that did not end by itself, or, with `strict`, anything.
    pub(super) fn is_leak(&self, strict: bool) -> bool {
        let killed = self.threads_running > 0 || !self.processes.is_empty() || self.unproven.is_some();
        killed || strict && (self.tasks > 0 || self.threads > 0)
    }
}

impl fmt::Display for Leaked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scope, tasks, tasks_by_drops, threads, threads_running, processes, unproven } = self;
        write!(f, "foreign code has left behind in its scope `{scope}`:")?;
        if *tasks > *tasks_by_drops {
            write!(f, "\n - detached tasks: {}, dropped", tasks - tasks_by_drops)?;
        }
        if *tasks_by_drops > 0 {
            write!(f, "\n - tasks that were spawned in a drop: {tasks_by_drops}, dropped")?;
        }
        if threads > threads_running {
            write!(f, "\n - threads that blocked: {}, ended late", threads - threads_running)?;
        }
        if *threads_running > 0 {
            let remedy = "only the end of this process ends them, see `OnLeak::EndActor`";
            write!(f, "\n - threads that block: {threads_running}, still running: {remedy}")?;
        }
        for LeakedProcess { pid, program, ended } in processes {
            let state = if *ended { "killed" } else { "could not be killed" };
            write!(f, "\n - process {pid} (`{program}`), {state}")?;
        }
        match unproven {
            Some(why) => write!(f, "\n - what could not be looked at: {why}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Leaked {}
