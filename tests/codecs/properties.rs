//! What a codec says of itself, and what it is then kept from; and where in a value it is (law T3).

use pleach::codec::{Codec, Encoding, Slot, Value};
use pleach::prelude::*;
use pleach_codecs::{CBOR, JSON_LZ4, MSGPACK_LZ4, POSTCARD};
use serde::Serialize;

/// JSON that says this of itself.
struct Claims {
    names: bool,
    flat: bool,
}

impl Encoding for Claims {
    fn name(&self) -> &'static str {
        "test/claims"
    }

    fn has_field_names(&self) -> bool {
        self.names
    }

    fn has_flat_options(&self) -> bool {
        self.flat
    }

    fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<()> {
        Ok(serde_json::to_writer(out, &value)?)
    }

    fn decode(&self, bytes: &[u8], slot: Slot<'_>) -> Result<()> {
        slot.fill(&mut serde_json::Deserializer::from_slice(bytes))
    }
}

static CLAIMS: [Claims; 4] = [
    Claims { names: false, flat: false },
    Claims { names: false, flat: true },
    Claims { names: true, flat: false },
    Claims { names: true, flat: true },
];

#[derive(Serialize)]
struct Sparse {
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u8>,
    second: u8,
}

fn refusal(codec: Codec, value: &impl Serialize) -> Option<pleach::codec::EncodeError> {
    codec.encode(value, &mut Vec::new()).err()
}

#[test]
fn t03_names_of_fields_and_flat_options_are_two_properties() {
    for claims in &CLAIMS {
        let (codec, Claims { names, flat, .. }) = (Codec::Own(claims), claims);
        assert_eq!((codec.has_field_names(), codec.has_flat_options()), (*names, *flat));
        let left_out = refusal(codec, &Sparse { first: None, second: 2 });
        assert_eq!(left_out.is_none(), *names, "{left_out:?}");
        let lost = refusal(codec, &Some(None::<u8>));
        assert_eq!(lost.is_some(), *flat, "{lost:?}");
        assert!(
            refusal(codec, &Sparse { first: Some(1), second: 2 }).is_none() && refusal(codec, &None::<u8>).is_none()
        );
    }
    assert!(!POSTCARD.has_field_names() && !POSTCARD.has_flat_options());
    for codec in [Codec::MsgPack, Codec::Json, CBOR, MSGPACK_LZ4] {
        assert!(codec.has_field_names() && codec.has_flat_options(), "{codec:?}");
    }
}

#[derive(Serialize)]
struct Tree {
    label: f64,
    nested: Option<Option<u8>>,
    sparse: Vec<Sparse>,
    children: Vec<Self>,
}

fn tree(label: f64, nested: Option<Option<u8>>, first: Option<u8>) -> Tree {
    let leaf = Tree { label, nested, sparse: vec![Sparse { first, second: 1 }], children: Vec::new() };
    Tree { label: 1.0, nested: None, sparse: Vec::new(), children: vec![leaf] }
}

#[test]
fn t03_every_codec_says_where_in_a_value_it_cannot_go_on() {
    let says = |codec: Codec, value: &Tree| {
        let error = refusal(codec, value).expect("it cannot carry this");
        (error.path, error.cause)
    };
    for codec in [Codec::MsgPack, Codec::Json, CBOR, MSGPACK_LZ4, JSON_LZ4] {
        let (path, cause) = says(codec, &tree(1.0, Some(None), Some(1)));
        assert_eq!(
            (path.as_str(), cause.as_str()),
            ("children[..].nested", "`Some` of nothing would arrive as `None`; an enum tells them apart")
        );
    }
    for codec in [Codec::Json, JSON_LZ4] {
        let (path, cause) = says(codec, &tree(f64::NAN, None, Some(1)));
        assert_eq!(
            (path.as_str(), cause.as_str()),
            ("children[..].label", "JSON has no number NaN; msgpack has"),
            "{codec:?}"
        );
    }
    let (path, cause) = says(POSTCARD, &tree(1.0, None, None));
    assert!(path == "children[..].sparse[..]" && cause.starts_with("field `first` is left out"), "{path}: {cause}");
}
