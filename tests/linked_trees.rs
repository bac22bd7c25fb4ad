//! Trees with links in them that are cancelled and signalled as a whole: laws L4 and L33, and those rows of the table of
//! situations, which the `rows` of the test `links` name, that are about actors.
//!
//! The `main` of this binary plays the roots that are signalled.

mod harness;

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use harness::processes::{actors as actors_called, signal};
use harness::programs::{Program, outcome};
use harness::terminal::{Terminal, in_terminal};
use harness::{SOON, actors, plain, soon, unique};
use libtest_mimic::{Failed, Trial};
use pleach::actor::ActorNursery;
use pleach::error::RemoteError;
use pleach::host::Smol;
use pleach::prelude::*;
use pleach::task::defer;
use pleach_bridge::{Placement, Tokio, open_link, run};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

const HOUR: Duration = Duration::from_secs(3600);
const A_WHILE: Duration = Duration::from_millis(20);

/// Where an actor has its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Where {
    Guest,
    Thread,
}

const PLACEMENTS: [Where; 2] = [Where::Guest, Where::Thread];

/// What an actor has, and what it is doing when it is told to end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Life {
    place: Where,
    has_link: bool,
    is_shielded: bool,
}

impl Life {
    fn linked(place: Where) -> Self {
        Self { place, has_link: true, is_shielded: false }
    }

    fn all(place: Where) -> impl Iterator<Item = Self> {
        let of = move |has_link| [true, false].map(|is_shielded| Self { place, has_link, is_shielded });
        [true, false].into_iter().flat_map(of)
    }
}

/// As an argument of a program.
impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", serde_json::to_string(self).expect("it is plain"))
    }
}

/// Says so when it is dropped.
struct Says(String);

impl Drop for Says {
    fn drop(&mut self) {
        println!("{}", self.0);
    }
}

/// Foreign code that cleans up when it is told to.
async fn listens(mut far: Far<(), (), ()>, who: String) -> Result<()> {
    let _says = Says(format!("gone: the task of {who}"));
    far.started(()).await?;
    far.cancelled().await;
    tokio::time::sleep(A_WHILE).await;
    println!("cleaned: the task of {who}");
    Ok(())
}

/// Until it is told to end. In a shield it hears of that later.
async fn waits(life: Life) -> Result<()> {
    if !life.is_shielded {
        return sleep(HOUR).await;
    }
    loop {
        shield(SOON, sleep(A_WHILE)).await?;
        checkpoint().await?;
    }
}

/// Waits beside its link, then cleans up, for which it needs its loop.
async fn works(who: &str, life: Life, on: impl Placement, up: impl Future<Output = Result<()>>) -> Result<()> {
    let own = who.to_owned();
    let body = async {
        up.await?;
        let told = waits(life).await;
        shield(SOON, sleep(A_WHILE)).await?;
        println!("cleaned: {who}");
        told
    };
    match life.has_link {
        true => open_link(on, |far| listens(far, own), async |_near, ()| body.await).await,
        false => body.await,
    }
}

/// The life of an actor. The last thing it does is a call of tokio.
async fn lives(who: &'static str, life: Life, up: impl Future<Output = Result<()>>) -> Result<()> {
    let last = async || {
        tokio::time::sleep(A_WHILE).await;
        Ok(())
    };
    match life.place {
        Where::Guest => {
            defer(async move {
                if run(Tokio::here().expect("it is infected"), last).await.is_ok() {
                    println!("finalized: {who}");
                }
            })?;
            works(who, life, Tokio::here()?, up).await
        }
        Where::Thread => {
            defer(async move {
                if run(Tokio::thread(), last).await.is_ok() {
                    println!("finalized: {who}");
                }
            })?;
            works(who, life, Tokio::thread(), up).await
        }
    }
}

#[pleach::endpoint]
async fn holds(mut far: Far<(), (), ()>, life: Life) -> Result<()> {
    lives("the actor", life, async { far.started(()).await }).await
}

/// The same, and says that it lives when it is asked.
#[pleach::endpoint]
async fn process() -> Result<u32> {
    Ok(std::process::id())
}

/// An actor with a link in it, in a nursery.
async fn start(n: &ActorNursery, name: &str, place: Where) -> Result<Portal> {
    let actor = n.actor(name).expose(holds).expose(process);
    match place {
        Where::Guest => actor.host(Tokio::current_thread()).start().await,
        Where::Thread => actor.start().await,
    }
}

/// The root with a link of its own, and below it an actor with one.
async fn tree(name: String, life: Life) -> Result<()> {
    actor_nursery(async |n: ActorNursery| {
        let actor = start(&n, &name, life.place).await?;
        println!("pid: {}", actor.pid());
        let opened = actor.open_context(holds, (life,), async |_near, ()| {
            lives("the root", life, async {
                println!("up");
                Ok(())
            })
            .await
        });
        opened.await
    })
    .await
}

/// The second argument: part of the name of the actor. The third: what everybody does.
fn arguments() -> (String, Life) {
    let mut arguments = std::env::args().skip(2);
    let name = arguments.next().expect("the role has a name");
    let life = arguments.next().expect("and a life");
    (name, serde_json::from_str(&life).expect("which is one"))
}

#[pleach::main(host = Tokio::current_thread())]
async fn infected() -> Result<()> {
    let (name, life) = arguments();
    tree(name, life).await
}

#[pleach::main(host = Smol::one_thread())]
async fn plain_root() -> Result<()> {
    let (name, life) = arguments();
    tree(name, life).await
}

fn role(place: Where) -> &'static str {
    match place {
        Where::Guest => "infected",
        Where::Thread => "plain",
    }
}

/// What the root and its actor do when they end in good order.
const ALL: [&str; 8] = [
    "cleaned: the root",
    "cleaned: the task of the root",
    "gone: the task of the root",
    "finalized: the root",
    "cleaned: the actor",
    "cleaned: the task of the actor",
    "gone: the task of the actor",
    "finalized: the actor",
];

/// Those that one without a link says as well.
fn expected(life: Life) -> Vec<&'static str> {
    ALL.into_iter().filter(|line| life.has_link || !line.contains("the task")).collect()
}

/// The tree has ended by a signal, everybody in good order.
fn ended_well(mut root: Program, name: &str, life: Life, status: i32) {
    let (ended, stderr) = root.end(2 * SOON);
    assert_eq!((outcome(ended), stderr.as_str()), (Ok(status), ""), "{life:?}: {:?}", root.seen);
    for line in expected(life) {
        assert!(root.seen.iter().any(|seen| seen == line), "{life:?}: no {line:?} in {:?}", root.seen);
    }
    assert_eq!(actors_called(name), [0; 0]);
}

/// A root of this life that is up.
fn running(name: &str, life: Life) -> Program {
    let mut root = Program::role(&[&format!("--root={}", role(life.place)), name, &life.to_string()]);
    root.line("up");
    root
}

/// The same tree, whose root ends its actor when that is up.
#[pleach::main(host = Tokio::current_thread())]
async fn cancels() -> Result<()> {
    let (name, life) = arguments();
    let scope = CancelScope::new();
    let ended = scope.run(actor_nursery(async |n: ActorNursery| {
        let actor = start(&n, &name, life.place).await?;
        let opened = actor.open_context(holds, (life,), async |_near, ()| {
            scope.cancel("enough");
            sleep(HOUR).await
        });
        opened.await
    }));
    match ended.await? {
        None => {
            println!("ended in good order");
            Ok(())
        }
        Some(()) => Err(Ended)?,
    }
}

// ---- L4, L33, row 18

fn l04_a_cancel_of_the_parent_ends_the_loop_last(place: Where) -> Result<(), Failed> {
    let (name, life) = (unique("l04"), Life::linked(place));
    let mut root = Program::role(&["--root=cancels", &name, &life.to_string()]);
    root.line("ended in good order");
    let (ended, stderr) = root.end(2 * SOON);
    assert_eq!((outcome(ended), stderr.as_str()), (Ok(0), ""), "{:?}", root.seen);
    for line in expected(life).iter().filter(|line| line.ends_with("the actor")) {
        assert!(root.seen.iter().any(|seen| seen == line), "no {line:?} in {:?}", root.seen);
    }
    assert_eq!(actors_called(&name), [0; 0]);
    Ok(())
}

fn l04_a_signal_ends_the_loop_last(place: Where) -> Result<(), Failed> {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (name, life) = (unique("l04"), Life::linked(place));
        let root = running(&name, life);
        root.signal(signal);
        ended_well(root, &name, life, status);
    }
    Ok(())
}

fn l33_ctrl_c_at_a_terminal(place: Where) -> Result<(), Failed> {
    let (name, life) = (unique("l33"), Life::linked(place));
    let mut terminal = Terminal::open()?;
    let role = format!("--in-terminal={}", role(place));
    let mut root = terminal.start(&[&role, &name, &life.to_string()])?;
    root.line("up");
    terminal.ctrl_c()?;
    ended_well(root, &name, life, 130);
    Ok(())
}

/// There: a guest that was dropped and never ended, or a parent that hears of nobody's cancel.
fn row18_sigint_to_the_root(place: Where) -> Result<(), Failed> {
    for life in Life::all(place) {
        let name = unique("row18");
        let root = running(&name, life);
        root.signal(Signal::INT);
        ended_well(root, &name, life, 130);
    }
    Ok(())
}

/// An actor does nothing at the signals of a terminal, infected or not, and goes on.
fn row18_sigint_to_the_actor(place: Where) -> Result<(), Failed> {
    for life in Life::all(place) {
        let name = unique("row18");
        let mut root = running(&name, life);
        signal(root.line("pid: ").parse()?, Signal::INT);
        root.signal(Signal::TERM);
        ended_well(root, &name, life, 143);
    }
    Ok(())
}

// ---- rows 15 and 16, and L4 once more: cancelled from above

/// Opens `holds` in an actor, and goes on with `body`.
async fn while_it_holds<T>(
    place: Where,
    body: impl AsyncFnOnce(Portal, ActorNursery) -> Result<T>,
) -> Result<(T, Result<()>)> {
    let life = Life::linked(place);
    actor_nursery(async |n: ActorNursery| {
        let actor = start(&n, &unique("above"), place).await?;
        let opener = actor.clone();
        let (up, mut is_up) = pleach::task::oneshot::channel();
        nursery(async |tasks| {
            let held = tasks.spawn(async move {
                let opened = opener.open_context(holds, (life,), async |mut near, ()| {
                    let _ = up.send(());
                    near.recv().await.map(drop)
                });
                Ok(opened.await)
            })?;
            is_up.recv().await?;
            let value = body(actor, n.clone()).await?;
            Ok((value, held.join().await?))
        })
        .await
    })
    .await
}

/// The opener's scope absorbs it, and the actor goes on.
async fn row15_the_parent_cancels_the_context(place: Where) -> Result<()> {
    let life = Life::linked(place);
    actor_nursery(async |n: ActorNursery| {
        let actor = start(&n, &unique("row15"), place).await?;
        let scope = CancelScope::new();
        let opened = scope.run(actor.open_context(holds, (life,), async |mut near, ()| {
            scope.cancel("enough");
            near.recv().await
        }));
        assert_eq!(soon(opened).await?, None, "nobody else hears of it");
        assert_eq!(actor.run(process, ()).await?, actor.pid(), "the actor goes on");
        actor.cancel_actor().await
    })
    .await
}

/// Whoever has a dialog open with it and did not ask for that is told.
async fn row16_the_parent_cancels_the_actor(place: Where) -> Result<()> {
    let ((), held) = soon(while_it_holds(place, async |actor, _| actor.cancel_actor().await)).await?;
    let error = held.unwrap_err();
    assert!(error.is_cancelled() || error.downcast_ref::<RemoteError>().is_some(), "{error:?}");
    Ok(())
}

fn laws() -> Vec<Trial> {
    let mut trials = Vec::new();
    for place in PLACEMENTS {
        let name = |law: &str| match place {
            Where::Guest => format!("guest::{law}"),
            Where::Thread => format!("thread::{law}"),
        };
        macro_rules! programs {
            ($($test:ident),* $(,)?) => { $(trials.push(plain(name(stringify!($test)), move || $test(place)));)* };
        }
        macro_rules! roots {
            ($($test:ident),* $(,)?) => { $(trials.push(actors(name(stringify!($test)), move || $test(place)));)* };
        }
        programs! {
            l04_a_signal_ends_the_loop_last,
            l04_a_cancel_of_the_parent_ends_the_loop_last,
            l33_ctrl_c_at_a_terminal,
            row18_sigint_to_the_root,
            row18_sigint_to_the_actor,
        }
        roots! {
            row15_the_parent_cancels_the_context,
            row16_the_parent_cancels_the_actor,
        }
    }
    trials
}

fn main() -> ExitCode {
    let role = std::env::args().nth(1).unwrap_or_default();
    match role.as_str() {
        "--root=infected" => return infected(),
        "--root=plain" => return plain_root(),
        "--root=cancels" => return cancels(),
        other => match other.strip_prefix("--in-terminal=") {
            Some(role) => panic!("{}", in_terminal(role)),
            None => harness::main(laws()),
        },
    }
    ExitCode::SUCCESS
}
