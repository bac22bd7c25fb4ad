//! L16, L23, L26: both ends as streams and sinks of futures' kind.

use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};

use super::place::prelude::*;

pub(crate) fn laws() -> Vec<Law> {
    laws![
        l26_streams_and_sinks_carry_everything,
        l26_what_a_sink_has_taken_is_not_lost,
        l26_a_stream_that_is_polled_and_left_takes_nothing,
        l26_a_cancel_is_the_last_item,
        l16_whoever_waits_at_a_stream_is_told,
        l16_whoever_waits_at_a_sink_is_told,
        l16_whoever_has_left_a_stream_is_not_listening,
        l23_a_sink_waits_when_full,
        l24_a_stream_fails_after_what_was_sent,
    ]
}

/// Answers through halves that are polled apart from each other.
async fn doubles(mut far: Numbers) -> Result<u32> {
    far.started(()).await?;
    let (mut answers, mut numbers) = StreamExt::split(far);
    let mut count = 0;
    while let Some(number) = numbers.try_next().await? {
        answers.send(2 * number).await?;
        count += 1;
    }
    Ok(count)
}

pub(crate) async fn l26_streams_and_sinks_carry_everything<P: Place>() -> Result<()> {
    const MANY: u32 = 1000;
    let opened = link(P::on()?).capacity(3).open(doubles, async |near, ()| {
        let (mut numbers, answers) = StreamExt::split(near);
        let sends = async move {
            numbers.send_all(&mut stream::iter(0..MANY).map(Ok)).await?;
            numbers.close().await?;
            Ok::<_, Error>(numbers)
        };
        let reads = async move {
            let mut answers = answers;
            let all: Vec<u32> = answers.by_ref().try_collect().await?;
            Ok((answers, all))
        };
        let (numbers, (answers, all)) = futures_util::future::try_join(sends, reads).await?;
        let near = answers.reunite(numbers).expect("they are halves of one end");
        Ok((all, near.finish().await?))
    });
    let (all, count) = opened.await?;
    assert_eq!((all, count), ((0..MANY).map(|number| 2 * number).collect(), MANY));
    Ok(())
}

pub(crate) async fn l26_what_a_sink_has_taken_is_not_lost<P: Place>() -> Result<()> {
    let far = async |mut far: Numbers| {
        far.started(()).await?;
        far.feed(1).await?;
        far.try_collect::<Vec<_>>().await
    };
    let both = open_link(P::on()?, far, async |mut near, ()| {
        near.feed(2).await?;
        let first = near.recv().await?;
        // Neither side has flushed.
        Ok((first, near.finish().await?))
    });
    assert_eq!(both.await?, (Some(1), vec![2]));
    Ok(())
}

pub(crate) async fn l26_a_stream_that_is_polled_and_left_takes_nothing<P: Place>() -> Result<()> {
    let (looked, sent) = (Flag::default(), Flag::default());
    let (may_send, is_sent) = (looked.clone(), sent.clone());
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        may_send.wait().await;
        far.feed(1).await?;
        is_sent.set();
        assert!(times_out(Duration::from_millis(5), StreamExt::next(&mut far)).await);
        far.send(2).await?;
        assert_eq!(far.try_next().await?, Some(3));
        Ok(())
    };
    open_link(P::on()?, far, async |mut near, ()| {
        assert!(poll_once(near.try_next()).await.is_none());
        looked.set();
        sent.wait().await;
        assert_eq!(near.recv().await?, Some(1));
        assert_eq!(near.try_next().await?, Some(2));
        near.feed(3).await?;
        near.finish().await
    })
    .await
}

pub(crate) async fn l26_a_cancel_is_the_last_item<P: Place>() -> Result<()> {
    let far = async |mut far: Numbers| {
        far.started(()).await?;
        let last = StreamExt::next(&mut far).await.expect("an item").unwrap_err();
        assert!(last.is_cancelled() && StreamExt::next(&mut far).await.is_none());
        Err::<(), _>(last)
    };
    let scope = CancelScope::new();
    let opened = scope.run(open_link(P::on()?, far, async |mut near, ()| {
        scope.cancel("enough");
        let last = StreamExt::next(&mut near).await.expect("an item").unwrap_err();
        assert!(last.is_cancelled() && StreamExt::next(&mut near).await.is_none());
        Err::<(), _>(last)
    }));
    assert!(opened.await?.is_none());
    Ok(())
}

/// Cancels a link when its far task waits, and says whether that task cleaned up, in its time.
async fn cleans_up<P: Place, F>(waits: impl FnOnce(Numbers, Flag) -> F + Send + 'static) -> Result<bool>
where
    F: Future<Output = ()> + 'static,
{
    let (cleaned, dropped) = (Flag::default(), Gone::default());
    let (cleans, guard, is_up) = (cleaned.clone(), dropped.guard(), Flag::default());
    let up = is_up.clone();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        far.send(0).await?;
        waits(far, up).await;
        nap(A_WHILE).await;
        cleans.set();
        drop(guard);
        Ok(())
    };
    let scope = CancelScope::new();
    let opened = scope.run(link(P::on()?).capacity(1).open(far, async |mut near, ()| {
        assert_eq!(near.recv().await?, Some(0));
        // Now it waits, or will as its next.
        is_up.wait().await;
        scope.cancel("enough");
        near.recv().await
    }));
    let since = Instant::now();
    assert!(opened.await?.is_none());
    assert!(since.elapsed() < harness::SOON, "nobody was waited for longer than he needed");
    assert!(dropped.get());
    Ok(cleaned.is_set())
}

pub(crate) async fn l16_whoever_waits_at_a_stream_is_told<P: Place>() -> Result<()> {
    let waits = async |mut far: Numbers, up: Flag| {
        up.set();
        let told = StreamExt::next(&mut far).await.expect("an item").unwrap_err();
        assert!(told.is_cancelled());
    };
    assert!(cleans_up::<P, _>(waits).await?);
    // The same in an executor within the task, which is polled only where it was woken.
    let waits = async |far: Numbers, up: Flag| {
        up.set();
        let mut many: stream::FuturesUnordered<_> =
            [far].into_iter().map(|mut far| async move { far.try_next().await }).collect();
        assert!(StreamExt::next(&mut many).await.expect("one").unwrap_err().is_cancelled());
    };
    assert!(cleans_up::<P, _>(waits).await?);
    Ok(())
}

pub(crate) async fn l16_whoever_waits_at_a_sink_is_told<P: Place>() -> Result<()> {
    let waits = async |mut far: Numbers, up: Flag| {
        far.feed(1).await.unwrap();
        up.set();
        assert!(far.feed(2).await.unwrap_err().is_cancelled());
    };
    assert!(cleans_up::<P, _>(waits).await?);
    Ok(())
}

pub(crate) async fn l16_whoever_has_left_a_stream_is_not_listening<P: Place>() -> Result<()> {
    let waits = async |mut far: Numbers, up: Flag| {
        assert!(poll_once(StreamExt::next(&mut far)).await.is_none());
        up.set();
        nap(FOR_EVER).await;
    };
    assert!(!cleans_up::<P, _>(waits).await?);
    Ok(())
}

pub(crate) async fn l23_a_sink_waits_when_full<P: Place>() -> Result<()> {
    let read = Flag::default();
    let may = read.clone();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        may.wait().await;
        far.try_collect::<Vec<_>>().await
    };
    let opened = link(P::on()?).capacity(2).open(far, async |mut near, ()| {
        near.feed(1).await?;
        near.feed(2).await?;
        assert!(poll_once(near.feed(3)).await.is_none(), "a third value was taken by a link for two");
        read.set();
        near.feed(4).await?;
        near.close().await?;
        near.finish().await
    });
    assert_eq!(opened.await?, [1, 2, 4]);
    Ok(())
}

pub(crate) async fn l24_a_stream_fails_after_what_was_sent<P: Place>() -> Result<()> {
    let far = async |mut far: Numbers| {
        far.started(()).await?;
        far.send_all(&mut stream::iter([Ok(1), Ok(2), Err(Boom(3).into())])).await
    };
    let opened = open_link(P::on()?, far, async |mut near, ()| {
        shield(harness::SOON, async {
            assert_eq!((near.try_next().await?, near.try_next().await?), (Some(1), Some(2)));
            let last = StreamExt::next(&mut near).await.expect("an item");
            assert!(last.is_err() && StreamExt::next(&mut near).await.is_none());
            Ok(())
        })
        .await
    });
    assert_eq!(opened.await.unwrap_err().downcast_ref::<Boom>(), Some(&Boom(3)));
    Ok(())
}
