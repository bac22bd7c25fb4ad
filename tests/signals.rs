//! SIGINT and SIGTERM at a root, and the signals of a terminal at its actors (laws C16, C4, P8).
//!
//! The `main` of this binary plays the roots that are signalled.

mod harness;

use std::process::{Command, ExitCode};
use std::time::Duration;

use harness::processes::{Watched, actors as actors_called, signal};
use harness::programs::{Program, outcome};
use harness::terminal::{Terminal, in_terminal};
use harness::{SOON, actors, plain, soon, unique};
use libtest_mimic::{Failed, Trial};
use pleach::actor::ActorNursery;
use pleach::error::Reason;
use pleach::host::Smol;
use pleach::prelude::*;
use rustix::process::Signal;

/// What a shell makes of SIGINT and of SIGTERM.
const STATUS: [(Signal, i32); 2] = [(Signal::INT, 130), (Signal::TERM, 143)];
/// What a scope has to clean up.
const GRACE: Duration = Duration::from_secs(3);
/// A root that is blocked is killed that long after the second signal, and then its actors are.
const BLOCKED: Duration = Duration::from_secs(4);

/// How someone who is cancelled cleans up.
async fn cleans_up(who: &str, how: &str) -> Result<()> {
    let cancelled = sleep(SOON * 100).await.expect_err("it is cancelled first");
    println!("cleaning {who}: {:?}", cancelled.mark().map(|mark| &mark.reason));
    let cleaned = shield(SOON * 100, async {
        let long = if how == format!("slow {who}") { SOON * 50 } else { Duration::from_millis(20) };
        sleep(long).await?;
        println!("cleaned {who}");
        if how == "badly" { Err(Error::msg(format!("{who} could not clean up"))) } else { Ok(()) }
    });
    cleaned.await?;
    Err(cancelled)
}

#[pleach::endpoint]
async fn leaf(mut far: Far<(), (), ()>, how: String) -> Result<()> {
    far.started(()).await?;
    cleans_up("leaf", &how).await
}

/// Says that it is there, and never gives way again.
#[pleach::endpoint]
async fn spins(mut far: Far<(), (), ()>) -> Result<()> {
    far.started(()).await?;
    checkpoint().await?;
    loop {
        std::hint::spin_loop();
    }
}

/// An actor with a leaf below it.
#[pleach::endpoint]
async fn middle(mut far: Far<(), (), ()>, how: String) -> Result<()> {
    actor_nursery(async |n: ActorNursery| {
        let below = n.actor("leaf").expose(leaf).start().await?;
        below
            .open_context(leaf, (how.clone(),), async |_near, ()| {
                far.started(()).await?;
                cleans_up("middle", &how).await
            })
            .await
    })
    .await
}

/// The second argument: part of the names of all actors. The third: how they clean up.
fn argument(number: usize) -> String {
    std::env::args().nth(number).expect("the role has this argument")
}

/// A root with two actors below each other, each in the middle of something.
#[pleach::main]
async fn tree() -> Result<()> {
    let how = argument(3);
    actor_nursery(async |n: ActorNursery| {
        let actor = n.actor(argument(2)).expose(middle).start().await?;
        actor
            .open_context(middle, (how.clone(),), async |_near, ()| {
                println!("up");
                cleans_up("root", &how).await
            })
            .await
    })
    .await
}

/// A root whose thread is blocked, above an actor that never gives way.
#[pleach::main]
async fn blocked() -> Result<()> {
    actor_nursery(async |n: ActorNursery| {
        let actor = n.actor(argument(2)).expose(spins).start().await?;
        actor
            .open_context(spins, (), async |_near, ()| {
                println!("actor {}", actor.pid());
                loop {
                    std::thread::park();
                }
            })
            .await
    })
    .await
}

/// Two roots after each other by the library's own function, and nothing after that.
fn twice() {
    pleach::actor::enter(|| {});
    for number in 1..=2 {
        let ended = pleach::actor::run(Smol::one_thread(), move || async move {
            println!("up {number}");
            sleep(SOON * 100).await
        });
        let error = ended.expect_err("it is interrupted");
        println!("ended {number}: {} {:?}", error.is_cancelled(), error.mark().map(|mark| &mark.reason));
    }
    loop {
        std::thread::park();
    }
}

fn c16_the_first_signal_cancels_the_tree_with_its_grace() -> Result<(), Failed> {
    for (signal, status) in STATUS {
        let name = unique("c16");
        let mut root = Program::role(&["--root=tree", &name, "quickly"]);
        root.line("up");
        root.signal(signal);
        let (ended, stderr) = root.end(2 * SOON);
        assert_eq!((outcome(ended), stderr.as_str()), (Ok(status), ""), "{:?}", root.seen);
        let cleaned = |who| root.seen.iter().any(|line| *line == format!("cleaned {who}"));
        assert!(["root", "middle", "leaf"].into_iter().all(cleaned), "{:?}", root.seen);
        assert_eq!(actors_called(&name), [0; 0]);
    }
    Ok(())
}

/// Over two hops, and in the dialogs as well.
fn c04_everyone_in_the_tree_hears_which_signal_it_was() -> Result<(), Failed> {
    let mut root = Program::role(&["--root=tree", &unique("c04"), "quickly"]);
    root.line("up");
    root.signal(Signal::INT);
    root.end(2 * SOON);
    for who in ["root", "middle", "leaf"] {
        assert_eq!(root.line(&format!("cleaning {who}: ")), format!("{:?}", Some(Reason::Signal(2))));
    }
    Ok(())
}

fn c16_a_failure_on_the_way_is_printed() -> Result<(), Failed> {
    let mut root = Program::role(&["--root=tree", &unique("c16"), "badly"]);
    root.line("up");
    root.signal(Signal::INT);
    let (ended, stderr) = root.end(2 * SOON);
    assert_eq!(outcome(ended), Ok(130), "{:?}", root.seen);
    for who in ["root", "leaf"] {
        assert!(stderr.contains(&format!("{who} could not clean up")), "{stderr}");
    }
    Ok(())
}

fn c16_the_second_signal_takes_the_grace_away() -> Result<(), Failed> {
    for (who, (signal, status)) in ["root", "middle", "leaf"].into_iter().zip(STATUS.into_iter().cycle()) {
        let name = unique("c16");
        let mut root = Program::role(&["--root=tree", &name, &format!("slow {who}")]);
        root.line("up");
        root.signal(signal);
        root.line(&format!("cleaning {who}"));
        // Either of them counts.
        root.signal(Signal::TERM);
        let (ended, stderr) = root.end(SOON);
        assert_eq!((outcome(ended), stderr.as_str()), (Ok(status), ""), "{:?}", root.seen);
        assert!(!root.seen.iter().any(|line| *line == format!("cleaned {who}")), "{:?}", root.seen);
        assert_eq!(actors_called(&name), [0; 0]);
    }
    Ok(())
}

/// The first signal leaves the tree its grace, and no more than that.
fn c16_cleaning_up_ends_with_the_grace() -> Result<(), Failed> {
    let name = unique("c16");
    let mut root = Program::role(&["--root=tree", &name, "slow root"]);
    root.line("up");
    root.signal(Signal::INT);
    let (ended, stderr) = root.end(GRACE + SOON);
    assert_eq!((outcome(ended), stderr.as_str()), (Ok(130), ""), "{:?}", root.seen);
    assert_eq!(actors_called(&name), [0; 0]);
    Ok(())
}

fn c16_the_third_signal_kills_the_tree() -> Result<(), Failed> {
    let mut root = Program::role(&["--root=blocked", &unique("c16")]);
    let actor = Watched::new(root.line("actor ").parse()?);
    for signal in [Signal::INT, Signal::TERM, Signal::INT] {
        root.signal(signal);
    }
    assert!(root.ends_within(SOON) && actor.ends_within(SOON));
    let (ended, _) = root.end(SOON);
    assert_eq!(outcome(ended), Err(Signal::KILL.as_raw()));
    Ok(())
}

fn c16_a_blocked_root_obeys_the_second_signal() -> Result<(), Failed> {
    let mut root = Program::role(&["--root=blocked", &unique("c16")]);
    let actor = Watched::new(root.line("actor ").parse()?);
    root.signal(Signal::INT);
    root.signal(Signal::INT);
    assert!(actor.ends_within(SOON), "the control thread ends it");
    assert!(!root.ends_within(Duration::ZERO), "it has its time");
    let (ended, _) = root.end(BLOCKED + SOON);
    assert_eq!(outcome(ended), Err(Signal::KILL.as_raw()));
    Ok(())
}

fn c16_only_a_running_root_is_cancelled_by_a_signal() -> Result<(), Failed> {
    let mut program = Program::role(&["--twice"]);
    for (number, signal) in [(1, Signal::INT), (2, Signal::TERM)] {
        program.line(&format!("up {number}"));
        program.signal(signal);
        let expected = format!("true {:?}", Some(Reason::Signal(signal.as_raw())));
        assert_eq!(program.line(&format!("ended {number}: ")), expected);
    }
    // Not SIGINT, which a shell without job control has ignored by what it starts in the background: that is kept.
    program.signal(Signal::TERM);
    let (ended, _) = program.end(SOON);
    assert_eq!(outcome(ended), Err(Signal::TERM.as_raw()), "it dies of it, as any program");
    Ok(())
}

/// Ctrl-C at the terminal of a root.
fn p08_c16_ctrl_c_at_a_terminal_cancels_the_tree() -> Result<(), Failed> {
    let mut terminal = Terminal::open()?;
    let mut root = terminal.start(&["--in-terminal", &unique("p08"), "quickly"])?;
    root.line("up");
    terminal.ctrl_c()?;
    let (ended, stderr) = root.end(2 * SOON);
    assert_eq!((outcome(ended), stderr.as_str()), (Ok(130), ""), "{:?}", root.seen);
    for who in ["root", "middle", "leaf"] {
        assert_eq!(root.line(&format!("cleaned {who}")), "");
    }
    Ok(())
}

/// What a terminal sends.
const TERMINAL: [Signal; 4] = [Signal::INT, Signal::QUIT, Signal::HUP, Signal::TSTP];

/// The ignored signals in what the kernel says of a process.
fn bits(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("every process has some");
    u64::from_str_radix(line.trim(), 16).expect("a mask")
}

/// The signals that a program which this actor starts ignores.
#[pleach::endpoint]
async fn ignored_below() -> Result<String> {
    let output = Command::new("/bin/sh").args(["-c", "grep SigIgn /proc/self/status"]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn c16_an_actor_does_nothing_at_the_signals_of_a_terminal() -> Result<()> {
    soon(actor_nursery(async |n: ActorNursery| {
        let actor = n.actor(unique("tty")).expose(ignored_below).start().await?;
        for number in TERMINAL {
            signal(actor.pid(), number);
        }
        let (below, ours) =
            (bits(&actor.run(ignored_below, ()).await?), bits(&std::fs::read_to_string("/proc/self/status")?));
        for number in TERMINAL {
            let bit = 1 << (number.as_raw() - 1);
            assert_eq!(below & bit, ours & bit, "a program of an actor ignores {number:?}");
        }
        actor.cancel_actor().await
    }))
    .await
}

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("--root=tree") => return tree(),
        Some("--root=blocked") => return blocked(),
        Some("--twice") => twice(),
        Some("--in-terminal") => panic!("{}", in_terminal("tree")),
        _ => harness::main(tests()),
    }
    ExitCode::SUCCESS
}

fn tests() -> Vec<Trial> {
    let mut tests = vec![];
    macro_rules! programs {
        ($($test:ident),* $(,)?) => { $(tests.push(plain(stringify!($test), $test));)* };
    }
    programs! {
        c16_the_first_signal_cancels_the_tree_with_its_grace,
        c04_everyone_in_the_tree_hears_which_signal_it_was,
        c16_a_failure_on_the_way_is_printed,
        c16_the_second_signal_takes_the_grace_away,
        c16_cleaning_up_ends_with_the_grace,
        c16_the_third_signal_kills_the_tree,
        c16_a_blocked_root_obeys_the_second_signal,
        c16_only_a_running_root_is_cancelled_by_a_signal,
        p08_c16_ctrl_c_at_a_terminal_cancels_the_tree,
    }
    tests.push(actors(
        "inherited::c16_an_actor_does_nothing_at_the_signals_of_a_terminal",
        c16_an_actor_does_nothing_at_the_signals_of_a_terminal,
    ));
    tests
}
