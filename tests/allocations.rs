//! A small steady stream between two processes allocates nothing per message, at neither end.
#![allow(unsafe_code, reason = "an allocator that counts is one line around that of the system")]

mod harness;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use harness::{actors, eventually};
use pleach::codec::Codec;
use pleach::prelude::*;
use pleach::transport::Tcp;

/// Messages until all buffers have their size.
const WARM: u64 = 10_000;
/// Messages that are counted.
const STEADY: u64 = 10_000;

/// For whatever else a process does in that time: a queue or a buffer that grows in a burst.
const OTHER: u64 = 100;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: everything is done by the system's allocator; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is the one that the system asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// Answers each number with how often this process has allocated.
#[pleach::endpoint]
async fn answers(mut far: Far<(), u64, u64>) -> Result<()> {
    far.started(()).await?;
    while far.recv().await?.is_some() {
        far.send(allocations()).await?;
    }
    Ok(())
}

/// Takes numbers, and says how often it allocated during the steady ones.
#[pleach::endpoint]
async fn takes(mut far: Far<(), u64, ()>) -> Result<u64> {
    far.started(()).await?;
    let (mut from, mut taken) = (0, 0);
    while far.recv().await?.is_some() {
        taken += 1;
        if taken == WARM {
            from = allocations();
        }
        if taken == WARM + STEADY {
            from = allocations() - from;
        }
    }
    Ok(from)
}

/// How often both processes allocated during the steady messages of a ping-pong.
async fn there_and_back(worker: &Portal) -> Result<(u64, u64)> {
    let body = async |mut near: Near<u64, u64, ()>, ()| {
        let mut from = (0, 0);
        for n in 0..=WARM + STEADY {
            near.send(n).await?;
            let theirs = near.recv().await?.ok_or(Ended)?;
            if n == WARM {
                from = (allocations(), theirs);
            }
            if n == WARM + STEADY {
                from = (allocations() - from.0, theirs - from.1);
            }
        }
        near.finish().await?;
        Ok(from)
    };
    worker.open_context(answers, (), body).await
}

async fn one_way(worker: &Portal) -> Result<(u64, u64)> {
    let body = async |mut near: Near<u64, (), u64>, ()| {
        let mut from = 0;
        for n in 1..=WARM + STEADY {
            near.send(n).await?;
            if n == WARM {
                from = allocations();
            }
        }
        let ours = allocations() - from;
        Ok((ours, near.finish().await?))
    };
    worker.open_context(takes, (), body).await
}

async fn a_stream_over(carrier: Carrier, codec: Codec) -> Result<()> {
    let counted = actor_nursery(async move |n| {
        let worker = n.actor("worker").carrier(carrier).codecs([codec]).expose(answers).expose(takes).start().await?;
        let counts = [there_and_back(&worker).await?, one_way(&worker).await?];
        worker.cancel_actor().await?;
        Ok(counts)
    });
    for (ours, theirs) in eventually(counted).await? {
        println!("{carrier:?}, {codec:?}: {ours} here and {theirs} there in {STEADY} messages");
        assert!(ours <= OTHER && theirs <= OTHER, "{ours}, {theirs} for {STEADY} messages over {carrier:?}");
    }
    Ok(())
}

/// One after the other: the count is that of the whole process.
async fn t06_a_steady_stream_allocates_nothing() -> Result<()> {
    let tcp = Carrier::Tcp(Tcp::insecure_for_measurement());
    for (carrier, codec) in [
        (Carrier::Inherited, Codec::MsgPack),
        (Carrier::Uds, Codec::MsgPack),
        (Carrier::Uds, Codec::Json),
        (tcp, Codec::MsgPack),
    ] {
        a_stream_over(carrier, codec).await?;
    }
    Ok(())
}

fn main() {
    let test = actors("t06_a_steady_stream_allocates_nothing", t06_a_steady_stream_allocates_nothing);
    harness::main(vec![test]);
}
