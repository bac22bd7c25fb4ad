use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// A folder of a test, short enough for sockets.
struct Base(PathBuf);

impl Base {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("plt-{}-{number}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self(path)
    }

    fn folder(&self, tree: &str) -> io::Result<Folder> {
        Folder::at(&self.0, "app", tree)
    }

    fn path(&self, tree: &str) -> PathBuf {
        self.0.join("app").join(tree)
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn refused(result: io::Result<Folder>) -> String {
    let error = result.expect_err("it is refused");
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
    error.to_string()
}

#[test]
fn x02_the_folder_is_ours_alone_and_gone_with_the_last_who_uses_it() {
    let base = Base::new();
    let (first, second) = (base.folder("t").unwrap(), base.folder("t").unwrap());
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&base.path("t")), mode(&base.0.join("app"))), (0o700, 0o700));
    let (_listener, address, file) = first.listen("1").unwrap();
    assert_eq!(address, Address::Uds(base.path("t").join("1.sock")));
    drop(file);
    assert!(!base.path("t").join("1.sock").exists());
    drop(first);
    assert!(base.path("t").exists(), "the other one uses it");
    drop(second);
    assert!(!base.path("t").exists());
}

#[test]
fn x02_a_folder_that_others_could_have_made_or_can_enter_is_refused() {
    let base = Base::new();
    DirBuilder::new().mode(0o750).create(base.0.join("app")).unwrap();
    assert!(refused(base.folder("t")).contains("mode 0750"));
    fs::remove_dir(base.0.join("app")).unwrap();
    let elsewhere = base.0.join("elsewhere");
    DirBuilder::new().mode(0o700).create(&elsewhere).unwrap();
    symlink(&elsewhere, base.0.join("app")).unwrap();
    assert!(refused(base.folder("t")).contains("symbolic link"));
    fs::remove_file(base.0.join("app")).unwrap();
    fs::write(base.0.join("app"), "").unwrap();
    assert!(refused(base.folder("t")).contains("no folder"));
}

#[test]
fn x02_a_folder_of_another_user_is_refused() {
    if geteuid().as_raw() != 0 {
        eprintln!("skipped: only root can make a folder of another user");
        return;
    }
    let base = Base::new();
    DirBuilder::new().mode(0o700).create(base.0.join("app")).unwrap();
    std::os::unix::fs::chown(base.0.join("app"), Some(65_534), None).unwrap();
    assert!(refused(base.folder("t")).contains("belongs to user 65534"));
}

#[test]
fn x02_a_shared_folder_must_keep_others_from_replacing_ours() {
    let base = Base::new();
    let set = |mode| fs::set_permissions(&base.0, fs::Permissions::from_mode(mode)).unwrap();
    set(0o777);
    assert!(check_shared(&base.0).is_err());
    set(0o1777);
    assert!(check_shared(&base.0).is_ok());
}

#[test]
fn x02_folders_of_trees_that_are_gone_are_removed_and_no_others() {
    let base = Base::new();
    let living = base.folder("living").unwrap();
    let (_listener, _, file) = living.listen("1").unwrap();
    let gone = base.path("gone");
    DirBuilder::new().mode(0o700).create(&gone).unwrap();
    for name in [LOCK, "1.sock", "join.key"] {
        fs::write(gone.join(name), "").unwrap();
    }
    let stranger = base.path("stranger");
    DirBuilder::new().mode(0o700).create(&stranger).unwrap();
    fs::write(stranger.join("letter"), "").unwrap();
    let _new = base.folder("new").unwrap();
    assert!(!gone.exists(), "nobody held its lock");
    assert!(base.path("living").join("1.sock").exists() && stranger.join("letter").exists());
    drop(file);
}

#[test]
fn x02_many_that_come_and_go_at_once_never_lose_their_folder() {
    let base = Base::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let base = &base;
            scope.spawn(move || {
                for round in 0..50 {
                    // Two of the same tree, and two that look for old ones.
                    let folder = base.folder(if thread < 2 { "same" } else { "other" }).unwrap();
                    let name = format!("{thread}-{round}");
                    let (_listener, address, _file) = folder.listen(&name).unwrap();
                    let Address::Uds(path) = address else { panic!("it is a file") };
                    std::os::unix::net::UnixStream::connect(path).unwrap();
                }
            });
        }
    });
    assert!(!base.0.join("app").exists(), "nothing is left");
}

#[test]
fn a_path_that_is_too_long_says_what_to_do() {
    let base = Base::new();
    let error = base.folder(&"t".repeat(100)).unwrap_err().to_string();
    assert!(error.contains("107") && error.contains("XDG_RUNTIME_DIR"), "{error}");
}

#[test]
fn x04_a_key_file_can_be_read_by_its_user_alone() {
    let base = Base::new();
    let folder = base.folder("t").unwrap();
    let (path, file) = folder.write("join.key", b"secret").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"secret");
    assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o777, 0o600);
    drop(file);
    assert!(!path.exists());
}
