//! The example `codec_choice`, on the small sample and on what is none.

use std::cell::RefCell;
use std::process::{Command, Output};

use pleach::codec::Codec;
use serde::de::DeserializeSeed;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use self::node::{Node, Of, Typed};
use self::shape::Shape;
use crate::harness::{example, unique};

#[path = "../../examples/codec_choice/node.rs"]
mod node;
#[path = "../../examples/codec_choice/shape.rs"]
#[allow(dead_code, reason = "the shape of the process is the example's affair")]
mod shape;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data");

/// Runs it in a folder of its own; gives what it said and what it drew, if it did.
fn choose(arguments: &[&str]) -> (Output, Option<String>) {
    let folder = std::env::temp_dir().join(unique("codec-choice"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("bad.json"), "{\"a\": 1}\n{\"b\": tru }\n").unwrap();
    std::fs::write(folder.join("empty.json"), "\n").unwrap();
    std::fs::write(folder.join("mixed.json"), "{\"id\": 1}\n{\"id\": \"one\"}\n").unwrap();
    let program = example("codec_choice").unwrap();
    let output = Command::new(program).args(arguments).args(["--millis", "20"]).current_dir(&folder).output().unwrap();
    let drawn = std::fs::read_to_string(folder.join("codec_choice.svg")).ok();
    std::fs::remove_dir_all(&folder).unwrap();
    (output, drawn)
}

#[test]
fn t02_the_codecs_are_compared_on_the_users_own_sample() {
    let (output, drawn) = choose(&[&format!("{DATA}/call.json")]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let drawn = drawn.expect("it is drawn in the current folder");
    let line = |codec: &str| text.lines().find(|line| line.split(' ').next() == Some(codec)).expect("a line each");
    for codec in Codec::all().map(|codec| codec.name()) {
        // Times and sizes, and trips and throughput over two transports at least.
        let figures = line(codec).split_whitespace().skip(1).map(|figure| figure.parse::<f64>().unwrap());
        assert!(figures.clone().count() >= 7 && figures.clone().all(|figure| figure >= 0.0), "{text}");
        assert!(drawn.contains(&format!(">{codec}</text>")), "{drawn}");
    }
    assert!(text.contains("1 message, 88 bytes of JSON") && text.contains("\nTake "), "{text}");
    assert!(["mem", "inherited", "uds", "tcp"].iter().all(|name| text.contains(&format!("{name} trips/s"))), "{text}");
    assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n") && !drawn.contains("NaN"), "{drawn}");
}

#[test]
fn t02_the_figures_are_had_as_json() {
    let (output, _) = choose(&["--json", &format!("{DATA}/records.jsonl")]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["sample"]["messages"], 1000);
    let codecs = report["codecs"].as_array().unwrap();
    assert_eq!(codecs.len(), Codec::all().count());
    for codec in codecs {
        let trips =
            codec["transports"].as_array().unwrap().iter().map(|way| way["round_trips_per_s"].as_f64().unwrap());
        assert!(trips.clone().count() >= 2 && trips.clone().all(|trips| trips > 0.0), "{report}");
        assert!(codec["encode_ns"].as_f64() > Some(0.0) && codec["bytes"].as_f64() > Some(0.0), "{report}");
    }
    assert!(
        report["reason"].as_str().unwrap().starts_with(&format!("Take {}", report["recommended"].as_str().unwrap()))
    );
}

#[test]
fn t02_a_codec_that_needs_a_type_is_said_to_where_the_sample_has_none() {
    let (output, _) = choose(&["--json", "mixed.json"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for codec in report["codecs"].as_array().unwrap() {
        let why = codec["cannot_carry"].as_str();
        if codec["codec"] == "postcard" {
            assert!(
                why.is_some_and(|why| why.contains("of several types, for which your program has an enum")),
                "{report}"
            );
        } else {
            assert!(why.is_none() && codec["bytes"].as_f64() > Some(0.0), "{report}");
        }
    }
}

#[test]
fn t02_bytes_are_bytes_in_the_sample() {
    let (output, _) = choose(&["--json", &format!("{DATA}/frames.json")]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let bytes = |name: &str| {
        let codec = report["codecs"].as_array().unwrap().iter().find(|codec| codec["codec"] == name);
        codec.and_then(|codec| codec["bytes"].as_f64()).expect("it can carry them")
    };
    assert!((65_536.0..65_700.0).contains(&bytes("msgpack")) && bytes("json") > 1.3 * bytes("msgpack"), "{report}");
}

thread_local! {
    static SHAPE: RefCell<Shape> = const { RefCell::new(Shape::Nothing) };
}

/// A message of this thread's shape.
struct Read(Node);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        SHAPE.with_borrow(|shape| Of(shape).deserialize(from)).map(Self)
    }
}

#[test]
fn t03_every_message_of_a_sample_comes_back_by_the_type_of_all() {
    let keys: serde_json::Map<_, _> = (0..100).map(|n| (format!("key{n}"), json!(n))).collect();
    let messages = [
        json!({"n": 1, "x": 0.5, "on": true, "text": "base64 is text", "data": "base64:AAEC", "keys": keys, "gone": 1}),
        json!({"n": -1, "x": 2, "on": null, "text": "base64:AAEC", "data": "base64:", "keys": {}, "more": [{"deep": [[]]}]}),
    ];
    let shape = Shape::of(&messages);
    let nodes = messages.clone().map(|message| Node::new(message, &shape));
    // An actor is told the shape as text.
    SHAPE.set(serde_json::from_str(&serde_json::to_string(&shape).unwrap()).unwrap());
    for codec in Codec::all() {
        for node in &nodes {
            let mut bytes = Vec::new();
            codec.encode(&Typed(&shape, node), &mut bytes).unwrap();
            let Read(read) = codec.decode(&bytes).unwrap();
            assert_eq!(format!("{read:?}"), format!("{node:?}"), "{}", codec.name());
        }
    }
    let text = format!("{nodes:?}");
    let parts = [
        "Signed(-1)",
        "Float(2.0)",
        "Bool(true)",
        "Text(\"base64:AAEC\")",
        "Bytes([0, 1, 2])",
        "(\"key99\", Unsigned(99))",
    ];
    assert!(parts.iter().all(|part| text.contains(part)) && !text.contains("Mixed"), "{text}");
}

#[test]
fn a_sample_has_the_type_that_all_its_messages_have_in_common() {
    let of = |values: &[Value]| format!("{:?}", Shape::of(values));
    assert_eq!(of(&[json!(1), json!(-1)]), "Signed");
    assert_eq!(of(&[json!(u64::MAX), json!(1)]), "Unsigned");
    assert_eq!(of(&[json!(u64::MAX), json!(-1)]), "Float");
    assert_eq!(of(&[json!([]), json!([null]), json!(["a"])]), "List(Option(Text))");
    assert_eq!(of(&[json!("base64:AAAA"), json!("base64:AAAA")]), "Bytes");
    assert_eq!(of(&[json!("base64:AAAA"), json!("base64:?")]), "Text");
    let records = [json!({"a": 1, "b": true}), json!({"b": null, "c": [0.5]}), json!({"b": false, "a": 2})];
    let fields = "[Option(Small), Option(Bool), Option(List(Float))]";
    assert_eq!(of(&records), format!("Record(Names([\"a\", \"b\", \"c\"]), {fields})"));
    let many: Value = (0..100).map(|n| (format!("key{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
    assert_eq!(of(&[many, json!({"other": -1})]), "Map(Signed)");
    assert!(Shape::of(&[json!({"a": [1, "one"]})]).is_mixed() && !Shape::of(&records).is_mixed());
}

#[test]
fn t04_what_is_no_json_is_refused_with_its_place() {
    let says = |file: &str, text: &str| {
        let (output, drawn) = choose(&[file]);
        assert_eq!((output.status.code(), output.stdout.len(), drawn), (Some(2), 0, None), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("error: {text}\n"));
    };
    says("bad.json", "bad.json:2:10: this is not JSON: expected ident");
    says("empty.json", "empty.json:1:1: there is no JSON value in it");
    says("none.json", "none.json cannot be read: No such file or directory (os error 2)");
}

const USAGE: &str = "usage: codec_choice FILE.json [--json] [--svg PATH] [--millis N]\n";

/// The example with these arguments and no others.
fn ran(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(example("codec_choice").unwrap()).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn who_asks_for_help_gets_it() {
    for asked in ["--help", "-h"] {
        let (status, said, complained) = ran(&[asked, "none.json"]);
        assert_eq!((status, complained.as_str()), (Some(0), ""), "{said}");
        assert!(said.starts_with(USAGE), "{said}");
        for option in ["FILE.json", "--json", "--svg PATH", "--millis N", "--help"] {
            assert!(said.lines().any(|line| line.trim().starts_with(option)), "{option}: {said}");
        }
    }
}

#[test]
fn wrong_arguments_are_said_above_the_right_ones() {
    let wrong: [(&[&str], &str); 6] = [
        (&["--fast"], "there is no option --fast"),
        (&["-x", "a.json"], "there is no option -x"),
        (&["a.json", "--svg"], "--svg needs a value"),
        (&["a.json", "--millis", "soon"], "--millis: invalid digit found in string"),
        (&["a.json", "b.json"], "one file at a time, b.json is another one"),
        (&[], "which file?"),
    ];
    for (arguments, why) in wrong {
        let said = ran(arguments);
        assert_eq!(said, (Some(2), String::new(), format!("error: {why}\n{USAGE}")));
    }
}
