//! What an actor writes to its standard error: nobody waits for whoever should read it (law P12).
//!
//! The `main` of this binary plays the roots whose standard error is a pipe of the test's.

mod harness;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use harness::plain;
use harness::processes::kill;
use harness::programs::{Program, outcome};
use libtest_mimic::{Failed, Trial};
use pleach::actor::ActorDied;
use pleach::prelude::*;
use rustix::process::Signal;

/// What an actor writes that floods, once; and else, for it need not always be so much.
const FLOOD: usize = 100 << 20;
const STREAM: usize = 4 << 20;
/// A line of it, with its newline.
const LINE: usize = 64;
/// How long that may take, in a build without optimisation, on a busy machine.
const BOUND: Duration = Duration::from_secs(40);

/// Writes the flood, and gives how much that was.
#[pleach::endpoint]
async fn floods(bytes: usize, then: String) -> Result<usize> {
    let lines = format!("{}\n", "flood ".repeat(LINE).split_at(LINE - 1).0).repeat(1024);
    let mut written = 0;
    while written < bytes {
        std::io::stderr().write_all(lines.as_bytes())?;
        written += lines.len();
    }
    std::io::stderr().write_all(b"the last line\n")?;
    if then == "die" {
        kill(std::process::id());
        return std::future::pending().await;
    }
    Ok(written)
}

/// Has an actor write as many bytes as the third argument says, and then does what the second one says.
#[pleach::main]
async fn root() -> Result<()> {
    let then = std::env::args().nth(2).unwrap_or_default();
    let bytes: usize = std::env::args().nth(3).unwrap_or_default().parse()?;
    let flooded = run_in_actor(floods, (bytes, then.clone())).await;
    match &flooded {
        Ok(written) => println!("flooded {written}"),
        Err(error) => say_tail(error.downcast_ref().ok_or(Ended)?),
    }
    match then.as_str() {
        "wait" => sleep(BOUND).await,
        "fail" => Err(Error::msg("the root has failed")),
        _ => Ok(()),
    }
}

fn say_tail(died: &ActorDied) {
    println!("signal {:?}", died.signal);
    println!("tail {}", died.stderr_tail.len());
    println!("end {:?}", died.stderr_tail.lines().last());
}

/// A root that does that, and then this.
fn start(then: &str, bytes: usize) -> Program {
    Program::role(&["--root", then, &bytes.to_string()])
}

fn p12_a_flood_that_nobody_reads_blocks_nobody() -> Result<(), Failed> {
    let mut root = start("end", FLOOD);
    let mut unread = root.take_stderr();
    let (ended, _) = root.end(BOUND);
    assert_eq!(outcome(ended), Ok(0), "{:?}", root.seen);
    assert_eq!(root.line("flooded "), FLOOD.to_string());
    let mut kept = Vec::new();
    unread.read_to_end(&mut kept)?;
    assert!(kept.len() >= 4096 && kept.starts_with(b"flood flood"), "{} bytes", kept.len());
    Ok(())
}

fn p12_a_stderr_that_is_closed_blocks_nobody() -> Result<(), Failed> {
    let mut root = start("fail", STREAM);
    drop(root.take_stderr());
    let (ended, _) = root.end(BOUND);
    assert_eq!(outcome(ended), Ok(1), "it fails as it would with a reader: {:?}", root.seen);
    assert_eq!(root.line("flooded "), STREAM.to_string());
    Ok(())
}

/// Its own last word does not wait for a reader either.
fn p12_a_root_that_fails_ends_although_nobody_reads() -> Result<(), Failed> {
    let mut root = start("fail", STREAM);
    let _unread = root.take_stderr();
    let (ended, _) = root.end(BOUND);
    assert_eq!(outcome(ended), Ok(1), "{:?}", root.seen);
    Ok(())
}

fn p12_what_is_lost_is_counted_and_said_once() -> Result<(), Failed> {
    let mut root = start("wait", STREAM);
    let mut late = BufReader::new(root.take_stderr());
    root.line("flooded ");
    let mut text = String::new();
    let mut start = 0;
    while !text[start..].starts_with("pleach: ") {
        start = text.len();
        assert!(late.read_line(&mut text)? > 0, "nothing was said in {start} bytes");
    }
    root.signal(Signal::TERM);
    late.read_to_string(&mut text)?;
    let (ended, _) = root.end(BOUND);
    assert_eq!(outcome(ended), Ok(143));
    let notes: Vec<&str> = text.lines().filter(|line| line.starts_with("pleach: ")).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    let lost: usize = notes[0].split(' ').nth(1).and_then(|count| count.parse().ok()).expect("a number of bytes");
    assert!(notes[0].contains("were not read in time"), "{notes:?}");
    let read = text.len() - notes[0].len() - 1;
    assert_eq!(read + lost, STREAM + "the last line\n".len(), "of every byte it is known what became of it");
    assert!(text.lines().all(|line| line.len() == LINE - 1 || line == "the last line" || line == notes[0]));
    Ok(())
}

fn p12_the_end_of_a_flood_is_in_the_death() -> Result<(), Failed> {
    let mut root = start("die", STREAM);
    let _unread = root.take_stderr();
    root.end(BOUND);
    assert_eq!(root.line("signal "), "Some(9)");
    assert_eq!(root.line("tail "), "8192");
    assert_eq!(root.line("end "), "Some(\"the last line\")");
    Ok(())
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--root") {
        return root();
    }
    macro_rules! tests {
        ($($test:ident),* $(,)?) => { vec![$(plain(stringify!($test), $test)),*] };
    }
    let tests: Vec<Trial> = tests![
        p12_a_flood_that_nobody_reads_blocks_nobody,
        p12_a_stderr_that_is_closed_blocks_nobody,
        p12_a_root_that_fails_ends_although_nobody_reads,
        p12_what_is_lost_is_counted_and_said_once,
        p12_the_end_of_a_flood_is_in_the_death,
    ];
    harness::main(tests);
    ExitCode::SUCCESS
}
