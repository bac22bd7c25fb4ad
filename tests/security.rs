//! Who is let in, over what, and what may be called (laws X1 to X8), from outside as an attacker or a user has it.

mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{actors, plain, soon, unique};
use libtest_mimic::{Failed, Trial};
use pleach::actor::{Defaults, Door, door};
use pleach::codec::Codec;
use pleach::host::Smol;
use pleach::prelude::*;
use pleach::task::sleep;
use pleach::transport::{Address, Tcp};
use pleach_bridge::Tokio;

/// The eight bytes of a refusal at a door.
const REFUSAL: [u8; 8] = [b'p', b'l', b'c', b'h', 1, 5, 2, 0];

#[pleach::endpoint]
async fn double(n: u64) -> Result<u64> {
    Ok(2 * n)
}

#[pleach::endpoint]
async fn hidden() -> Result<()> {
    Ok(())
}

fn path(door: &Door) -> PathBuf {
    match door.address() {
        Address::Uds(path) => path.clone(),
        other => panic!("a door is a file, not {other}"),
    }
}

/// What a stranger hears who says this at a door, until it is closed.
fn hears(socket: &Path, says: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).expect("the door is there");
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // It may have been closed already.
    let _ = stream.write_all(says);
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    heard
}

/// Asks beside the tree, which goes on.
async fn beside<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> T {
    let asked = std::thread::spawn(ask);
    while !asked.is_finished() {
        sleep(Duration::from_millis(1)).await.expect("nobody cancels it");
    }
    asked.join().expect("it does not panic")
}

/// Starts children over sockets that have an address, and opens a door, on whatever host this actor has.
#[pleach::endpoint]
async fn starts_children() -> Result<u64> {
    let tcp = Carrier::Tcp(Tcp::insecure_for_measurement());
    let sum = actor_nursery(async |n| {
        let mut sum = 0;
        for (name, carrier) in [("uds", Carrier::Uds), ("tcp", tcp)] {
            let child = n.actor(name).carrier(carrier).expose(double).start().await?;
            assert_eq!(child.connection().transport, name);
            sum += child.run(double, (4,)).await?;
            child.cancel_actor().await?;
        }
        Ok(sum)
    });
    let sum = sum.await?;
    let told = door("tools").open(async |door| {
        let socket = path(&door);
        Ok(beside(move || hears(&socket, &[0; 40])).await)
    });
    assert_eq!(told.await?, REFUSAL);
    Ok(sum)
}

async fn t01_an_infected_actor_has_children_over_every_transport() -> Result<()> {
    let ran = actor_nursery(async |n| {
        let worker = n.actor("worker").host(Tokio::current_thread()).expose(starts_children).start().await?;
        assert_eq!(worker.run(starts_children, ()).await?, 16);
        worker.cancel_actor().await
    });
    harness::eventually(ran).await
}

async fn x02_a_door_is_in_a_folder_that_only_its_user_can_enter() -> Result<()> {
    let open = door("tools").expose(double).open(async |door| {
        let socket = path(&door);
        let (tree, program) = (socket.parent().unwrap(), socket.parent().unwrap().parent().unwrap());
        for folder in [tree, program] {
            let data = fs::symlink_metadata(folder)?;
            assert!(data.is_dir() && data.mode() & 0o777 == 0o700, "{} is {:o}", folder.display(), data.mode());
            assert_eq!(data.uid(), rustix::process::geteuid().as_raw());
        }
        assert!(fs::symlink_metadata(&socket)?.file_type().is_socket());
        assert_eq!(fs::symlink_metadata(door.key_file())?.mode() & 0o777, 0o600);
        let sockets = fs::read_to_string("/proc/net/unix")?;
        let ours = sockets.lines().filter(|line| line.contains("tools.sock"));
        assert!(ours.clone().count() > 0 && ours.into_iter().all(|line| !line.contains('@')), "an abstract socket");
        Ok(socket)
    });
    let socket = soon(open).await?;
    assert!(!socket.exists() && !socket.parent().unwrap().exists(), "nothing is left");
    Ok(())
}

/// In a process whose folder of sockets is its own, because it lets others in.
fn x02_another_user_is_refused_though_he_could_reach_the_socket() -> Result<(), Failed> {
    let base = std::env::temp_dir().join(unique("pls"));
    std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(&base)?;
    let (ok, said) = with_environment(&[("XDG_RUNTIME_DIR", &base.display().to_string())], "another user");
    fs::remove_dir_all(&base)?;
    assert!(ok && said == "refused", "{said}");
    Ok(())
}

async fn refuses_another_user() -> Result<String> {
    let open = door("tools").open(async |door| {
        let socket = path(&door);
        // Only root can do this; the folder alone would have kept him out.
        for folder in socket.ancestors().skip(1).take(3) {
            fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        }
        fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
        let script =
            "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(100).hex())";
        let mut python = Command::new("python3");
        python.args(["-c", script]).arg(&socket).stdin(Stdio::null());
        std::os::unix::process::CommandExt::uid(&mut python, 65_534);
        let said = beside(move || python.output()).await?;
        assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "706c636801050200", "{said:?}");
        Ok("refused".to_owned())
    });
    soon(open).await
}

async fn x05_every_failure_has_the_same_answer() -> Result<()> {
    let open = door("tools").open(async |door| {
        let socket = path(&door);
        let hello = [&b"plch\x01\x01\x02\0"[..], &[9; 32]].concat();
        let proof = [&b"plch\x01\x03\x02\0"[..], &[7; 32]].concat();
        let other_version = [&b"plch\x02\x01\x02\0"[..], &[9; 32]].concat();
        for says in [
            &b"GET / HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n"[..],
            &[0; 40],
            &other_version,
            &[0xFF; 5000],
        ] {
            let (says, socket) = (says.to_vec(), socket.clone());
            let heard = beside(move || hears(&socket, &says)).await;
            // What was sent after the refusal may reset the connection before the refusal is read.
            assert!(heard == REFUSAL || heard.is_empty(), "{heard:?}");
        }
        let heard = beside(move || hears(&socket, &[hello, proof].concat())).await;
        assert_eq!(heard.len(), 72 + 8, "an answer that says nothing of the key, and a refusal");
        assert_eq!(heard[72..], REFUSAL);
        Ok(())
    });
    soon(open).await
}

async fn x05_of_one_user_eight_may_wait_and_not_for_long() -> Result<()> {
    let open = door("tools").open(async |door| {
        let socket = path(&door);
        let since = Instant::now();
        let mut waiting: Vec<_> = (0..8).map(|_| UnixStream::connect(&socket).unwrap()).collect();
        // They are taken in, in their order, before the ninth is.
        let ninth = socket.clone();
        assert_eq!(beside(move || hears(&ninth, b"")).await, REFUSAL, "one too many");
        assert!(since.elapsed() < Duration::from_secs(2), "at once");
        let heard = beside(move || {
            waiting
                .iter_mut()
                .map(|stream| {
                    let mut heard = Vec::new();
                    stream.read_to_end(&mut heard).map(|_| heard).unwrap()
                })
                .collect::<Vec<_>>()
        });
        assert!(heard.await.iter().all(|heard| heard == &REFUSAL), "those who say nothing");
        assert!((2..8).contains(&since.elapsed().as_secs()), "they have three seconds: {:?}", since.elapsed());
        let again = socket.clone();
        assert_eq!(beside(move || hears(&again, &[0; 40])).await, REFUSAL, "there is room again");
        Ok(())
    });
    harness::eventually(open).await
}

async fn x05_strangers_do_not_keep_a_child_from_coming_in() -> Result<()> {
    // Loopback, which every user of the machine can reach.
    let at = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let strangers = std::thread::spawn(move || {
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            let Ok(mut stream) = TcpStream::connect(at) else { continue };
            let _ = stream.write_all(&[0; 40]);
            return stream.read_to_end(&mut Vec::new()).is_ok();
        }
        false
    });
    let started = actor_nursery(async move |n| {
        let tcp = Carrier::Tcp(Tcp::insecure_for_measurement().at(at));
        let worker = n.actor(unique("worker")).carrier(tcp).expose(double).start().await?;
        assert_eq!(worker.run(double, (4,)).await?, 8);
        worker.cancel_actor().await
    });
    soon(started).await?;
    strangers.join().expect("it does not panic");
    Ok(())
}

async fn x03_tcp_beyond_this_machine_is_refused_before_anything_is_started() -> Result<()> {
    let started = actor_nursery(async |n| {
        let open = Carrier::Tcp(Tcp::insecure_for_measurement().at("0.0.0.0:0".parse().unwrap()));
        let refused = n.actor("worker").carrier(open).start().await.expect_err("it is refused");
        assert!(refused.is_misuse(), "{refused}");
        let text = refused.to_string();
        assert!(text.contains("root/worker") && text.contains("0.0.0.0") && text.contains("127.0.0.1"), "{text}");
        Ok(())
    });
    soon(started).await
}

/// The root of the tests about the environment: it starts an actor and says how it talks to it.
async fn says_how_it_talks(chosen: Option<Carrier>, read_along: bool) -> Result<String> {
    actor_nursery(async move |n| {
        let worker = n.actor("worker").expose(double);
        let worker = if read_along { worker.codecs_for(Carrier::Uds, [Codec::Json]) } else { worker };
        let worker = if let Some(carrier) = chosen { worker.carrier(carrier) } else { worker };
        let worker = worker.start().await?;
        assert_eq!(worker.run(double, (21,)).await?, 42);
        let refused = worker.run(hidden, ()).await.expect_err("it is not exposed");
        assert!(refused.is_misuse(), "{refused}");
        let info = worker.connection();
        worker.cancel_actor().await?;
        Ok(format!("{} {} {}.{}", info.transport, info.codec, info.version.0, info.version.1))
    })
    .await
}

/// A list in a list in a list.
#[derive(serde::Serialize, serde::Deserialize)]
struct Nest(Option<Box<Self>>, u8);

fn x06_payloads_as_deep_as_allowed_fit_a_small_stack() -> Result<(), Failed> {
    let read = |codec: Codec, depth: usize| {
        let mut nest = Nest(None, 1);
        for _ in 0..depth {
            nest = Nest(Some(Box::new(nest)), 1);
        }
        // By the bare crates, which have other limits.
        let bytes = match codec {
            Codec::Json => serde_json::to_vec(&nest).unwrap(),
            _ => rmp_serde::to_vec_named(&nest).unwrap(),
        };
        codec.decode::<Nest>(&bytes).is_ok()
    };
    // A quarter of what threads have; a host's own has at least that.
    let small = std::thread::Builder::new().stack_size(512 * 1024);
    let asked = small.spawn(move || {
        // A nest in a nest is two levels.
        let of = |codec| [20, 45, 60, 400].map(|depth| read(codec, depth));
        (of(Codec::MsgPack), of(Codec::Json))
    });
    let (msgpack, json) = asked?.join().expect("the stack is large enough");
    assert_eq!((msgpack, json), ([true, true, false, false], [true, true, false, false]));
    Ok(())
}

/// Runs this program again as that root, with these variables.
fn with_environment(variables: &[(&str, &str)], chosen: &str) -> (bool, String) {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.env(PART, chosen).stdin(Stdio::null());
    for (name, value) in variables {
        program.env(name, value);
    }
    let ended = program.output().unwrap();
    let said = if ended.status.success() { ended.stdout } else { ended.stderr };
    (ended.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
}

/// Says that this process is one of the roots below.
const PART: &str = "PLEACH_TEST_PART";

fn part(chosen: &str) -> ! {
    let carrier = (chosen == "inherited").then_some(Carrier::Inherited);
    let chosen_along = chosen == "json over uds";
    let ended = match chosen {
        "another user" => pleach::actor::run(Smol::one_thread(), refuses_another_user),
        "tree" => pleach::actor::run(Smol::one_thread(), || {
            Defaults::new().carrier(Carrier::Uds).codecs([Codec::MsgPack]).run(says_how_it_talks(None, false))
        }),
        _ => pleach::actor::run(Smol::one_thread(), move || says_how_it_talks(carrier, chosen_along)),
    };
    match ended {
        Ok(said) => println!("{said}"),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
    std::process::exit(0)
}

fn x08_the_environment_prefers_what_is_as_safe_and_nothing_else() -> Result<(), Failed> {
    let ran = |variables: &[(&str, &str)], chosen: &str| with_environment(variables, chosen);
    let fine = |text: &str| (true, text.to_owned());
    assert_eq!(ran(&[], "none"), fine("inherited msgpack 1.0"));
    assert_eq!(ran(&[("PLEACH_TRANSPORT", "uds"), ("PLEACH_CODEC", "json")], "none"), fine("uds json 1.0"));
    assert_eq!(
        ran(&[("PLEACH_TRANSPORT", "uds")], "inherited"),
        fine("inherited msgpack 1.0"),
        "the program has chosen"
    );
    let both: &[_] = &[("PLEACH_TRANSPORT", "uds"), ("PLEACH_CODEC", "msgpack")];
    assert_eq!(ran(both, "json over uds"), fine("uds json 1.0"), "msgpack is not listed for it");
    assert_eq!(ran(&[("PLEACH_CODEC", "json")], "json over uds"), fine("inherited json 1.0"), "but here");
    let other: &[_] = &[("PLEACH_TRANSPORT", "inherited"), ("PLEACH_CODEC", "json")];
    assert_eq!(ran(other, "tree"), fine("uds msgpack 1.0"), "the program has chosen for its tree");
    let (ok, text) = ran(&[("PLEACH_CODEC", "rot13")], "none");
    assert!(!ok && text.contains("PLEACH_CODEC=rot13: there is no such codec; here it can be `msgpack`"), "{text}");
    for (refused, why) in
        [("tcp", "a port is opened only by a program"), ("mem", "shares a process"), ("fax", "no such")]
    {
        let (ok, text) = ran(&[("PLEACH_TRANSPORT", refused)], "none");
        assert!(!ok && text.contains(why) && text.contains(&format!("PLEACH_TRANSPORT={refused}")), "{text}");
    }
    // Nothing else that looks like ours is heard.
    let others = ["KEY", "AUTH", "NO_AUTH", "BIND", "ADDRESS", "ENCRYPTION", "JOIN_KEY", "TREE", "EXPOSE"];
    let names: Vec<String> = others.iter().map(|other| format!("PLEACH_{other}")).collect();
    let variables: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "0")).collect();
    assert_eq!(ran(&variables, "none"), fine("inherited msgpack 1.0"));
    Ok(())
}

/// The sources read no variable but these.
fn x08_the_sources_read_two_variables_of_ours() -> Result<(), Failed> {
    let mut read = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)?.flatten() {
            match entry.path() {
                path if path.ends_with("tests") || path.to_string_lossy().ends_with("_tests.rs") => {}
                path if path.is_dir() => folders.push(path),
                path => {
                    let text = fs::read_to_string(&path)?;
                    let lines = text.lines().filter(|line| line.contains("env::var"));
                    read.extend(lines.map(|line| format!("{}: {}", path.file_name().unwrap().display(), line.trim())));
                }
            }
        }
    }
    read.sort();
    assert_eq!(read.len(), 2, "{read:#?}");
    assert!(read[0].contains("XDG_RUNTIME_DIR") && read[1].starts_with("preference.rs"), "{read:#?}");
    Ok(())
}

fn t01_a_transport_of_ones_own_carries_an_actor() -> Result<(), Failed> {
    let run = Command::new(harness::example("own_transport")?).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&run.stdout);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[..2], ["HELLO", "over own"], "{}", String::from_utf8_lossy(&run.stderr));
    let bytes: usize = lines[2].trim_end_matches(" bytes").parse()?;
    assert!((50..1000).contains(&bytes), "{bytes} bytes for one call");
    Ok(())
}

fn main() {
    if let Ok(chosen) = std::env::var(PART) {
        pleach::actor::enter(|| {});
        part(&chosen);
    }
    let is_root = rustix::process::geteuid().is_root();
    macro_rules! trees {
        ($($test:ident),* $(,)?) => { vec![$(actors(stringify!($test), $test)),*] };
    }
    let mut tests: Vec<Trial> = trees![
        t01_an_infected_actor_has_children_over_every_transport,
        x02_a_door_is_in_a_folder_that_only_its_user_can_enter,
        x05_every_failure_has_the_same_answer,
        x05_of_one_user_eight_may_wait_and_not_for_long,
        x05_strangers_do_not_keep_a_child_from_coming_in,
        x03_tcp_beyond_this_machine_is_refused_before_anything_is_started,
    ];
    let name = "x02_another_user_is_refused_though_he_could_reach_the_socket";
    // Only root can be another user.
    let other_user = plain(name, x02_another_user_is_refused_though_he_could_reach_the_socket);
    tests.push(other_user.with_ignored_flag(!is_root));
    macro_rules! plain {
        ($($test:ident),* $(,)?) => { $(tests.push(plain(stringify!($test), $test));)* };
    }
    plain! {
        x06_payloads_as_deep_as_allowed_fit_a_small_stack,
        x08_the_environment_prefers_what_is_as_safe_and_nothing_else,
        x08_the_sources_read_two_variables_of_ours,
        t01_a_transport_of_ones_own_carries_an_actor,
    }
    harness::main(tests);
}
