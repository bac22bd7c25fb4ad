//! A file of tests that lacks the line for actors that are processes (law P11).

use pleach::prelude::*;

#[pleach::endpoint]
async fn double(n: u64) -> Result<u64> {
    Ok(2 * n)
}

/// The children of this process, from `/proc`.
fn children() -> String {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a Linux with /proc").flatten();
    tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok()).collect()
}

#[pleach::test]
async fn p11_without_the_line_no_process_is_started() -> Result<()> {
    let started = actor_nursery(async |n| n.actor("worker").expose(double).start().await.map(drop));
    let error = started.await.unwrap_err();
    assert!(error.is_misuse(), "{error:?}");
    let text = error.to_string();
    let parts =
        ["root/worker", "nothing was started", "run the tests from the start", "`pleach::test_entry!();` at the top"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    assert_eq!(children(), "");
    Ok(())
}

#[pleach::test]
async fn an_actor_in_memory_needs_no_line() -> Result<()> {
    actor_nursery(async |n| {
        let worker = n.actor("worker").carrier(Carrier::Mem).expose(double).start().await?;
        assert_eq!(worker.run(double, (21,)).await?, 42);
        worker.cancel_actor().await
    })
    .await
}
