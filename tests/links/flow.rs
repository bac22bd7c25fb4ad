//! L23, L24, L26: what flows through a link.

use pleach::dialog::{FarReturned, NearGone, TrySendError};

use super::place::prelude::*;

pub(crate) fn laws() -> Vec<Law> {
    laws![
        l23_sending_waits_when_full,
        l23_the_foreign_task_waits_when_full,
        l23_a_finish_makes_room,
        l23_one_free_place_is_enough,
        l23_try_send_gives_the_value_back,
        l24_after_a_failure_the_rest_can_be_drained,
        l24_order,
        l24_what_was_accepted_is_readable,
        l26_a_dropped_receive_takes_nothing,
        l26_a_cancelled_send_delivers_nothing,
        l26_a_send_after_the_cancel_delivers_nothing,
        l26_a_cancelled_send_gives_its_value_back,
        l26_a_far_send_that_is_cancelled_gives_its_value_back,
        l26_a_refused_send_gives_its_value_back,
    ]
}

pub(crate) async fn l23_sending_waits_when_full<P: Place>() -> Result<()> {
    let read = Flag::default();
    let may = read.clone();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        may.wait().await;
        let mut values = Vec::new();
        while let Some(value) = far.recv().await? {
            values.push(value);
        }
        Ok(values)
    };
    let values = link(P::on()?)
        .capacity(1)
        .open(far, async |mut near, ()| {
            near.send(1).await?;
            assert!(poll_once(near.send(2)).await.is_none(), "a second value was accepted by a link for one");
            read.set();
            near.send(3).await?;
            near.finish().await
        })
        .await?;
    assert_eq!(values, [1, 3], "a send that was dropped while it waited sends nothing");
    Ok(())
}

pub(crate) async fn l23_the_foreign_task_waits_when_full<P: Place>() -> Result<()> {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        for n in 0..100 {
            far.send(n).await?;
            counter.fetch_add(1, SeqCst);
        }
        Ok(())
    };
    link(P::on()?)
        .capacity(1)
        .open(far, async |mut near, ()| {
            for received in 0..100 {
                for _ in 0..20 {
                    yield_now().await; // every chance to send too much
                }
                let accepted = sent.load(SeqCst);
                assert!(accepted <= received + 1, "{accepted} accepted, {received} received, room for one");
                near.recv().await?.ok_or(Ended)?;
            }
            near.finish().await
        })
        .await
}

/// What nobody reads does not keep its sender waiting when the opener only wants the result.
pub(crate) async fn l23_a_finish_makes_room<P: Place>() -> Result<()> {
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        for n in 0..100 {
            far.send(n).await?;
        }
        Ok("all sent")
    };
    let opened = link(P::on()?).capacity(1).open(far, async |near, ()| near.finish().await);
    assert_eq!(fail_after(Duration::from_secs(5), opened).await?, "all sent");
    Ok(())
}

/// A place is a place, also if the reader takes only one value and then waits for something else.
pub(crate) async fn l23_one_free_place_is_enough<P: Place>() -> Result<()> {
    let (sent, done) = (Flag::default(), Flag::default());
    let (all, may_end) = (sent.clone(), done.clone());
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        for n in 0..5 {
            far.send(n).await?;
        }
        all.set();
        may_end.wait().await;
        Ok(())
    };
    link(P::on()?)
        .capacity(4)
        .open(far, async |mut near, ()| {
            assert_eq!(near.recv().await?, Some(0));
            let waited = fail_after(Duration::from_secs(5), async {
                sent.wait().await;
                Ok(())
            });
            waited.await?;
            done.set();
            Ok(())
        })
        .await
}

pub(crate) async fn l23_try_send_gives_the_value_back<P: Place>() -> Result<()> {
    let (far_has_tried, near_has_tried) = (Flag::default(), Flag::default());
    let (tried, may_read) = (far_has_tried.clone(), near_has_tried.clone());
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        far.try_send(1).map_err(Error::from)?;
        assert!(matches!(far.try_send(2), Err(TrySendError::Full(2))), "capacity is one");
        tried.set();
        may_read.wait().await;
        while far.recv().await?.is_some() {}
        Ok(())
    };
    let body = async move |mut near: Near<u32, u32, ()>, ()| {
        far_has_tried.wait().await;
        assert_eq!(near.recv().await?, Some(1));
        near.try_send(3).map_err(Error::from)?;
        assert!(matches!(near.try_send(4), Err(TrySendError::Full(4))), "nobody has read the first");
        near_has_tried.set();
        near.stop();
        assert!(matches!(near.try_send(5), Err(TrySendError::Refused(5, error)) if error.is_misuse()));
        near.finish().await
    };
    link(P::on()?).capacity(1).open(far, body).await
}

pub(crate) async fn l24_after_a_failure_the_rest_can_be_drained<P: Place>() -> Result<()> {
    let far = async |mut far: Numbers| {
        far.started(()).await?;
        for n in 0..3 {
            far.send(n).await?;
        }
        Err::<(), _>(Boom(3).into())
    };
    let drained = Mutex::new(Vec::new());
    let failed = open_link(P::on()?, far, async |mut near, ()| {
        // Told of the failure here, wherever it is parked; cleaning up, it reads what had come before.
        let told = sleep(FOR_EVER).await;
        shield(harness::SOON, async {
            loop {
                match near.recv().await {
                    Ok(Some(n)) => drained.lock().unwrap().push(n),
                    end => return end.map(drop),
                }
            }
        })
        .await
        .expect_err("after the rest comes the failure, and not the end of the stream");
        told
    })
    .await
    .unwrap_err();
    assert_eq!(*drained.lock().unwrap(), [0, 1, 2]);
    assert!(failed.downcast_ref::<Boom>() == Some(&Boom(3)), "{failed:?}");
    Ok(())
}

pub(crate) async fn l24_order<P: Place>() -> Result<()> {
    let far = async |mut far: Numbers| {
        far.started(()).await?;
        while let Some(n) = far.recv().await? {
            if n % 17 == 0 {
                yield_now().await;
            }
            far.send(n).await?;
        }
        Ok(())
    };
    link(P::on()?)
        .capacity(7)
        .open(far, async |mut near, ()| {
            for batch in 0..200 {
                for n in 0..7 {
                    near.send(7 * batch + n).await?;
                }
                for n in 0..7 {
                    assert_eq!(near.recv().await?, Some(7 * batch + n));
                }
            }
            near.finish().await
        })
        .await
}

pub(crate) async fn l24_what_was_accepted_is_readable<P: Place>() -> Result<()> {
    // The foreign task has returned and is gone before the first value is read.
    let gone = Gone::default();
    let guard = gone.guard();
    let far = async move |mut far: Numbers| {
        let _guard = guard;
        far.started(()).await?;
        for n in 0..5 {
            far.send(n).await?;
        }
        Ok("sent")
    };
    let result = open_link(P::on()?, far, async |mut near, ()| {
        while !gone.get() {
            yield_now().await;
        }
        yield_now().await;
        for n in 0..5 {
            assert_eq!(near.recv().await?, Some(n));
        }
        assert_eq!(near.recv().await?, None);
        assert_eq!(near.recv().await?, None, "the end stays the end");
        near.finish().await
    })
    .await?;
    assert_eq!(result, "sent");

    // The opener has stopped before the first value is read.
    let stopped = Flag::default();
    let is_stopped = stopped.clone();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        is_stopped.wait().await;
        let mut values = Vec::new();
        while let Some(value) = far.recv().await? {
            values.push(value);
        }
        Ok(values)
    };
    let values = open_link(P::on()?, far, async |mut near, ()| {
        for n in 0..5 {
            near.send(n).await?;
        }
        near.stop();
        stopped.set();
        near.finish().await
    })
    .await?;
    assert_eq!(values, [0, 1, 2, 3, 4]);
    Ok(())
}

pub(crate) async fn l26_a_dropped_receive_takes_nothing<P: Place>() -> Result<()> {
    let (looked, sent) = (Flag::default(), Flag::default());
    let (may_send, is_sent) = (looked.clone(), sent.clone());
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        assert_eq!(far.recv().await?, Some(0));
        may_send.wait().await;
        far.send(1).await?;
        is_sent.set();
        // Dropped by the loop's own timeout while it waits.
        assert!(times_out(Duration::from_millis(5), far.recv()).await);
        far.send(2).await?;
        assert_eq!(far.recv().await?, Some(3));
        Ok(())
    };
    open_link(P::on()?, far, async |mut near, ()| {
        {
            let mut waiting = std::pin::pin!(near.recv());
            assert!(poll_once(&mut waiting).await.is_none());
        }
        near.send(0).await?;
        {
            let mut waiting = std::pin::pin!(near.recv());
            assert!(poll_once(&mut waiting).await.is_none());
            looked.set();
            sent.wait().await; // it is woken for the value, and dropped before it looks
        }
        assert_eq!(near.recv().await?, Some(1));
        assert_eq!(near.recv().await?, Some(2));
        near.send(3).await?;
        near.finish().await
    })
    .await
}

pub(crate) async fn l26_a_cancelled_send_delivers_nothing<P: Place>() -> Result<()> {
    let read = Flag::default();
    let may = read.clone();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        may.wait().await;
        let mut values = Vec::new();
        while let Some(value) = far.recv().await? {
            values.push(value);
        }
        Ok(values)
    };
    let opened = link(P::on()?).capacity(1).open(far, async |mut near, ()| {
        near.send(1).await?;
        assert_eq!(
            move_on_after(Duration::from_millis(1), async { Ok(near.send(2).await?) }).await?,
            None,
            "there is room for one"
        );
        read.set();
        near.send(3).await?;
        near.finish().await
    });
    assert_eq!(opened.await?, [1, 3]);
    Ok(())
}

/// There is room, but it looks at the cancel first.
pub(crate) async fn l26_a_send_after_the_cancel_delivers_nothing<P: Place>() -> Result<()> {
    let far = async |mut far: Numbers| {
        far.started(()).await?;
        let mut values = Vec::new();
        while let Some(value) = far.recv().await? {
            values.push(value);
        }
        Ok(values)
    };
    let scope = CancelScope::new();
    let opened = open_link(P::on()?, far, async |mut near: Near<u32, u32, Vec<u32>>, ()| {
        near.send(1).await?;
        scope.cancel("enough");
        let (value, error) = near.send(2).await.unwrap_err().into_parts();
        assert!(value == 2 && error.is_cancelled(), "{error:?}");
        shield(harness::SOON, near.finish()).await
    });
    assert_eq!(scope.run(opened).await?, Some(vec![1]));
    Ok(())
}

pub(crate) async fn l26_a_cancelled_send_gives_its_value_back<P: Place>() -> Result<()> {
    let read = Flag::default();
    let may = read.clone();
    let far = async move |mut far: Far<(), String, ()>| {
        far.started(()).await?;
        may.wait().await;
        let mut values = Vec::new();
        while let Some(value) = far.recv().await? {
            values.push(value);
        }
        Ok(values)
    };
    let opened = link(P::on()?).capacity(1).open(far, async |mut near, ()| {
        near.send("first".to_owned()).await?;
        let mut kept = None;
        let cancelled = async {
            let refused = near.send("second".to_owned()).await.unwrap_err();
            assert!(refused.is_cancelled());
            let (value, error) = refused.into_parts();
            kept = Some(value);
            Err::<(), _>(error)
        };
        assert!(move_on_after(Duration::from_millis(1), cancelled).await?.is_none(), "it is that scope's cancel");
        read.set();
        near.send(kept.expect("the value came back")).await?;
        near.finish().await
    });
    assert_eq!(opened.await?, ["first", "second"]);
    Ok(())
}

pub(crate) async fn l26_a_far_send_that_is_cancelled_gives_its_value_back<P: Place>() -> Result<()> {
    let (kept, full) = (Arc::new(Mutex::new(None)), Flag::default());
    let (keeps, fills) = (kept.clone(), full.clone());
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        far.send(1).await?;
        fills.set();
        let refused = far.send(2).await.unwrap_err();
        let is_cancelled = refused.is_cancelled();
        let (value, error) = refused.into_parts();
        *keeps.lock().unwrap() = Some((value, is_cancelled));
        Err::<(), _>(error)
    };
    let scope = CancelScope::new();
    let opened = scope.run(link(P::on()?).capacity(1).open(far, async |mut near, ()| {
        full.wait().await;
        scope.cancel("enough");
        near.recv().await
    }));
    assert!(opened.await?.is_none());
    assert_eq!(*kept.lock().unwrap(), Some((2, true)));
    Ok(())
}

pub(crate) async fn l26_a_refused_send_gives_its_value_back<P: Place>() -> Result<()> {
    let far = async |mut far: Numbers| {
        let (value, error) = far.send(7).await.unwrap_err().into_parts();
        assert!(value == 7 && error.is_misuse(), "{error:?}");
        far.started(()).await
    };
    open_link(P::on()?, far, async |mut near, ()| {
        while near.gone().is_none() {
            checkpoint().await?;
        }
        let (value, error) = near.send(8).await.unwrap_err().into_parts();
        assert!(value == 8 && error.downcast_ref::<FarReturned>().is_some(), "{error:?}");
        Ok(())
    })
    .await?;
    let far = async |mut far: Numbers| {
        far.started(()).await?;
        assert_eq!(far.recv().await?, None);
        let (value, error) = far.send(9).await.unwrap_err().into_parts();
        assert!(value == 9 && error.downcast_ref::<NearGone>().is_some(), "{error:?}");
        Ok(())
    };
    open_link(P::on()?, far, async |_near, ()| Ok(())).await
}
