//! Actors: dialogs over each way, births and deaths.

mod harness;

use harness::{By, Way, all_ways};
use pleach::prelude::*;

#[pleach::endpoint]
async fn double(n: u64) -> Result<u64> {
    Ok(2 * n)
}

#[pleach::endpoint]
async fn doubles(mut far: Far<String, u64, u64>, by: u64) -> Result<u64> {
    far.started("up".to_owned()).await?;
    let mut sum = 0;
    while let Some(n) = far.recv().await? {
        sum += n;
        far.send(by * n).await?;
    }
    Ok(sum)
}

async fn a_call_and_a_stream(way: Way) -> Result<()> {
    actor_nursery(async |n| {
        let worker = n.actor("worker").by(way).expose(double).expose(doubles).start().await?;
        assert_eq!(worker.run(double, (21,)).await?, 42);
        let sum = worker
            .open_context(doubles, (3,), async |mut near, first| {
                assert_eq!(first, "up");
                for n in 0..100 {
                    near.send(n).await?;
                    assert_eq!(near.recv().await?, Some(3 * n));
                }
                near.finish().await
            })
            .await?;
        assert_eq!(sum, 4950);
        worker.cancel_actor().await
    })
    .await
}

fn main() {
    harness::main(all_ways("a_call_and_a_stream", a_call_and_a_stream));
}
