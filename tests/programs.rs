//! Foreign programs: each has an owner, which does not complete before it is reaped (laws P1, P3, P5, C12).
//!
//! The `main` of this binary plays the roots that lack descriptors.

mod harness;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use harness::processes::{Watched, children, kill};
use harness::programs::{Program as Role, outcome};
use harness::{By, SOON, Way, actors, all_ways, plain, soon, unique};
use libtest_mimic::{Failed, Trial};
use pleach::actor::ActorNursery;
use pleach::prelude::*;
use pleach::tree::{Command, Lack, NotStarted, Program};
use pleach_bridge::Tokio;
use rustix::process::{Resource, getrlimit, setrlimit};

/// No time in which anything is waited for.
const NEVER: Duration = Duration::from_secs(1000);

fn shell(script: &str) -> Command {
    Command::new("/bin/sh").args(["-c", script])
}

/// The first line that a program says.
async fn line(program: &mut Program) -> Result<String> {
    let mut line = String::new();
    let stdout = program.stdout.as_mut().expect("it is piped");
    cancellable(futures_lite::io::BufReader::new(stdout).read_line(&mut line)).await??;
    Ok(line.trim_end().to_owned())
}

/// Whether this is a child of ours, or was one and is not reaped.
fn is_ours(pid: u32) -> bool {
    children().contains(&pid)
}

async fn a_program_gives_its_status_and_its_output() -> Result<()> {
    assert_eq!(soon(shell("exit 3").run()).await?.code(), Some(3));
    let told = Command::new("/bin/sh").arg("-c").arg("echo $GREETING; pwd; echo $0 >&2; exit 4").arg("zero");
    let output = soon(told.env("GREETING", "hello").current_dir("/").output()).await?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n/\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "zero\n");
    assert_eq!(output.status.code(), Some(4));
    let environment = soon(Command::new("/usr/bin/env").env_clear().env("A", "b").output()).await?;
    assert_eq!(environment.stdout, b"A=b\n");
    // It reads an empty input, whatever ours is.
    assert_eq!(soon(Command::new("cat").output()).await?.stdout, b"");
    // Also where it is a pipe that nobody has.
    assert!(soon(Command::new("cat").stdin(Stdio::piped()).run()).await?.success());
    assert_eq!(soon(Command::new("cat").stdin(Stdio::piped()).output()).await?.stdout, b"");
    Ok(())
}

async fn a_program_converses_by_its_streams() -> Result<()> {
    soon(nursery(async |n| {
        let mut sort = Command::new("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn(&n).await?;
        let mut to = sort.stdin.take().expect("it is piped");
        cancellable(to.write_all(b"willow\nash\n")).await??;
        drop(to);
        let mut sorted = String::new();
        cancellable(sort.stdout.as_mut().expect("it is piped").read_to_string(&mut sorted)).await??;
        assert_eq!(sorted, "ash\nwillow\n");
        assert!(sort.wait().await?.success());
        Ok(())
    }))
    .await
}

/// More than any pipe holds, on both streams at once.
async fn much_output_is_collected() -> Result<()> {
    let script = "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2";
    let output = harness::eventually(shell(script).output()).await?;
    assert_eq!((output.stdout.len(), output.stderr.len()), (1_000_000, 1_000_000));
    Ok(())
}

async fn c12_p01_a_cancelled_program_is_asked_first() -> Result<()> {
    let scope = CancelScope::new();
    let mut output = String::new();
    let ended = scope.run(nursery(async |n| {
        let script = "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.01; done";
        let mut program = shell(script).stdout(Stdio::piped()).spawn(&n).await?;
        assert_eq!(line(&mut program).await?, "up");
        let mut stdout = program.stdout.take().expect("it is piped");
        scope.cancel("enough");
        let asked = shield(SOON, async { Ok(stdout.read_to_string(&mut output).await?) }).await;
        assert!(asked.is_ok() && output == "asked\n", "{output:?} {asked:?}");
        Ok(())
    }));
    soon(ended).await?;
    Ok(())
}

async fn p01_one_that_does_not_listen_is_killed_with_its_group() -> Result<()> {
    let (scope, mut pids) = (CancelScope::new(), Vec::new());
    let ended = scope.run(nursery(async |n| {
        let script = "trap '' TERM; sleep 1000 & echo $!; while :; do sleep 0.01; done";
        let mut program = shell(script).grace(Duration::from_millis(50)).stdout(Stdio::piped()).spawn(&n).await?;
        let helper = line(&mut program).await?.parse()?;
        pids.extend([program.id(), helper]);
        let watched = Watched::new(helper);
        scope.cancel("enough");
        let ended = program.wait().await;
        assert!(ended.is_err_and(|error| error.is_cancelled()));
        pids.truncate(1);
        Ok(watched)
    }));
    // The nursery waits for it also where its body does not.
    let watched = soon(ended).await?;
    assert!(!is_ours(pids[0]));
    assert!(watched.is_none_or(|helper| helper.ends_within(SOON)), "its helper lives on");
    Ok(())
}

async fn p01_what_a_program_leaves_in_its_group_ends_with_it() -> Result<()> {
    let output = soon(shell("sleep 1000 >/dev/null 2>&1 & echo $!").output()).await?;
    let helper: i32 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    let state = || std::fs::read_to_string(format!("/proc/{helper}/stat")).unwrap_or_default();
    soon(async {
        while !(state().is_empty() || state().contains(") Z ")) {
            sleep(Duration::from_millis(1)).await?;
        }
        Ok(())
    })
    .await
}

/// Somebody in another session has our pipe: nobody waits for him.
async fn an_output_that_stays_open_is_not_waited_for() -> Result<()> {
    let output = soon(shell("echo said; setsid sleep 5 & while ! [ -e /proc/$!/fd ]; do :; done; sleep 0.1").output());
    assert_eq!(output.await?.stdout, b"said\n");
    Ok(())
}

async fn c12_a_dropped_program_is_killed_and_reaped() -> Result<()> {
    let (file, mut pid) = (std::env::temp_dir().join(unique("pleach-pid")), 0);
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", file.display());
    let around = CancelScope::new().run(async {
        let appears = async {
            while !file.exists() {
                sleep(Duration::from_millis(1)).await?;
            }
            pid = std::fs::read_to_string(&file)?.trim().parse()?;
            Ok(())
        };
        futures_lite::future::or(async { shell(&script).run().await.map(drop) }, appears).await
    });
    soon(around).await?;
    std::fs::remove_file(&file)?;
    assert!(pid > 0 && !is_ours(pid), "the scope has completed before it was reaped");
    Ok(())
}

/// At whatever moment of its birth.
async fn c12_a_program_dropped_while_it_starts_leaves_nothing() -> Result<()> {
    let word = format!("{}.5", 2000 + std::process::id());
    for polls in 0..20 {
        let around = CancelScope::new().run(async {
            let mut run = std::pin::pin!(Command::new("sleep").arg(&word).run());
            for _ in 0..polls {
                assert!(futures_lite::future::poll_once(&mut run).await.is_none(), "it sleeps for long");
                futures_lite::future::yield_now().await;
            }
            Ok(())
        });
        soon(around).await?;
        let line = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!children().iter().any(|pid| line(pid).contains(&word)), "after {polls} polls");
    }
    Ok(())
}

async fn a_program_can_be_asked_to_end() -> Result<()> {
    soon(nursery(async |n| {
        let program = Command::new("sleep").arg("1000").spawn(&n).await?;
        program.end();
        assert_eq!(program.wait().await?.signal(), Some(15));
        Ok(())
    }))
    .await
}

fn names_the_program(error: &Error) {
    let refused = error.downcast_ref::<NotStarted>().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!((refused.lack, refused.program.as_str()), (Lack::Missing, "no-such-program"));
    let text = error.to_string();
    assert!(text.contains("the program `no-such-program` was not started") && text.contains("PATH"), "{text}");
}

async fn p05_a_missing_program_or_directory_is_a_typed_error() -> Result<()> {
    names_the_program(&soon(Command::new("no-such-program").run()).await.unwrap_err());
    names_the_program(&soon(Command::new("no-such-program").output()).await.unwrap_err());
    let error = soon(Command::new("true").current_dir("/no/such/directory").run()).await.unwrap_err();
    assert_eq!(error.downcast_ref::<NotStarted>().map(|refused| refused.lack), Some(Lack::Missing), "{error:?}");
    Ok(())
}

async fn p05_a_program_that_may_not_be_run_is_a_typed_error() -> Result<()> {
    let file = std::env::temp_dir().join(unique("pleach-plain"));
    std::fs::write(&file, "#!/bin/sh\n")?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))?;
    let error = soon(Command::new(&file).run()).await.unwrap_err();
    std::fs::remove_file(&file)?;
    assert_eq!(error.downcast_ref::<NotStarted>().map(|refused| refused.lack), Some(Lack::Permission), "{error:?}");
    assert!(error.to_string().contains("Check that the file is executable"), "{error}");
    Ok(())
}

#[pleach::endpoint]
async fn says(word: String) -> Result<String> {
    let output = Command::new("echo").arg(word).output().await?;
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

async fn every_actor_can_run_programs(way: Way) -> Result<()> {
    soon(actor_nursery(async |n: ActorNursery| {
        let said = n.actor(unique("says")).by(way).run(says, ("hello".to_owned(),)).await?;
        assert_eq!(said, "hello");
        Ok(())
    }))
    .await
}

async fn an_infected_actor_can_run_programs() -> Result<()> {
    soon(actor_nursery(async |n: ActorNursery| {
        let actor = n.actor(unique("says")).host(Tokio::current_thread());
        assert_eq!(actor.run(says, ("hello".to_owned(),)).await?, "hello");
        Ok(())
    }))
    .await
}

/// Runs a program that ignores SIGTERM, and says its number.
#[pleach::endpoint]
async fn has_program(mut far: Far<u32, (), ()>) -> Result<()> {
    nursery(async |n| {
        let mut program =
            shell("trap '' TERM; echo up; while :; do sleep 1; done").stdout(Stdio::piped()).spawn(&n).await?;
        line(&mut program).await?;
        far.started(program.id()).await?;
        sleep(NEVER).await
    })
    .await
}

async fn p03_a_program_dies_with_its_actor() -> Result<()> {
    let mut program = None;
    let ended = soon(actor_nursery(async |n: ActorNursery| {
        let actor = n.actor(unique("owner")).expose(has_program).start().await?;
        actor
            .open_context(has_program, (), async |mut near, pid: u32| {
                program = Some(Watched::new(pid));
                kill(actor.pid());
                near.recv().await.map(drop)
            })
            .await
    }));
    assert!(ended.await.is_err_and(|error| error.is_died()));
    assert!(program.is_some_and(|program| program.ends_within(SOON)), "it lives on");
    Ok(())
}

/// The crate's own thread would make every wait in async-io of this process slower, for ever.
async fn async_process_starts_no_thread() -> Result<()> {
    soon(shell("exit 0").run()).await?;
    let names = std::fs::read_dir("/proc/self/task")?.flatten();
    let names = names.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    assert!(!names.into_iter().any(|name| name.trim() == "async-process"));
    Ok(())
}

fn outside_a_tree_nothing_is_run() -> Result<(), Failed> {
    let error = futures_lite::future::block_on(Command::new("true").run()).unwrap_err();
    assert!(error.is_misuse(), "{error:?}");
    Ok(())
}

/// Runs one with so many descriptors. Whether that went well; if not, it was for want of those, and nothing is left.
async fn tries(descriptors: Option<u64>) -> Result<bool> {
    limit(descriptors);
    let ended = shell("exit 5").run().await;
    limit(None);
    let what = format!("with {descriptors:?}");
    assert_eq!(children(), [0; 0], "a process is left: {what}");
    match ended {
        Ok(status) => assert_eq!(status.code(), Some(5), "{what}"),
        Err(error) => {
            let refused = error.downcast_ref::<NotStarted>().unwrap_or_else(|| panic!("{what}: {error:?}"));
            assert_eq!(refused.lack, Lack::Descriptors, "{what}: {error}");
            assert!(error.to_string().contains("`ulimit -n`"), "{error}");
            return Ok(false);
        }
    }
    Ok(true)
}

fn limit(descriptors: Option<u64>) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = descriptors.or(limit.maximum);
    setrlimit(Resource::Nofile, limit).expect("it is lowered, or raised to what it was");
}

/// A root that is given ever more descriptors, until it can run a program; from the very first one on.
#[pleach::main]
async fn few_descriptors() -> Result<()> {
    let lowest = u64::try_from(File::open("/dev/null")?.as_raw_fd())?;
    let mut failures = 0;
    loop {
        if tries(Some(lowest + failures)).await? {
            break;
        }
        failures += 1;
        assert!(failures < 40, "forty are enough");
    }
    println!("failures {failures}");
    assert!(tries(None).await?);
    Ok(())
}

/// A root in which a thread takes all descriptors again and again, at any moment of a start.
#[pleach::main]
async fn stolen_descriptors() -> Result<()> {
    assert!(tries(None).await?);
    let lowest = u64::try_from(File::open("/dev/null")?.as_raw_fd())?;
    let mut failures = 0;
    for round in 0..300 {
        limit(Some(lowest + 20));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thief = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // All there are, and for a while what others give back.
                let taken: Vec<File> = (0..400).filter_map(|_| File::open("/dev/null").ok()).collect();
                drop(taken);
            }
        });
        let ended = shell("exit 5").run().await;
        stop.store(true, Ordering::Relaxed);
        thief.join().expect("it does not panic");
        limit(None);
        failures += u32::from(ended.is_err());
        assert_eq!(children(), [0; 0], "a process is left in round {round}: {ended:?}");
    }
    println!("failures {failures}");
    assert!(tries(None).await?);
    Ok(())
}

fn p05_descriptors_that_others_take_meanwhile_leave_no_process() -> Result<(), Failed> {
    let mut root = Role::role(&["--stolen-descriptors"]);
    let (ended, stderr) = root.end(20 * SOON);
    assert_eq!(outcome(ended), Ok(0), "{stderr}");
    let failures: u32 = root.line("failures ").parse()?;
    assert!(failures > 3, "only {failures} starts have failed");
    Ok(())
}

fn p05_out_of_descriptors_is_a_typed_error_and_leaves_no_process() -> Result<(), Failed> {
    let mut root = Role::role(&["--few-descriptors"]);
    let (ended, stderr) = root.end(10 * SOON);
    assert_eq!(outcome(ended), Ok(0), "{stderr}");
    let failures: u32 = root.line("failures ").parse()?;
    assert!(failures > 3, "only {failures} limits were too low");
    Ok(())
}

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("--few-descriptors") => return few_descriptors(),
        Some("--stolen-descriptors") => return stolen_descriptors(),
        _ => harness::main(tests()),
    }
    ExitCode::SUCCESS
}

fn tests() -> Vec<Trial> {
    let mut tests = vec![
        plain("outside_a_tree_nothing_is_run", outside_a_tree_nothing_is_run),
        plain(
            "p05_out_of_descriptors_is_a_typed_error_and_leaves_no_process",
            p05_out_of_descriptors_is_a_typed_error_and_leaves_no_process,
        ),
        plain(
            "p05_descriptors_that_others_take_meanwhile_leave_no_process",
            p05_descriptors_that_others_take_meanwhile_leave_no_process,
        ),
    ];
    tests.extend(all_ways("every_actor_can_run_programs", every_actor_can_run_programs));
    macro_rules! roots {
        ($($test:ident),* $(,)?) => { $(tests.push(actors(stringify!($test), $test));)* };
    }
    roots! {
        a_program_gives_its_status_and_its_output,
        a_program_converses_by_its_streams,
        much_output_is_collected,
        c12_p01_a_cancelled_program_is_asked_first,
        p01_one_that_does_not_listen_is_killed_with_its_group,
        p01_what_a_program_leaves_in_its_group_ends_with_it,
        an_output_that_stays_open_is_not_waited_for,
        c12_a_dropped_program_is_killed_and_reaped,
        c12_a_program_dropped_while_it_starts_leaves_nothing,
        a_program_can_be_asked_to_end,
        p05_a_missing_program_or_directory_is_a_typed_error,
        p05_a_program_that_may_not_be_run_is_a_typed_error,
        an_infected_actor_can_run_programs,
        p03_a_program_dies_with_its_actor,
        async_process_starts_no_thread,
    }
    tests
}
