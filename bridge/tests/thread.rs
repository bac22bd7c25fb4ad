//! Foreign scopes on a thread of their own, from a program that has no actor.

use std::time::Duration;

use futures_lite::future::block_on;
use pleach::error::Panicked;
use pleach::prelude::*;
use pleach_bridge::{Tokio, foreign, open_link, run};

#[test]
fn a_call_comes_back() {
    let slept = run(Tokio::thread(), async || {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(7)
    });
    assert_eq!(block_on(slept).unwrap(), 7);
}

#[test]
fn c14_a_panic_of_foreign_code_is_an_error_with_its_place() {
    let panics = run(Tokio::thread(), async || -> Result<()> { tokio::spawn(async { panic!("what now?") }).await? });
    let error = block_on(panics).unwrap_err();
    let panicked = error.downcast_ref::<Panicked>().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(panicked.message(), "what now?");
    assert!(panicked.location().is_none_or(|place| place.contains("tests/thread.rs")), "{panicked:?}");
    let panics = run(Tokio::thread(), async || -> Result<()> { panic!("and now?") });
    let error = block_on(panics).unwrap_err();
    let place = error.downcast_ref::<Panicked>().and_then(|panicked| panicked.location().map(str::to_owned));
    assert!(place.is_some_and(|place| place.contains("tests/thread.rs")), "{error:?}");
}

#[test]
fn links_and_calls_share_a_scope() {
    for on in [Tokio::thread(), Tokio::threads(2)] {
        let sum = foreign(on, async |tk| {
            let one = tk.run(async || Ok(1)).await?;
            let two = open_link(
                tk.clone(),
                async |mut far: Far<(), u32, u32>| {
                    far.started(()).await?;
                    while let Some(n) = far.recv().await? {
                        far.send(n + 1).await?;
                    }
                    Ok(())
                },
                async |mut near, ()| {
                    near.send(one).await?;
                    Ok(near.recv().await?.ok_or(Ended)?)
                },
            )
            .await?;
            Ok(one + two)
        });
        assert_eq!(block_on(sum).unwrap(), 3);
    }
}

/// The future of a scope can be sent wherever its parts can.
#[test]
fn the_future_is_send() {
    fn is_send<T: Send>(future: T) -> T {
        future
    }
    block_on(is_send(nursery(async |n| {
        n.spawn(async { run(Tokio::thread(), async || Ok(())).await })?;
        n.spawn(foreign(Tokio::thread(), async |tk| tk.run(async || Ok(())).await))?;
        Ok(())
    })))
    .unwrap();
}
