//! Users that come and go at other times than all the others.

use std::pin::pin;

use super::*;
use crate::task::{channel, move_on_after};

#[test]
fn whoever_comes_during_the_cleanup_waits_for_it_and_opens_anew() {
    let log = Log::default();
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let (other, late) = (shared.clone(), log.clone());
        n.spawn(async move {
            sleep(ms(15)).await?; // the first one has it open for 10 ms to 12 ms, and closes it until 22 ms
            late.add("comes");
            other.with("key", |holder| noted(late.clone(), holder), async |_| Ok(())).await
        })?;
        shared.with("key", |holder| noted(log.clone(), holder), async |_| sleep(ms(2)).await).await
    }))
    .unwrap();
    let all: Vec<_> = ["opens", "open", "closes", "comes", "closed", "gone"].into_iter().chain(WHOLE_LIFE).collect();
    assert_eq!(log.take(), all);
}

#[test]
fn c02_whoever_is_cancelled_while_it_waits_for_a_cleanup_opens_nothing() {
    let log = Log::default();
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let (other, late) = (shared.clone(), log.clone());
        n.spawn(async move {
            sleep(ms(15)).await?;
            let user = other.with("key", |holder| noted(late.clone(), holder), async |_| Ok(()));
            assert_eq!(move_on_after(ms(2), user).await?, None);
            late.add("gives up");
            Ok(())
        })?;
        shared.with("key", |holder| noted(log.clone(), holder), async |_| Ok(())).await
    }))
    .unwrap();
    assert_eq!(log.take(), ["opens", "open", "closes", "gives up", "closed", "gone"]);
}

#[test]
fn c02_whoever_is_cancelled_before_it_comes_opens_nothing() {
    let log = Log::default();
    let scope = CancelScope::new();
    scope.cancel("early");
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let user = scope.run(shared.with("key", |holder| noted(log.clone(), holder), async |_| Ok(())));
        assert_eq!(user.await?, None);
        Ok(())
    }))
    .unwrap();
    assert_eq!(log.take(), Vec::<String>::new());
}

#[test]
fn one_user_is_cancelled_and_the_others_keep_it() {
    let log = Log::default();
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        // The first one, who has it opened, gives up while that goes on, and another one later.
        for limit in [ms(5), ms(15)] {
            let (shared, log) = (shared.clone(), log.clone());
            n.spawn(async move {
                let user = shared.with("key", |holder| noted(log.clone(), holder), async |_| never().await);
                let start = clock::now();
                assert_eq!(move_on_after(limit, user).await?, None);
                assert_eq!(clock::now() - start, limit, "it waits for nothing");
                log.add("cancelled");
                Ok(())
            })?;
        }
        sleep(ms(1)).await?;
        shared.with("key", |holder| noted(log.clone(), holder), async |_| sleep(ms(30)).await).await
    }))
    .unwrap();
    let expected = ["opens", "cancelled", "open", "cancelled", "closes", "closed", "gone"];
    assert_eq!(log.take(), expected);
}

#[test]
fn what_nobody_waits_for_any_more_is_not_opened_to_the_end() {
    let log = Log::default();
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let opener = async |holder: Holder<()>| {
            let told = sleep(ms(60_000)).await;
            assert!(told.as_ref().unwrap_err().is_cancelled());
            task::shield(ms(100), sleep(ms(7))).await?;
            log.add("unwound");
            drop(holder);
            told
        };
        let start = clock::now();
        let user = move_on_after(ms(5), shared.with(1, opener, async |()| Ok(())));
        assert_eq!((user.await?, clock::now() - start), (None, ms(12)));
        assert_eq!(log.take(), ["unwound"]);
        Ok(())
    }))
    .unwrap();
}

/// A cleanup that reads to the end would wait for ever if anybody but the users kept a clone of the value.
#[test]
fn the_value_is_gone_before_the_cleanup() {
    let sum = virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let (report, mut sum) = channel::bounded(1);
        let opener = |report: channel::Sender<u32>| {
            async move |holder: Holder<channel::Sender<u32>>| {
                let (sender, mut receiver) = channel::bounded(8);
                let mut provided = pin!(holder.provide(sender)); // it lives as long as the cleanup
                provided.as_mut().await?;
                let mut sum = 0;
                while let Some(number) = receiver.recv().await? {
                    sum += number;
                }
                Ok(report.send(sum).await?)
            }
        };
        let users = (1..=3).map(|number| {
            shared.with("sum", opener(report.clone()), async move |sender: channel::Sender<u32>| {
                Ok(sender.send(number).await?)
            })
        });
        for outcome in futures_util::future::join_all(users).await {
            outcome?;
        }
        Ok(sum.try_recv())
    }));
    assert_eq!(sum.unwrap(), Some(6));
}
