//! T3, D9: a link with a codec, which carries what a context would.

use pleach::codec::{Codec, DecodeError, EncodeError};
use pleach::dialog::TrySendError;
use pleach_codecs::{CBOR, POSTCARD};
use serde::{Deserialize, Serialize};

use super::place::prelude::*;

pub(crate) fn laws() -> Vec<Law> {
    laws![
        t03_a_link_with_a_codec_encodes_every_value,
        t03_what_its_codec_cannot_carry_is_refused_at_the_sender,
        d09_a_value_that_does_not_decode_is_an_error_at_its_receiver,
        l23_a_link_with_a_codec_is_bounded,
    ]
}

/// Only what moves keeps all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Parcel {
    text: String,
    ratio: f64,
    #[serde(skip)]
    stays: u8,
}

fn parcel(ratio: f64) -> Parcel {
    Parcel { text: "willow".into(), ratio, stays: 7 }
}

async fn echo(mut far: Far<Parcel, Parcel, Parcel>) -> Result<Parcel> {
    far.started(parcel(1.0)).await?;
    while let Some(parcel) = far.recv().await? {
        far.send(Parcel { stays: 9, ..parcel }).await?;
    }
    Ok(parcel(4.0))
}

pub(crate) async fn t03_a_link_with_a_codec_encodes_every_value<P: Place>() -> Result<()> {
    for codec in [Codec::MsgPack, Codec::Json, POSTCARD, CBOR] {
        let arrived = link(P::on()?).codec(codec).open(echo, async |mut near, first| {
            near.send(parcel(2.0)).await?;
            let second = near.recv().await?.ok_or(Ended)?;
            Ok([first, second, near.finish().await?])
        });
        let there = [1.0, 2.0, 4.0].map(|ratio| Parcel { stays: 0, ..parcel(ratio) });
        assert_eq!(arrived.await?, there, "{codec:?}");
    }
    Ok(())
}

pub(crate) async fn t03_what_its_codec_cannot_carry_is_refused_at_the_sender<P: Place>() -> Result<()> {
    let is_refused = |error: &Error| {
        error.downcast_ref::<EncodeError>().is_some_and(|error| error.cause == "JSON has no number inf; msgpack has")
    };
    link(P::on()?)
        .codec(Codec::Json)
        .open(echo, async |mut near, _| {
            let refused = near.send(parcel(f64::INFINITY)).await.expect_err("JSON cannot carry it");
            let (back, error) = refused.into_parts();
            assert!(back == parcel(f64::INFINITY) && is_refused(&error), "{error:?}");
            let Err(TrySendError::Refused(back, error)) = near.try_send(parcel(f64::INFINITY)) else { panic!() };
            assert!(back == parcel(f64::INFINITY) && is_refused(&error), "{error:?}");
            // The dialog goes on.
            near.send(parcel(0.5)).await?;
            assert_eq!(near.recv().await?.map(|parcel| parcel.ratio), Some(0.5));
            Ok(())
        })
        .await?;
    let far = async |mut far: Far<(), (), f64>| {
        far.started(()).await?;
        let error = far.send(f64::INFINITY).await.expect_err("JSON cannot carry it");
        Ok(error.to_string())
    };
    let said = link(P::on()?).codec(Codec::Json).open(far, async |near, ()| near.finish().await).await?;
    assert!(said.contains("JSON has no number inf"), "{said}");
    let far = async |mut far: Far<(), (), ()>| {
        far.started(()).await?;
        Ok(f64::INFINITY)
    };
    let error = link(P::on()?).codec(Codec::Json).open(far, async |near, ()| near.finish().await).await;
    assert!(is_refused(&error.expect_err("its result cannot be carried")));
    Ok(())
}

pub(crate) async fn d09_a_value_that_does_not_decode_is_an_error_at_its_receiver<P: Place>() -> Result<()> {
    /// Nobody can read what it writes.
    #[derive(Debug, Serialize, Deserialize)]
    struct Odd(#[serde(serialize_with = "as_text")] u8);

    fn as_text<S: serde::Serializer>(_: &u8, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("odd")
    }

    let far = async |mut far: Far<(), Odd, Odd>| {
        far.started(()).await?;
        let error = far.recv().await.expect_err("it is no number");
        assert!(error.downcast_ref::<DecodeError>().is_some(), "{error:?}");
        Ok(far.send(Odd(2)).await?)
    };
    link(P::on()?)
        .codec(Codec::Json)
        .open(far, async |mut near, ()| {
            near.send(Odd(1)).await?;
            let error = near.recv().await.expect_err("it is no number");
            let text = error.downcast_ref::<DecodeError>().expect("typed").to_string();
            assert!(text.contains("Odd as json") && text.contains(r#""\"odd\"""#), "{text}");
            Ok(())
        })
        .await
}

pub(crate) async fn l23_a_link_with_a_codec_is_bounded<P: Place>() -> Result<()> {
    let read = Flag::default();
    let may = read.clone();
    let far = async move |mut far: Far<(), u64, ()>| {
        far.started(()).await?;
        may.wait().await;
        let mut values = Vec::new();
        while let Some(value) = far.recv().await? {
            values.push(value);
        }
        Ok(values)
    };
    let values = link(P::on()?).capacity(1).codec(Codec::MsgPack).open(far, async |mut near, ()| {
        near.send(1).await?;
        assert!(poll_once(near.send(2)).await.is_none(), "a second value was accepted by a link for one");
        assert!(matches!(near.try_send(3), Err(TrySendError::Full(3))));
        read.set();
        near.send(4).await?;
        near.finish().await
    });
    assert_eq!(values.await?, [1, 4], "a send that was dropped while it waited sends nothing");
    Ok(())
}
