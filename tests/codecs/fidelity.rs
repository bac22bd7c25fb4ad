//! The table in `docs/codecs.md`, held cell by cell: what arrives equal, and what is refused, where and why.

use std::fmt::Write;

use crate::CODECS;
use crate::shapes::{Fate, rows};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/codecs.md");

/// The lines of the table.
fn table() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(TABLE).expect("the document is there");
    let lines = text.lines().skip_while(|line| !line.starts_with("| shape |")).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    lines.map(cells).collect()
}

/// Whether a cell says what became of the values.
fn says(cell: &str, fate: &Fate) -> bool {
    match (cell.split_once(": "), fate) {
        (None, Fate::Equal) => cell == "yes",
        (Some(("no", why)), Fate::Refused(cause)) => cause.contains(why),
        (Some(("receiver", why)), Fate::RefusedThere(cause)) => cause.contains(why),
        _ => false,
    }
}

#[test]
fn t03_the_table_of_what_each_codec_carries_holds() {
    let table = table();
    let header: Vec<&str> = ["shape"].into_iter().chain(CODECS.map(|codec| codec.name())).collect();
    assert_eq!(table[0], header);
    let (lines, rows) = (&table[2..], rows());
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    assert_eq!(lines.iter().map(|line| line[0].as_str()).collect::<Vec<_>>(), names);
    let mut wrong = String::new();
    for (line, (name, row)) in lines.iter().zip(rows) {
        for (cell, codec) in line[1..].iter().zip(CODECS) {
            let fate = row(codec);
            if !says(cell, &fate) {
                let _ = writeln!(wrong, "{name}, {}: the table says `{cell}`; {fate:?}", codec.name());
            }
        }
    }
    assert!(wrong.is_empty(), "{TABLE} is wrong:\n{wrong}");
}
