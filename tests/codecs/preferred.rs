//! Codecs per transport, for one actor and for a tree, as `connection()` tells of them (law T2).

use pleach::actor::{ActorNursery, CarrierKind, Defaults};
use pleach::codec::Codec;
use pleach::prelude::*;
use pleach::transport::{Tcp, mem};
use pleach_codecs::{CBOR, POSTCARD};

use super::actors::UNLISTED;
use crate::harness::eventually;

/// How an actor talks to its parent: transport and codec.
fn way(portal: &Portal) -> (&'static str, String) {
    let connection = portal.connection();
    (connection.transport, connection.codec)
}

/// How a child talks to this actor that chooses nothing, and one over uds.
#[pleach::endpoint]
async fn how_children_talk() -> Result<Vec<(String, String)>> {
    let ways = actor_nursery(async |n: ActorNursery| {
        let plain = n.actor("plain").start().await?;
        let watched = n.actor("watched").carrier(Carrier::Uds).start().await?;
        let ways = [way(&plain), way(&watched)];
        n.cancel_actors("asked");
        Ok(ways)
    });
    Ok(ways.await?.into_iter().map(|(transport, codec)| (transport.to_owned(), codec)).collect())
}

fn tcp() -> Carrier {
    Carrier::Tcp(Tcp::insecure_for_measurement())
}

#[pleach::test]
async fn t02_an_actor_has_other_codecs_over_another_transport() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let actor = |name: &str| {
            let general = n.actor(name).codecs([CBOR]);
            general
                .codecs_for(tcp(), [POSTCARD])
                .codecs_for(CarrierKind::Own, [Codec::MsgPack])
                .expose(how_children_talk)
        };
        let watched = actor("watched").codecs_for(Carrier::Uds, [Codec::Json, CBOR]).carrier(Carrier::Uds);
        let watched = watched.start().await?;
        assert_eq!(way(&watched), ("uds", "json".to_owned()), "the first of its list");
        let inherited = actor("inherited").codecs_for(Carrier::Uds, [Codec::Json]).start().await?;
        assert_eq!(way(&inherited), ("inherited", "cbor".to_owned()));
        assert_eq!(way(&actor("tcp").carrier(tcp()).start().await?), ("tcp", "postcard".to_owned()));
        assert_eq!(way(&actor("mem").carrier(Carrier::Mem).start().await?), ("mem", "cbor".to_owned()));
        let (ours, its) = mem::pair();
        assert_eq!(way(&actor("own").over(ours, its).start().await?), ("own", "msgpack".to_owned()));
        // What one actor chooses is its own affair: its children have not chosen.
        for portal in [&watched, &inherited] {
            let ways = portal.run(how_children_talk, ()).await?;
            assert_eq!(ways[0], ("inherited".to_owned(), "msgpack".to_owned()));
        }
        n.cancel_actors("done");
        Ok(())
    }))
    .await
}

#[pleach::test]
async fn t02_actors_have_what_their_tree_has_chosen_to_its_leaves() -> Result<()> {
    let defaults = Defaults::new().codecs([CBOR, Codec::MsgPack]).codecs_for(Carrier::Uds, [Codec::Json]);
    let talk = async || {
        let all = actor_nursery(async |n: ActorNursery| {
            let branch = n.actor("branch").expose(how_children_talk).start().await?;
            let near = n.actor("near").carrier(Carrier::Mem).expose(how_children_talk).start().await?;
            let chooses = n.actor("chooses").codecs([POSTCARD]).carrier(Carrier::Uds).start().await?;
            assert_eq!(way(&chooses), ("uds", "postcard".to_owned()), "an actor's own choice comes first");
            let mut ways = vec![way(&branch), way(&near)].into_iter().map(|(on, codec)| (on.to_owned(), codec));
            let mut all: Vec<_> = ways.by_ref().collect();
            all.extend(branch.run(how_children_talk, ()).await?);
            all.extend(near.run(how_children_talk, ()).await?);
            n.cancel_actors("done");
            Ok(all)
        });
        all.await
    };
    let told = eventually(defaults.clone().run(talk())).await?;
    let told: Vec<String> = told.into_iter().map(|(on, codec)| format!("{on} {codec}")).collect();
    assert_eq!(told, ["inherited cbor", "mem cbor", "inherited cbor", "uds json", "inherited cbor", "uds json"]);
    // Within, some are chosen again; the rest holds on. And outside nothing has changed.
    let within = Defaults::new().carrier(Carrier::Uds).codecs_for(Carrier::Mem, [Codec::MsgPack]);
    let told = eventually(defaults.run(within.run(talk()))).await?;
    let told: Vec<String> = told.into_iter().map(|(on, codec)| format!("{on} {codec}")).collect();
    assert_eq!(told, ["uds json", "mem msgpack", "uds json", "uds json", "uds json", "uds json"]);
    let told = eventually(how_children_talk()).await?;
    assert_eq!(
        told,
        [("inherited", "msgpack"), ("uds", "msgpack")].map(|(on, codec)| (on.to_owned(), codec.to_owned()))
    );
    Ok(())
}

#[pleach::test]
async fn t02_what_cannot_be_chosen_is_named_before_anything_is_started() -> Result<()> {
    let refused = async |defaults: Defaults| {
        let error = defaults.run(async { Ok(()) }).await.expect_err("it cannot be");
        assert!(error.is_misuse(), "{error:?}");
        error.to_string()
    };
    let program = std::env::current_exe()?.display().to_string();
    let text = refused(Defaults::new().codecs_for(Carrier::Uds, [Codec::Json, UNLISTED])).await;
    let words = [
        "below root",
        "no codec `test/unlisted`",
        &program,
        "\"postcard\"",
        "distributed_slice(pleach::codec::CODECS)",
    ];
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
    let text = refused(Defaults::new().codecs_for(CarrierKind::Tcp, [])).await;
    assert_eq!(text, "the defaults below root: there is no codec over tcp; list at least one");
    assert_eq!(
        refused(Defaults::new().codecs([])).await,
        "the defaults below root: there is no codec; list at least one"
    );
    let open = Carrier::Tcp(Tcp::insecure_for_measurement().at(([0, 0, 0, 0], 0).into()));
    let text = refused(Defaults::new().carrier(open)).await;
    assert!(text.contains("0.0.0.0:0, where other machines reach it"), "{text}");
    Ok(())
}
