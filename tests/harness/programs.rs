//! Programs that a test starts: what they print, how they end.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::processes;

/// No line of a program takes longer, on however slow a machine.
const LINE: Duration = Duration::from_secs(20);

/// A program with its standard output and its standard error in pipes. When it is dropped it is killed.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    /// What it has printed so far.
    pub(crate) seen: Vec<String>,
}

impl Program {
    /// This very test, in the role that the first argument says.
    pub(crate) fn role(arguments: &[&str]) -> Self {
        Self::start(Command::new(std::env::current_exe().expect("it runs")).args(arguments).stdin(Stdio::null()))
    }

    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be started");
        let lines = lines_of(child.stdout.take().expect("it is piped").into());
        Self { child, lines, seen: Vec::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard error, for a test that reads it itself, or does not.
    pub(crate) fn take_stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().expect("it is taken once")
    }

    /// Waits for a line that begins so, and gives the rest of it.
    pub(crate) fn line(&mut self, start: &str) -> String {
        if let Some(line) = self.seen.iter().find_map(|line| line.strip_prefix(start)) {
            return line.to_owned();
        }
        loop {
            let Ok(line) = self.lines.recv_timeout(LINE) else {
                let stderr = self.stderr();
                panic!("no line {start:?}; it said {:?}, and on stderr {stderr:?}", self.seen)
            };
            self.seen.push(line.clone());
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }

    /// Sends it a signal, and waits until a handler has taken it, so that the next one is another.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it is not reaped");
        let bit = 1_u64 << (signal.as_raw() - 1);
        while pending(pid) & bit != 0 {
            std::thread::yield_now();
        }
    }

    /// Whether it ends within `bound`; it is not reaped yet.
    pub(crate) fn ends_within(&self, bound: Duration) -> bool {
        processes::Watched::new(self.pid()).ends_within(bound)
    }

    /// Waits for its end, at most `bound`; gives its status, all that it printed, and its standard error if that is left.
    pub(crate) fn end(&mut self, bound: Duration) -> (ExitStatus, String) {
        let since = Instant::now();
        assert!(self.ends_within(bound), "it has not ended {:?} later; it said {:?}", since.elapsed(), self.seen);
        let status = self.child.wait().expect("it is ours");
        self.seen.extend(self.lines.iter());
        (status, self.stderr())
    }

    fn stderr(&mut self) -> String {
        let mut text = Vec::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            // A line that never comes is looked into while the program lives.
            let _ = self.child.kill();
            stderr.read_to_end(&mut text).expect("a pipe");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a pipe or terminal, read by a thread until nobody can write to it any more.
pub(crate) fn lines_of(file: OwnedFd) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(std::fs::File::from(file)).lines().map_while(Result::ok) {
            let _ = sender.send(line.trim_end().to_owned());
        }
    });
    lines
}

/// The signals that wait for some thread of a process, as bits.
fn pending(pid: Pid) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
}

/// The signal that ended it, and else its exit status.
pub(crate) fn outcome(status: ExitStatus) -> Result<i32, i32> {
    status.signal().map_or_else(|| Ok(status.code().expect("an exit status or a signal")), Err)
}
