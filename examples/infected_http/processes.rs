//! The tree as the operating system sees it.

use std::fmt::Write as _;
use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// The children of a process that still run.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let all: Vec<u32> = lists.flat_map(|list| numbers(&list)).collect();
    all.into_iter().filter(|child| stat(*child).is_some_and(|[state, ..]| state != "Z")).collect()
}

fn numbers(list: &str) -> Vec<u32> {
    list.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// Its state, its parent and its process group.
fn stat(pid: u32) -> Option<[String; 3]> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned);
    Some([words.next()?, words.next()?, words.next()?])
}

/// This process and all below it, like `ps -o pid,ppid,pgid,stat,args`.
pub(crate) fn picture() -> String {
    let mut picture = "    PID    PPID    PGID STAT COMMAND".to_owned();
    draw(std::process::id(), &mut picture);
    picture
}

fn draw(pid: u32, picture: &mut String) {
    let Some([state, parent, group]) = stat(pid) else { return };
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ");
    let _ = write!(picture, "\n{pid:>7} {parent:>7} {group:>7} {state:<4} {command}");
    children(pid).into_iter().for_each(|child| draw(child, picture));
}

/// Sends SIGKILL; one that has ended meanwhile is fine.
pub(crate) fn kill(pid: u32) {
    let _ = Pid::from_raw(pid.cast_signed()).map(|pid| kill_process(pid, Signal::KILL));
}
