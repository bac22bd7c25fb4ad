//! Tests as every program would write them: the harness of cargo, `#[pleach::test]`, and one line for actors that are
//! processes (laws P1, P11).
//!
//! The ones that are ignored fail on purpose: others run them, one in a process as `cargo nextest` does, and read what they say.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};
use std::sync::{Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use pleach::actor::ActorDied;
use pleach::host::Smol;
use pleach::prelude::*;
use pleach_bridge::Tokio;

pleach::test_entry!(init = init);

/// Runs in every actor; the root does not run it.
fn init() {
    // A test that should fail names its actor so.
    assert!(std::env::args().all(|argument| !argument.contains("bad-init")), "no subscriber can be set");
}

#[pleach::endpoint]
async fn double(n: u64) -> Result<u64> {
    Ok(2 * n)
}

#[pleach::endpoint]
async fn doubles(mut far: Far<u32, u64, u64>) -> Result<u64> {
    far.started(std::process::id()).await?;
    let mut count = 0;
    while let Some(n) = far.recv().await? {
        far.send(2 * n).await?;
        count += 1;
    }
    Ok(count)
}

/// The process it runs in, after one of its own has doubled.
#[pleach::endpoint]
async fn deeper(n: u64) -> Result<(u32, u64)> {
    actor_nursery(async |nursery| {
        let below = nursery.actor("below").expose(double).start().await?;
        let doubled = below.run(double, (n,)).await?;
        below.cancel_actor().await?;
        Ok((std::process::id(), doubled))
    })
    .await
}

#[pleach::endpoint]
async fn panics(what: String) -> Result<()> {
    panic!("{what}")
}

#[pleach::endpoint]
async fn hangs() -> Result<()> {
    sleep(Duration::from_secs(3600)).await
}

/// How a write to a pipe ends that nobody reads.
#[pleach::endpoint]
async fn writes_to_nobody() -> Result<bool> {
    let (reader, mut writer) = std::io::pipe()?;
    drop(reader);
    Ok(writer.write(b"x").is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe))
}

#[pleach::endpoint]
async fn on_tokio() -> Result<bool> {
    Ok(tokio::runtime::Handle::try_current().is_ok())
}

#[pleach::test]
async fn an_actor_answers() -> Result<()> {
    actor_nursery(async |n| {
        let worker = n.actor("worker").expose(double).start().await?;
        assert_ne!(worker.pid(), std::process::id());
        assert_eq!(worker.run(double, (21,)).await?, 42);
        worker.cancel_actor().await
    })
    .await
}

#[pleach::test(timeout = "30s")]
async fn an_actor_converses_and_has_actors_of_its_own() -> Result<()> {
    actor_nursery(async |n| {
        let worker = n.actor("worker").expose(doubles).expose(deeper).start().await?;
        let count = worker.open_context(doubles, (), async |mut near, pid| {
            assert_eq!(pid, worker.pid());
            for n in 0..100 {
                near.send(n).await?;
                assert_eq!(near.recv().await?, Some(2 * n));
            }
            near.finish().await
        });
        assert_eq!(count.await?, 100);
        assert_eq!(worker.run(deeper, (4,)).await?, (worker.pid(), 8));
        worker.cancel_actor().await
    })
    .await
}

#[pleach::test(host = Tokio::current_thread())]
async fn a_root_and_its_actor_run_on_tokio() -> Result<()> {
    tokio::task::yield_now().await;
    actor_nursery(async |n| {
        let worker = n.actor("worker").host(Tokio::current_thread()).expose(on_tokio).start().await?;
        assert!(worker.run(on_tokio, ()).await?);
        worker.cancel_actor().await
    })
    .await
}

#[pleach::test]
async fn a_test_may_return_nothing() {
    let doubled = actor_nursery(async |n| {
        let worker = n.actor("worker").carrier(Carrier::Mem).expose(double).start().await?;
        let doubled = worker.run(double, (2,)).await?;
        worker.cancel_actor().await?;
        Ok(doubled)
    });
    assert_eq!(doubled.await.unwrap(), 4);
}

#[pleach::test]
#[should_panic(expected = "the kettle is empty")]
async fn a_test_may_be_there_to_panic() {
    sleep(Duration::from_millis(1)).await.unwrap();
    panic!("the kettle is empty");
}

#[pleach::test]
#[cfg(any())]
async fn a_test_that_is_configured_away() {
    this_does_not_even_compile()
}

/// An actor whose entry is before `main` has what the start of `main` gives.
#[pleach::test]
async fn p11_before_main_an_actor_is_as_good_as_in_it() -> Result<()> {
    let ended = actor_nursery(async |n| {
        let worker = n.actor("worker").expose(writes_to_nobody).expose(panics).start().await?;
        assert!(worker.run(writes_to_nobody, ()).await?);
        let error = worker.run(panics, ("out of tea".to_owned(),)).await.unwrap_err();
        let panic = error.remote().expect("it came from another actor");
        assert!(error.is_panic() && panic.message.contains("out of tea"), "{error:?}");
        assert!(worker.run(writes_to_nobody, ()).await?, "a panic of an endpoint does not end the actor");
        worker.cancel_actor().await
    });
    ended.await
}

#[pleach::test]
async fn p11_a_panic_of_init_is_an_exit_status() -> Result<()> {
    let ended = actor_nursery(async |n| {
        let worker = n.actor("bad-init").expose(double).start().await?;
        worker.run(double, (1,)).await.map(drop)
    });
    let error = ended.await.unwrap_err();
    let died: &ActorDied = error.downcast_ref().expect("it has died");
    assert_eq!(died.status, Some(101));
    assert!(died.stderr_tail.contains("no subscriber can be set"), "{error}");
    Ok(())
}

/// Where the threads of a test wait for each other, each in its turn of work and not for ever.
struct Meeting {
    missing: Mutex<usize>,
    complete: Condvar,
}

impl Meeting {
    const fn of(count: usize) -> Self {
        Self { missing: Mutex::new(count), complete: Condvar::new() }
    }

    fn wait(&self) {
        let mut missing = self.missing.lock().unwrap();
        *missing -= 1;
        self.complete.notify_all();
        let bound = Duration::from_secs(30);
        let (missing, _) = self.complete.wait_timeout_while(missing, bound, |missing| *missing > 0).unwrap();
        assert_eq!(*missing, 0, "some did not come");
    }
}

/// Runs a root on a thread of its own, as `cargo test` does.
fn root<T, Fut>(body: impl FnOnce() -> Fut + Send + 'static) -> JoinHandle<T>
where
    T: Send + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
{
    std::thread::spawn(|| pleach::actor::run(Smol::one_thread(), body).unwrap())
}

fn lives(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// Roots in threads of this process, with actors of the same names, all there at the same time.
#[test]
fn p01_roots_beside_each_other_do_not_meet() {
    static MIDDLE: Meeting = Meeting::of(3);
    let one = |n| {
        actor_nursery(async move |nursery| {
            let mut pids = BTreeSet::new();
            for name in ["twin", "other"] {
                let worker = nursery.actor(name).expose(double).start().await?;
                assert_eq!(worker.path(), format!("root/{name}"));
                assert_eq!(worker.run(double, (n,)).await?, 2 * n);
                pids.insert(worker.pid());
            }
            MIDDLE.wait();
            nursery.cancel_actors("done");
            Ok(pids)
        })
    };
    let roots = [1, 2, 3].map(|n| root(move || one(n)));
    let pids: BTreeSet<u32> = roots.into_iter().flat_map(|root| root.join().unwrap()).collect();
    assert_eq!(pids.len(), 6);
    assert!(pids.iter().all(|pid| !lives(*pid)), "some of {pids:?} were not reaped");
}

/// A root ends while another one has a living actor: it does not wait for that, and does not end it.
#[test]
fn p01_a_root_counts_its_own_processes_alone() {
    static BEGIN: Meeting = Meeting::of(2);
    static END: Meeting = Meeting::of(2);
    let long = root(|| {
        actor_nursery(async |n| {
            let worker = n.actor("worker").expose(double).start().await?;
            BEGIN.wait();
            END.wait();
            assert_eq!(worker.run(double, (5,)).await?, 10);
            worker.cancel_actor().await
        })
    });
    let short = root(|| async {
        let pid = actor_nursery(async |n| {
            let worker = n.actor("worker").expose(double).start().await?;
            BEGIN.wait();
            n.cancel_actors("done");
            Ok(worker.pid())
        });
        fail_after(Duration::from_secs(20), pid).await
    });
    assert!(!lives(short.join().unwrap()));
    END.wait();
    long.join().unwrap();
}

/// Runs one test of this binary in a process of its own, with the arguments of `cargo nextest`.
fn alone(name: &str, ignored: bool) -> (Output, String) {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", name, "--nocapture"]).stdin(Stdio::null());
    if ignored {
        program.arg("--ignored");
    }
    let output = program.output().unwrap();
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    (output, text)
}

/// The same for one that is there to fail.
fn fails(name: &str) -> String {
    let (output, text) = alone(name, true);
    assert_eq!(output.status.code(), Some(101), "{text}");
    assert!(text.contains(&format!("test {name}")) && text.contains("1 failed"), "{text}");
    text
}

#[test]
fn one_test_in_a_process_as_nextest_runs_it() {
    for name in ["an_actor_answers", "a_root_and_its_actor_run_on_tokio", "a_test_may_be_there_to_panic"] {
        let (output, text) = alone(name, false);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
}

#[test]
fn the_list_that_nextest_asks_for_has_nothing_else_in_it() {
    let mut program = Command::new(std::env::current_exe().unwrap());
    let output = program.args(["--list", "--format", "terse"]).stdin(Stdio::null()).output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    assert!(list.lines().all(|line| line.ends_with(": test")), "{list}");
    assert!(list.contains("\nan_actor_answers: test\n") && output.stderr.is_empty(), "{list}");
}

#[pleach::test]
#[ignore = "fails on purpose"]
async fn with_an_error() -> Result<()> {
    let worked: Result<()> = actor_nursery(async |n| {
        let worker = n.actor("worker").expose(panics).start().await?;
        worker.run(panics, ("the lid is off".to_owned(),)).await
    })
    .await;
    worked.map_err(|error| error.context("brewing"))
}

#[pleach::test]
#[ignore = "fails on purpose"]
async fn with_a_panic() {
    assert_eq!(1 + 1, 3, "a cup too many");
}

#[pleach::test]
#[ignore = "fails on purpose"]
#[should_panic]
async fn without_the_panic_it_is_there_for() {
    sleep(Duration::from_millis(1)).await.unwrap();
}

#[test]
fn a_failure_fails_its_test() {
    let text = fails("with_an_error");
    let parts = ["Error: brewing: ", "the lid is off", "root/worker", "tests/ordinary.rs:"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    let text = fails("with_a_panic");
    assert!(text.contains("a cup too many") && text.contains("thread 'ordinary::with_a_panic'"), "{text}");
    let text = fails("without_the_panic_it_is_there_for");
    assert!(text.contains("test did not panic as expected"), "{text}");
}

#[pleach::test(timeout = "1s")]
#[ignore = "fails on purpose"]
async fn with_a_call_that_hangs() -> Result<()> {
    actor_nursery(async |n| {
        let worker = n.actor("worker").expose(hangs).start().await?;
        worker.run(hangs, ()).await
    })
    .await
}

#[pleach::test(timeout = "1s")]
#[ignore = "fails on purpose"]
async fn with_an_actor_that_nobody_cancels() -> Result<()> {
    actor_nursery(async |n| n.actor("forgotten").expose(double).start().await.map(drop)).await
}

#[pleach::test(timeout = "500ms")]
#[ignore = "fails on purpose"]
#[should_panic]
async fn with_a_sleep_instead_of_a_panic() {
    let _ = sleep(Duration::from_secs(3600)).await;
}

#[pleach::test(timeout = "500ms")]
#[ignore = "fails on purpose"]
async fn with_a_thread_that_blocks() {
    std::thread::sleep(Duration::from_secs(3600));
}

#[pleach::test(timeout = "500ms")]
#[ignore = "fails on purpose"]
async fn with_an_error_when_it_is_cancelled() -> Result<()> {
    let _ = sleep(Duration::from_secs(3600)).await;
    Err(Error::msg("the teapot could not be put away"))
}

/// Each of them would wait for an hour.
#[test]
fn a_test_over_its_bound_says_what_it_waited_for() {
    let expected: [(&str, &[&str]); 5] = [
        (
            "with_a_call_that_hangs",
            &["waited for root/worker (pid ", "it has not answered `ordinary::hangs`", "longer than 1s"],
        ),
        ("with_an_actor_that_nobody_cancels", &["root/forgotten (pid ", "nobody has cancelled it", "longer than 1s"]),
        ("with_a_sleep_instead_of_a_panic", &["no actor of it was alive", "longer than 500ms", "did not panic"]),
        ("with_a_thread_that_blocks", &["something blocks its thread", "longer than 500ms"]),
        (
            "with_an_error_when_it_is_cancelled",
            &["longer than 500ms", "the teapot could not be put away\n      at tests/ordinary.rs:"],
        ),
    ];
    let runs = expected.map(|(name, parts)| std::thread::spawn(move || (fails(name), parts)));
    for run in runs {
        let (text, parts) = run.join().unwrap();
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?}: {text}");
        assert!(text.contains("tests/ordinary.rs:"), "the error has no place: {text}");
    }
}

/// Starts this binary as a child would be, with something else as its standard input.
fn called_as_a_child(stdin: impl Into<Stdio>) -> (Option<i32>, String) {
    let mut program = Command::new(std::env::current_exe().unwrap());
    let output = program.arg("--pleach-actor=root/x").stdin(stdin).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn p11_an_argument_alone_makes_no_child_of_a_test_binary() {
    // It is the harness that does not know the argument.
    let (code, text) = called_as_a_child(Stdio::null());
    assert!(code != Some(0) && text.contains("Unrecognized option: 'pleach-actor'"), "{code:?} {text}");
    let (ours, theirs) = UnixStream::pair().unwrap();
    (&ours).write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let (code, text) = called_as_a_child(OwnedFd::from(theirs));
    assert_eq!(code, Some(70), "{text}");
    assert!(text.contains("was started as an actor, but cannot become one"), "{text}");
    assert!(!text.contains("running"), "no test is run: {text}");
}

#[test]
fn p11_a_socket_alone_makes_no_child_of_a_test_binary() {
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "an_actor_answers"]).stdin(OwnedFd::from(theirs));
    let output = program.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
