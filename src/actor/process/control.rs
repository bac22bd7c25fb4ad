//! The control thread: one `poll(2)` loop over everything that has to do with other processes of the tree.
//!
//! It runs no user code, waits for nothing but `poll`, and holds no lock while it calls out.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::conn::Conn;
use super::interrupts::{Interrupts, RootEvents, Step, die_alone};
use super::parent::{self, Parent, ParentEvents};
use super::sink::Sink;
use super::spawner::{Newborn, SpawnError};
use super::watchdog::{WatchEvents, Watchdog};
use super::watched::{self, Expected, Io, Order, Watched};
use crate::host::Beat;
use crate::proto::blocked::Blocked;

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// What the control thread is told by others.
pub(super) enum Command {
    /// A child is about to be forked.
    Expect(u64, Expected),
    /// It was forked.
    Born(u64, Box<Newborn>),
    /// It could not be.
    NotBorn(u64, SpawnError),
    /// Its handle wants something.
    Order(u64, Order),
    /// This process is the child at this connection of that process; say so when it is tied to it.
    Adopt { conn: Conn, peer: i32, sigterm: &'static OwnedFd, done: SyncSender<()> },
    /// Who hears the parent.
    Attach(Arc<dyn ParentEvents>),
    /// Something for the parent.
    ToParent(Vec<u8>),
    /// Say when all that was for the parent is written.
    Flush(SyncSender<()>),
    /// A root that hears of interrupts; say when it is noted.
    Root { id: u64, pipe: &'static OwnedFd, events: Arc<dyn RootEvents>, done: SyncSender<()> },
    /// It has ended.
    RootEnded(u64),
    /// Look at the pulse of a thread.
    Watch { id: u64, beat: Arc<Beat>, events: Arc<dyn WatchEvents> },
    /// What that thread does in this turn.
    Found { id: u64, turn: u64, blocked: Box<Blocked> },
    /// Look at it no more.
    Unwatch(u64),
    /// Say when there is no child.
    WhenEmpty(SyncSender<()>),
    /// A text for our stderr; say when it is written.
    Say(Vec<u8>, SyncSender<()>),
}

/// The way to the control thread.
pub(super) struct Control {
    queue: Mutex<Vec<Command>>,
    wake: OwnedFd,
}

impl Control {
    /// Tells it something.
    pub(super) fn push(&self, command: Command) {
        let mut queue = self.queue();
        let first = queue.is_empty();
        queue.push(command);
        drop(queue);
        if first {
            // It fails only if the counter is at its limit, and then the thread is awake.
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
    }

    fn queue(&self) -> MutexGuard<'_, Vec<Command>> {
        self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The control thread of this process, which is started if there is none yet.
pub(super) fn control() -> io::Result<&'static Control> {
    static CONTROL: Mutex<Option<&'static Control>> = Mutex::new(None);
    let mut slot = CONTROL.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(control) = *slot {
        return Ok(control);
    }
    let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let control = Arc::new(Control { queue: Mutex::default(), wake });
    let theirs = Arc::clone(&control);
    std::thread::Builder::new()
        .name("pleach-control".into())
        .stack_size(512 * 1024)
        .spawn(move || Loop::new(&theirs).run())?;
    // The thread never ends, so its counterpart may live as long.
    let control: &'static Control = Box::leak(Box::new(control));
    Ok(slot.insert(control))
}

/// Writes to our stderr, behind what our children wrote, and waits for that at most `bound`: nobody may be reading.
pub(crate) fn say(text: String, bound: Duration) {
    let (done, written) = sync_channel(1);
    if let Ok(control) = control() {
        control.push(Command::Say(text.into_bytes(), done));
        let _ = written.recv_timeout(bound);
    }
}

/// A number for a thread that is to be watched.
pub(crate) fn watch_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Looks at the pulse of a thread, until the result is dropped.
pub(crate) fn watch(id: u64, beat: Arc<Beat>, events: Arc<dyn WatchEvents>) -> io::Result<Watching> {
    let control = control()?;
    control.push(Command::Watch { id, beat, events });
    Ok(Watching { id, control })
}

/// Tells what a watched thread does in a turn which lasts.
pub(crate) fn found(id: u64, turn: u64, blocked: Blocked) {
    if let Ok(control) = control() {
        control.push(Command::Found { id, turn, blocked: Box::new(blocked) });
    }
}

/// A thread is watched as long as this is there.
pub(crate) struct Watching {
    id: u64,
    control: &'static Control,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.control.push(Command::Unwatch(self.id));
    }
}

/// Ends the process if the thread that holds it panics: without that thread nothing would be watched any more.
pub(super) struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

/// Whose descriptor became ready.
#[derive(Clone, Copy)]
enum Source {
    Wake,
    Sink,
    Interrupts,
    Parent(parent::Part),
    Child(u64, watched::Part),
}

/// A child that is being forked, and what its handle wanted meanwhile.
struct Unborn {
    expected: Expected,
    orders: Vec<Order>,
}

struct Loop<'a> {
    control: &'a Control,
    unborn: BTreeMap<u64, Unborn>,
    children: BTreeMap<u64, Watched>,
    parent: Option<Parent>,
    interrupts: Interrupts,
    watchdogs: BTreeMap<u64, Watchdog>,
    /// Who waits until there is no child.
    waiting: Vec<SyncSender<()>>,
    /// Who waits until all that was for stderr is written.
    said: Vec<SyncSender<()>>,
    io: Io,
    /// Kept for their memory only.
    commands: Vec<Command>,
    sources: Vec<Source>,
    ready: Vec<(Source, PollFlags)>,
}

impl<'a> Loop<'a> {
    fn new(control: &'a Control) -> Self {
        Self {
            control,
            unborn: BTreeMap::new(),
            children: BTreeMap::new(),
            parent: None,
            interrupts: Interrupts::default(),
            watchdogs: BTreeMap::new(),
            waiting: Vec::new(),
            said: Vec::new(),
            io: Io { chunk: vec![0; CHUNK], sink: Sink::default() },
            commands: Vec::new(),
            sources: Vec::new(),
            ready: Vec::new(),
        }
    }

    fn run(mut self) {
        let _guard = AbortOnPanic;
        let mut fds = Vec::new();
        loop {
            fds = self.wait(fds);
            let now = Instant::now();
            let mut ready = std::mem::take(&mut self.ready);
            for (source, flags) in ready.drain(..) {
                self.dispatch(source, flags, now);
            }
            self.ready = ready;
            self.obey(now);
            self.tick(now);
            self.io.sink.flush();
            if self.io.sink.is_empty() {
                tell(&mut self.said);
            }
        }
    }

    /// Waits until something is ready or due, and notes what is ready.
    fn wait(&mut self, memory: Vec<PollFd<'static>>) -> Vec<PollFd<'static>> {
        let mut fds = recycle(memory);
        let (mut sources, mut found) = (std::mem::take(&mut self.sources), std::mem::take(&mut self.ready));
        self.interests(|source, fd, flags| {
            sources.push(source);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        });
        let timeout = self.due().map(|due| timespec(due.saturating_duration_since(Instant::now())));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {
                let flags = fds.iter().map(PollFd::revents);
                found.extend(sources.iter().copied().zip(flags).filter(|(_, flags)| !flags.is_empty()));
            }
            Err(Errno::INTR) => {}
            // No memory, or more descriptors than a lowered limit allows: try again, without using up a core.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
        let memory = recycle(fds);
        sources.clear();
        (self.sources, self.ready) = (sources, found);
        memory
    }

    fn interests<'b>(&'b self, mut add: impl FnMut(Source, BorrowedFd<'b>, PollFlags)) {
        add(Source::Wake, self.control.wake.as_fd(), PollFlags::IN);
        if let Some(fd) = self.io.sink.wants_write() {
            add(Source::Sink, fd, PollFlags::OUT);
        }
        if let Some(fd) = self.interrupts.fd() {
            add(Source::Interrupts, fd, PollFlags::IN);
        }
        if let Some(parent) = &self.parent {
            parent.interests(|part, fd, flags| add(Source::Parent(part), fd, flags));
        }
        for (id, child) in &self.children {
            child.interests(|part, fd, flags| add(Source::Child(*id, part), fd, flags));
        }
    }

    fn due(&self) -> Option<Instant> {
        let children = self.children.values().filter_map(Watched::due);
        children.chain(self.interrupts.due()).chain(self.watchdogs.values().map(Watchdog::due)).min()
    }

    fn dispatch(&mut self, source: Source, flags: PollFlags, now: Instant) {
        match source {
            Source::Wake => drop(rustix::io::read(&self.control.wake, &mut [0; 8])),
            // All of it is flushed at the end of every round.
            Source::Sink => {}
            Source::Interrupts => self.interrupted(now),
            Source::Parent(part) => {
                if let Some(parent) = &mut self.parent {
                    parent.ready(part, flags, &mut self.io.chunk);
                }
            }
            Source::Child(id, part) => {
                if let Some(child) = self.children.get_mut(&id) {
                    child.ready(part, &mut self.io, now);
                }
            }
        }
    }

    /// Does what others told it since the last round.
    fn obey(&mut self, now: Instant) {
        let mut commands = std::mem::take(&mut self.commands);
        std::mem::swap(&mut *self.control.queue(), &mut commands);
        for command in commands.drain(..) {
            self.command(command, now);
        }
        self.commands = commands;
    }

    fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Expect(id, expected) => {
                self.unborn.insert(id, Unborn { expected, orders: Vec::new() });
            }
            Command::Born(id, newborn) => self.born(id, *newborn, now),
            Command::NotBorn(id, error) => {
                if let Some(unborn) = self.unborn.remove(&id) {
                    unborn.expected.events.not_started(error);
                }
            }
            Command::Order(id, order) => self.order(id, order, now),
            Command::Adopt { conn, peer, sigterm, done } => {
                self.parent = Some(Parent::adopt(conn, peer, sigterm));
                let _ = done.try_send(());
            }
            Command::Attach(events) => self.with_parent(|parent| parent.attach(events)),
            Command::ToParent(bytes) => self.with_parent(|parent| parent.send(&bytes)),
            Command::Flush(written) => self.with_parent(|parent| parent.flush_then(written)),
            Command::Root { id, pipe, events, done } => {
                self.interrupts.root(id, pipe, events);
                let _ = done.try_send(());
            }
            Command::RootEnded(id) => self.interrupts.ended(id),
            Command::Watch { id, beat, events } => {
                self.watchdogs.insert(id, Watchdog::new(beat, events, now));
            }
            Command::Found { id, turn, blocked } => {
                if let Some(watchdog) = self.watchdogs.get_mut(&id) {
                    watchdog.found(turn, *blocked);
                }
            }
            Command::Unwatch(id) => drop(self.watchdogs.remove(&id)),
            Command::WhenEmpty(done) => self.waiting.push(done),
            Command::Say(text, done) => {
                self.io.sink.put(&text);
                self.said.push(done);
            }
        }
    }

    fn with_parent(&mut self, act: impl FnOnce(&mut Parent)) {
        if let Some(parent) = &mut self.parent {
            act(parent);
        }
    }

    fn born(&mut self, id: u64, newborn: Newborn, now: Instant) {
        let Unborn { expected, orders } = self.unborn.remove(&id).expect("a child is expected before it is forked");
        let mut child = Watched::new(expected, newborn, now);
        for order in orders {
            child.order(order, now);
        }
        self.children.insert(id, child);
    }

    fn order(&mut self, id: u64, order: Order, now: Instant) {
        if let Some(child) = self.children.get_mut(&id) {
            child.order(order, now);
        } else if let Some(unborn) = self.unborn.get_mut(&id) {
            unborn.orders.push(order);
        }
    }

    fn interrupted(&mut self, now: Instant) {
        while let Some(step) = self.interrupts.next(now) {
            match step {
                // The roots cancel their actors themselves, as far as they still can.
                Step::Ask(_) => {}
                Step::Hurry => self.children.values_mut().for_each(|child| child.hurry(now)),
                Step::Kill => self.kill_tree(),
            }
        }
    }

    /// The actors, then this process. What they have started dies with them.
    fn kill_tree(&self) -> ! {
        self.children.values().for_each(Watched::kill);
        die_alone()
    }

    /// Does what is due, and buries whoever has ended.
    fn tick(&mut self, now: Instant) {
        if self.interrupts.due().is_some_and(|due| due <= now) {
            self.kill_tree();
        }
        for child in self.children.values_mut() {
            child.tick(&mut self.io, now);
        }
        self.watchdogs.values_mut().for_each(|watchdog| watchdog.tick(now));
        while let Some(id) = self.children.iter().find(|(_, child)| child.finished(now)).map(|(id, _)| *id) {
            if let Some(child) = self.children.remove(&id) {
                child.finish(&mut self.io);
            }
        }
        if self.children.is_empty() && self.unborn.is_empty() {
            tell(&mut self.waiting);
        }
    }
}

fn tell(waiting: &mut Vec<SyncSender<()>>) {
    for done in waiting.drain(..) {
        let _ = done.try_send(());
    }
}

/// The memory of a list of descriptors, without the descriptors: collecting in place keeps it.
fn recycle<'b>(mut fds: Vec<PollFd<'_>>) -> Vec<PollFd<'b>> {
    fds.clear();
    fds.into_iter().map(|_| unreachable!("it was just cleared")).collect()
}

/// A timeout for `poll`, rounded up so that it never returns just before what is due.
fn timespec(wait: Duration) -> Timespec {
    let wait = wait + Duration::from_nanos(1);
    Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: i64::from(wait.subsec_nanos()) }
}
