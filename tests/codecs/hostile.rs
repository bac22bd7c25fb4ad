//! Bytes that nobody has encoded: an error with a type, no panic, no more memory than there are bytes for (law T4).

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;

use pleach::codec::Codec;
use pleach_codecs::JSON_LZ4;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::CODECS;
use crate::values::Chance;

thread_local! {
    /// What this thread has allocated and not freed; the most since the mark.
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: isize) {
    // Gone while the thread ends.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + bytes);
        MOST.with(|most| most.set(most.get().max(now.get())));
    });
}

// SAFETY: it is the system's allocator, which is asked in the same way; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most memory that was held at once beyond what was held before.
fn most(work: impl FnOnce()) -> usize {
    let before = NOW.get();
    MOST.set(before);
    work();
    usize::try_from(MOST.get() - before).expect("it starts at what there was")
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Node {
    Leaf,
    Text(String),
    More(Box<Self>),
    Pair(Box<Self>, Option<u64>),
    Named { data: ByteBuf, list: Vec<Self>, map: BTreeMap<String, u32>, large: u128, letter: char },
}

/// Contains itself in nothing but options and newtypes.
#[derive(Debug, Serialize, Deserialize)]
struct Mirror(#[allow(dead_code, reason = "it is only read")] Option<Box<Self>>);

fn node(c: &mut Chance, depth: usize) -> Node {
    match c.below(if depth == 0 { 2 } else { 5 }) {
        0 => Node::Leaf,
        1 => Node::Text(c.text()),
        2 => Node::More(Box::new(node(c, depth - 1))),
        3 => Node::Pair(Box::new(node(c, depth - 1)), c.option(Chance::unsigned)),
        _ => Node::Named {
            data: ByteBuf::from(c.bytes()),
            list: c.list(|c| node(c, depth - 1)),
            map: c.map(Chance::text, |c| c.bits() as u32),
            large: c.large(),
            letter: c.letter(),
        },
    }
}

/// What reading may hold at once: some small things, a copy of the bytes or two, and serde's first guess at a list, 1 MiB at most. What is
/// compressed may become 255 times as much first.
fn bound(codec: Codec, bytes: usize) -> usize {
    let factor = if codec.name().ends_with("lz4") { 255 } else { 1 };
    (2 << 20) + 128 * bytes * factor
}

fn read<T: DeserializeOwned>(codec: Codec, bytes: &[u8]) -> bool {
    let mut is_value = false;
    let held = most(|| match codec.decode::<T>(bytes) {
        Ok(_) => is_value = true,
        Err(error) => assert_eq!((error.codec, error.len), (codec, bytes.len())),
    });
    assert!(held <= bound(codec, bytes.len()), "{codec:?} held {held} bytes for {} bytes", bytes.len());
    is_value
}

fn encoded(codec: Codec, value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec.encode(value, &mut bytes).unwrap();
    bytes
}

/// Every codec there is, and JSON compressed.
fn codecs() -> impl Iterator<Item = Codec> {
    CODECS.into_iter().chain([JSON_LZ4])
}

#[test]
fn t04_bytes_that_are_cut_or_followed_by_others_are_an_error() {
    for codec in codecs() {
        for seed in 0..60 {
            let value = node(&mut Chance::new(seed), 3);
            let mut bytes = encoded(codec, &value);
            assert!(codec.decode::<Node>(&bytes).is_ok_and(|there| there == value), "{codec:?}");
            let step = 1 + bytes.len() / 500;
            for cut in (0..bytes.len()).step_by(step) {
                assert!(!read::<Node>(codec, &bytes[..cut]), "{codec:?}: {cut} of {} bytes", bytes.len());
            }
            bytes.push(b'0');
            assert!(!read::<Node>(codec, &bytes), "{codec:?}: a byte follows");
        }
    }
}

#[test]
fn t04_flipped_and_random_bytes_are_an_error_or_a_value_and_nothing_else() {
    for codec in codecs() {
        let mut c = Chance::new(7);
        for seed in 0..400 {
            let mut bytes = encoded(codec, &node(&mut Chance::new(seed), 3));
            for _ in 0..8 {
                let at = c.below(bytes.len());
                bytes[at] ^= 1 << c.below(8);
                read::<Node>(codec, &bytes);
                read::<serde_json::Value>(codec, &bytes);
            }
            let random = c.bytes();
            read::<Node>(codec, &random);
            read::<Vec<BTreeMap<u16, ByteBuf>>>(codec, &random);
        }
    }
}

/// Beginnings that repeat: each is a level, and there is no end of them.
fn deep(codec: Codec) -> Vec<Vec<u8>> {
    let many = |unit: &[u8]| unit.repeat(100_000);
    match codec.name() {
        "msgpack" => vec![many(&[0x91]), many(b"\x81\xa4More"), many(&[0x81]), many(&[0xde, 0, 1, 1]), vec![1]],
        "json" => vec![many(b"["), many(b"{\"More\":"), many(b"{\"a\":"), b"1".to_vec()],
        "postcard" => vec![many(&[1]), many(&[2]), many(&[1, 1])],
        "cbor" => vec![many(&[0x81]), many(b"\xa1\x64More"), many(&[0x9f]), many(&[0xa1, 1]), many(&[0xc2]), vec![1]],
        _ => vec![],
    }
}

/// Contains itself in lists.
#[derive(Debug, Deserialize)]
struct Deep(#[allow(dead_code, reason = "it is only read")] Vec<Self>);

#[test]
fn t04_what_nests_too_deep_is_an_error_on_a_small_stack() {
    let reads = || {
        for codec in codecs() {
            for bytes in deep(codec) {
                let head = &bytes[..bytes.len().min(8)];
                assert!(!read::<Deep>(codec, &bytes), "{codec:?} {head:?}");
                assert!(!read::<Node>(codec, &bytes), "{codec:?} {head:?}");
                assert!(!read::<Mirror>(codec, &bytes), "{codec:?} {head:?}");
                read::<serde_json::Value>(codec, &bytes);
                read::<serde::de::IgnoredAny>(codec, &bytes);
            }
        }
    };
    // Without optimisation, as in a test.
    std::thread::Builder::new().stack_size(1 << 20).spawn(reads).unwrap().join().unwrap();
}

#[test]
fn t04_a_length_is_believed_when_its_bytes_are_there() {
    let msgpack: [&[u8]; 4] = [
        &[0xdd, 0xff, 0xff, 0xff, 0xff, 1],
        &[0xc6, 0xff, 0xff, 0xff, 0xff, 1],
        &[0xdb, 0xff, 0xff, 0xff, 0xff, 1],
        &[0xdf, 0xff, 0xff, 0xff, 0xff, 1],
    ];
    let cbor: [&[u8]; 4] = [
        &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        &[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        &[0x7a, 0xff, 0xff, 0xff, 0xff, 1],
        &[0xbb, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
    ];
    let postcard: [&[u8]; 2] =
        [&[0xff, 0xff, 0xff, 0xff, 0x0f, 1], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]];
    let lz4: [&[u8]; 3] = [&[1, 0xff, 0xff, 0xff, 0xff, 0], &[1, 0, 0, 0, 4, 0x10, 1], &[1, 200]];
    let lies = [(Codec::MsgPack, &msgpack[..]), (CODECS[3], &cbor), (CODECS[2], &postcard), (CODECS[4], &lz4)];
    for (codec, lies) in lies {
        for lie in lies {
            assert!(!read::<Vec<u64>>(codec, lie), "{codec:?} {lie:?}");
            assert!(!read::<ByteBuf>(codec, lie), "{codec:?} {lie:?}");
            assert!(!read::<String>(codec, lie), "{codec:?} {lie:?}");
            assert!(!read::<BTreeMap<u8, u8>>(codec, lie), "{codec:?} {lie:?}");
        }
    }
}

#[test]
fn t04_a_bomb_is_not_decompressed() {
    let lz4 = CODECS[4];
    let text = "x".repeat(65 << 20);
    let error = lz4.encode(&text, &mut Vec::new()).unwrap_err();
    assert!(error.cause.contains("over the limit of 67108864"), "{error}");
    drop(text);
    // 32 MiB of one letter is fine, and costs what its own bytes pay for.
    let bytes = encoded(lz4, &"x".repeat(32 << 20));
    assert!(bytes.len() < 200 << 10, "{}", bytes.len());
    assert!(read::<String>(lz4, &bytes));
    let mut bomb = bytes.clone();
    bomb[1..5].copy_from_slice(&(100_u32 << 20).to_le_bytes());
    assert!(lz4.decode::<String>(&bomb).unwrap_err().cause.contains("not decompressed to 104857600"));
    bomb[1..5].copy_from_slice(&(31_u32 << 20).to_le_bytes());
    assert!(!read::<String>(lz4, &bomb), "more than it says");
    bomb[1..5].copy_from_slice(&(33_u32 << 20).to_le_bytes());
    assert!(!read::<String>(lz4, &bomb), "less than it says");
}
