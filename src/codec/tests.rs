//! T3, and what a decoder refuses.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use super::{Codec, Encoding, Slot, Value};

const BOTH: [Codec; 2] = [Codec::MsgPack, Codec::Json];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(#[serde(with = "serde_bytes")] Vec<u8>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Nothing,
    One(Wrapped),
    Two(i8, Option<Box<Self>>),
    Named { width: f64, data: serde_bytes::ByteBuf },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct All {
    numbers: (u8, i64, u64, f32, f64),
    large: (u128, i128),
    text: String,
    letter: char,
    unit: (),
    named_unit: Unit,
    shapes: Vec<Shape>,
    map: BTreeMap<String, Option<Wrapped>>,
    tuple: (bool, Option<u8>, [u8; 3]),
}

fn all() -> All {
    let bytes = Wrapped((0..=255).collect());
    All {
        numbers: (255, i64::MIN, u64::MAX, f32::MIN_POSITIVE, 0.1 + 0.2),
        large: (u128::from(u64::MAX), -1),
        text: "\u{0} \"quoted\" \u{1F33F}".into(),
        letter: '\u{e9}',
        unit: (),
        named_unit: Unit,
        shapes: vec![
            Shape::Nothing,
            Shape::One(bytes.clone()),
            Shape::Two(-1, Some(Box::new(Shape::Nothing))),
            Shape::Named { width: f64::MAX, data: serde_bytes::ByteBuf::from(vec![0; 5]) },
        ],
        map: [("a".to_owned(), Some(bytes)), (String::new(), None)].into(),
        tuple: (true, Some(0), [1, 2, 3]),
    }
}

fn round_trip<T: Serialize + for<'a> Deserialize<'a> + PartialEq + Debug>(codec: Codec, value: &T) {
    let mut bytes = b"before".to_vec();
    codec.encode(value, &mut bytes).unwrap();
    assert_eq!(&codec.decode::<T>(&bytes[6..]).unwrap(), value, "{codec:?}");
}

#[test]
fn t03_every_value_comes_back_equal() {
    for codec in BOTH {
        round_trip(codec, &all());
        round_trip(codec, &Some(Wrapped(vec![])));
        round_trip(codec, &Shape::One(Wrapped(vec![1])));
        round_trip(codec, &vec![f64::MIN_POSITIVE, 5e-324, -0.0, 1e308, 123_456_789.123_456_79]);
    }
}

#[test]
fn t03_bytes_are_bytes() {
    let value = serde_bytes::ByteBuf::from(vec![1, 2, 3]);
    let (mut msgpack, mut json) = (Vec::new(), Vec::new());
    Codec::MsgPack.encode(&value, &mut msgpack).unwrap();
    Codec::Json.encode(&value, &mut json).unwrap();
    assert_eq!((msgpack, json), (vec![0xc4, 3, 1, 2, 3], b"\"base64:AQID\"".to_vec()));
}

#[test]
fn t03_what_json_cannot_carry_is_refused_at_the_sender() {
    fn refused<T: Serialize>(value: T, cause: &str) {
        let mut out = b"before".to_vec();
        let error = Codec::Json.encode(&value, &mut out).unwrap_err();
        assert!(error.cause.contains(cause), "{error}");
        assert!(error.to_string().contains(std::any::type_name::<T>()), "{error}");
        assert_eq!(out, b"before");
    }
    refused(f64::INFINITY, "inf");
    refused(f32::NEG_INFINITY, "-inf");
    refused(Some(vec![(1, f64::NAN)]), "NaN");
    refused(Shape::Named { width: f64::NAN, data: Default::default() }, "NaN");
    refused(BTreeMap::from([("deep", BTreeMap::from([(1, 2)]))]), "key");
    refused(BTreeMap::from([(true, 2)]), "key");
    refused(BTreeMap::from([(Some("x"), 2)]), "key");
    refused(BTreeMap::from([((1, 2), 2)]), "key");
    round_trip(Codec::MsgPack, &vec![f64::INFINITY, f64::NEG_INFINITY]);
    round_trip(Codec::MsgPack, &BTreeMap::from([(1, 2)]));
}

#[test]
fn t03_a_refusal_says_where_in_the_value_it_is() {
    #[derive(Serialize)]
    struct Reading {
        celsius: (u8, f64),
    }
    #[derive(Serialize)]
    struct Station {
        readings: BTreeMap<&'static str, Vec<Option<Reading>>>,
        shape: Option<Shape>,
        nested: Option<Option<u8>>,
    }
    let station = |celsius: f64, nested| {
        let readings = BTreeMap::from([("roof", vec![None, Some(Reading { celsius: (1, celsius) })])]);
        Station { readings, shape: Some(Shape::Two(1, Some(Box::new(Shape::Nothing)))), nested }
    };
    let refusal = |codec: Codec, value: &Station| codec.encode(value, &mut Vec::new()).unwrap_err();
    let error = refusal(Codec::Json, &station(f64::NAN, None));
    assert_eq!(
        (error.path.as_str(), error.cause.as_str()),
        ("readings[..][..].celsius[..]", "JSON has no number NaN; msgpack has")
    );
    assert!(
        error
            .to_string()
            .ends_with(" as json: JSON has no number NaN; msgpack has (in `readings[..][..].celsius[..]`)"),
        "{error}"
    );
    for codec in BOTH {
        assert_eq!(refusal(codec, &station(1.0, Some(None))).path, "nested");
    }
    #[derive(Serialize)]
    enum Kind {
        Only(BTreeMap<u8, u8>),
    }
    let keys = Codec::Json.encode(&vec![Kind::Only([(1, 2)].into())], &mut Vec::new()).unwrap_err();
    assert_eq!(
        (keys.path.as_str(), keys.cause.as_str()),
        ("[..].Only", "a key in JSON must be text; in msgpack it may be anything")
    );
    let error = Codec::Json.encode(&f64::NAN, &mut Vec::new()).unwrap_err();
    assert!(error.path.is_empty() && error.to_string().ends_with("JSON has no number NaN; msgpack has"), "{error}");
}

#[test]
fn t03_keys_that_are_text_in_disguise_are_keys() {
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    enum Colour {
        Red,
    }
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    struct Name(String);
    round_trip(Codec::Json, &BTreeMap::from([(Colour::Red, 1)]));
    round_trip(Codec::Json, &BTreeMap::from([(Name("x".into()), 1)]));
    round_trip(Codec::Json, &BTreeMap::from([('x', 1)]));
}

#[test]
fn d09_bytes_that_do_not_decode_name_the_type_and_show_their_start() {
    let mut bytes = br#"{"numbers": "none", "and": "so much more that is not shown"}"#.to_vec();
    let error = Codec::Json.decode::<All>(&bytes).unwrap_err();
    assert_eq!(error.start, &bytes[..32]);
    let text = error.to_string();
    assert!(text.contains("tests::All") && text.contains(r#"{\"numbers\": \"none\""#), "{text}");
    bytes.truncate(3);
    let error = Codec::MsgPack.decode::<All>(&bytes).unwrap_err();
    assert_eq!((error.codec, &error.start[..]), (Codec::MsgPack, &bytes[..]));
    let error = Codec::Json.decode::<Wrapped>(b"\"no base64!\"").unwrap_err();
    assert!(error.cause.contains("base64"), "{error}");
}

#[test]
fn t04_more_than_one_value_is_refused() {
    for codec in BOTH {
        let mut bytes = Vec::new();
        codec.encode("x", &mut bytes).unwrap();
        codec.encode("x", &mut bytes).unwrap();
        assert!(codec.decode::<String>(&bytes).is_err(), "{codec:?}");
    }
}

#[test]
fn t04_deep_nesting_is_refused_and_lengths_are_not_believed() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Deep(Vec<Self>);
    assert!(Codec::MsgPack.decode::<Deep>(&[0x91; 100_000]).is_err());
    assert!(Codec::Json.decode::<Deep>(&[b'['; 100_000]).is_err());
    let lie = [0xdd, 0xff, 0xff, 0xff, 0xff, 1];
    assert!(Codec::MsgPack.decode::<Vec<u64>>(&lie).is_err());
    assert!(Codec::MsgPack.decode::<serde_bytes::ByteBuf>(&[0xc6, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
}

#[test]
fn t04_random_bytes_are_an_error_or_a_value_and_nothing_else() {
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    for _ in 0..20_000 {
        let mut bytes = [0; 24];
        for byte in &mut bytes {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            *byte = (seed >> 32) as u8;
        }
        for codec in BOTH {
            let _ = codec.decode::<Vec<Shape>>(&bytes);
            let _ = codec.decode::<All>(&bytes);
        }
    }
}

#[test]
fn t02_a_codec_is_found_by_its_name() {
    for codec in BOTH {
        assert_eq!(Codec::from_name(codec.name()), Some(codec));
    }
    assert_eq!(Codec::from_name("xml"), None);
    assert_eq!(Codec::default(), Codec::MsgPack);
}

/// Writes itself as text.
struct Shown(usize);

impl Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:>1$}", "", self.0))
    }
}

struct Plain;

impl Encoding for Plain {
    fn name(&self) -> &'static str {
        "test/plain"
    }

    fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> crate::Result<()> {
        Ok(rmp_serde::encode::write_named(out, &value)?)
    }

    fn decode(&self, bytes: &[u8], slot: Slot<'_>) -> crate::Result<()> {
        Codec::MsgPack.decode_into(bytes, slot)
    }
}

#[test]
fn t06_a_value_for_which_there_is_no_room_is_left_out_and_no_error() {
    fn fits(codec: Codec, value: impl Serialize) -> bool {
        let mut out = b"before".to_vec();
        let fits = codec.encode_within(&value, &mut out, 1000).unwrap();
        assert_eq!(out.len() > 6, fits, "{codec:?}");
        assert!(out.starts_with(b"before"));
        fits
    }
    for codec in [Codec::MsgPack, Codec::Json, Codec::Own(&Plain)] {
        assert!(fits(codec, ("x".repeat(900), [1_u8; 3])));
        assert!(!fits(codec, ["x".repeat(600), "x".repeat(600)]));
        assert!(!fits(codec, serde_bytes::Bytes::new(&[7; 2000])));
        assert!(!fits(codec, vec![7_u8; 2000]));
        let map: BTreeMap<String, u8> = (0..700).map(|n| (n.to_string(), 1)).collect();
        assert!(!fits(codec, map));
        assert!(!fits(codec, Shown(2000)));
    }
    let mut out = Vec::new();
    assert!(Codec::Own(&Plain).encode_within(&Some(None::<u8>), &mut out, 1000).is_err(), "another error stays one");
}

/// Takes what is in its output for its own, and fails for `false`.
struct Greedy;

impl Encoding for Greedy {
    fn name(&self) -> &'static str {
        "test/greedy"
    }

    fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> crate::Result<()> {
        *out = serde_json::to_vec(&value)?;
        if out == b"false" { Err(crate::Error::msg("not that")) } else { Ok(()) }
    }

    fn decode(&self, bytes: &[u8], slot: Slot<'_>) -> crate::Result<()> {
        Codec::Json.decode_into(bytes, slot)
    }
}

#[test]
fn t03_a_codec_of_ones_own_cannot_touch_what_is_before_its_value() {
    let codec = Codec::Own(&Greedy);
    for (before, after) in [("", "true"), ("header ", "header true")] {
        let mut out = before.as_bytes().to_vec();
        codec.encode(&false, &mut out).expect_err("it said no");
        assert_eq!(out, before.as_bytes());
        codec.encode(&true, &mut out).unwrap();
        assert_eq!(out, after.as_bytes());
        let mut out = before.as_bytes().to_vec();
        assert!(codec.encode_within(&true, &mut out, 100).unwrap());
        assert_eq!(out, after.as_bytes());
    }
}
