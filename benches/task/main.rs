//! What structured tasks cost beside bare ones: children, parked children, channels between siblings and across levels,
//! scopes, the cancel of many, and a guest in a loop of others.
//!
//! `cargo bench --bench task`; `ONLY=text` for some of it, `SAMPLES=n` and `MILLIS=n` for how often and how long. All figures
//! of a group are measured in turns in one run, on one thread, and compared with the first of it, which is the floor. Run as
//! a test, it makes one tiny round and no claim.

#[path = "../floor/tasks.rs"]
mod floor;
#[path = "../gauge/mod.rs"]
mod gauge;
mod guest;
mod many;
#[path = "../place/mod.rs"]
mod place;
mod trips;

use futures_lite::future::block_on;
use gauge::{Effort, Figure, print_conditions};
use place::{Pin, place_root};
use pleach::Result;
use pleach::task::{CancelScope, move_on_after, nursery};
use std::hint::black_box;
use std::time::Duration;

/// Children that are started at once.
const CHILDREN: usize = 1000;
/// Empty scopes between two looks at the clock.
const SCOPES: u64 = 256;

/// Whether the figures of this group are wanted.
fn wanted(title: &str) -> bool {
    std::env::var("ONLY").map_or(true, |only| title.contains(&only))
}

/// Prints a group whose first figure is the floor.
fn print(title: &str, figures: &[Figure]) {
    println!("{title}");
    figures.iter().for_each(|figure| figure.print_each(&figures[0]));
}

/// Measures what `work` does `size` times at a call.
fn rate(effort: Effort, size: u64, mut work: impl FnMut()) -> f64 {
    let mut meter = effort.meter();
    while meter.goes_on() {
        work();
        meter.count(size);
    }
    meter.rate()
}

async fn nursery_children(count: usize) -> Result<()> {
    nursery(async |n| (0..count).try_for_each(|k| n.spawn(async move { Ok(black_box(k)) }).map(drop))).await
}

async fn joined_children(count: usize) -> Result<usize> {
    nursery(async |n| {
        let children = (0..count).map(|k| n.spawn(async move { Ok(k) })).collect::<Result<Vec<_>>>()?;
        let mut sum = 0;
        for child in children {
            sum += child.join().await?;
        }
        Ok(sum)
    })
    .await
}

fn children(effort: Effort) {
    let names = [
        "bare executor, spawn and await",
        "tokio JoinSet, spawn and join",
        "nursery, spawn",
        "nursery, spawn and join",
    ];
    let mut figures: Vec<_> = names.into_iter().map(Figure::new).collect();
    let (runtime, local) = floor::tokio();
    let size = CHILDREN as u64;
    for _ in 0..effort.samples {
        figures[0].rates.push(rate(effort, size, || {
            black_box(block_on(floor::executor_children(CHILDREN)));
        }));
        let joined = || {
            black_box(local.block_on(&runtime, floor::join_set_children(CHILDREN)));
        };
        figures[1].rates.push(rate(effort, size, joined));
        figures[2].rates.push(rate(effort, size, || block_on(nursery_children(CHILDREN)).expect("no child fails")));
        let joined = || {
            black_box(block_on(joined_children(CHILDREN)).expect("no child fails"));
        };
        figures[3].rates.push(rate(effort, size, joined));
    }
    print("children, 1,000 at once (the floor is the bare executor)", &figures);
}

/// `size` runs of a scope that is ready at once.
fn ready<Fut: Future>(effort: Effort, scope: impl Fn() -> Fut) -> f64 {
    rate(effort, SCOPES, || {
        block_on(async {
            for _ in 0..SCOPES {
                black_box(scope().await);
            }
        });
    })
}

fn empty(effort: Effort) {
    let names =
        ["bare executor, one task", "empty nursery", "nursery with one child", "CancelScope::run", "move_on_after"];
    let mut figures: Vec<_> = names.into_iter().map(Figure::new).collect();
    for _ in 0..effort.samples {
        figures[0].rates.push(ready(effort, || floor::executor_children(1)));
        figures[1].rates.push(ready(effort, || nursery(async |_| Ok(()))));
        figures[2].rates.push(ready(effort, || nursery(async |n| n.spawn(async { Ok(()) }).map(drop))));
        figures[3].rates.push(ready(effort, async || CancelScope::new().run(async { Ok(()) }).await));
        figures[4].rates.push(ready(effort, || move_on_after(Duration::from_secs(60), async { Ok(()) })));
    }
    print("scopes that are ready at once (the floor is a bare executor with one task)", &figures);
}

/// What is measured together, and under which name.
type Group = (&'static str, fn(Effort));

fn main() {
    let (pin, effort) = (Pin::from_env(), Effort::from_env());
    place_root(pin);
    print_conditions(pin, effort);
    let groups: [Group; 8] = [
        ("children", children),
        ("empty scopes", empty),
        ("parked", many::parked),
        ("siblings", trips::siblings),
        ("levels", trips::levels),
        ("own scopes", trips::scopes),
        ("cancel", many::cancels),
        ("guest", guest::guests),
    ];
    groups.into_iter().filter(|(title, _)| wanted(title)).for_each(|(_, measure)| measure(effort));
}
