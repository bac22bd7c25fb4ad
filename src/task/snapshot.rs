//! The tree of tasks as data: who is there, where it was started, and what it waits for.

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::clock;
use super::running::current;
use super::scope::{Kind, Scope};
use super::strand::{Strand, doing};
use super::waits_for::WaitsFor;
use crate::error::{Reason, ScopeId};

/// A scope at the moment of the snapshot, with all that is in it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScopeNode {
    /// What it is for.
    pub kind: ScopeKind,
    /// Its identity, which the mark of its cancel carries.
    pub id: ScopeId,
    /// How long until it cancels itself.
    pub deadline: Option<Duration>,
    /// Why it is being cancelled, if it is.
    pub cancelled: Option<Reason>,
    /// Its body, if that has not ended, and then the children.
    pub tasks: Vec<TaskNode>,
    /// Children that have not had a first turn.
    pub not_started: usize,
}

/// What a scope is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScopeKind {
    /// A nursery, with its children.
    Nursery,
    /// A [`CancelScope`](super::CancelScope).
    Cancel,
    /// A time limit.
    Limit,
    /// A [`shield`](super::shield), or cleanup.
    Shield,
}

/// A task: the body of a scope, or the child of a nursery.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskNode {
    /// The name that it was given.
    pub name: Option<Arc<str>>,
    /// Whether it is the body of its scope.
    pub is_body: bool,
    /// The line that started it.
    pub spawned_at: &'static Location<'static>,
    /// What it does.
    pub state: TaskState,
    /// The scopes that it is in the middle of.
    pub scopes: Vec<ScopeNode>,
}

/// What a task does at the moment of the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// It is being polled.
    Running,
    /// It waits for this.
    Waiting {
        /// For what. Of several things, in a `select`, the one that was asked last.
        what: WaitsFor,
        /// The line of the await, where it is known.
        at: Option<&'static Location<'static>>,
    },
    /// It waits for something that is no runtime await.
    Foreign,
}

/// The tree that the running task belongs to, from its outermost scope; `None` outside every task.
///
/// Tasks that are polled by other threads meanwhile go on, so that what is said of them may be a moment old.
///
/// ```
/// use pleach::task::{channel, checkpoint, nursery, snapshot, time::VirtualClock};
///
/// let seen = VirtualClock::block_on(nursery(async |n| {
///     let (_sender, mut receiver) = channel::bounded::<u32>(1);
///     n.named("listener").spawn(async move { receiver.recv().await.map(drop) })?;
///     checkpoint().await?;
///     let seen = snapshot().expect("this is a task");
///     n.cancel();
///     Ok(seen.to_string())
/// }));
/// assert!(seen.unwrap().contains("`listener`"));
/// ```
pub fn snapshot() -> Option<ScopeNode> {
    let strand = current()?;
    let mut look = Look { now: clock::now(), running: vec![strand.clone()] };
    let mut top = strand.scope().clone();
    loop {
        let (parent, home) = {
            let state = top.lock();
            (state.parent(), state.home.as_ref().and_then(Weak::upgrade))
        };
        look.running.extend(home);
        match parent {
            Some(parent) => top = parent,
            None => return Some(look.scope(&top)),
        }
    }
}

/// The tree below a scope, for whoever has a handle of it.
pub(crate) fn snapshot_of(scope: &Arc<Scope>) -> ScopeNode {
    let running = current().into_iter().collect();
    Look { now: clock::now(), running }.scope(scope)
}

struct Look {
    now: Instant,
    /// Those on the poll stack of this thread, which may be in no list yet.
    running: Vec<Arc<Strand>>,
}

impl Look {
    fn scope(&self, scope: &Arc<Scope>) -> ScopeNode {
        let cancelled = scope.is_requested().then(|| scope.mark()).flatten().map(|mark| mark.reason);
        let (strands, inner) = self.inside(scope);
        let (children, inner): (Vec<_>, Vec<_>) = inner.into_iter().partition(|scope| scope.kind() == Kind::Children);
        let mut node = ScopeNode {
            kind: kind_of(scope),
            id: scope.id(),
            deadline: scope.at().map(|at| at.saturating_duration_since(self.now)),
            cancelled,
            tasks: self.tasks(&strands, inner, true),
            not_started: 0,
        };
        let bodies = strands.len();
        for children in children {
            let (strands, inner) = self.inside(&children);
            // The body is counted with the children.
            node.not_started += children.count.live().saturating_sub(strands.len() + bodies.min(1));
            node.tasks.extend(self.tasks(&strands, inner, false));
        }
        node
    }

    /// The strands of a scope, and the scopes right inside it.
    fn inside(&self, scope: &Arc<Scope>) -> (Vec<Arc<Strand>>, Vec<Arc<Scope>>) {
        let (mut strands, scopes) = {
            let state = scope.lock();
            let strands: Vec<_> = state.strands.iter().map(|(_, strand)| strand.clone()).collect();
            (strands, state.inner_scopes())
        };
        for running in self.running.iter().filter(|running| Arc::ptr_eq(running.scope(), scope)) {
            if !strands.iter().any(|strand| Arc::ptr_eq(strand, running)) {
                strands.push(running.clone());
            }
        }
        (strands, scopes)
    }

    /// Each strand with the scopes that it is polled in.
    fn tasks(&self, strands: &[Arc<Strand>], scopes: Vec<Arc<Scope>>, is_body: bool) -> Vec<TaskNode> {
        let of = |strand: &Arc<Strand>| {
            let is_home = |scope: &&Arc<Scope>| {
                let home = scope.lock().home.as_ref().and_then(Weak::upgrade);
                home.is_some_and(|home| Arc::ptr_eq(&home, strand))
            };
            scopes.iter().filter(is_home).map(|scope| self.scope(scope)).collect()
        };
        let node = |strand: &Arc<Strand>| TaskNode {
            name: strand.name(),
            is_body,
            spawned_at: strand.location(),
            state: self.state(strand),
            scopes: of(strand),
        };
        strands.iter().map(node).collect()
    }

    fn state(&self, strand: &Arc<Strand>) -> TaskState {
        match strand.doing() {
            _ if self.running.iter().any(|running| Arc::ptr_eq(running, strand)) => TaskState::Running,
            doing::RUNNING => TaskState::Running,
            what => match WaitsFor::from_number(what) {
                Some(what) => TaskState::Waiting { what, at: strand.waits_at() },
                None => TaskState::Foreign,
            },
        }
    }
}

fn kind_of(scope: &Scope) -> ScopeKind {
    match scope.kind() {
        Kind::Nursery | Kind::Children => ScopeKind::Nursery,
        Kind::Cancel => ScopeKind::Cancel,
        Kind::Limit => ScopeKind::Limit,
        Kind::Shield => ScopeKind::Shield,
    }
}

impl fmt::Display for ScopeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nursery => "nursery",
            Self::Cancel => "cancel scope",
            Self::Limit => "time limit",
            Self::Shield => "shield",
        })
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("runs"),
            Self::Waiting { what, at: Some(at) } => write!(f, "waits for {what} at {at}"),
            Self::Waiting { what, at: None } => write!(f, "waits for {what}"),
            Self::Foreign => f.write_str("waits for something that is no runtime await"),
        }
    }
}

impl ScopeNode {
    fn write(&self, f: &mut fmt::Formatter<'_>, indent: usize) -> fmt::Result {
        write!(f, "{:indent$}{}", "", self.kind)?;
        if let Some(rest) = self.deadline {
            write!(f, ", {rest:.1?} left")?;
        }
        if let Some(reason) = &self.cancelled {
            write!(f, ", cancelled: {reason}")?;
        }
        writeln!(f)?;
        self.tasks.iter().try_for_each(|task| task.write(f, indent + 2))?;
        if self.not_started > 0 {
            writeln!(f, "{:1$}and {2} that have not started", "", indent + 2, self.not_started)?;
        }
        Ok(())
    }
}

impl TaskNode {
    fn write(&self, f: &mut fmt::Formatter<'_>, indent: usize) -> fmt::Result {
        write!(f, "{:indent$}", "")?;
        match (&self.name, self.is_body) {
            (Some(name), _) => write!(f, "`{name}`")?,
            (None, true) => write!(f, "body")?,
            (None, false) => write!(f, "child")?,
        }
        writeln!(f, " of {} {}", self.spawned_at, self.state)?;
        self.scopes.iter().try_for_each(|scope| scope.write(f, indent + 2))
    }
}

impl fmt::Display for ScopeNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}
