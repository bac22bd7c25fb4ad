//! The tree of tasks as data.

use std::future::pending;

use super::{ms, settle, virtually};
use crate::task::sync::{Mutex, Semaphore};
use crate::task::{
    CancelScope, ScopeKind, ScopeNode, TaskNode, TaskState, TaskStatus, WaitsFor, cancellable, channel, move_on_after,
    nursery, shield, sleep, snapshot,
};

fn waits_for(task: &TaskNode) -> Option<WaitsFor> {
    match task.state {
        TaskState::Waiting { what, at } => at.filter(|at| at.file().ends_with("snapshot.rs")).map(|_| what),
        _ => None,
    }
}

#[test]
fn it_says_who_is_there_and_what_each_waits_for() {
    let (permits, lock) = (Semaphore::new(0), Mutex::new(()));
    let locked = lock.try_lock();
    let tree = virtually(nursery(async |n| {
        let (sender, receiver) = channel::bounded::<u32>(1);
        sender.try_send(1).unwrap();
        n.named("sender").spawn(async move { Ok(sender.send(2).await?) })?;
        n.named("sleeper").spawn(sleep(ms(1000)))?;
        n.named("permits").spawn(async { permits.acquire().await.map(drop) })?;
        n.named("lock").spawn(async { lock.lock().await.map(drop) })?;
        n.named("foreign").spawn(pending::<crate::Result<()>>())?;
        settle().await?;
        let tree = snapshot().unwrap();
        n.cancel();
        receiver.close();
        Ok(tree)
    }))
    .unwrap();
    assert_eq!((tree.kind, tree.not_started), (ScopeKind::Nursery, 0));
    let [body, children @ ..] = &tree.tasks[..] else { panic!("{tree}") };
    assert!(body.is_body && body.state == TaskState::Running && body.name.is_none());
    let seen: Vec<_> = children.iter().map(|child| (child.name.as_deref().unwrap(), waits_for(child))).collect();
    assert_eq!(
        seen,
        [
            ("sender", Some(WaitsFor::Room)),
            ("sleeper", Some(WaitsFor::Time)),
            ("permits", Some(WaitsFor::Permit)),
            ("lock", Some(WaitsFor::Lock)),
            ("foreign", None),
        ]
    );
    drop(locked);
    assert_eq!(children[4].state, TaskState::Foreign);
    assert!(children.iter().all(|child| child.spawned_at.file().ends_with("snapshot.rs")));
}

#[test]
fn each_child_knows_the_line_that_started_it() {
    let tree = virtually(nursery(async |n| {
        let status = async |status: TaskStatus<()>| {
            status.started(());
            sleep(ms(1000)).await
        };
        let lines = [
            (line!(), n.spawn(sleep(ms(1000)))?).0,
            (line!(), n.spawn_parallel(sleep(ms(1000)))?).0,
            (line!(), n.start(status).await?).0,
            (line!(), n.named("a").spawn(sleep(ms(1000)))?).0,
            (line!(), n.named("b").spawn_parallel(sleep(ms(1000)))?).0,
            (line!(), n.named("c").start(status).await?).0,
        ];
        settle().await?;
        let tree = snapshot().unwrap();
        n.cancel();
        Ok((tree, lines))
    }));
    let (tree, lines) = tree.unwrap();
    let started: Vec<_> =
        tree.tasks[1..].iter().map(|child| (child.spawned_at.file(), child.spawned_at.line())).collect();
    assert_eq!(started, lines.map(|line| (file!(), line)));
}

#[test]
fn scopes_are_below_the_task_that_is_in_them() {
    let scope = CancelScope::new();
    let tree = virtually(nursery(async |n| {
        n.named("outer").spawn(async {
            let inner = shield(
                ms(100),
                scope.run(nursery(async |n| {
                    n.named("inner").spawn(cancellable(pending::<()>()))?;
                    Ok(())
                })),
            );
            move_on_after(ms(50), inner).await.map(drop)
        })?;
        settle().await?;
        let tree = n.snapshot().unwrap();
        n.cancel();
        Ok(tree)
    }))
    .unwrap();
    let outer = tree.tasks.iter().find(|task| task.name.as_deref() == Some("outer")).unwrap();
    let mut kinds = Vec::new();
    let mut inner: &ScopeNode = &outer.scopes[0];
    assert_eq!(inner.deadline, Some(ms(50)));
    loop {
        kinds.push(inner.kind);
        match inner.tasks.iter().find(|task| task.is_body).and_then(|body| body.scopes.first()) {
            Some(next) => inner = next,
            None => break,
        }
    }
    assert_eq!(kinds, [ScopeKind::Limit, ScopeKind::Shield, ScopeKind::Cancel, ScopeKind::Nursery]);
    assert_eq!(inner.tasks.last().unwrap().name.as_deref(), Some("inner"));
    assert_eq!(waits_for(inner.tasks.last().unwrap()), Some(WaitsFor::Foreign));
}

#[test]
fn those_that_have_not_started_are_counted_and_a_cancel_is_shown() {
    let tree = virtually(nursery(async |n| {
        for _ in 0..3 {
            n.spawn(sleep(ms(1)))?;
        }
        n.cancel();
        Ok(snapshot().unwrap())
    }))
    .unwrap();
    assert_eq!((tree.not_started, tree.tasks.len()), (3, 1));
    let scope = CancelScope::new();
    scope.cancel("shown");
    let text = virtually(scope.run(async { Ok(snapshot().unwrap().to_string()) })).unwrap().unwrap();
    assert!(text.starts_with("cancel scope, cancelled: shown\n  body of src/"), "{text}");
}

#[test]
fn outside_every_task_there_is_none() {
    assert!(snapshot().is_none());
    assert_eq!(CancelScope::new().snapshot().tasks.len(), 0);
}
