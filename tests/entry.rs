//! Where an actor comes into being, and what is refused before it does (laws P4, P11).
//!
//! The `main` of this binary plays several programs: one that never takes its entry point, one that ends before it does,
//! and one that fails in its `init`.

mod harness;

use std::io;
use std::process::{Command, Output, Stdio};

use harness::processes::{assert_gone, children};
use harness::{By, On, Way, actors, all_ways, plain, soon, unique};
use libtest_mimic::{Failed, Trial};
use pleach::actor::{ActorDied, ActorNursery, StartFailed};
use pleach::error::Misuse;
use pleach::host::{Host, Root, Smol};
use pleach::prelude::*;

#[pleach::endpoint]
async fn double(n: u64) -> Result<u64> {
    Ok(2 * n)
}

/// Not an endpoint: nobody has annotated it.
async fn triple(n: u64) -> Result<u64> {
    Ok(3 * n)
}

fn main() {
    let role = std::env::args().nth(1).unwrap_or_default();
    match role.as_str() {
        "--entry-not-taken" => return without_entry(),
        "--entry-not-taken-run" => return without_entry_in_a_tree(),
        "--root" => {
            pleach::actor::enter(|| {});
            return as_root();
        }
        actor if actor.starts_with("--pleach-actor=") && actor.contains("ends-early") => {
            eprintln!("no licence was found");
            std::process::exit(3);
        }
        _ => {}
    }
    harness::main_with(init, tests());
}

/// Runs in every child before its host.
fn init() {
    if std::env::args().any(|argument| argument.contains("bad-init")) {
        eprintln!("no subscriber can be set");
        std::process::exit(4);
    }
}

/// Starts an actor and says how that went, and how many children there were before and after.
async fn starts_one() -> Result<()> {
    let before = children().len();
    let started = actor_nursery(async |n: ActorNursery| {
        let worker = n.actor("worker").expose(double).start().await?;
        worker.run(double, (21,)).await?;
        worker.cancel_actor().await
    })
    .await;
    println!("children: {before} {}", children().len());
    started
}

fn report(started: Result<()>) {
    match started {
        Ok(()) => println!("started"),
        Err(error) => println!("misuse: {}\n{error}", error.downcast_ref::<Misuse>().is_some()),
    }
}

fn without_entry() {
    report(futures_lite::future::block_on(starts_one()));
}

/// Refused before the root runs, so that it is not the root that counts.
fn without_entry_in_a_tree() {
    let before = children().len();
    report(pleach::actor::run(Smol::one_thread(), starts_one));
    println!("children: {before} {}", children().len());
}

fn as_root() {
    report(pleach::actor::run(Smol::one_thread(), starts_one));
}

/// Runs this binary as one of the programs above.
fn program(arguments: &[&str], stdin: impl Into<Stdio>) -> Result<Output, Failed> {
    let child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    Ok(child.wait_with_output()?)
}

fn p11_no_actor_without_the_entry_point() -> Result<(), Failed> {
    for role in ["--entry-not-taken", "--entry-not-taken-run"] {
        let output = program(&[role], Stdio::null())?;
        let text = String::from_utf8(output.stdout)?;
        assert!(text.contains("misuse: true"), "{role}: {text}");
        assert!(text.contains("entry point") && text.contains("`#[pleach::main]` above"), "{role}: {text}");
        assert!(text.contains("children: 0 0"), "{role}: {text}");
    }
    Ok(())
}

/// A program of the user's that is started by an actor with the same arguments, or that has such an argument by chance.
fn p11_an_argument_alone_makes_no_child() -> Result<(), Failed> {
    let output = program(&["--pleach-actor=root/x", "--list"], Stdio::null())?;
    let text = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
    // It is no child: the harness sees the argument, which it does not know.
    assert!(text.contains("unexpected argument '--pleach-actor'"), "{text}");
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    io::Write::write_all(&mut &ours, b"GET / HTTP/1.1\r\n\r\n")?;
    let output = program(&["--pleach-actor=root/x"], std::os::fd::OwnedFd::from(theirs))?;
    let text = String::from_utf8(output.stderr)?;
    assert!(text.contains("was started as an actor, but cannot become one"), "{text}");
    assert_eq!(output.status.code(), Some(70));
    Ok(())
}

fn p11_a_program_with_another_argument_is_a_root() -> Result<(), Failed> {
    let output = program(&["--root"], Stdio::null())?;
    let text = String::from_utf8(output.stdout)?;
    assert!(text.contains("children: 0 0\nstarted"), "{text}");
    Ok(())
}

async fn p04_a_program_that_ends_before_its_handshake_fails_the_start() -> Result<()> {
    let name = unique("ends-early");
    let error = soon(actor_nursery(async |n: ActorNursery| n.actor(&name).expose(double).start().await.map(drop)));
    let error = error.await.unwrap_err();
    let failed = error.downcast_ref::<StartFailed>().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(failed.actor(), format!("root/{name}"));
    let text = error.to_string();
    let program = std::env::current_exe()?.display().to_string();
    let parts =
        [&program, &format!("root/{name}"), "exited with status 3", "before it was ready", "no licence was found"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    assert_gone(&[], &name);
    Ok(())
}

/// It answers the handshake before `init` and may be gone before the answer is: a failed start, or a death.
async fn p04_a_program_that_ends_in_init_fails_its_nursery() -> Result<()> {
    let name = unique("bad-init");
    let error = soon(actor_nursery(async |n: ActorNursery| {
        let worker = n.actor(&name).expose(double).start().await?;
        worker.run(double, (1,)).await.map(drop)
    }));
    let error = error.await.unwrap_err();
    assert!(error.downcast_ref::<StartFailed>().is_some() || error.downcast_ref::<ActorDied>().is_some(), "{error:?}");
    let text = error.to_string();
    let parts = [&format!("root/{name}"), "exited with status 4", "no subscriber can be set"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    assert_gone(&[], &name);
    Ok(())
}

/// What is refused, typed, with nothing started.
async fn refused(
    way: Way,
    actor: &str,
    describe: fn(pleach::actor::ActorBuilder) -> pleach::actor::ActorBuilder,
) -> Result<String> {
    let ended = soon(actor_nursery(async |n: ActorNursery| describe(n.actor(actor).by(way)).start().await.map(drop)));
    let error = ended.await.expect_err("nothing can be started here");
    assert!(error.is_misuse(), "{error:?}");
    Ok(error.to_string())
}

async fn a_name_that_is_no_step_of_a_path_is_refused(way: Way) -> Result<()> {
    for name in ["", "a/b", "/", "a\0b"] {
        let text = refused(way, name, |actor| actor).await?;
        assert!(text.contains(&format!("{name:?} cannot be the name of an actor")), "{text}");
        assert!(text.contains("one step of a path") && text.contains("give it another one"), "{text}");
    }
    Ok(())
}

async fn a_name_is_taken_as_long_as_its_actor_lives(way: Way) -> Result<()> {
    let name = unique("twin");
    soon(actor_nursery(async |n: ActorNursery| {
        let first = n.actor(&name).by(way).start().await?;
        let error = n.actor(&name).by(way).start().await.unwrap_err();
        let text = error.to_string();
        assert!(error.is_misuse(), "{error:?}");
        let (path, pid) = (format!("root/{name} lives already"), format!("pid {}", first.pid()));
        assert!(text.contains(&path) && text.contains(&pid) && text.contains("another name"), "{text}");
        first.cancel_actor().await?;
        let second = n.actor(&name).by(way).expose(double).start().await?;
        assert_eq!(second.run(double, (4,)).await?, 8);
        second.cancel_actor().await
    }))
    .await
}

struct Toy;

impl Host for Toy {
    fn name(&self) -> &'static str {
        "tests/toy"
    }

    fn run(&self, _: Root) -> io::Result<()> {
        unreachable!("it cannot be named to a child")
    }
}

async fn a_host_that_a_child_cannot_find_is_refused(way: Way) -> Result<()> {
    let text = refused(way, "worker", |actor| actor.host(Toy)).await?;
    let parts = match way.on {
        On::Inherited | On::Uds | On::Tcp => ["root/worker", "`tests/toy`", "finds hosts by name", "pleach/smol"],
        On::Mem => ["root/worker", "tests/toy", "carried by memory", "leave out `.host"],
    };
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    Ok(())
}

async fn a_function_that_is_no_endpoint_is_refused(way: Way) -> Result<()> {
    let text = refused(way, "worker", |actor| actor.expose(triple)).await?;
    let asks = "`entry::triple` is not an endpoint: write `#[pleach::endpoint]` above it";
    assert_eq!(text, asks);
    soon(actor_nursery(async |n: ActorNursery| {
        let worker = n.actor(unique("worker")).by(way).start().await?;
        let error = worker.run(triple, (1,)).await.unwrap_err();
        assert_eq!((error.is_misuse(), error.to_string().as_str()), (true, asks));
        worker.cancel_actor().await
    }))
    .await
}

async fn an_actor_without_codec_is_refused(way: Way) -> Result<()> {
    let text = refused(way, "worker", |actor| actor.codecs([])).await?;
    assert_eq!(text, "root/worker: there is no codec; list at least one");
    Ok(())
}

fn tests() -> Vec<Trial> {
    let mut tests = vec![
        plain("p11_no_actor_without_the_entry_point", p11_no_actor_without_the_entry_point),
        plain("p11_an_argument_alone_makes_no_child", p11_an_argument_alone_makes_no_child),
        plain("p11_a_program_with_another_argument_is_a_root", p11_a_program_with_another_argument_is_a_root),
    ];
    macro_rules! tests {
        ($($test:ident),* $(,)?) => { $(tests.extend(all_ways(stringify!($test), $test));)* };
    }
    macro_rules! inherited {
        ($($test:ident),* $(,)?) => { $(tests.push(actors(concat!("inherited::", stringify!($test)), $test));)* };
    }
    inherited! {
        p04_a_program_that_ends_before_its_handshake_fails_the_start,
        p04_a_program_that_ends_in_init_fails_its_nursery,
    }
    tests! {
        a_name_that_is_no_step_of_a_path_is_refused,
        a_name_is_taken_as_long_as_its_actor_lives,
        a_host_that_a_child_cannot_find_is_refused,
        a_function_that_is_no_endpoint_is_refused,
        an_actor_without_codec_is_refused,
    }
    tests
}
