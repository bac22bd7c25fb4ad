//! What one that joins at a door can do: call what the door exposes, in a codec that the door offers, and nothing else (laws X7, X8).
//! The peer here is written from `docs/protocol.md`, as one in another language is.

mod harness;

use std::io::{Error, Read, Result as Io, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use harness::eventually;
use hmac::{Hmac, KeyInit, Mac};
use pleach::actor::{ActorNursery, Door, door};
use pleach::codec::Codec;
use pleach::prelude::*;
use pleach::transport::Address;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pleach::test_entry!();

const BOUND: Duration = Duration::from_secs(20);
const HELLO: u8 = 1;
const START: u8 = 3;
const RETURN: u8 = 9;
const ERROR: u8 = 10;

#[pleach::endpoint(name = "double")]
async fn double(n: u64) -> Result<u64> {
    Ok(2 * n)
}

/// The actor exposes it to its parent, and no door does.
#[pleach::endpoint(name = "hidden")]
async fn hidden() -> Result<u64> {
    Ok(7)
}

/// Where a door is, for a thread beside the tree.
#[derive(Clone)]
struct Place {
    socket: PathBuf,
    key_file: PathBuf,
}

impl Place {
    fn of(door: &Door) -> Self {
        let Address::Uds(socket) = door.address().clone() else { panic!("a door is a file") };
        Self { socket, key_file: door.key_file().to_owned() }
    }

    /// The key that is in its file now.
    fn key(&self) -> Io<Vec<u8>> {
        let text = std::fs::read_to_string(&self.key_file)?;
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).map_err(Error::other);
        (0..64).step_by(2).map(byte).collect()
    }
}

/// A program from outside.
struct Peer {
    stream: UnixStream,
    next: u64,
}

impl Peer {
    /// Proves the key.
    fn authenticated(place: &Place) -> Io<Self> {
        let (mut stream, key) = (UnixStream::connect(&place.socket)?, place.key()?);
        stream.set_read_timeout(Some(BOUND))?;
        let tag = |role: &str, said: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length will do");
            mac.update(b"pleach ");
            mac.update(role.as_bytes());
            mac.update(&Sha256::digest(said));
            mac.finalize().into_bytes().to_vec()
        };
        let mut said = [&header(1)[..], &[9; 32]].concat();
        stream.write_all(&said)?;
        let mut answer = [0; 72];
        stream.read_exact(&mut answer)?;
        said.extend_from_slice(&answer[..40]);
        assert_eq!(answer[40..], tag("acceptor", &said), "it has another key");
        said.extend_from_slice(&answer[40..]);
        stream.write_all(&[&header(3)[..], &tag("initiator", &said)].concat())?;
        let mut verdict = [0; 8];
        stream.read_exact(&mut verdict)?;
        assert_eq!(verdict, header(4), "it is welcome");
        Ok(Self { stream, next: 1 })
    }

    /// Hears the Hello of the door, and answers it with this major version and this choice.
    fn hello(&mut self, major: u64, codec: &str) -> Io<Value> {
        let (kind, payload) = self.fragment()?;
        assert_eq!(kind, HELLO);
        let theirs: Value = rmp_serde::from_slice(&payload).map_err(Error::other)?;
        let answer = json!({"magic": theirs["magic"], "major": major, "minor": 0, "tree": theirs["tree"], "pid": 1,
                            "codecs": [codec], "chosen": codec, "max_message": 1 << 20});
        self.send(HELLO, 0, &rmp_serde::to_vec_named(&answer).map_err(Error::other)?)?;
        Ok(theirs)
    }

    fn joined(place: &Place, codec: &str) -> Io<Self> {
        let mut peer = Self::authenticated(place)?;
        peer.hello(1, codec)?;
        Ok(peer)
    }

    fn send(&mut self, kind: u8, dialog: u64, payload: &[u8]) -> Io<()> {
        let len = u32::try_from(payload.len()).map_err(Error::other)?;
        let head = [&len.to_le_bytes()[..], &[kind, 0, 0, 0], &dialog.to_le_bytes()].concat();
        self.stream.write_all(&[&head, payload].concat())
    }

    fn fragment(&mut self) -> Io<(u8, Vec<u8>)> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head)?;
        assert_eq!(head[5], 0, "everything here is short");
        let mut payload = vec![0; u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize];
        self.stream.read_exact(&mut payload)?;
        Ok((head[4], payload))
    }

    /// The result in the codec, or the failure's kind and message.
    fn call(&mut self, endpoint: &str, arguments: &[u8]) -> Io<Result<Vec<u8>, (String, String)>> {
        let len = u16::try_from(endpoint.len()).map_err(Error::other)?;
        let start = [&[1][..], &[0; 20], &len.to_le_bytes(), endpoint.as_bytes(), arguments].concat();
        let dialog = self.next;
        self.next += 2;
        self.send(START, dialog, &start)?;
        loop {
            match self.fragment()? {
                (RETURN, payload) => return Ok(Ok(payload)),
                (ERROR, payload) => {
                    let error: Value = rmp_serde::from_slice(&payload).map_err(Error::other)?;
                    let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
                    return Ok(Err((text("kind"), text("message"))));
                }
                _ => {}
            }
        }
    }
}

/// Of a message of the authentication, by one who joins.
fn header(message: u8) -> [u8; 8] {
    [b'p', b'l', b'c', b'h', 1, message, 2, 0]
}

/// Opens a door of an actor that exposes something else to its parent, and talks to it on a thread beside the tree.
#[pleach::endpoint]
async fn opens_a_door(which: String) -> Result<()> {
    let (codecs, talk): (_, fn(&Place) -> Io<()>) = match which.as_str() {
        "exposure" => (vec![Codec::MsgPack], what_a_door_exposes),
        "codec" => (vec![Codec::Json, Codec::MsgPack], what_a_door_offers),
        _ => (vec![Codec::MsgPack], another_major_version),
    };
    let open = door("tools").expose(double).codecs(codecs).open(async |door| {
        let place = Place::of(&door);
        let (said, mut heard) = pleach::task::oneshot::channel();
        std::thread::spawn(move || drop(said.send(talk(&place).map_err(|error| error.to_string()))));
        let went = heard.recv().await?.unwrap_or_else(|| Err("the peer has panicked".to_owned()));
        went.map_err(Error::other)?;
        Ok(())
    });
    open.await
}

async fn at_a_door(which: &str) -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let keeper = n.actor("keeper").expose(opens_a_door).expose(hidden).start().await?;
        assert_eq!(keeper.run(hidden, ()).await?, 7, "its parent can call it");
        let refused = keeper.run(double, (4,)).await.expect_err("only the door exposes it");
        assert!(refused.is_misuse(), "{refused}");
        keeper.run(opens_a_door, (which.to_owned(),)).await?;
        keeper.cancel_actor().await
    }))
    .await
}

fn what_a_door_exposes(place: &Place) -> Io<()> {
    let mut peer = Peer::joined(place, "msgpack")?;
    assert_eq!(peer.call("double", &[0x91, 21])?, Ok(vec![42]), "a list of one number");
    let (kind, forbidden) = peer.call("hidden", &[0xC0])?.expect_err("it is not exposed");
    assert_eq!(kind, "Misuse");
    assert!(
        forbidden.starts_with("endpoint `hidden` is not exposed by the door `tools` of root/keeper"),
        "{forbidden}"
    );
    let (kind, unknown) = peer.call("nowhere", &[0xC0])?.expect_err("there is none");
    assert_eq!((kind.as_str(), unknown), ("Misuse", forbidden.replace("hidden", "nowhere")), "nothing can be probed");
    Ok(())
}

#[pleach::test]
async fn x08_one_that_joins_can_call_what_the_door_exposes_and_nothing_else() -> Result<()> {
    at_a_door("exposure").await
}

fn what_a_door_offers(place: &Place) -> Io<()> {
    let mut peer = Peer::authenticated(place)?;
    assert_eq!(peer.hello(1, "json")?["codecs"], json!(["json", "msgpack"]));
    assert_eq!(peer.call("double", b"[21]")?, Ok(b"42".to_vec()));
    let mut another = Peer::joined(place, "rot13")?;
    assert!(another.fragment().is_err(), "none in common: it is sent away");
    Ok(())
}

#[pleach::test]
async fn t02_one_that_joins_agrees_on_a_codec_that_the_door_offers() -> Result<()> {
    at_a_door("codec").await
}

fn another_major_version(place: &Place) -> Io<()> {
    let mut peer = Peer::authenticated(place)?;
    assert_eq!(peer.hello(2, "msgpack")?["major"], 1);
    assert!(peer.call("double", &[0x91, 21]).is_err(), "it is sent away, and nothing is run");
    assert_eq!(Peer::joined(place, "msgpack")?.call("double", &[0x91, 4])?, Ok(vec![8]), "others are not");
    Ok(())
}

#[pleach::test]
async fn x07_one_that_joins_with_another_major_version_is_sent_away() -> Result<()> {
    at_a_door("version").await
}
