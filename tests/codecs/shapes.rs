//! Every shape of serde's data model, and what each codec does with it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;

use pleach::codec::Codec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_bytes::ByteBuf;

use crate::values::Chance;

/// What became of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Equal,
    Refused(String),
    RefusedThere(String),
    Changed(String),
}

/// How many values of each shape are tried.
const TRIES: u64 = 300;

fn fate<T: Serialize + DeserializeOwned + Debug>(codec: Codec, value: &T, same: fn(&T, &T) -> bool) -> Fate {
    let mut bytes = b"before".to_vec();
    if let Err(error) = codec.encode(value, &mut bytes) {
        assert_eq!(bytes, b"before", "{codec:?} leaves a part of what it refuses");
        assert_eq!((error.codec, error.type_name), (codec, std::any::type_name::<T>()));
        return Fate::Refused(error.cause);
    }
    match codec.decode::<T>(&bytes[6..]) {
        Ok(there) if same(value, &there) => Fate::Equal,
        Ok(there) => Fate::Changed(format!("{value:?} arrives as {there:?}")),
        Err(error) => Fate::RefusedThere(error.cause.clone()),
    }
}

/// The one fate of all values of a shape; the worst if they differ.
fn fates<T: Serialize + DeserializeOwned + Debug>(
    codec: Codec,
    value: fn(&mut Chance) -> T,
    same: fn(&T, &T) -> bool,
) -> Fate {
    let all = (0..TRIES).map(|seed| fate(codec, &value(&mut Chance::new(seed + 1)), same));
    all.max_by_key(|fate| match fate {
        Fate::Equal => 0,
        Fate::Refused(_) => 1,
        Fate::RefusedThere(_) => 2,
        Fate::Changed(_) => 3,
    })
    .expect("there are tries")
}

fn equal<T: Serialize + DeserializeOwned + Debug + PartialEq>(codec: Codec, value: fn(&mut Chance) -> T) -> Fate {
    fates(codec, value, |here, there| here == there)
}

/// A shape by its name, and what a codec does with values of it.
pub(crate) type Row = (&'static str, fn(Codec) -> Fate);

/// The rows of the table in `docs/codecs.md`, in its order.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = plain();
    rows.extend(compound());
    rows.extend(looking());
    rows
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Empty {}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Name(String);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pair(i64, Option<bool>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    id: u64,
    ratio: f64,
    name: Option<String>,
    tags: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Leaves {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<u8>,
    last: Option<u8>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Colour {
    Red,
    Green,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Round(f64),
    Flat(u8, String),
    Named { width: u32, data: ByteBuf },
}

fn record(c: &mut Chance) -> Record {
    Record { id: c.unsigned(), ratio: c.finite(), name: c.option(Chance::text), tags: c.list(Chance::text) }
}

fn colour(c: &mut Chance) -> Colour {
    if c.coin() { Colour::Red } else { Colour::Green }
}

/// One value by itself.
fn plain() -> Vec<Row> {
    vec![
        ("`bool`, integers up to 64 bits", |codec| {
            equal(codec, |c| (c.coin(), c.bits() as u8, c.bits() as i16, c.unsigned() as u32, c.signed(), c.unsigned()))
        }),
        ("`u128`, `i128`", |codec| equal(codec, |c| (c.large(), c.large() as i128))),
        ("finite floats, to the last bit", |codec| {
            let same =
                |a: &(f64, f32), b: &(f64, f32)| a.0.to_bits() == b.0.to_bits() && a.1.to_bits() == b.1.to_bits();
            fates(codec, |c| (c.finite(), c.small()), same)
        }),
        ("infinities, NaN", |codec| {
            let same = |a: &f64, b: &f64| a == b || a.is_nan() && b.is_nan();
            fates(codec, |c| [f64::INFINITY, f64::NEG_INFINITY, f64::NAN][c.below(3)], same)
        }),
        ("`char`", |codec| equal(codec, Chance::letter)),
        ("text", |codec| equal(codec, Chance::text)),
        ("bytes (`serde_bytes`)", |codec| equal(codec, |c| ByteBuf::from(c.bytes()))),
        ("`Vec<u8>`: a list of numbers", |codec| equal(codec, Chance::bytes)),
        ("`()`, unit structs", |codec| equal(codec, |_| ((), Unit))),
        ("`IpAddr`: text for people, else compact", |codec| {
            equal(codec, |c| {
                [IpAddr::from((c.bits() as u32).to_be_bytes()), IpAddr::from(c.large().to_be_bytes())][c.below(2)]
            })
        }),
        ("`Option`", |codec| equal(codec, |c| (c.option(Chance::signed), c.option(|c| Name(c.text()))))),
        ("`Some(None)`", |codec| equal(codec, |_| Some(None::<u8>))),
        ("`Some(())`", |codec| equal(codec, |_| Some(()))),
        ("`Some` of a unit struct", |codec| equal(codec, |_| Some(Unit))),
    ]
}

/// Values in values.
fn compound() -> Vec<Row> {
    vec![
        ("tuples, tuple structs, arrays", |codec| {
            equal(codec, |c| ((c.coin(), c.text()), Pair(c.signed(), c.option(Chance::coin)), [c.bits() as u8; 3]))
        }),
        ("lists", |codec| equal(codec, |c| c.list(|c| c.list(Chance::signed)))),
        ("a list of a length that is not known before", |codec| equal(codec, |c| Unsized(c.list(Chance::unsigned)))),
        ("structs, newtype structs", |codec| equal(codec, |c| (record(c), Name(c.text())))),
        ("a struct that leaves out a field", |codec| {
            equal(codec, |c| Leaves { first: None, last: Some(c.bits() as u8) })
        }),
        ("enums: each kind of variant", |codec| {
            equal(codec, |c| match c.below(4) {
                0 => Shape::Empty,
                1 => Shape::Round(c.finite()),
                2 => Shape::Flat(c.bits() as u8, c.text()),
                _ => Shape::Named { width: c.unsigned() as u32, data: ByteBuf::from(c.bytes()) },
            })
        }),
        ("nothing in it: list, map, text, bytes, struct", |codec| {
            equal(codec, |_| (Vec::<u8>::new(), BTreeMap::<u8, u8>::new(), String::new(), ByteBuf::new(), Empty {}))
        }),
        ("maps, keys are text, `char` or unit variants", |codec| {
            equal(codec, |c| {
                let texts = (c.map(Chance::text, record), c.map(|c| Name(c.text()), Chance::coin));
                (texts, c.map(Chance::letter, colour), c.map(colour, Chance::letter))
            })
        }),
        ("maps, keys are numbers", |codec| equal(codec, |c| BTreeMap::from([(c.signed(), c.text())]))),
        ("maps, other keys", |codec| {
            equal(codec, |c| BTreeMap::from([((c.coin(), c.option(Chance::unsigned), Name(c.text())), c.signed())]))
        }),
        ("100 levels", |codec| equal(codec, |_| vec![Deep::of(50)])),
        ("101 levels", |codec| equal(codec, |_| vec![vec![Deep::of(50)]])),
    ]
}

/// Does not say how long it is.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(transparent)]
struct Unsized(Vec<u64>);

impl Serialize for Unsized {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;
        let mut list = serializer.serialize_seq(None)?;
        self.0.iter().try_for_each(|value| list.serialize_element(value))?;
        list.end()
    }
}

/// A list and an option: two levels each, and the innermost one.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Deep([Option<Box<Self>>; 1]);

impl Deep {
    fn of(twos: u8) -> Self {
        (1..twos).fold(Self([None]), |deep, _| Self([Some(Box::new(deep))]))
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Nothing,
    Flag(bool),
    Number(i64),
    Text(String),
    Record(Record),
    List(Vec<i64>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum UntaggedNothing {
    Nothing,
    Flag(bool),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Empty,
    Record(Record),
    Named { width: u32, height: Option<f32> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value")]
enum Adjacent {
    Empty,
    One(i64),
    Two(bool, String),
    Named { data: ByteBuf },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flattened {
    id: u64,
    #[serde(flatten)]
    record: Sub,
    #[serde(flatten)]
    rest: BTreeMap<String, i64>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Sub {
    ratio: f64,
    name: Option<String>,
}

/// What is read before its type is known.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Holds {
    Bytes { data: ByteBuf },
    Large { number: u128 },
    Letter { letter: char },
    Unit { unit: () },
}

/// Types that look at what comes before they know what they are.
fn looking() -> Vec<Row> {
    vec![
        ("adjacently tagged enums", |codec| {
            equal(codec, |c| match c.below(4) {
                0 => Adjacent::Empty,
                1 => Adjacent::One(c.signed()),
                2 => Adjacent::Two(c.coin(), c.text()),
                _ => Adjacent::Named { data: ByteBuf::from(c.bytes()) },
            })
        }),
        ("internally tagged enums", |codec| {
            equal(codec, |c| match c.below(3) {
                0 => Tagged::Empty,
                1 => Tagged::Record(record(c)),
                _ => Tagged::Named { width: c.unsigned() as u32, height: c.option(Chance::small) },
            })
        }),
        ("untagged enums", |codec| {
            equal(codec, |c| match c.below(5) {
                0 => Untagged::Flag(c.coin()),
                1 => Untagged::Number(c.signed()),
                2 => Untagged::Text(c.text()),
                3 => Untagged::Record(record(c)),
                _ => Untagged::List(c.list(Chance::signed)),
            })
        }),
        ("untagged, with a unit variant", |codec| {
            equal(codec, |c| if c.coin() { UntaggedNothing::Nothing } else { UntaggedNothing::Flag(c.coin()) })
        }),
        ("flattened structs and maps", |codec| {
            equal(codec, |c| Flattened {
                id: c.unsigned(),
                record: Sub { ratio: c.finite(), name: c.option(Chance::text) },
                rest: c.map(|c| format!("x{}", c.text()), Chance::signed),
            })
        }),
        ("bytes in one of these", |codec| equal(codec, |c| Holds::Bytes { data: ByteBuf::from(c.bytes()) })),
        ("`char` in one of these", |codec| equal(codec, |c| Holds::Letter { letter: c.letter() })),
        ("`()` in one of these", |codec| equal(codec, |_| Holds::Unit { unit: () })),
        ("more than 64 bits in one of these", |codec| equal(codec, |c| Holds::Large { number: c.large() | 1 << 100 })),
        ("`serde_json::Value`", |codec| {
            equal(codec, |c| {
                let number = serde_json::Number::from_f64(c.finite()).expect("it is finite");
                serde_json::json!({ "a": c.text(), "b": [c.signed(), c.unsigned(), number, null, c.coin()], "c": {} })
            })
        }),
    ]
}
