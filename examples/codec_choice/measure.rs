//! What each codec takes by itself, and what a round trip takes over each transport.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pleach::codec::Codec;
use pleach::prelude::*;
use pleach::transport::Tcp;
// Its codecs are known to the program that names it.
use pleach_codecs as _;

use crate::progress::Progress;
use crate::sample::Message;
use crate::shape::{set_shape, shape};

/// The ways to an actor. A new one is a line here.
pub(crate) fn transports() -> Vec<(&'static str, Carrier)> {
    vec![
        ("mem", Carrier::Mem),
        ("inherited", Carrier::Inherited),
        ("uds", Carrier::Uds),
        ("tcp", Carrier::Tcp(Tcp::insecure_for_measurement())),
    ]
}

/// A figure is the median of so many.
const SLICES: u32 = 5;

/// What a codec costs, for a message in the mean.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) encode_ns: f64,
    pub(crate) decode_ns: f64,
    pub(crate) bytes: f64,
    /// Round trips per second, over each of the transports.
    pub(crate) trips: Vec<f64>,
}

/// A codec, and what it costs, or why it cannot carry the sample.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) codec: Codec,
    pub(crate) cost: Result<Cost, String>,
}

/// Sends back what comes; the shape of it is JSON.
#[pleach::endpoint]
async fn bounce(mut far: Far<(), Message, Message>, shape: String) -> Result<()> {
    set_shape(serde_json::from_str(&shape)?);
    far.started(()).await?;
    while let Some(message) = far.recv().await? {
        far.send(message).await?;
    }
    Ok(())
}

/// Measures every codec of this program. What a machine does beside it hits all of them, as they take turns.
pub(crate) async fn all(messages: Arc<[Message]>, span: Duration) -> Result<Vec<Row>> {
    let transports = transports();
    let codecs: Vec<Codec> = Codec::all().collect();
    let mut progress = Progress::new(codecs.len() * (1 + SLICES as usize));
    let mut rows = Vec::new();
    for codec in codecs {
        progress.step(codec.name());
        rows.push(Row { codec, cost: alone(codec, &messages, span) });
    }
    let mut rates = vec![vec![Vec::new(); transports.len()]; rows.len()];
    for _ in 0..SLICES {
        for (row, rates) in rows.iter().zip(&mut rates) {
            progress.step(&format!("{} to an actor", row.codec.name()));
            for ((_, carrier), rates) in transports.iter().zip(rates).filter(|_| row.cost.is_ok()) {
                rates.push(trips(row.codec, *carrier, messages.clone(), span / SLICES).await?);
            }
        }
    }
    for (row, rates) in rows.iter_mut().zip(rates) {
        if let Ok(cost) = &mut row.cost {
            cost.trips = rates.into_iter().map(middle).collect();
        }
    }
    Ok(rows)
}

/// Encodes and decodes the whole sample, again and again.
fn alone(codec: Codec, messages: &[Message], span: Duration) -> Result<Cost, String> {
    let mut encoded = Vec::new();
    for message in messages {
        let mut bytes = Vec::new();
        codec.encode(message, &mut bytes).map_err(|error| why(error.cause))?;
        codec.decode::<Message>(&bytes).map_err(|error| why(error.cause.clone()))?;
        encoded.push(bytes);
    }
    let count = messages.len() as f64;
    let mut out = Vec::new();
    let encode = median(span, || {
        for message in messages {
            out.clear();
            codec.encode(black_box(message), &mut out).expect("it was encoded before");
            black_box(&out);
        }
    });
    let decode = median(span, || {
        for bytes in &encoded {
            drop(black_box(codec.decode::<Message>(black_box(bytes)).expect("it was decoded before")));
        }
    });
    let bytes = encoded.iter().map(Vec::len).sum::<usize>() as f64 / count;
    Ok(Cost { encode_ns: encode * 1e9 / count, decode_ns: decode * 1e9 / count, bytes, trips: Vec::new() })
}

/// Why a codec cannot carry the sample.
fn why(cause: String) -> String {
    if !shape().is_mixed() {
        return cause;
    }
    format!(
        "values at one place are of several types, for which your program has an enum, and this codec does not say which it is ({cause})"
    )
}

/// Seconds that `work` takes.
fn median(span: Duration, mut work: impl FnMut()) -> f64 {
    let mut slice = || {
        let (start, mut times) = (Instant::now(), 0);
        while times == 0 || start.elapsed() < span / SLICES {
            work();
            times += 1;
        }
        start.elapsed().as_secs_f64() / f64::from(times)
    };
    middle((0..SLICES).map(|_| slice()).collect())
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Round trips per second to an actor, which decodes every message and encodes it again.
async fn trips(codec: Codec, carrier: Carrier, messages: Arc<[Message]>, span: Duration) -> Result<f64> {
    actor_nursery(async |n| {
        let actor =
            n.actor("bounce").codecs([codec]).carrier(carrier).max_message(1 << 30).expose(bounce).start().await?;
        let talk = async |mut near: Near<Message, Message, ()>, ()| {
            let mut messages = messages.iter().cycle();
            // The first one is to get warm.
            let (mut start, mut trips) = (Instant::now(), 0);
            while trips < 2 || start.elapsed() < span {
                if trips == 1 {
                    start = Instant::now();
                }
                near.send(messages.next().ok_or(Ended)?.clone()).await?;
                black_box(near.recv().await?.ok_or(Ended)?);
                trips += 1;
            }
            let rate = f64::from(trips - 1) / start.elapsed().as_secs_f64();
            near.finish().await?;
            Ok(rate)
        };
        let rate = actor.open_context(bounce, (serde_json::to_string(shape())?,), talk).await?;
        actor.cancel_actor().await?;
        Ok(rate)
    })
    .await
}
