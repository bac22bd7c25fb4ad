//! A bound for whatever a test waits for.

use std::future::Future;
use std::time::Duration;

use futures_lite::future::or;

/// Far longer than a busy machine needs.
const BOUND: Duration = Duration::from_secs(60);

/// Runs a future on smol; it must end in time.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let late = async {
        smol::Timer::after(BOUND).await;
        panic!("it has not ended within {BOUND:?}")
    };
    smol::block_on(or(future, late))
}
