//! Foreign scopes on a thread of their own: what foreign code does behind our back has ended with its scope, or is named.
//!
//! Each test looks at its own scope alone, so that they can run beside each other.

mod bound;
#[path = "contain/legacy.rs"]
mod legacy;

mod thread {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use futures_lite::future::{or, poll_once, yield_now};
    use pleach::dialog::{Escalated, StartTimeout, Stuck};
    use pleach::error::Closed;
    use pleach::prelude::*;
    use pleach_bridge::{Leaked, OnLeak, Thread, Tokio, foreign, link, open_link, run};
    use tokio::task::spawn_blocking;

    use crate::bound::block_on;
    use crate::legacy::{self, Alive, FOR_EVER, exists, sleeper, wait_until};

    /// A deadline that tests do not wait long for, and that a busy machine keeps.
    const SHORT: Duration = Duration::from_millis(400);

    fn both() -> [Thread; 2] {
        [Tokio::thread(), Tokio::threads(2)]
    }

    fn leaked(error: &Error) -> &Leaked {
        let found = error.failures().iter().find_map(|failure| failure.downcast_ref());
        found.unwrap_or_else(|| panic!("no leak in {error:?}"))
    }

    /// What a scope on this thread says of a piece of code that returns.
    fn leak_of<F, Fut>(on: Thread, work: F) -> Leaked
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<()>> + 'static,
    {
        leaked(&block_on(run(on, work)).expect_err("it leaks")).clone()
    }

    // ---- L3: what was spawned behind our back

    #[test]
    fn l03_detached_tasks_have_ended() {
        for on in both() {
            let alive = Alive::default();
            let theirs = alive.clone();
            let value = block_on(run(on, async move || {
                legacy::detaches(&theirs).await;
                assert!(theirs.count() >= 4, "they live");
                Ok(7)
            }));
            assert_eq!(value.unwrap(), 7, "what could be dropped is no error");
            assert_eq!(alive.count(), 0, "and nothing of it is left");
        }
    }

    #[test]
    fn l03_detached_tasks_are_named_on_request() {
        for on in both() {
            let alive = Alive::default();
            let theirs = alive.clone();
            let error = block_on(run(on.strict(), async move || {
                legacy::detaches(&theirs).await;
                Ok(())
            }));
            let error = error.expect_err("strict");
            let leaked = leaked(&error);
            assert_eq!((leaked.tasks, leaked.tasks_by_drops), (4, 0), "{error}");
            assert_eq!(alive.count(), 0);
        }
    }

    #[test]
    fn l03_a_task_that_a_drop_spawns_is_told_from_the_others() {
        for on in both() {
            let alive = Alive::default();
            let theirs = alive.clone();
            let error = block_on(foreign(on.strict(), async |tk| {
                let call = tk.run(async move || {
                    let _spawns = legacy::SpawnsWhenDropped(theirs.clone());
                    tokio::spawn(legacy::swallows(theirs.guard()));
                    theirs.up();
                    std::future::pending::<Result<()>>().await
                });
                or(call, async {
                    alive.wait_up().await;
                    Ok(())
                })
                .await?;
                Ok(())
            }))
            .expect_err("strict");
            let leaked = leaked(&error);
            assert_eq!((leaked.tasks, leaked.tasks_by_drops), (2, 1), "{error}");
            assert_eq!(alive.count(), 0);
        }
    }

    #[test]
    fn l03_a_well_behaved_scope_is_silent_also_when_it_is_strict() {
        for on in both() {
            let sum = foreign(on.strict(), async |tk| {
                let blocking = tk.run(async || Ok(spawn_blocking(|| 1).await?)).await?;
                let task = tk.run(async || Ok(tokio::spawn(async { 2 }).await?)).await?;
                let child = tk.run(async || Ok(tokio::process::Command::new("true").status().await?)).await?;
                assert!(child.success());
                Ok(blocking + task)
            });
            assert_eq!(block_on(sum).unwrap(), 3);
        }
    }

    /// As do the connections of a client that is dropped with the body: they need a turn to end.
    #[test]
    fn l03_a_task_that_is_about_to_end_may_do_so() {
        for _ in 0..20 {
            let client = foreign(Tokio::thread().strict(), async |tk| {
                let (client, gone) = tokio::sync::oneshot::channel::<()>();
                tk.run(async || {
                    tokio::spawn(gone);
                    Ok(())
                })
                .await?;
                drop(client);
                Ok(())
            });
            block_on(client).unwrap();
        }
    }

    #[test]
    fn l03_a_blocking_thread_is_waited_for() {
        for on in both() {
            let alive = Alive::default();
            let theirs = alive.clone();
            block_on(run(on, async move || {
                let (hold, held) = mpsc::channel::<()>();
                let guard = theirs.guard();
                spawn_blocking(move || {
                    let _guard = guard;
                    let _ = held.recv();
                });
                // The thread is let go when this task is dropped.
                tokio::spawn(async move {
                    let _hold = hold;
                    std::future::pending::<()>().await;
                });
                Ok(())
            }))
            .unwrap();
            assert_eq!(alive.count(), 0);
        }
    }

    #[test]
    fn l03_a_thread_that_blocks_beyond_the_deadline_is_named() {
        for on in both() {
            let (hold, held) = mpsc::channel::<()>();
            let since = Instant::now();
            let leaked = leak_of(on.deadline(SHORT), async move || {
                spawn_blocking(move || held.recv().is_ok());
                Ok(())
            });
            assert!(leaked.threads >= 1, "{leaked}"); // workers may be slow to end on a busy machine
            assert_eq!(leaked.threads_running, 1, "{leaked}");
            assert!(since.elapsed() >= SHORT);
            drop(hold);
        }
    }

    #[test]
    fn l03_a_plain_thread_that_foreign_code_has_started_is_named() {
        for on in both() {
            let (hold, held) = mpsc::channel::<()>();
            let leaked = leak_of(on.deadline(SHORT), async move || {
                std::thread::spawn(move || held.recv().is_ok());
                Ok(())
            });
            assert!(leaked.threads >= 1, "{leaked}"); // workers may be slow to end on a busy machine
            assert_eq!(leaked.threads_running, 1, "{leaked}");
            drop(hold);
        }
    }

    #[test]
    fn l03_processes_are_killed_reaped_and_named() {
        for on in both() {
            let (tell, told) = mpsc::channel();
            let leaked = leak_of(on, async move || {
                let kept = sleeper().spawn()?;
                let killed = sleeper().kill_on_drop(true).spawn()?;
                tell.send([kept.id().unwrap(), killed.id().unwrap()])?;
                tokio::spawn(async move {
                    let (mut kept, mut killed) = (kept, killed);
                    let _ = tokio::join!(kept.wait(), killed.wait());
                });
                Ok(())
            });
            let [kept, killed] = told.recv().unwrap();
            let named: Vec<_> = leaked.processes.iter().map(|p| (p.pid, p.program.as_str(), p.ended)).collect();
            assert_eq!(named, [(kept, "sleep", true)], "who is killed when it is dropped was ended by its owner");
            assert!(!exists(kept) && !exists(killed), "and there is no zombie");
        }
    }

    #[test]
    fn l03_a_process_that_ignores_sigterm_and_its_descendants_are_killed() {
        for on in both() {
            let leaked = leak_of(on.deadline(SHORT), async || {
                let mut shell = std::process::Command::new("sh");
                shell.args(["-c", "trap '' TERM; sleep 3600 & echo up; wait"]).stdout(std::process::Stdio::piped());
                let mut up = [0; 2];
                std::io::Read::read_exact(&mut shell.spawn()?.stdout.take().unwrap(), &mut up)?;
                Ok(())
            });
            assert_eq!(leaked.processes.len(), 2, "{leaked}");
            assert!(leaked.processes.iter().all(|process| process.ended), "{leaked}");
            assert!(leaked.processes.iter().all(|process| wait_until(|| !exists(process.pid))), "{leaked}");
        }
    }

    /// When a thread ends its children become those of another one, perhaps of one that is not of the scope.
    #[test]
    fn l03_the_child_of_a_thread_that_has_ended_is_still_the_scopes() {
        for on in both() {
            let (tell, told) = mpsc::channel();
            let leaked = leak_of(on, async move || {
                let forks = || Ok((rustix::thread::gettid(), sleeper().into_std().spawn()?.id()));
                let forked: std::io::Result<_> = spawn_blocking(forks).await?;
                let (thread, pid) = forked?;
                tell.send(pid)?;
                // Dropped when tokio has told its threads to end, and before anybody looks for them.
                tokio::spawn(async move {
                    let _late = WhenGone(thread.as_raw_nonzero().get());
                    std::future::pending::<()>().await;
                });
                Ok(())
            });
            let pid = told.recv().unwrap();
            assert_eq!(leaked.processes.iter().map(|process| process.pid).collect::<Vec<_>>(), [pid]);
            assert!(!exists(pid));
        }
    }

    /// Its drop waits until a thread of this process has ended.
    struct WhenGone(i32);

    impl Drop for WhenGone {
        fn drop(&mut self) {
            let task = format!("/proc/self/task/{}", self.0);
            wait_until(|| !std::path::Path::new(&task).exists());
        }
    }

    #[test]
    fn l03_two_scopes_do_not_see_each_other() {
        let mut ours = sleeper().into_std().spawn().unwrap();
        for (first, second) in both().into_iter().zip(both()) {
            let (tell, told) = mpsc::channel();
            let mut pid = 0;
            let error = block_on(foreign(first, async |tk| {
                tk.run(async move || {
                    let child = sleeper().spawn()?;
                    tell.send(child.id().unwrap())?;
                    tokio::spawn(async move { { child }.wait().await });
                    Ok(())
                })
                .await?;
                pid = told.recv()?;
                run(second.strict(), async || Ok(spawn_blocking(|| ()).await?)).await?;
                assert!(exists(pid), "the child of the first scope");
                Ok(())
            }))
            .expect_err("the first scope leaks");
            let leaked = leaked(&error);
            assert_eq!(leaked.processes.iter().map(|process| process.pid).collect::<Vec<_>>(), [pid]);
        }
        assert!(ours.try_wait().unwrap().is_none(), "a child of somebody else lives on");
        ours.kill().unwrap();
        ours.wait().unwrap();
    }

    #[test]
    fn l03_a_leak_can_be_a_warning() {
        let value = run(Tokio::thread().on_leak(OnLeak::Warn), async || {
            drop(sleeper().spawn()?);
            Ok(7)
        });
        assert_eq!(block_on(value).unwrap(), 7);
    }

    #[test]
    fn l03_a_body_error_is_kept_beside_the_leak() {
        let error = block_on(run(Tokio::thread(), async || -> Result<()> {
            drop(sleeper().spawn()?);
            Err(Error::msg("the body's own"))
        }))
        .unwrap_err();
        assert_eq!(leaked(&error).processes.len(), 1);
        assert!(error.to_string().contains("the body's own"), "{error}");
    }

    // ---- L2: however the scope ends

    /// Runs what never ends in a scope of the tree, and cancels that when `phase` comes.
    async fn cancelled_when(on: Thread, alive: &Alive, phase: impl Future<Output = ()>) -> Result<Option<()>> {
        let theirs = alive.clone();
        let scope = CancelScope::new();
        let work = scope.run(run(on, async move || {
            legacy::detaches(&theirs).await;
            theirs.up();
            std::future::pending::<Result<()>>().await
        }));
        let cancel = async {
            phase.await;
            scope.cancel("enough");
            std::future::pending().await
        };
        or(work, cancel).await
    }

    #[test]
    fn l02_cancelled_at_any_moment() {
        for on in both() {
            let alive = Alive::default();
            let at_once = cancelled_when(on, &alive, async {});
            assert_eq!(block_on(at_once).unwrap(), None, "before it was polled, or just then");
            for polls in 1..40 {
                let early = async {
                    for _ in 0..polls {
                        yield_now().await;
                    }
                };
                assert_eq!(block_on(cancelled_when(on, &alive, early)).unwrap(), None);
                assert_eq!(alive.count(), 0, "after {polls} polls");
            }
            let running = cancelled_when(on, &alive, alive.wait_up());
            assert_eq!(block_on(running).unwrap(), None);
            assert_eq!(alive.count(), 0);
        }
    }

    #[test]
    fn l02_cancelled_while_it_ends() {
        for on in both() {
            let alive = Alive::default();
            let theirs = alive.clone();
            let (hold, held) = mpsc::channel::<()>();
            let scope = CancelScope::new();
            let work = scope.run(foreign(on, async |tk| {
                let body = tk.run(async move || {
                    let guard = theirs.guard();
                    spawn_blocking(move || {
                        let _guard = guard;
                        let _ = held.recv();
                    });
                    Ok(())
                });
                body.await
            }));
            let cancel = async {
                while alive.count() == 0 {
                    yield_now().await;
                }
                scope.cancel("while it waits for a thread");
                yield_now().await;
                drop(hold);
                std::future::pending().await
            };
            block_on(or(work, cancel)).unwrap();
            assert_eq!(alive.count(), 0);
        }
    }

    /// A call whose code never ends, with a guard in it.
    fn endless(on: Thread, alive: &Alive) -> impl Future<Output = Result<()>> + use<> {
        let theirs = alive.clone();
        run(on, async move || {
            let _guard = theirs.guard();
            theirs.up();
            std::future::pending().await
        })
    }

    #[test]
    fn l02_dropped_by_a_select() {
        for on in both() {
            let alive = Alive::default();
            let up = async {
                alive.wait_up().await;
                Ok(())
            };
            // Outside every scope: the drop itself waits.
            block_on(or(endless(on.drop_wait(FOR_EVER), &alive), up)).unwrap();
            assert_eq!(alive.count(), 0);
        }
    }

    #[test]
    fn l02_dropped_inside_a_scope_which_waits() {
        for on in both() {
            let alive = Alive::default();
            block_on(nursery(async |_n| {
                let mut call = Box::pin(endless(on, &alive));
                or(async { call.as_mut().await }, async {
                    alive.wait_up().await;
                    Ok(())
                })
                .await?;
                drop(call);
                Ok(())
            }))
            .unwrap();
            assert_eq!(alive.count(), 0);
        }
    }

    #[test]
    fn l02_dropped_by_the_timeouts_of_smol_and_of_tokio() {
        for on in both().map(|on| on.drop_wait(FOR_EVER)) {
            let alive = Alive::default();
            let timer = async {
                smol::Timer::after(Duration::from_millis(20)).await;
                Ok(())
            };
            block_on(or(endless(on, &alive), timer)).unwrap();
            assert_eq!(alive.count(), 0);

            let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let call = endless(on, &alive);
            tokio.block_on(async { tokio::time::timeout(Duration::from_millis(20), call).await }).unwrap_err();
            assert_eq!(alive.count(), 0);
        }
    }

    #[test]
    fn l02_dropped_before_it_was_polled_and_after_one_poll() {
        for on in both().map(|on| on.drop_wait(FOR_EVER)) {
            let alive = Alive::default();
            drop(endless(on, &alive));
            let mut call = Box::pin(endless(on, &alive));
            assert!(block_on(poll_once(call.as_mut())).is_none());
            drop(call);
            assert_eq!(alive.count(), 0);
        }
    }

    #[test]
    fn l02_a_panic_is_an_error() {
        for on in both() {
            let alive = Alive::default();
            let theirs = alive.clone();
            let error = block_on(run(on, async move || -> Result<()> {
                legacy::detaches(&theirs).await;
                panic!("legacy")
            }));
            assert!(error.unwrap_err().is_panic());
            assert_eq!(alive.count(), 0);
        }
    }

    #[test]
    fn l02_deadlines_and_cancels_work_without_a_root() {
        let never = fail_after(Duration::from_millis(20), run(Tokio::thread(), std::future::pending::<Result<()>>));
        assert!(block_on(never).unwrap_err().is_timeout());
        let never = move_on_after(Duration::from_millis(20), cancellable(std::future::pending::<()>()));
        assert_eq!(block_on(never).unwrap(), None);
    }

    // ---- nested

    #[test]
    fn l02_nested_in_actors_of_both_kinds() {
        pleach::actor::enter(|| {});
        let nested = || {
            foreign(Tokio::thread(), async |outer| {
                let inner = foreign(Tokio::threads(1), async |tk| tk.run(async || Ok(1)).await).await?;
                // And one that is opened by tokio code, which is outside the tree.
                let within = outer.run(async || run(Tokio::thread(), async || Ok(2)).await).await?;
                Ok(inner + within)
            })
        };
        assert_eq!(pleach::actor::run(pleach::host::Smol::one_thread(), nested).unwrap(), 3);
        assert_eq!(pleach::actor::run(Tokio::current_thread(), nested).unwrap(), 3);
    }

    // ---- L9, L16, L19, L30 on this placement

    #[test]
    fn l09_a_link_that_does_not_start() {
        for on in both() {
            let alive = Alive::default();
            let guard = alive.guard();
            let never = async move |_far: Far<(), (), ()>| {
                let _guard = guard;
                std::future::pending::<Result<()>>().await
            };
            let since = Instant::now();
            let late = link(on).start_deadline(Duration::from_millis(20)).open(never, async |_near, ()| Ok(()));
            let error = block_on(late).unwrap_err();
            assert!(error.is_timeout() && error.downcast_ref::<StartTimeout>().is_some(), "{error:?}");
            assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
            assert_eq!(alive.count(), 0);
        }
    }

    #[test]
    fn l16_a_call_into_a_black_hole_is_cancelled_at_once() {
        let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = hole.local_addr().unwrap();
        let cancel = || {
            let scope = CancelScope::new();
            let alive = Alive::default();
            let theirs = alive.clone();
            let request = scope.run(run(Tokio::thread(), async move || {
                let stream = tokio::net::TcpStream::connect(address).await?;
                theirs.up();
                Ok(stream.readable().await?)
            }));
            let cancel = async {
                alive.wait_up().await;
                let since = Instant::now();
                scope.cancel("no answer");
                since
            };
            block_on(async {
                let (_, since) = futures_lite::future::zip(request, cancel).await;
                since.elapsed()
            })
        };
        let best = (0..20).map(|_| cancel()).min().unwrap();
        assert!(best < Duration::from_millis(5), "{best:?}");
    }

    #[test]
    fn l19_a_task_that_swallows_every_error_is_dropped() {
        for on in both() {
            let alive = Alive::default();
            let guard = alive.guard();
            let stubborn = async move |mut far: Far<(), (), ()>| -> Result<()> {
                far.started(()).await?;
                let _guard = guard;
                loop {
                    let _ = far.recv().await;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            let grace = Duration::from_millis(50);
            let error =
                block_on(link(on).grace(grace).open(stubborn, async |_near, ()| Ok(()))).expect_err("it is recorded");
            assert!(error.downcast_ref::<Escalated>().is_some(), "{error}");
            assert_eq!(alive.count(), 0);
        }
    }

    #[test]
    fn l19_a_task_that_never_awaits_is_named() {
        let (hold, held) = mpsc::channel::<()>();
        let alive = Alive::default();
        let theirs = alive.clone();
        let grace = Duration::from_secs(3);
        let scope = CancelScope::new().with_grace(grace);
        let blocks = scope.run(run(Tokio::thread(), move || blocks_its_thread(theirs, held)));
        let cancel = async {
            alive.wait_up().await;
            scope.cancel("it will not hear of it");
            std::future::pending().await
        };
        let since = Instant::now();
        let error = block_on(or(blocks, cancel)).unwrap_err();
        assert!(since.elapsed() < 3 * grace, "{:?}", since.elapsed());
        let stuck = |failure: &Error| failure.downcast_ref::<Stuck>().is_some() && failure.to_string().contains("l19_");
        assert!(error.failures().iter().any(stuck), "{error:?}");
        drop(hold);
    }

    async fn blocks_its_thread(alive: Alive, held: mpsc::Receiver<()>) -> Result<()> {
        alive.up();
        let _ = held.recv();
        Ok(())
    }

    #[test]
    fn l30_a_scope_that_is_over_refuses() {
        let kept = block_on(foreign(Tokio::thread(), async |tk| Ok(tk))).unwrap();
        let late = block_on(kept.run(async || Ok(())));
        assert!(late.unwrap_err().downcast_ref::<Closed>().is_some());
        let late = block_on(open_link(kept, async |_far: Far<(), (), ()>| Ok(()), async |_near, ()| Ok(())));
        assert!(late.unwrap_err().downcast_ref::<Closed>().is_some());
    }
}
