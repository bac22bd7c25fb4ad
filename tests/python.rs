//! A peer in another language, from `docs/protocol.md` alone: it joins with a key of its own and gets what the door exposes.

mod harness;

use std::process::{Command, Stdio};

use libtest_mimic::{Failed, Trial};

/// What the peer does, in the order in which it says so.
const SAID: [&str; 11] = [
    "called: 42",
    "started: times 3",
    "streamed: 10",
    "large: 4000000 40",
    "cancelled: Cancelled enough (asked by python)",
    "refused: Misuse endpoint `hidden` is not exposed by the door `tools` of root: add `.expose(hidden)` where that is opened",
    "wrong key: it has not the same key",
    "revoked: the join key was revoked (asked by root)",
    "sent away: the tree has said goodbye",
    "old key: it has not the same key",
    "python: exit status: 0",
];

fn x08_a_peer_in_python_gets_what_the_door_exposes() -> Result<(), Failed> {
    let run = Command::new(harness::example("python_peer")?).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&run.stdout);
    assert_eq!(said.lines().collect::<Vec<_>>(), SAID, "{}", String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success());
    Ok(())
}

/// Whether there is a Python that can be a peer.
fn has_python() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import msgpack"]).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

fn main() {
    let name = "x08_a_peer_in_python_gets_what_the_door_exposes";
    let test = harness::plain(name, x08_a_peer_in_python_gets_what_the_door_exposes);
    let tests: Vec<Trial> = vec![test.with_ignored_flag(!has_python())];
    if !has_python() {
        eprintln!("ignored: it needs python3 with msgpack (python3 -m pip install msgpack)");
    }
    harness::main(tests);
}
