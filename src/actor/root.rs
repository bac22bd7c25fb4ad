//! Where a program becomes the root of a tree, or one of its actors.

use std::fmt;
use std::future::Future;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustix::process::Signal;

use super::ambient::{In, Me, me};
use super::blocked;
use super::command::Programs;
use super::defaults::Defaults;
use super::endpoint::{self, Entry};
use super::interrupted::Interruption;
use super::nursery::ACTOR_GRACE;
use super::process::{self, ChildRole, ParentEvents, ParentHandle};
use super::serve::serve;
use super::turns::Turns;
use super::wire::gate::{Places, fresh_key, random};
use super::wire::{Control, Lost, Setup, Wire};
use crate::codec::Codec;
use crate::error::{Closed, Kind, Mark, Misuse, Reason};
use crate::host::{self, Host, Reactor, Root, RootFuture};
use crate::proto::connection::Role;
use crate::proto::control::ControlMessage;
use crate::proto::handshake::Known;
use crate::proto::key::Key;
use crate::task::{CancelScope, nursery};
use crate::{Error, Result, Waiting};

/// Exit status of an actor that could not become one.
const NO_ROLE: u8 = 70;
/// How long an actor may take to hand over its last word, and a root to write its own.
const LAST_WORD: Duration = Duration::from_millis(500);
/// How long children may take to be reaped that were killed: as long as the last step of the ladder.
const REAPED: Duration = Duration::from_secs(2);

/// Set in a process that was started as an actor.
static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// A name for a tree, told to every actor of it.
fn new_tree() -> Result<Arc<str>> {
    Ok(format!("{:016x}", u64::from_le_bytes(random()?)).into())
}

/// What a shell adds to the number of a signal to make an exit status of it.
const BY_SIGNAL: u8 = 128;

/// The entry point that `#[pleach::main]` writes: an actor's life if this process was started as one, else the root's.
pub fn main<H, F, Fut>(init: fn(), host: impl FnOnce() -> H, root: F) -> ExitCode
where
    H: Host,
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output: Outcome> + Send + 'static,
{
    enter(init);
    init();
    let (result, signal) = match run_interruptible(host(), || async { root().await.outcome() }) {
        Ok(ended) => ended,
        Err(error) => (Err(error), None),
    };
    let status = u8::from(result.is_err());
    let error = result.err().filter(|error| !is_only(error, signal));
    // Also without one: the last lines of actors may still wait for whoever reads them.
    process::say(error.map_or_else(String::new, |error| format!("error: {error:?}\n")), LAST_WORD);
    ExitCode::from(signal.and_then(|number| u8::try_from(number).ok()).map_or(status, |number| BY_SIGNAL + number))
}

/// Whether the error says no more than that this signal arrived: whoever sent it knows that.
fn is_only(error: &Error, signal: Option<i32>) -> bool {
    signal.is_some_and(|number| error.mark().is_some_and(|mark| mark.reason == Reason::Signal(number)))
}

/// What a root may return.
#[diagnostic::on_unimplemented(message = "a root returns nothing or `pleach::Result<..>`, not `{Self}`")]
pub trait Outcome {
    /// What it gives if it is no failure.
    type Value: Send + 'static;

    /// It, or the failure.
    fn outcome(self) -> Result<Self::Value>;
}

impl Outcome for () {
    type Value = ();

    fn outcome(self) -> Result<()> {
        Ok(())
    }
}

impl<T: Send + 'static> Outcome for Result<T> {
    type Value = T;

    fn outcome(self) -> Self {
        self
    }
}

/// Takes the entry point: if this process was started as an actor, it lives that actor's life and does not return.
///
/// `#[pleach::main]` calls it. A program that cannot use the attribute (a test harness of its own) calls it first thing
/// in `main`, before any thread is started; without it no actor can be started. A binary of ordinary tests, whose `main`
/// is not its own, has [`test_entry!`](crate::test_entry).
///
/// `init` runs in every actor before its host: subscribers, panic hooks. In the root it does not run.
///
/// # Panics
/// A panic of `init` ends the actor before its handshake, which fails its start.
///
/// ```no_run
/// use pleach::host::Smol;
/// use pleach::prelude::*;
///
/// #[pleach::endpoint]
/// async fn double(n: u64) -> Result<u64> {
///     Ok(2 * n)
/// }
///
/// fn main() -> Result<()> {
///     pleach::actor::enter(|| {});
///     // Only the root comes here.
///     let doubled = pleach::actor::run(Smol::one_thread(), || {
///         actor_nursery(async |n| {
///             let worker = n.actor("worker").expose(double).start().await?;
///             let doubled = worker.run(double, (21,)).await?;
///             n.cancel_actors("done");
///             Ok(doubled)
///         })
///     })?;
///     assert_eq!(doubled, 42);
///     Ok(())
/// }
/// ```
pub fn enter(init: fn()) {
    let Some(role) = process::take_role(known()) else { return };
    let status = match role {
        Ok(role) => {
            init();
            live(role)
        }
        Err(error) => {
            let text = format!("error: this process was started as an actor, but cannot become one: {error}\n");
            process::say(text, LAST_WORD);
            NO_ROLE
        }
    };
    std::process::exit(status.into());
}

fn known() -> Known {
    let codecs = Codec::all().map(|codec| codec.name().to_owned());
    Known { codecs: codecs.collect(), max_message: u64::MAX }
}

/// Runs `root` as the root actor of a tree on this host, and gives its result. `#[pleach::main]` does this on smol.
///
/// As long as it runs, SIGINT and SIGTERM do not end the process: the first of either cancels the whole tree, with its
/// grace; the second takes the grace away; the third kills all actors and this process by SIGKILL, as does a root that has
/// not ended 4 s after the second. Before and after that, the two do what they did before; where that was to end the
/// process, they do so also if somebody else has asked to hear of them meanwhile.
///
/// # Errors
/// What `root` failed with; that the host could not be set up; [`Misuse`], before anything is run, where the entry point
/// was not taken (see [`enter`]). If a signal ended it, an error that [is a cancel](Error::is_cancelled) and whose
/// [mark](Error::mark) has the reason [`Reason::Signal`], unless something failed on the way.
pub fn run<T, F, Fut>(host: impl Host, root: F) -> Result<T>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    process::require_entry("root")?;
    run_anywhere(host, root)
}

/// The same, where the entry point need not be taken.
pub(super) fn run_anywhere<T, F, Fut>(host: impl Host, root: F) -> Result<T>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    run_interruptible(host, root)?.0
}

/// The result of the root, and the signal that was to end it, if one was.
fn run_interruptible<T, F, Fut>(host: impl Host, root: F) -> Result<(Result<T>, Option<i32>)>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let interruption = Arc::new(Interruption::default());
    let guard = process::guard_root(interruption.clone())
        .map_err(|error| Error::from(error).context("root: listening to SIGINT and SIGTERM"))?;
    // Boxed, or each of the futures around would hold and move it: a root can be large.
    let root = interruption.clone().run(Box::pin(async move { root().await }));
    let ended = run_on(&host, root)?;
    if interruption.signal().is_some() {
        // Tasks whose grace was over were dropped, and did not wait for them.
        guard.wait_for_children(REAPED);
    }
    Ok((interruption.outcome(ended), interruption.signal()))
}

/// Runs the root's future on this host.
fn run_on<T: Send + 'static>(
    host: &impl Host,
    root: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<Result<T>> {
    let result = Arc::new(Mutex::new(None));
    let slot = result.clone();
    let place = Place::root()?;
    let body: Root = Box::new(move |reactor: Arc<dyn Reactor>| -> RootFuture {
        Box::pin(async move {
            let _watched = blocked::watch(&place.path, None);
            let ended = with_services(place, reactor, |me| In::new(me, root)).await;
            *lock(&slot) = Some(ended);
        })
    });
    host.run(body).map_err(|error| Error::from(error).context(format!("the host `{}`", host.name())))?;
    let ended = lock(&result).take();
    ended.ok_or_else(|| Misuse::new("the host ended before its root did").into())
}

/// Ends the process of the running task's actor, as failed with `cause`: its tasks are cancelled with its grace, and its
/// parent gets the failure. For what nothing but the end of a process ends.
///
/// Gives whether it is being ended: the root of a tree, actors in its process and tasks outside every actor are not.
pub fn end_actor(cause: &Error) -> bool {
    let Ok(me) = me() else { return false };
    if !IS_CHILD.load(Ordering::Relaxed) {
        return false;
    }
    let cause = cause.to_remote(&me.path, me.incarnation);
    // A nursery that is closed belongs to an actor that ends.
    let _ = me.services.spawn(async move { Result::<()>::Err(cause.into()) });
    true
}

/// Where an actor stands, and how long it may take to unwind.
struct Place {
    path: String,
    tree: Arc<str>,
    key: Key,
    defaults: Defaults,
    incarnation: u64,
    grace: Duration,
}

impl Place {
    fn root() -> Result<Self> {
        let (path, tree) = ("root".to_owned(), new_tree()?);
        Ok(Self { path, tree, key: fresh_key()?, defaults: Defaults::new(), incarnation: 1, grace: ACTOR_GRACE })
    }
}

/// Runs an actor's root beside a nursery for the drivers of its connections, which outlive its cancellation.
async fn with_services<T, F, Fut>(place: Place, reactor: Arc<dyn Reactor>, root: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(Arc<Me>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
{
    let turns = Arc::new(Turns::new(reactor.clone()));
    let ended = Arc::new(Mutex::new(None));
    let all = nursery({
        let (turns, ended) = (turns.clone(), ended.clone());
        async move |services| {
            let Place { path, tree, key, defaults, incarnation, grace } = place;
            let programs = Arc::new(Programs::default());
            let me = Me {
                path,
                places: Arc::new(Places::new(&tree)),
                tree,
                key,
                defaults: Arc::new(defaults),
                incarnation,
                grace,
                reactor,
                turns,
                services: services.clone(),
                started: Arc::default(),
                programs: programs.clone(),
            };
            // As a task beside the drivers, so that a wake of one of them does not poll the whole actor. Nobody waits for it here: a
            // body that waits is polled at each wake as well.
            services.spawn(async move {
                let _end = EndPrograms(programs);
                let value = root(Arc::new(me)).await?;
                *lock(&ended) = Some(value);
                Ok(())
            })?;
            Ok(())
        }
    });
    turns.around(all).await?;
    let value = lock(&ended).take();
    value.ok_or_else(|| Closed.into())
}

/// The programs that an actor has started end with its root, however that ends.
struct EndPrograms(Arc<Programs>);

impl Drop for EndPrograms {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn lock<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The life of an actor, to its exit status.
fn live(role: ChildRole) -> u8 {
    IS_CHILD.store(true, Ordering::Relaxed);
    let parent = role.parent.clone();
    let ended = inhabit(role);
    let status = u8::from(ended.is_err());
    let last_word = ended.err().map(|(error, path, incarnation)| error.to_remote(&path, incarnation));
    parent.bye(last_word, LAST_WORD);
    status
}

fn inhabit(role: ChildRole) -> Result<(), (Error, String, u64)> {
    let (path, incarnation) = (role.spec.path.clone(), role.spec.incarnation);
    let named = |error: Error| (error, path.clone(), incarnation);
    let host = host::make(&role.spec.host, &role.spec.host_config).ok_or_else(|| {
        let known = host::names().join(", ");
        let text = format!("{path}: no host `{}` in this program, it has {known}", role.spec.host);
        named(Misuse::new(text).into())
    })?;
    let result = Arc::new(Mutex::new(Ok(())));
    let slot = result.clone();
    let body: Root = Box::new(move |reactor| {
        Box::pin(async move {
            let ended = actor(role, reactor).await;
            *lock(&slot) = ended;
        })
    });
    host.run(body).map_err(|error| named(Error::from(error).context(format!("the host `{}`", host.name()))))?;
    let ended = std::mem::replace(&mut *lock(&result), Ok(()));
    ended.map_err(named)
}

/// An actor's root: the connection to its parent, and what is opened over it.
async fn actor(role: ChildRole, reactor: Arc<dyn Reactor>) -> Result<()> {
    let ChildRole { agreed, tree, spec, data, parent } = role;
    let exposed: Vec<&'static Entry> = spec.exposed.iter().filter_map(|name| endpoint::by_name(name)).collect();
    let grace = Duration::from_millis(spec.grace_ms);
    let scope = CancelScope::new().with_grace(grace);
    let codec = Codec::from_name(&agreed.codec)
        .ok_or_else(|| Misuse::new(format!("{}: no codec `{}` in this program", spec.path, agreed.codec)))?;
    let above = spec.path.rsplit_once('/').map_or("", |(above, _)| above).to_owned();
    let defaults = Defaults::told(&spec).map_err(|error| error.context(spec.path.clone()))?;
    let _watched = blocked::watch(&spec.path, Some(parent.clone()));
    let key = spec.key.ok_or_else(|| Misuse::new(format!("{}: its parent gave it no key of the tree", spec.path)))?;
    let place = Place { path: spec.path, tree: tree.into(), key, defaults, incarnation: spec.incarnation, grace };
    with_services(place, reactor, async move |me| {
        let line = data.serve(&me)?;
        let setup = Setup {
            role: Role::Child,
            here: me.clone(),
            peer: above,
            codec,
            max_message: usize::try_from(agreed.max_message).unwrap_or(usize::MAX),
            waiting: Waiting::from_name(&spec.waiting).unwrap_or_default(),
            control: Some(Box::new(ToParent(parent.clone()))),
            info: line.info(&agreed),
            watched: true,
            door: None,
        };
        let wire = Wire::start(setup, line.into())?;
        let from_outside = Arc::new(AtomicBool::new(false));
        let events = FromParent { wire: wire.clone(), scope: scope.clone(), from_outside: from_outside.clone() };
        parent.attach(Arc::new(events));
        let ended = serve(&me, &wire, exposed, &scope).await;
        // What the dialogs answered must be out before the process is.
        wire.close();
        wire.closed().await;
        match (ended, scope.mark()) {
            (Ok(()), Some(Mark { reason: Reason::Signal(number), .. })) if from_outside.load(Ordering::SeqCst) => {
                Err(signalled(number))
            }
            (ended, _) => ended,
        }
    })
    .await
}

/// The last word of an actor that nobody in the tree has ended: its parent would only see that it exited.
fn signalled(number: i32) -> Error {
    Error::msg(format!("it was ended by signal {number} from outside the tree")).with_kind(Kind::Died)
}

struct ToParent(ParentHandle);

impl Control for ToParent {
    fn send(&self, message: ControlMessage) {
        // A message of our own making fits; if the parent is gone, so are we in a moment.
        let _ = self.0.send(&message);
    }
}

/// What the control thread brings from the parent.
struct FromParent {
    wire: Arc<Wire>,
    scope: CancelScope,
    /// Whether it was a signal to this process, and nobody in the tree, that asked for the end first.
    from_outside: Arc<AtomicBool>,
}

impl ParentEvents for FromParent {
    fn control(&self, message: ControlMessage) {
        match message {
            ControlMessage::CancelActor { reason, .. } => self.scope.request(reason),
            ControlMessage::Bye { .. } => self.wire.lost(Lost::Closed),
            other => self.wire.control(other),
        }
    }

    fn terminate(&self) {
        self.from_outside.fetch_or(!self.scope.is_cancelled(), Ordering::SeqCst);
        self.scope.request(Reason::Signal(Signal::TERM.as_raw()));
    }
}

impl fmt::Debug for FromParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromParent").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Smol;

    #[test]
    fn two_roots_of_one_process_are_two_trees() {
        let tree = || run_anywhere(Smol::one_thread(), || async { Ok(me()?.tree.clone()) }).unwrap();
        assert_ne!(tree(), tree());
    }
}
