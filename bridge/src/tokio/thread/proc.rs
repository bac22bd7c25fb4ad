//! What `/proc` says of threads and their children.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek};
use std::path::Path;

/// The number of a thread of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tid(i32);

impl Tid {
    /// The calling thread's.
    pub(super) fn mine() -> Self {
        Self(rustix::thread::gettid().as_raw_nonzero().get())
    }

    pub(super) fn lives(self) -> bool {
        Path::new(&format!("/proc/self/task/{}", self.0)).exists()
    }

    /// The processes that it has started and that were not reaped; none if it has ended.
    ///
    /// # Errors
    /// Also if there are some and it may not have been this thread that has started them.
    pub(super) fn children(self) -> io::Result<Vec<i32>> {
        let list = gone_is(String::new(), fs::read_to_string(format!("/proc/self/task/{}/children", self.0)))?;
        self.own(&list)
    }

    /// The children of a thread that ends are given to the oldest one that lives. That is the main thread, unless it has
    /// ended before the process has.
    fn own(self, list: &str) -> io::Result<Vec<i32>> {
        let children = numbers(list);
        if !children.is_empty() && oldest_thread()? == Some(self) {
            return Err(io::Error::other(
                "this is the oldest thread, its children cannot be told from those of threads that have ended",
            ));
        }
        Ok(children)
    }
}

/// The first thread in the order of their births that has not ended.
fn oldest_thread() -> io::Result<Option<Tid>> {
    for entry in fs::read_dir("/proc/self/task")? {
        let path = entry?.path();
        let stat = gone_is(String::new(), fs::read_to_string(path.join("stat")))?;
        let lives = stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']));
        if lives {
            return Ok(path.file_name().and_then(|tid| tid.to_str()?.parse().ok()).map(Tid));
        }
    }
    Ok(None)
}

/// The children of one thread, which can be read when no descriptor is free.
#[derive(Debug)]
pub(super) struct Children {
    of: Tid,
    list: File,
}

impl Children {
    /// Of the calling thread.
    pub(super) fn mine() -> io::Result<Self> {
        Ok(Self { of: Tid::mine(), list: File::open("/proc/thread-self/children")? })
    }

    pub(super) fn read(&mut self) -> io::Result<Vec<i32>> {
        let mut list = String::new();
        self.list.rewind()?;
        self.list.read_to_string(&mut list)?;
        self.of.own(&list)
    }
}

/// The threads of this process that bear `name`: a new thread has that of the one that has started it.
pub(super) fn threads_named(name: &str) -> io::Result<Vec<Tid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/task")? {
        let file = entry?.file_name();
        let Some(tid) = file.to_str().and_then(|number| number.parse().ok()) else { continue };
        if comm(&format!("/proc/self/task/{tid}/comm"))? == name.as_bytes() {
            found.push(Tid(tid));
        }
    }
    Ok(found)
}

/// The name in a `comm` file; empty if its owner has ended.
fn comm(path: &str) -> io::Result<Vec<u8>> {
    let read = || {
        let mut name = [0; 32];
        let length = File::open(path)?.read(&mut name)?;
        Ok(name[..length].trim_ascii_end().to_vec())
    };
    gone_is(Vec::new(), read())
}

/// The name of a process.
pub(super) fn program(pid: i32) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&comm(&format!("/proc/{pid}/comm"))?).into_owned())
}

/// The children of all threads of a process.
pub(super) fn children_of(pid: i32) -> io::Result<Vec<i32>> {
    let Some(tasks) = gone_is(None, fs::read_dir(format!("/proc/{pid}/task")).map(Some))? else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for task in tasks.flatten() {
        let list = gone_is(String::new(), fs::read_to_string(task.path().join("children")))?;
        found.extend(numbers(&list));
    }
    Ok(found)
}

/// Whether SIGKILL is on its way to a process: somebody else is ending it.
pub(super) fn is_being_killed(pid: i32) -> io::Result<bool> {
    const KILL: u64 = 1 << 8;
    let status = gone_is(String::new(), fs::read_to_string(format!("/proc/{pid}/status")))?;
    let pending = status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
    Ok(pending.filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok()).any(|mask| mask & KILL != 0))
}

fn numbers(list: &str) -> Vec<i32> {
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// A thread or a process that has ended is no failure of whoever asks for it.
fn gone_is<T>(nothing: T, read: io::Result<T>) -> io::Result<T> {
    const ESRCH: i32 = rustix::io::Errno::SRCH.raw_os_error();
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH) => Ok(nothing),
        read => read,
    }
}
