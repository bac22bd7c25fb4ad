//! Codecs between actors: chosen by one value, agreed on by name.

use std::any::type_name;
use std::collections::BTreeMap;

use pleach::actor::{ActorNursery, Defaults};
use pleach::codec::{Codec, DecodeError, EncodeError, Encoding, Slot, Value};
use pleach::prelude::*;
use pleach_codecs::{CBOR, JSON_LZ4, MSGPACK_LZ4, POSTCARD};
use serde::{Deserialize, Serialize};

use crate::harness::eventually;

/// JSON that is not in the list, by some name.
pub(crate) struct Unlisted(&'static str);

impl Encoding for Unlisted {
    fn name(&self) -> &'static str {
        self.0
    }

    fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<()> {
        Ok(serde_json::to_writer(out, &value)?)
    }

    fn decode(&self, bytes: &[u8], slot: Slot<'_>) -> Result<()> {
        slot.fill(&mut serde_json::Deserializer::from_slice(bytes))
    }
}

/// No child knows it.
pub(crate) const UNLISTED: Codec = Codec::Own(&Unlisted("test/unlisted"));
/// Children know others of these names.
const IMPOSTORS: [Codec; 3] =
    [Codec::Own(&Unlisted("postcard")), Codec::Own(&Unlisted("json")), Codec::Own(&Unlisted("msgpack"))];

type Map = BTreeMap<u64, Option<String>>;

#[pleach::endpoint]
async fn echo(mut far: Far<Map, Map, Map>, first: Map) -> Result<Map> {
    far.started(first.clone()).await?;
    while let Some(map) = far.recv().await? {
        far.send(map).await?;
    }
    Ok(first)
}

async fn talks(codecs: &[Codec], carrier: Carrier) -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let actor = n.actor("echo").codecs(codecs.iter().copied()).carrier(carrier).expose(echo).start().await?;
        let map = Map::from([(1, None), (u64::MAX, Some("willow ".repeat(2000)))]);
        let result = actor.open_context(echo, (map.clone(),), async |mut near, first| {
            assert_eq!(first, map);
            near.send(map.clone()).await?;
            assert_eq!(near.recv().await?.as_ref(), Some(&map));
            near.finish().await
        });
        assert_eq!(result.await?, map);
        actor.cancel_actor().await
    }))
    .await
}

#[pleach::test]
async fn t02_any_codec_carries_a_dialog() -> Result<()> {
    for carrier in [Carrier::Inherited, Carrier::Mem] {
        for codec in [Codec::MsgPack, POSTCARD, CBOR, MSGPACK_LZ4] {
            talks(&[codec], carrier).await?;
        }
        talks(&[CBOR, Codec::Json], carrier).await?;
    }
    Ok(())
}

#[pleach::test]
async fn t02_a_codec_that_no_child_finds_is_an_error_that_names_both_lists() -> Result<()> {
    for carrier in [Carrier::Inherited, Carrier::Mem] {
        eventually(actor_nursery(async |n: ActorNursery| {
            // Nor is it passed over for one that is known: who has written it down wants it.
            for codecs in [[UNLISTED].as_slice(), &[UNLISTED, CBOR], &[CBOR, UNLISTED]] {
                let actor = n.actor("mute").codecs(codecs.iter().copied()).carrier(carrier);
                let error = actor.start().await.expect_err("no child knows it");
                assert!(error.is_misuse(), "{error:?}");
                let (text, program) = (error.to_string(), std::env::current_exe()?.display().to_string());
                let remedy = "`pleach::codec::CODECS`: write `#[linkme::distributed_slice(pleach::codec::CODECS)]";
                let lists = [
                    "root/mute: no codec `test/unlisted`",
                    &program,
                    "\"msgpack\", \"json\"",
                    "\"postcard\"",
                    "\"cbor\"",
                    remedy,
                ];
                assert!(lists.iter().all(|word| text.contains(word)), "{text}");
            }
            Ok(())
        }))
        .await?;
    }
    Ok(())
}

#[pleach::test]
async fn t02_a_codec_that_calls_itself_like_another_one_is_refused() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        for codec in IMPOSTORS {
            let why = format!("there are two codecs with the name `{}`", codec.name());
            let refused = |result: Result<()>| {
                let error = result.expect_err("a child would find the other one");
                assert!(error.is_misuse() && error.to_string().contains(&why), "{error}");
            };
            for carrier in [Carrier::Inherited, Carrier::Mem] {
                refused(n.actor("mute").codecs([CBOR, codec]).carrier(carrier).start().await.map(drop));
            }
            refused(Defaults::new().codecs([codec]).run(async { Ok(()) }).await);
            // Also where it would not be used today.
            refused(n.actor("mute").codecs_for(Carrier::Uds, [codec]).start().await.map(drop));
        }
        Ok(())
    }))
    .await
}

#[pleach::test]
async fn t03_what_a_codec_cannot_carry_is_refused_at_the_sender() -> Result<()> {
    let error = talks(&[JSON_LZ4], Carrier::Inherited).await.expect_err("keys are numbers");
    assert!(error.downcast_ref::<EncodeError>().is_some(), "{error:?}");
    assert_eq!(error.type_name(), type_name::<EncodeError>());
    let text = format!("{error:?}");
    assert!(text.contains("cannot be encoded as json+lz4: a key in JSON must be text"), "{text}");
    Ok(())
}

/// Which of the two it is stands inside, so a codec has to say what comes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Leaf { width: u32 },
    Root,
}

#[pleach::endpoint]
async fn width(of: Tagged) -> Result<u32> {
    Ok(if let Tagged::Leaf { width } = of { width } else { 0 })
}

#[pleach::test]
async fn t03_arguments_that_a_codec_cannot_give_back_are_no_mistake_of_the_caller() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let actor = n.actor("tree").codecs([POSTCARD]).expose(width).start().await?;
        let error = actor.run(width, (Tagged::Leaf { width: 3 },)).await.expect_err("postcard does not say what comes");
        assert!(error.remote().is_some() && !error.is_misuse(), "{error:?}");
        assert_eq!(error.type_name(), type_name::<DecodeError>());
        assert!(
            error.to_string().contains("the arguments for endpoint") && error.to_string().contains("width"),
            "{error}"
        );
        actor.cancel_actor().await
    }))
    .await
}

#[test]
fn t02_a_codec_of_ones_own_is_chosen_by_one_value() {
    let example = crate::harness::example("own_codec").unwrap();
    let output = std::process::Command::new(example).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello willow over Codec(example/secret)\n", "{output:?}");
    assert!(output.status.success() && output.stderr.is_empty());
}
