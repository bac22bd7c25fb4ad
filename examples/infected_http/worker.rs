//! What a worker does: one job at a time, in a process of its own.

use std::time::Duration;

use pleach::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    Factor(u64),
    /// Takes so many milliseconds.
    Wait(u64),
    Crash,
}

#[pleach::endpoint]
pub(crate) async fn work(job: Job) -> Result<String> {
    match job {
        Job::Factor(n) => {
            let factors: Vec<String> = factors(n).await?.iter().map(u64::to_string).collect();
            Ok(format!("{n} = {}", factors.join(" * ")))
        }
        Job::Wait(ms) => {
            sleep(Duration::from_millis(ms)).await?;
            Ok(format!("{ms} ms"))
        }
        Job::Crash => panic!("it was asked to crash"),
    }
}

/// The prime factors of `n`, the smallest first.
async fn factors(mut n: u64) -> Result<Vec<u64>> {
    let mut factors = Vec::new();
    let mut divisor = 2;
    while divisor <= n / divisor {
        if n.is_multiple_of(divisor) {
            factors.push(divisor);
            n /= divisor;
        } else {
            divisor += 1;
        }
        if divisor % 100_000 == 0 {
            checkpoint().await?; // a large prime takes seconds: give a cancel its chance
        }
    }
    factors.push(n);
    Ok(factors)
}
