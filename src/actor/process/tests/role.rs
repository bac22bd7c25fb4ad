use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitStatus, Stdio, exit};

use rustix::process::{Resource, getrlimit, setrlimit};

use super::cast::{A_ROOT, FAILED, FINE, GARBAGE, again, byte, is_alone, play, play_with_key};
use super::*;

/// Starts this binary by hand and waits for it.
fn run(main: &str, stdin: impl Into<Stdio>) -> ExitStatus {
    let Program { file, args, .. } = again(main);
    Command::new(file).args(args).stdin(stdin).stderr(Stdio::inherit()).status().unwrap()
}

#[test]
fn p11_without_a_socket_a_program_is_a_root() {
    assert_eq!(run("cast::child_main", Stdio::null()).code(), Some(A_ROOT));
    assert_eq!(run("cast::child_main", Stdio::piped()).code(), Some(A_ROOT));
}

#[test]
fn p11_a_socket_with_something_else_in_it_gives_no_role() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n").unwrap();
    assert_eq!(run("cast::child_main", OwnedFd::from(theirs)).code(), Some(GARBAGE));
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    assert_eq!(run("cast::child_main", OwnedFd::from(theirs)).code(), Some(FAILED));
}

#[test]
fn p11_a_helper_that_is_itself_such_a_program_is_a_root() {
    let child = play("helper");
    assert_eq!(child.said(), ControlMessage::Pong(A_ROOT.try_into().unwrap()));
    assert_eq!(child.buried().outcome, Outcome::Exited(0));
}

#[test]
fn p11_nothing_is_started_where_the_entry_point_was_not_taken() {
    assert_eq!(run("role::entry_main", Stdio::null()).code(), Some(FINE));
}

/// Not a test: a program whose entry point was not taken.
#[test]
fn entry_main() {
    if !is_alone() {
        return;
    }
    let (_data, theirs) = pair();
    let spec = SpawnSpec { path: "root/a".into(), ..SpawnSpec::default() };
    let program = shell("exit 0");
    let launch = Launch { program, tree: "tree".into(), spec, known: known(), data: Some(theirs), times: times() };
    let (sender, events) = channel();
    let refused = start(launch, Arc::new(Recorder(sender))).unwrap_err();
    assert!(matches!(refused, StartError::Misuse(_)), "{refused:?}");
    assert!(refused.to_string().contains("#[pleach::main]"), "{refused}");
    assert!(events.recv().is_err(), "the events were dropped unused");
    exit(FINE);
}

#[test]
fn p05_out_of_descriptors_is_a_typed_error_and_leaves_no_process() {
    assert_eq!(run("role::descriptors_main", Stdio::null()).code(), Some(FINE));
}

/// Not a test: a program that is given ever more descriptors, until it can start a child.
#[test]
fn descriptors_main() {
    if !is_alone() {
        return;
    }
    let lowest = pair().0.as_fd().try_clone_to_owned().map(|fd| std::os::fd::AsRawFd::as_raw_fd(&fd)).unwrap();
    let lowest = u64::try_from(lowest).unwrap();
    // The threads are there before, as in a program that has started actors already.
    start_program(shell("exit 0"), times()).buried();
    let enough = (lowest..lowest + 30).find(|limit| try_with_descriptors(*limit));
    let failures = enough.expect("thirty more are enough") - lowest;
    assert!(failures > 3, "only {failures} limits were too low");
    exit(FINE);
}

#[test]
fn x01_a_key_travels_on_the_inherited_socket_alone() {
    let child = play_with_key("deaf");
    let pid = child.born().as_raw_nonzero();
    child.ready();
    let raw: Vec<u8> = (0..32).map(byte).collect();
    let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    for file in ["cmdline", "environ"] {
        let shown = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
        let has = |needle: &[u8]| shown.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle));
        assert!(!shown.is_empty() && !has(&raw[..8]) && !has(hex.as_bytes()), "{file} shows the key");
    }
}

#[test]
fn x01_a_key_that_has_arrived_is_in_memory_once() {
    // The one that the role has.
    assert_eq!(play_with_key("counts keys").said(), ControlMessage::Pong(1));
}

#[test]
fn x01_a_key_that_was_given_to_a_child_is_in_memory_nowhere() {
    assert_eq!(play("gives a key").said(), ControlMessage::Pong(0));
}

#[test]
fn p03_the_exit_status_is_kept_where_sigchld_is_ignored() {
    let Program { args, .. } = again("role::status_main");
    let ignoring = Command::new("/bin/sh")
        .args(["-c", "trap '' CHLD; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(args)
        .status();
    assert_eq!(ignoring.unwrap().code(), Some(FINE));
}

/// Not a test: a program that was started with SIGCHLD ignored.
#[test]
fn status_main() {
    if !is_alone() {
        return;
    }
    let death = start_program(shell("exit 5"), times()).buried();
    assert_eq!(death.outcome, Outcome::Exited(5), "{death}");
    exit(FINE);
}

#[test]
fn p01_fifty_lives_leave_no_descriptor_behind() {
    assert_eq!(run("role::leak_main", Stdio::null()).code(), Some(FINE));
}

/// Not a test: counts its descriptors.
#[test]
fn leak_main() {
    if !is_alone() {
        return;
    }
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let live = || {
        let child = play("echo");
        child.ready();
        child.handle().cancel(asked(), BOUND);
        child.buried();
        start_program(Program::new("/no/such/program", &[]), times()).not_started();
    };
    live();
    let before = open();
    (0..50).for_each(|_| live());
    assert_eq!(open(), before);
    exit(FINE);
}

/// Starts a parent that forwards the stderr of `script`, with a pipe as its own stderr.
fn forwarding(script: &str) -> std::process::Child {
    let Program { file, args, .. } = again("role::forward_main");
    Command::new(file).args(args).env("SCRIPT", script).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn p04_stderr_is_forwarded_as_it_is() {
    let output = forwarding("printf 'one\\n\\377two\\nthree' >&2").wait_with_output().unwrap();
    assert_eq!(output.stderr, b"one\n\xfftwo\nthree\n");
    assert_eq!(output.status.code(), Some(FINE));
}

#[test]
fn p12_a_stderr_of_ours_that_nobody_reads_blocks_nothing() {
    let mut parent = forwarding("yes overflow | head -c 5000000 >&2");
    let mut unread = parent.stderr.take().unwrap();
    let ended = ends_within(&watch(Pid::from_child(&parent)), BOUND);
    if !ended {
        parent.kill().unwrap();
    }
    assert_eq!(parent.wait().unwrap().code(), Some(FINE));
    let mut kept = Vec::new();
    std::io::Read::read_to_end(&mut unread, &mut kept).unwrap();
    assert!(kept.len() >= 4096 && kept.starts_with(b"overflow\noverflow\n"), "{} bytes", kept.len());
}

/// Not a test: the parent in between. It says when it is done by its exit status.
#[test]
fn forward_main() {
    struct Forward(Sender<Death>);
    impl ChildEvents for Forward {
        fn ready(&self, _: Agreed) {}
        fn control(&self, _: ControlMessage) {}
        fn not_started(self: Arc<Self>, error: SpawnError) {
            panic!("{error}");
        }
        fn ended(self: Arc<Self>, death: Death) {
            let _ = self.0.send(death);
        }
    }
    let Ok(script) = std::env::var("SCRIPT") else { return };
    take_entry();
    let (_data, theirs) = pair();
    let spec = SpawnSpec { path: "root/a".into(), ..SpawnSpec::default() };
    let program = shell(&script);
    let launch = Launch { program, tree: "tree".into(), spec, known: known(), data: Some(theirs), times: times() };
    let (sender, deaths) = channel();
    let _handle = start(launch, Arc::new(Forward(sender))).unwrap();
    assert_eq!(deaths.recv_timeout(BOUND).unwrap().outcome, Outcome::Exited(0));
    exit(FINE);
}

#[test]
fn p03_however_late_the_control_thread_is_the_last_word_is_heard() {
    assert_eq!(run("role::late_main", Stdio::null()).code(), Some(FINE));
}

/// Not a test: its control thread looks at a child only when that has ended.
#[test]
fn late_main() {
    struct Late(Sender<Death>);
    impl ChildEvents for Late {
        fn born(&self, pid: u32) {
            assert!(ends_within(&watch(Pid::from_raw(pid.cast_signed()).unwrap()), BOUND));
        }
        fn ready(&self, _: Agreed) {}
        fn control(&self, _: ControlMessage) {}
        fn not_started(self: Arc<Self>, error: SpawnError) {
            panic!("{error}");
        }
        fn ended(self: Arc<Self>, death: Death) {
            let _ = self.0.send(death);
        }
    }
    if !is_alone() {
        return;
    }
    take_entry();
    for handshake in [Duration::ZERO, BOUND] {
        let (_data, theirs) = pair();
        let spec = SpawnSpec { path: "root/a".into(), host: "fails".into(), ..SpawnSpec::default() };
        let program = again("cast::child_main");
        // No time is left for anything when it gets to look.
        let times = Times { handshake, drain: Duration::ZERO, ..times() };
        let launch = Launch { program, tree: "tree".into(), spec, known: known(), data: Some(theirs), times };
        let (sender, deaths) = channel();
        let _handle = start(launch, Arc::new(Late(sender))).unwrap();
        let death = deaths.recv_timeout(BOUND).unwrap();
        assert_eq!(death.outcome, Outcome::Exited(3), "{death}");
        assert!(!death.before_handshake && death.bye.flatten().is_some());
    }
    exit(FINE);
}

#[test]
fn p02_a_stopped_actor_dies_with_its_parent() {
    assert_eq!(run("role::subreaper_main", Stdio::null()).code(), Some(FINE));
}

/// Not a test: adopts the leaf when its parent dies. An orphan in another session would be woken by the kernel with SIGHUP and
/// SIGCONT; a stopped child of this process is not, and only the death signal can end it.
#[test]
fn subreaper_main() {
    if !is_alone() {
        return;
    }
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let child = play("parent");
    let middle = watch(child.born());
    let ControlMessage::Pong(leaf) = child.said() else { panic!("it tells a number") };
    let leaf = watch(Pid::from_raw(leaf.try_into().unwrap()).unwrap());
    kill(&leaf, Signal::STOP);
    kill(&middle, Signal::KILL);
    child.buried();
    let ended = ends_within(&leaf, Duration::from_secs(2));
    let _ = pidfd_send_signal(&leaf, Signal::KILL);
    assert!(ended, "the leaf survives its parent");
    exit(FINE);
}

/// Whether a child can be started with this limit. If not, nothing is left of it.
fn try_with_descriptors(limit: u64) -> bool {
    take_entry();
    let (_data, theirs) = pair();
    let spec = SpawnSpec { path: "root/a".into(), ..SpawnSpec::default() };
    let program = shell("exit 0");
    let launch = Launch { program, tree: "tree".into(), spec, known: known(), data: Some(theirs), times: times() };
    let (sender, events) = channel();
    let old = getrlimit(Resource::Nofile);
    let mut low = old;
    low.current = Some(limit);
    setrlimit(Resource::Nofile, low).unwrap();
    let started = start(launch, Arc::new(Recorder(sender)));
    let last = started.as_ref().ok().map(|_| {
        events.iter().find(|event| matches!(event, Event::NotStarted(_) | Event::Ended(_))).expect("a last event")
    });
    setrlimit(Resource::Nofile, old).unwrap();
    let nobody = rustix::process::wait(WaitOptions::NOHANG).err();
    assert_eq!(nobody, Some(rustix::io::Errno::CHILD), "a process is left with a limit of {limit}");
    match last {
        Some(Event::Ended(death)) => {
            assert_eq!(death.outcome, Outcome::Exited(0), "{death}");
            true
        }
        Some(Event::NotStarted(error)) => {
            assert_eq!(error.kind, SpawnErrorKind::Descriptors, "{error}");
            false
        }
        other => panic!("{other:?} with {limit}: {started:?}"),
    }
}
