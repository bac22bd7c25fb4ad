//! What the errors say: what happened, where, and what to do about it, on each way.

mod harness;

use harness::{By, Way, all_ways, soon, unique};
use pleach::actor::{ActorBuilder, ActorNursery, Named};
use pleach::error::Kind;
use pleach::prelude::*;
use pleach_bridge::{NotInfected, Tokio, open_link};

/// The largest message in these tests.
const LIMIT: usize = 4096;
const OVER: usize = 5000;

#[pleach::endpoint]
async fn weighs(load: String) -> Result<u64> {
    Ok(load.len() as u64)
}

#[pleach::endpoint]
async fn grows(size: usize) -> Result<String> {
    Ok("x".repeat(size))
}

#[pleach::endpoint]
async fn hidden() -> Result<()> {
    Ok(())
}

#[pleach::endpoint(version = 2)]
async fn panics(word: String) -> Result<()> {
    panic!("no {word} here")
}

#[pleach::endpoint]
async fn takes_words(mut far: Far<(), String, String>, back: usize) -> Result<u64> {
    far.started(()).await?;
    if back > 0 {
        far.send("x".repeat(back)).await?;
    }
    let mut words = 0;
    while far.recv().await?.is_some() {
        words += 1;
    }
    Ok(words)
}

#[pleach::endpoint]
async fn starts_large(mut far: Far<String, (), ()>, size: usize) -> Result<()> {
    far.started("x".repeat(size)).await
}

#[pleach::endpoint]
async fn fails_large(size: usize) -> Result<()> {
    Err(std::io::Error::other("x".repeat(size)))?
}

#[pleach::endpoint]
async fn links() -> Result<u64> {
    let linked = open_link(
        Tokio::here()?,
        async |mut far: Far<(), (), ()>| {
            far.started(()).await?;
            Ok(7)
        },
        async |near, ()| near.finish().await,
    );
    linked.await
}

async fn with<Fut>(
    way: Way,
    describe: impl FnOnce(ActorBuilder) -> ActorBuilder,
    body: impl FnOnce(Portal) -> Fut,
) -> Result<()>
where
    Fut: Future<Output = Result<()>>,
{
    soon(actor_nursery(async move |n: ActorNursery| {
        let worker = describe(n.actor(unique("errors")).by(way).max_message(LIMIT)).start().await?;
        body(worker.clone()).await?;
        worker.cancel_actor().await
    }))
    .await
}

/// Asserts what an error says, and that the actor goes on.
async fn assert_says(worker: &Portal, error: &Error, kind: Kind, parts: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{error:?}");
    for part in parts.iter().chain([&worker.path()]) {
        assert!(text.contains(part), "it does not say {part:?}: {text}");
    }
    assert_eq!(worker.run(weighs, ("four".to_owned(),)).await.expect("the actor goes on"), 4);
}

async fn an_endpoint_that_is_not_exposed(way: Way) -> Result<()> {
    with(
        way,
        |actor| actor.expose(weighs),
        async |worker| {
            let error = worker.run(hidden, ()).await.unwrap_err();
            let remedy = format!("add `.expose(hidden)` where {} is started", worker.path());
            assert_says(&worker, &error, Kind::Misuse, &["`errors::hidden` is not exposed", &remedy]).await;
            // One that does not exist is not told from one that is forbidden.
            let nothing = worker.run(Named::<(), ()>::new("errors::nothing"), ()).await.unwrap_err();
            assert_eq!(error.to_string().replace("hidden", "nothing"), nothing.to_string());
            let context = worker.open_context(takes_words, (0,), async |_near, ()| Ok(())).await.unwrap_err();
            assert_says(
                &worker,
                &context,
                Kind::Misuse,
                &["`errors::takes_words` is not exposed", ".expose(takes_words)"],
            )
            .await;
            Ok(())
        },
    )
    .await
}

async fn arguments_of_another_type(way: Way) -> Result<()> {
    with(
        way,
        |actor| actor.expose(weighs).expose(takes_words),
        async |worker| {
            let number = worker.run(Named::<(u64,), u64>::new("errors::weighs"), (21,)).await.unwrap_err();
            let parts = [
                "arguments",
                "`errors::weighs`",
                "it is `(String) -> Result<u64>`",
                "pass a tuple of just these types",
            ];
            assert_says(&worker, &number, Kind::Misuse, &parts).await;
            let two = Named::<(String, String), u64>::new("errors::weighs");
            let two = worker.run(two, ("a".to_owned(), "b".to_owned())).await.unwrap_err();
            assert_says(&worker, &two, Kind::Misuse, &parts).await;
            let named = Named::<((), String, String, (String,)), u64>::new("errors::takes_words");
            let context = worker.open_context(named, ("a".to_owned(),), async |_near, ()| Ok(())).await.unwrap_err();
            let parts =
                ["`errors::takes_words`", "it is `(Far<(), String, String>, usize) -> Result<u64>`", "pass a tuple"];
            assert_says(&worker, &context, Kind::Misuse, &parts).await;
            Ok(())
        },
    )
    .await
}

async fn a_call_that_should_be_a_context_and_the_other_way_round(way: Way) -> Result<()> {
    with(
        way,
        |actor| actor.expose(weighs).expose(takes_words),
        async |worker| {
            let call = worker.run(Named::<(usize,), u64>::new("errors::takes_words"), (0,)).await.unwrap_err();
            assert_says(&worker, &call, Kind::Misuse, &["plain call", "open a context for that"]).await;
            let named = Named::<((), (), (), (String,)), u64>::new("errors::weighs");
            let context = worker.open_context(named, ("a".to_owned(),), async |_near, ()| Ok(())).await.unwrap_err();
            assert_says(&worker, &context, Kind::Failed, &["`errors::weighs`", "call `far.started(first)`"]).await;
            Ok(())
        },
    )
    .await
}

async fn a_payload_that_does_not_decode(way: Way) -> Result<()> {
    with(
        way,
        |actor| actor.expose(weighs).expose(takes_words),
        async |worker| {
            let named = Named::<((), u64, String, (usize,)), u64>::new("errors::takes_words");
            let item = worker.open_context(named, (0,), async |mut near, ()| {
                near.send(77).await?;
                near.finish().await
            });
            let (codec, number, four) = if way.json { ("json", "77", "4") } else { ("msgpack", "M", "\\x04") };
            let expected = format!("expected alloc::string::String as {codec}");
            let parts = ["from root", &expected, "invalid type", &format!("begin with \"{number}\"")];
            assert_says(&worker, &item.await.unwrap_err(), Kind::Failed, &parts).await;
            let result = worker.run(Named::<(String,), String>::new("errors::weighs"), ("four".to_owned(),)).await;
            let parts = [expected.as_str(), "invalid type", &format!("begin with \"{four}\"")];
            assert_says(&worker, &result.unwrap_err(), Kind::Failed, &parts).await;
            Ok(())
        },
    )
    .await
}

async fn a_message_over_the_limit(way: Way) -> Result<()> {
    let describe = |actor: ActorBuilder| actor.expose(weighs).expose(grows).expose(takes_words).expose(starts_large);
    with(way, describe, async |worker| {
        let over = || "x".repeat(OVER);
        let allowed = format!("at most {LIMIT} are allowed");
        let remedy = "raise the limit";
        let len = if way.json { "the message is 5002 bytes" } else { "the message is 5003 bytes" };
        let arguments = worker.run(weighs, (over(),)).await.unwrap_err();
        assert_says(&worker, &arguments, Kind::Misuse, &["errors::weighs", "the arguments are 50", &allowed, remedy])
            .await;

        let item = worker.open_context(takes_words, (0,), async |mut near, ()| Ok(near.send(over()).await?));
        let parts = ["errors::takes_words", len, &allowed, remedy];
        assert_says(&worker, &item.await.unwrap_err(), Kind::Misuse, &parts).await;

        let item = worker.open_context(takes_words, (OVER,), async |near, ()| near.finish().await);
        assert_says(&worker, &item.await.unwrap_err(), Kind::Misuse, &parts).await;

        let first = worker.open_context(starts_large, (OVER,), async |near, _| near.finish().await);
        let parts = ["errors::starts_large", len, &allowed, remedy];
        assert_says(&worker, &first.await.unwrap_err(), Kind::Misuse, &parts).await;

        let result = worker.run(grows, (OVER,)).await.unwrap_err();
        let parts = ["the result of `errors::grows`", len, &allowed, remedy];
        assert_says(&worker, &result, Kind::Misuse, &parts).await;
        // Just under it everything goes.
        assert_eq!(worker.run(grows, (LIMIT - 100,)).await?.len(), LIMIT - 100);
        Ok(())
    })
    .await
}

/// The text is cut, the failure arrives: with its kind, its type, its place.
async fn a_failure_over_the_limit_arrives_cut(way: Way) -> Result<()> {
    with(
        way,
        |actor| actor.expose(weighs).expose(fails_large),
        async |worker| {
            let error = worker.run(fails_large, (OVER,)).await.unwrap_err();
            assert_says(&worker, &error, Kind::Failed, &["xxxx", "(cut)", "born at tests/errors.rs:"]).await;
            assert_eq!(error.type_name(), "std::io::error::Error");
            Ok(())
        },
    )
    .await
}

async fn a_panic_in_an_endpoint(way: Way) -> Result<()> {
    with(
        way,
        |actor| actor.expose(weighs).expose(panics),
        async |worker| {
            let error = worker.run(panics, ("milk".to_owned(),)).await.unwrap_err();
            assert_says(&worker, &error, Kind::Panicked, &["panicked: no milk here", "tests/errors.rs:"]).await;
            Ok(())
        },
    )
    .await
}

async fn a_link_where_there_is_no_tokio(way: Way) -> Result<()> {
    with(
        way,
        |actor| actor.expose(weighs).expose(links),
        async |worker| {
            let error = worker.run(links, ()).await.unwrap_err();
            let parts = ["not infected", "start it with `.host(Tokio::current_thread())`"];
            assert_says(&worker, &error, Kind::Failed, &parts).await;
            assert!(error.type_name().ends_with("NotInfected"), "{error:?}");
            assert!(Tokio::here().unwrap_err().downcast_ref::<NotInfected>().is_some(), "the root is none either");
            Ok(())
        },
    )
    .await
}

async fn the_remedy_for_a_link_helps() -> Result<()> {
    with(
        Way::INHERITED,
        |actor| actor.expose(links).host(Tokio::current_thread()),
        async |worker| {
            assert_eq!(worker.run(links, ()).await?, 7);
            Ok(())
        },
    )
    .await
}

fn main() {
    let mut tests = vec![harness::actors("inherited::the_remedy_for_a_link_helps", the_remedy_for_a_link_helps)];
    macro_rules! tests {
        ($($test:ident),* $(,)?) => { $(tests.extend(all_ways(stringify!($test), $test));)* };
    }
    tests! {
        an_endpoint_that_is_not_exposed,
        arguments_of_another_type,
        a_call_that_should_be_a_context_and_the_other_way_round,
        a_payload_that_does_not_decode,
        a_message_over_the_limit,
        a_failure_over_the_limit_arrives_cut,
        a_panic_in_an_endpoint,
    }
    // Where there is one, there is nothing to be said.
    for (name, way) in [("mem", Way::MEM), ("inherited", Way::INHERITED)] {
        let name = format!("{name}::a_link_where_there_is_no_tokio");
        tests.push(harness::actors(name, move || a_link_where_there_is_no_tokio(way)));
    }
    harness::main(tests);
}
