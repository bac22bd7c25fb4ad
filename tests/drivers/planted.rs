//! Mistakes that the drivers must find.

use std::mem::forget;
use std::time::Duration;

use libtest_mimic::Trial as Test;
use pleach::Result;
use pleach::task::sync::Semaphore;
use pleach::task::{channel, checkpoint, nursery, sleep};
use pleach::testing::{Findings, Trial, What, cancel_at_every_await, drop_at_every_poll};

/// Whether something of this kind was found.
fn has(findings: &Findings, kind: impl Fn(&What) -> bool) -> bool {
    findings.found.iter().any(|finding| kind(&finding.what))
}

/// When it is cancelled in the middle, a probe and a permit are forgotten.
async fn leaks(trial: Trial) -> Result<()> {
    let permits = Semaphore::new(1);
    let probe = trial.probe("a forgotten thing");
    let permit = permits.acquire().await?;
    if let Err(error) = checkpoint().await {
        forget((probe, permit));
        return Err(error);
    }
    Ok(())
}

/// When it is cancelled at the wrong moment, its own failure is replaced by the cancel.
async fn loses_a_failure(trial: Trial) -> Result<()> {
    let failed: Result<()> = Err(trial.failure("the important one"));
    checkpoint().await?;
    failed
}

/// A receiver without a sender: nobody will ever come.
async fn waits_for_nobody(_trial: Trial) -> Result<()> {
    let (_sender, mut receiver) = channel::bounded::<u32>(1);
    nursery(async |n| {
        n.spawn(sleep(Duration::from_millis(1)))?;
        receiver.recv().await.map(drop)
    })
    .await
}

/// The same, and whoever is dropped leaves a child behind.
async fn forgets_a_child(trial: Trial) -> Result<()> {
    let probe = trial.probe("a child");
    let mut inner = Box::pin(nursery(async |n| {
        n.spawn(async move {
            let _probe = probe;
            sleep(Duration::from_millis(5)).await
        })?;
        Ok(())
    }));
    let polled = futures_lite::future::poll_once(&mut inner).await;
    forget(inner);
    polled.unwrap_or(Ok(()))
}

pub(crate) fn tests() -> Vec<Test> {
    let test = |name: &str, body: fn()| {
        Test::test(format!("planted_{name}"), move || {
            body();
            Ok(())
        })
    };
    vec![
        test("a_leak_is_found_by_a_cancel", || {
            let findings = cancel_at_every_await(leaks);
            assert!(has(&findings, |what| matches!(what, What::Leaked(left) if left.contains("a forgotten thing"))));
            assert!(
                has(&findings, |what| matches!(what, What::Leaked(left) if left.contains("permits"))),
                "{findings}"
            );
        }),
        test("a_leak_is_found_by_a_drop", || {
            let findings = drop_at_every_poll(forgets_a_child);
            assert!(
                has(&findings, |what| matches!(what, What::Leaked(left) if left.contains("`a child`"))),
                "{findings}"
            );
        }),
        test("a_wait_for_nobody_is_found", || {
            let findings = cancel_at_every_await(waits_for_nobody);
            assert!(has(&findings, |what| *what == What::Hangs), "{findings}");
        }),
        test("a_lost_failure_is_found", || {
            let findings = cancel_at_every_await(loses_a_failure);
            let lost = |what: &What| *what == What::LostFailure("the important one".to_owned());
            assert!(has(&findings, lost), "{findings}");
        }),
    ]
}
