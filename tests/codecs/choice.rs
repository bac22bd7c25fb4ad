//! The example `codec_choice`, on the small sample and on what is none.

use std::process::{Command, Output};

use pleach::codec::Codec;
use serde_json::Value;

use crate::harness::{example, unique};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data");

/// Runs it in a folder of its own; gives what it said and what it drew, if it did.
fn choose(arguments: &[&str]) -> (Output, Option<String>) {
    let folder = std::env::temp_dir().join(unique("codec-choice"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("bad.json"), "{\"a\": 1}\n{\"b\": tru }\n").unwrap();
    std::fs::write(folder.join("empty.json"), "\n").unwrap();
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
        if codec == "postcard" {
            assert!(line(codec).contains("cannot carry this: "), "{text}");
            continue;
        }
        // Times and sizes, and trips and throughput over two transports at least.
        let figures = line(codec).split_whitespace().skip(1).map(|figure| figure.parse::<f64>().unwrap());
        assert!(figures.clone().count() >= 7 && figures.clone().all(|figure| figure >= 0.0), "{text}");
        assert!(drawn.contains(&format!(">{codec}</text>")), "{drawn}");
    }
    assert!(text.contains("1 message, 88 bytes of JSON") && text.contains("\nTake "), "{text}");
    assert!(["mem", "socketpair", "uds", "tcp"].iter().all(|name| text.contains(&format!("{name} trips/s"))), "{text}");
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
    for codec in codecs.iter().filter(|codec| codec["codec"] != "postcard") {
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
