//! The figures, for people and for programs.

use std::fmt::Write;

use pleach::codec::Codec;
use serde_json::{Value, json};

use crate::measure::{Cost, Row, transports};
use crate::sample::Sample;

/// What is compared: the usual way to an actor.
const USUAL: &str = "inherited";

pub(crate) struct Report {
    name: String,
    size: usize,
    messages: usize,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(sample: &Sample, rows: Vec<Row>) -> Self {
        Self { name: sample.name.clone(), size: sample.size, messages: sample.messages.len(), rows }
    }

    /// What the sample is.
    pub(crate) fn title(&self) -> String {
        let plural = if self.messages == 1 { "" } else { "s" };
        format!("{}: {} message{plural}, {} bytes of JSON", self.name, self.messages, self.size)
    }

    /// The codecs that can carry the sample.
    pub(crate) fn costs(&self) -> impl Iterator<Item = (Codec, &Cost)> {
        self.rows.iter().filter_map(|row| Some((row.codec, row.cost.as_ref().ok()?)))
    }

    pub(crate) fn table(&self) -> String {
        let mut text =
            format!("{}\n\n{:<12}{:>12}{:>12}{:>10}", self.title(), "codec", "encode ns", "decode ns", "bytes");
        for (name, _) in transports() {
            let _ = write!(text, "{:>20}{:>8}", format!("{name} trips/s"), "MB/s");
        }
        text.push('\n');
        for row in &self.rows {
            let _ = write!(text, "{:<12}", row.codec.name());
            match &row.cost {
                Err(why) => {
                    let _ = write!(text, "  cannot carry this: {why}");
                }
                Ok(cost) => {
                    let _ = write!(text, "{:>12.0}{:>12.0}{:>10.0}", cost.encode_ns, cost.decode_ns, cost.bytes);
                    for trips in &cost.trips {
                        let _ = write!(text, "{trips:>20.0}{:>8.2}", throughput(cost, *trips));
                    }
                }
            }
            text.push('\n');
        }
        let _ = writeln!(text, "\n{}", self.recommendation());
        text
    }

    /// The codec with the least time. Of those that no run can tell from it, the first of the table: msgpack is the default.
    fn best(&self) -> Option<(Codec, &Cost)> {
        let least = self.costs().map(|(_, cost)| trip_us(cost)).min_by(f64::total_cmp)?;
        self.costs().find(|(_, cost)| trip_us(cost) <= CHANCE * least)
    }

    /// One sentence, with its reason.
    pub(crate) fn recommendation(&self) -> String {
        let Some((codec, cost)) = self.best() else { return "No codec of this program can carry it.".to_owned() };
        let mut text =
            format!("Take {}: a round trip over {USUAL} sockets takes {:.1} us", codec.name(), trip_us(cost));
        let others = self.costs().filter(|(other, _)| *other != codec);
        if let Some((second, other)) = others.min_by(|(_, one), (_, other)| trip_us(one).total_cmp(&trip_us(other))) {
            let (time, size) = (trip_us(other) / trip_us(cost), other.bytes / cost.bytes);
            let rank = if time < CHANCE { "and no other is measurably faster" } else { "the least of all codecs" };
            let _ =
                write!(text, ", {rank}; {} takes {time:.2} times that, and {size:.2} times the bytes", second.name());
        }
        text + "."
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "sample": { "name": self.name, "messages": self.messages, "bytes": self.size },
            "codecs": self.rows.iter().map(row).collect::<Vec<_>>(),
            "recommended": self.best().map(|(codec, _)| codec.name()),
            "reason": self.recommendation(),
        })
    }
}

fn row(row: &Row) -> Value {
    let name = row.codec.name();
    match &row.cost {
        Err(why) => json!({ "codec": name, "cannot_carry": why }),
        Ok(cost) => {
            let transport = |((name, _), trips): ((&str, _), &f64)| json!({ "transport": name, "round_trips_per_s": trips, "mb_per_s": throughput(cost, *trips) });
            let transports: Vec<Value> = transports().into_iter().zip(&cost.trips).map(transport).collect();
            let Cost { encode_ns, decode_ns, bytes, .. } = cost;
            json!({ "codec": name, "encode_ns": encode_ns, "decode_ns": decode_ns, "bytes": bytes, "transports": transports })
        }
    }
}

/// Two runs on the same machine differ by so much.
const CHANCE: f64 = 1.05;

/// What a round trip takes the usual way, all in all.
fn trip_us(cost: &Cost) -> f64 {
    let usual = transports().iter().position(|(name, _)| *name == USUAL).expect("it is one of them");
    1e6 / cost.trips[usual]
}

/// Encoded bytes there and back, in 10^6 per second.
fn throughput(cost: &Cost, trips: f64) -> f64 {
    2.0 * cost.bytes * trips / 1e6
}
