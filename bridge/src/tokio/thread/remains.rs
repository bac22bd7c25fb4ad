//! The end of a scope: what its code has left behind is waited for, ended, and named.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::LAST_LOOK;
use super::jobs::Tasks;
use super::leaked::Leaked;
use super::opener::{lock, straggle, straggled};
use super::proc::{Children, Tid, threads_named};
use super::processes::Processes;

/// How long what is ending by itself may take before it counts as left behind: an idle thread, a process that was killed when it was dropped.
const OWN_END: Duration = Duration::from_millis(50);
const SHORTEST_NAP: Duration = Duration::from_micros(20);
const LONGEST_NAP: Duration = Duration::from_millis(1);

/// The threads that tokio has started for a scope.
#[derive(Debug, Default)]
pub(super) struct Census(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    alive: usize,
    /// The scope is over: who is still alive is a straggler.
    over: bool,
    /// Children of threads that have ended.
    processes: Processes,
    failed: Option<io::Error>,
}

impl Census {
    /// On a thread that begins.
    pub(super) fn began(&self) {
        lock(&self.0).alive += 1;
    }

    /// On a thread that ends: its children are given to another thread of the process in a moment, and could not be told
    /// from that one's own.
    pub(super) fn ending(&self) {
        let mut counted = lock(&self.0);
        let mut list = || Children::mine()?.read();
        counted.processes.prune();
        if let Err(error) = counted.processes.adopt(&mut list) {
            counted.failed.get_or_insert(error);
        }
        counted.alive -= 1;
        if counted.over {
            straggled(1);
        }
    }

    fn alive(&self) -> usize {
        lock(&self.0).alive
    }

    fn take_processes(&self) -> Processes {
        std::mem::take(&mut lock(&self.0).processes)
    }

    /// Why the children of a thread that has ended are not known.
    fn failure(&self) -> Option<String> {
        lock(&self.0).failed.as_ref().map(|error| format!("the children of a thread that has ended: {error}"))
    }

    fn is_over(&self) {
        let mut counted = lock(&self.0);
        counted.over = true;
        straggle(counted.alive);
    }
}

/// What is looked for when the loop has been shut down.
pub(super) struct Remains {
    name: String,
    mine: Tid,
    children: Children,
    census: Arc<Census>,
    processes: Processes,
    /// The most threads that were there when they should have ended.
    blocked: usize,
    running: usize,
    unproven: Option<io::Error>,
}

impl Remains {
    /// On the scope's thread, before anything runs there: what it takes to look is opened now.
    pub(super) fn new(name: &str) -> io::Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            mine: Tid::mine(),
            children: Children::mine()?,
            census: Arc::default(),
            processes: Processes::default(),
            blocked: 0,
            running: 0,
            unproven: None,
        })
    }

    pub(super) fn census(&self) -> Arc<Census> {
        self.census.clone()
    }

    /// Waits until nothing is left, for at most `deadline`, and ends what can be ended.
    pub(super) fn clear(&mut self, deadline: Duration) {
        let since = Instant::now();
        let mut nap = SHORTEST_NAP;
        while !self.look() {
            let waited = since.elapsed();
            if waited >= deadline {
                break;
            }
            self.press(waited, deadline);
            std::thread::sleep(nap.min(deadline.saturating_sub(waited)));
            nap = (nap * 2).min(LONGEST_NAP);
        }
        self.bury();
        self.census.is_over();
    }

    /// Looks at what is left; true if it is nothing.
    fn look(&mut self) -> bool {
        let nothing = self.try_look();
        self.unproven = None;
        nothing.unwrap_or_else(|error| {
            self.unproven = Some(error);
            false
        })
    }

    fn try_look(&mut self) -> io::Result<bool> {
        let Self { children, processes, mine, .. } = self;
        let mut threads = threads_named(&self.name)?;
        threads.retain(|tid| tid != mine);
        processes.append(self.census.take_processes());
        processes.adopt(|| children.read())?;
        for thread in &threads {
            processes.adopt(|| thread.children())?;
        }
        processes.find_descendants()?;
        self.running = threads.len().max(self.census.alive());
        Ok(self.running == 0 && processes.all_gone())
    }

    /// Asks, and then does not ask.
    fn press(&mut self, waited: Duration, deadline: Duration) {
        if waited >= OWN_END.min(deadline / 4) {
            self.blocked = self.blocked.max(self.running);
            self.processes.terminate();
        }
        if waited >= deadline / 2 {
            self.processes.kill();
        }
    }

    /// Kills what is left of the processes, which does not take long.
    fn bury(&mut self) {
        if self.processes.all_gone() {
            return;
        }
        self.processes.kill();
        let since = Instant::now();
        while self.processes.find_descendants().is_err() || !self.processes.all_gone() {
            self.processes.kill();
            if since.elapsed() > LAST_LOOK / 2 {
                break;
            }
            std::thread::sleep(LONGEST_NAP);
        }
    }

    /// What there was.
    pub(super) fn report(self, tasks: Tasks) -> Leaked {
        Leaked {
            tasks: tasks.detached,
            tasks_by_drops: tasks.by_drops,
            threads: self.blocked.max(self.running),
            threads_running: self.running,
            processes: self.processes.leaked(),
            unproven: self.census.failure().or(self.unproven.map(|error| error.to_string())),
            scope: self.name,
        }
    }
}
