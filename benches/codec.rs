//! Encoding and decoding beside the bare crates: what this crate's checks cost, and its `dyn` for codecs of one's own.
//!
//! `cargo bench --bench codec` prints, for the shapes of messages that programs send, the ns of each codec and of its crate, measured in turns in
//! one run in CPU time, and their ratio. The built-in codecs may take 1.05 times as long as their crates, JSON with bytes 1.15 times as long as
//! serde_json with base64 text. Where a loop of a few ns lies in memory is worth a tenth, so what counts is the median over many places, which
//! `.ci/codec` prints. `SHAPE`, `CODEC`, `SAMPLES` and `MILLIS` choose. Run as a test, it makes one tiny round and no claim.

mod gauge;
mod place;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gauge::{Effort, print_conditions};
use place::{Pin, place_root};
use pleach::codec::Codec;
use pleach_codecs::{CBOR, MSGPACK_LZ4, POSTCARD};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Call(u64, f64, bool);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Texts {
    id: u64,
    name: String,
    host: Option<String>,
    note: Option<String>,
    parent: Option<u64>,
    tags: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    at: u64,
    level: u8,
    target: String,
    text: String,
    task: u64,
    pid: u32,
    took: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    Int(i64),
    Num(f64),
    Text(String),
    List(Vec<i64>),
    Point { x: f64, y: f64, label: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Nested {
    kind: Kind,
    attributes: BTreeMap<String, Kind>,
    groups: BTreeMap<String, Vec<Kind>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Bytes {
    id: u64,
    #[serde(with = "serde_bytes")]
    data: Vec<u8>,
}

/// The same for serde_json, which has no bytes of its own.
#[derive(Serialize, Deserialize)]
struct BytesAsText {
    id: u64,
    #[serde(with = "as_text")]
    data: Vec<u8>,
}

/// What a program writes that puts bytes into JSON by hand.
mod as_text {
    use super::*;

    pub(crate) fn serialize<S: serde::Serializer>(data: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(data))
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        STANDARD.decode(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}

fn texts() -> Texts {
    let tags = ["alpha", "beta", "gamma"].map(str::to_owned).to_vec();
    let host = Some("host-a.example".to_owned());
    Texts { id: 918_273, name: "portal/worker-7".into(), host, note: None, parent: Some(42), tags }
}

fn records() -> Vec<Record> {
    let record = |n: u64| Record {
        at: 1_700_000_000_000_000 + n * 1371,
        level: (n % 5) as u8,
        target: format!("runtime::actor::{}", n % 13),
        text: format!("task {n} finished step {} of the \"plan\" in worker {}", n % 7, n % 3),
        task: n * 17,
        pid: 4000 + (n % 8) as u32,
        took: (!n.is_multiple_of(3)).then_some(n as f64 * 0.37),
    };
    (0..1000).map(record).collect()
}

fn nested() -> Nested {
    let kinds = |n: i64| {
        let point = Kind::Point { x: 1.5, y: -2.25, label: "pt".into() };
        let list = Kind::List((0..8).map(|i| i * n).collect());
        vec![Kind::Unit, Kind::Int(n * 77), Kind::Num(n as f64 / 3.0), Kind::Text(format!("value {n}")), list, point]
    };
    Nested {
        kind: Kind::Point { x: 0.1, y: 0.2, label: "root".into() },
        attributes: (0..12).map(|n| (format!("attribute{n}"), kinds(n)[n as usize % 6].clone())).collect(),
        groups: (0..6).map(|n| (format!("group{n}"), kinds(n))).collect(),
    }
}

fn data() -> Vec<u8> {
    (0..65_536_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Short turns of each way in a sample.
const TURNS: usize = 20;

type Encode<'a> = Box<dyn FnMut(&mut Vec<u8>) + 'a>;
type Decode<'a> = Box<dyn FnMut(&[u8]) + 'a>;

/// One way to encode and decode a value, ours or bare.
struct Way<'a> {
    encode: Encode<'a>,
    decode: Decode<'a>,
}

fn ours<T: Serialize + DeserializeOwned>(codec: Codec, value: &T) -> Way<'_> {
    Way {
        encode: Box::new(move |out| codec.encode(black_box(value), out).expect("it can be carried")),
        decode: Box::new(move |bytes| drop(black_box(codec.decode::<T>(black_box(bytes)).expect("it was encoded")))),
    }
}

fn bare_msgpack<T: Serialize + DeserializeOwned>(value: &T) -> Way<'_> {
    Way {
        encode: Box::new(|out| rmp_serde::encode::write_named(out, black_box(value)).expect("it can be carried")),
        decode: Box::new(|bytes| {
            drop(black_box(rmp_serde::from_slice::<T>(black_box(bytes)).expect("it was encoded")));
        }),
    }
}

fn bare_json<T: Serialize + DeserializeOwned>(value: &T) -> Way<'_> {
    Way {
        encode: Box::new(|out| serde_json::to_writer(out, black_box(value)).expect("it can be carried")),
        decode: Box::new(|bytes| {
            drop(black_box(serde_json::from_slice::<T>(black_box(bytes)).expect("it was encoded")));
        }),
    }
}

fn bare_postcard<T: Serialize + DeserializeOwned>(value: &T) -> Way<'_> {
    Way {
        encode: Box::new(|out| {
            *out = postcard::to_extend(black_box(value), std::mem::take(out)).expect("it can be carried")
        }),
        decode: Box::new(|bytes| drop(black_box(postcard::from_bytes::<T>(black_box(bytes)).expect("it was encoded")))),
    }
}

fn bare_cbor<T: Serialize + DeserializeOwned>(value: &T) -> Way<'_> {
    Way {
        encode: Box::new(|out| cbor4ii::serde::to_writer(out, black_box(value)).expect("it can be carried")),
        decode: Box::new(|bytes| {
            drop(black_box(cbor4ii::serde::from_slice::<T>(black_box(bytes)).expect("it was encoded")));
        }),
    }
}

/// CPU time of this thread: what others do at the same time on a busy machine does not count.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// How long it takes, in ns.
fn time(batch: u64, mut work: impl FnMut()) -> f64 {
    let start = cpu_time();
    (0..batch).for_each(|_| work());
    (cpu_time() - start).as_nanos() as f64 / batch as f64
}

/// What one way takes, in ns.
#[derive(Default)]
struct Times {
    encode: Vec<f64>,
    decode: Vec<f64>,
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// How many times something is done in so many ns. It is tried with more and more: what is done three times takes less than to look at
/// the clock.
fn batch_for(slice: f64, mut work: impl FnMut()) -> u64 {
    let mut batch = 1;
    while batch < 1 << 20 && time(batch, &mut work) * (batch as f64) < slice {
        batch *= 2;
    }
    batch
}

/// Measures two ways, in turns so short that what disturbs one disturbs the other.
fn compare(effort: Effort, mut ways: [Way<'_>; 2]) -> [Times; 2] {
    let mut out = Vec::new();
    let mut times = [Times::default(), Times::default()];
    let encoded = ways.each_mut().map(|way| {
        out.clear();
        (way.encode)(&mut out);
        out.clone()
    });
    let slice = (effort.span.as_nanos() as f64 / TURNS as f64 / 4.0).min(2e6);
    let batch = batch_for(slice, || (ways[0].decode)(&encoded[0]));
    let turns = if effort.span.is_zero() { 1 } else { TURNS * effort.samples };
    for turn in 0..turns {
        for way in [turn % 2, 1 - turn % 2] {
            let Way { encode, decode } = &mut ways[way];
            let encodes = time(batch, || {
                out.clear();
                encode(&mut out);
                black_box(&out);
            });
            times[way].encode.push(encodes);
            times[way].decode.push(time(batch, || decode(&encoded[way])));
        }
    }
    times
}

fn wanted(variable: &str, name: &str) -> bool {
    std::env::var(variable).map_or(true, |part| name.contains(&part))
}

/// One line: a codec for a shape.
fn print(effort: Effort, shape: &str, codec: Codec, ways: [Way<'_>; 2]) {
    if !wanted("SHAPE", shape) || !wanted("CODEC", codec.name()) {
        return;
    }
    let [mut ours, mut bare] = compare(effort, ways);
    let encode = [median(&mut ours.encode), median(&mut bare.encode)];
    let decode = [median(&mut ours.decode), median(&mut bare.decode)];
    print!("  {shape:<12} {:<12}", codec.name());
    for (what, [ours, bare]) in [("encode", encode), ("decode", decode)] {
        print!("  {what} {ours:>9.1} ns, bare {bare:>9.1}, {:>5.2} x;", ours / bare);
    }
    println!();
}

fn all<T: Serialize + DeserializeOwned>(effort: Effort, shape: &str, value: &T) {
    print(effort, shape, Codec::MsgPack, [ours(Codec::MsgPack, value), bare_msgpack(value)]);
    print(effort, shape, Codec::Json, [ours(Codec::Json, value), bare_json(value)]);
    others(effort, shape, value);
}

/// Codecs that are not built in.
fn others<T: Serialize + DeserializeOwned>(effort: Effort, shape: &str, value: &T) {
    print(effort, shape, POSTCARD, [ours(POSTCARD, value), bare_postcard(value)]);
    print(effort, shape, CBOR, [ours(CBOR, value), bare_cbor(value)]);
    print(effort, shape, MSGPACK_LZ4, [ours(MSGPACK_LZ4, value), bare_msgpack(value)]);
}

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let (pin, effort) = (Pin::from_env(), Effort::from_env());
    place_root(pin);
    print_conditions(pin, effort);
    println!("ns per value, ours beside the bare crate");
    all(effort, "call", &Call(123_456_789, 3.25159, true));
    all(effort, "texts", &texts());
    all(effort, "1000 records", &records());
    all(effort, "nested", &nested());
    let (bytes, as_text) = (Bytes { id: 7, data: data() }, BytesAsText { id: 7, data: data() });
    print(effort, "64 KiB", Codec::MsgPack, [ours(Codec::MsgPack, &bytes), bare_msgpack(&bytes)]);
    print(effort, "64 KiB", Codec::Json, [ours(Codec::Json, &bytes), bare_json(&as_text)]);
    others(effort, "64 KiB", &bytes);
    all(effort, "64 KiB list", &data());
}
