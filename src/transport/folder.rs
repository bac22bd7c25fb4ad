//! The folder of a tree's sockets: nobody but this user can enter it, and nobody else can have made it.
//!
//! `$XDG_RUNTIME_DIR/<app>/<tree>/`, or `<temporary folder>/<app>-<user>/<tree>/`. Each process of the tree that has sockets there
//! holds a shared lock of the file `lock` in it for as long as it lives. Whoever gets that lock for itself alone knows that
//! nobody is left, and removes the folder: the last one that leaves, or the next tree of the same program.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::process::geteuid;

use super::Address;
use super::socket::Listener;

/// Bytes that the path of a socket may have.
const LONGEST: usize = 107;
/// A name of a socket, for this limit.
const SOCKET: &str = "18446744073709551615.sock";
const LOCK: &str = "lock";
/// A folder that is removed by another process while it is made is made again, so often.
const TRIES: usize = 100;
/// With a pause, which is longer than the removal takes.
const PAUSE: Duration = Duration::from_micros(200);
/// Old folders that are looked at.
const MOST_OLD: usize = 1000;

/// The folder, as long as this process has sockets in it.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: File,
}

/// A file in the folder, which is removed with this.
#[derive(Debug)]
pub(crate) struct Removed(PathBuf);

impl Removed {
    /// It is not to be removed after all.
    pub(crate) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Folder {
    /// The folder of this tree of this program, which is made if it is not there.
    ///
    /// # Errors
    /// If no place for it is safe, or all paths are too long.
    pub(crate) fn new(tree: &str) -> io::Result<Self> {
        let (app, user) = (app(), geteuid().as_raw());
        if let Some(base) = runtime_dir()
            && let Ok(folder) = Self::at(&base, &app, tree)
        {
            return Ok(folder);
        }
        let base = std::env::temp_dir();
        check_shared(&base)?;
        Self::at(&base, &format!("{app}-{user}"), tree)
    }

    /// `base/app/tree`.
    fn at(base: &Path, app: &str, tree: &str) -> io::Result<Self> {
        let program = base.join(app);
        let path = program.join(tree);
        let longest = path.join(SOCKET).as_os_str().as_bytes().len();
        if longest > LONGEST {
            let text = format!(
                "{}: a socket there would have a path of {longest} bytes, {LONGEST} at most are possible: \
                 set XDG_RUNTIME_DIR to a folder with a shorter path",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, text));
        }
        let make = || make_private(&program).and_then(|()| make_private(&path));
        remove_old(&program, tree);
        for _ in 0..TRIES {
            match make().and_then(|()| lock(&path)) {
                Ok(Some(lock)) => return Ok(Self { path, lock }),
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                // It was or is being removed, by the last who used it or by somebody who took it for an old one.
                _ => std::thread::sleep(PAUSE),
            }
        }
        Err(named(&path, io::Error::other("it is removed as soon as it is made")))
    }

    /// Binds a socket in it.
    pub(crate) fn listen(&self, name: &str) -> io::Result<(Listener, Address, Removed)> {
        let path = self.path.join(format!("{name}.sock"));
        let listener = UnixListener::bind(&path).map_err(|error| named(&path, error))?;
        let file = Removed(path.clone());
        listener.set_nonblocking(true)?;
        Ok((Listener::Unix(listener), Address::Uds(path), file))
    }

    /// Writes a file that only this user can read. It is there with all its bytes, or not.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<(PathBuf, Removed)> {
        let (path, draft) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let removed = Removed(draft.clone());
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        fs::rename(&draft, &path)?;
        drop(removed);
        Ok((path.clone(), Removed(path)))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if flock(&self.lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            empty(&self.path);
        }
    }
}

/// What errors and paths call this program.
fn app() -> String {
    let exe = std::env::current_exe().unwrap_or_default();
    let name = exe.file_stem().unwrap_or_default().to_string_lossy();
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' });
    let plain: String = plain.take(32).collect();
    if plain.trim_start_matches('.').is_empty() { "pleach".to_owned() } else { plain }
}

/// `$XDG_RUNTIME_DIR`, if it is what it should be: absolute, ours alone, and there.
fn runtime_dir() -> Option<PathBuf> {
    let base = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?);
    (base.is_absolute() && check_private(&base).is_ok()).then_some(base)
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn unsafe_place(path: &Path, what: &str) -> io::Error {
    let text = format!(
        "{} {what}, so that sockets in it would not be safe: remove it, or set XDG_RUNTIME_DIR to a folder that is \
         yours alone (mode 0700)",
        path.display()
    );
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

/// Makes a folder that only this user can enter, or finds that it is one. A link is neither followed nor trusted.
fn make_private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(named(path, error)),
        _ => check_private(path),
    }
}

fn check_private(path: &Path) -> io::Result<()> {
    let data = fs::symlink_metadata(path).map_err(|error| named(path, error))?;
    if data.file_type().is_symlink() {
        return Err(unsafe_place(path, "is a symbolic link"));
    }
    if !data.is_dir() {
        return Err(unsafe_place(path, "is no folder"));
    }
    if data.uid() != geteuid().as_raw() {
        return Err(unsafe_place(path, &format!("belongs to user {}", data.uid())));
    }
    match data.mode() & 0o777 {
        0o700 => Ok(()),
        mode => Err(unsafe_place(path, &format!("has mode {mode:04o}"))),
    }
}

/// A folder in which others may write must keep them from replacing what is ours.
fn check_shared(path: &Path) -> io::Result<()> {
    let data = fs::metadata(path).map_err(|error| named(path, error))?;
    let owner_is_trusted = data.uid() == 0 || data.uid() == geteuid().as_raw();
    if !owner_is_trusted || (data.mode() & 0o022 != 0 && data.mode() & 0o1000 == 0) {
        return Err(unsafe_place(path, "lets others replace what is in it"));
    }
    Ok(())
}

/// The shared lock of a folder; `None` if the folder was removed meanwhile.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    let file = lock_file(&path, true).map_err(|error| named(&path, error))?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(is_there(&file, &path).then_some(file)),
        // Somebody is about to remove it.
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(named(&path, error.into())),
    }
}

fn lock_file(path: &Path, create: bool) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new().read(true).write(true).create(create).mode(0o600).custom_flags(flags).open(path)
}

/// Whether the path still leads to this file.
fn is_there(file: &File, path: &Path) -> bool {
    let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    file.metadata().is_ok_and(|a| fs::symlink_metadata(path).is_ok_and(|b| same(&a, &b)))
}

/// Removes the folders of trees that are gone: those whose lock nobody holds.
fn remove_old(program: &Path, but: &str) {
    let Ok(entries) = fs::read_dir(program) else { return };
    for entry in entries.flatten().take(MOST_OLD).filter(|entry| entry.file_name() != but) {
        let folder = entry.path();
        let Ok(file) = lock_file(&folder.join(LOCK), false) else {
            // Empty if whoever made it died at once; all else is none of ours.
            let _ = fs::remove_dir(&folder);
            continue;
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            empty(&folder);
        }
    }
}

/// Removes a folder whose lock is held for it, the lock last; and that of the program, if nothing else is in it.
fn empty(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name() != LOCK) {
        let _ = fs::remove_file(entry.path());
    }
    let _ = fs::remove_file(folder.join(LOCK));
    let _ = fs::remove_dir(folder);
    if let Some(program) = folder.parent() {
        let _ = fs::remove_dir(program);
    }
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
