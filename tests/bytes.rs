//! Links of bytes, by the laws L: each on both placements, between a task of the tree and a tokio task.

mod harness;

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_lite::future::{or, poll_once, try_zip};
use harness::{SOON, eventually, plain, soon};
use libtest_mimic::{Failed, Trial};
use pleach::dialog::{FarFailed, FarReturned, NearGone};
use pleach::error::{Cancelled, Closed, Misuse};
use pleach::host::Smol;
use pleach::prelude::*;
use pleach::task::oneshot;
use pleach_bridge::{FarBytes, NearBytes, Placement, Tokio, link, open_byte_link};
use thiserror::Error;

/// Both ends speak both languages: the calls say which one they mean.
mod f {
    pub(crate) use futures_lite::{AsyncReadExt as Read, AsyncWriteExt as Write};
}
mod t {
    pub(crate) use tokio::io::{AsyncReadExt as Read, AsyncWriteExt as Write};
}

/// Longer than any test may take.
const FOR_EVER: Duration = Duration::from_secs(3600);
/// How long a task that ends in its own time takes to end.
const A_WHILE: Duration = Duration::from_millis(20);

/// Where a link may be placed, as often as a test wants.
trait Place: Placement + Copy + Send + 'static {}
impl<P: Placement + Copy + Send + 'static> Place for P {}

#[derive(Debug, Error, PartialEq, Eq)]
#[error("boom")]
struct Boom;

#[derive(Debug, Error, PartialEq, Eq)]
#[error("the body has had enough")]
struct BodyError;

/// An error of a library, around what the stream told it.
#[derive(Debug, Error)]
#[error("the codec has lost its stream")]
struct Wrapped(#[source] io::Error);

/// What a task has come to.
#[derive(Clone, Default)]
struct Flag(Arc<AtomicBool>);

impl Flag {
    fn set(&self) {
        self.0.store(true, SeqCst);
    }

    fn get(&self) -> bool {
        self.0.load(SeqCst)
    }

    /// Set when the task that owns it is gone, however it ended.
    fn guard(&self) -> Guard {
        Guard(self.clone())
    }
}

struct Guard(Flag);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// What an error of a stream says: its kind, and the type of its source.
fn says<E: std::error::Error + 'static>(error: &io::Error, kind: ErrorKind) -> bool {
    error.kind() == kind && std::error::Error::source(error).is_some_and(|source| source.is::<E>())
}

fn is_pending<T>(polled: &Option<T>) -> bool {
    polled.is_none()
}

/// Reads what comes, in tokio's words, to the end.
async fn read_all(io: &mut FarBytes) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    t::Read::read_to_end(io, &mut bytes).await?;
    Ok(bytes)
}

/// Waits for the cancel at a read, and has some time to clean up.
async fn listens(mut io: FarBytes, clean: Flag) -> Result<()> {
    let told = read_all(&mut io).await;
    tokio::time::sleep(A_WHILE).await;
    clean.set();
    told.map(drop)
}

// ---- L1: the foreign task has ended when the link completes

async fn l01_bytes_normal_exit<P: Place>(on: P) -> Result<()> {
    let gone = Flag::default();
    let guard = gone.guard();
    let far = async move |mut io: FarBytes| {
        assert_eq!(read_all(&mut io).await?, b"hello", "the return of the body ends the stream");
        tokio::time::sleep(A_WHILE).await;
        drop(guard);
        Ok(())
    };
    let body = async |mut io: NearBytes| {
        f::Write::write_all(&mut io, b"hello").await?;
        Ok("done")
    };
    assert_eq!(open_byte_link(on, far, body).await?, "done");
    assert!(gone.get(), "the link completed before its task");
    Ok(())
}

async fn l01_bytes_cancel<P: Place>(on: P) -> Result<()> {
    let clean = Flag::default();
    let listening = clean.clone();
    let reads = open_byte_link(on, |io| listens(io, listening), reads_through_a_library);
    assert_eq!(move_on_after(A_WHILE, reads).await?, None);
    assert!(clean.get(), "who waits for bytes is told of a cancel, and may clean up");

    let clean = Flag::default();
    let listening = clean.clone();
    let far = async move |mut io: FarBytes| {
        io.cancelled().await;
        tokio::time::sleep(A_WHILE).await;
        listening.set();
        Ok(())
    };
    assert_eq!(move_on_after(A_WHILE, open_byte_link(on, far, async |_io| sleep(FOR_EVER).await)).await?, None);
    assert!(clean.get(), "who waits for the cancel is told of it, and may clean up");
    Ok(())
}

/// It has waited for bytes once, and waits for something else now: it would not hear of a cancel.
async fn l01_bytes_cancel_of_a_deaf_task<P: Place>(on: P) -> Result<()> {
    let gone = Flag::default();
    let guard = gone.guard();
    let (deaf, mut is_deaf) = oneshot::channel();
    let far = async move |mut io: FarBytes| {
        let _guard = guard;
        assert!(is_pending(&poll_once(t::Read::read_u8(&mut io)).await));
        drop(io);
        let _ = deaf.send(());
        tokio::time::sleep(FOR_EVER).await;
        Ok(())
    };
    let since = Instant::now();
    let failed = open_byte_link(on, far, async |_io| -> Result<()> {
        is_deaf.recv().await?;
        checkpoint().await?; // it reaches its sleep
        Err(BodyError)?
    });
    let error = failed.await.unwrap_err();
    assert!(error.downcast_ref::<BodyError>().is_some(), "{error:?}");
    assert!(gone.get());
    assert!(since.elapsed() < SOON, "it was given a grace that it knew nothing of: {:?}", since.elapsed());
    Ok(())
}

/// A read that was given up is no place where a cancel is heard.
async fn l16_bytes_cancel_after_a_read_that_was_given_up<P: Place>(on: P) -> Result<()> {
    let gone = Flag::default();
    let guard = gone.guard();
    let (deaf, mut is_deaf) = oneshot::channel();
    let far = async move |mut io: FarBytes| {
        let _guard = guard;
        assert!(is_pending(&poll_once(t::Read::read_u8(&mut io)).await));
        let _ = deaf.send(());
        tokio::time::sleep(FOR_EVER).await;
        Ok(())
    };
    let failed = link(on).grace(FOR_EVER).open_bytes(far, async |_io| -> Result<()> {
        is_deaf.recv().await?;
        Err(BodyError)?
    });
    let error = soon(failed).await.unwrap_err();
    assert!(error.downcast_ref::<BodyError>().is_some(), "{error:?}");
    assert!(gone.get());
    Ok(())
}

async fn l01_bytes_dropped<P: Place>(on: P) -> Result<()> {
    let gone = Flag::default();
    let guard = gone.guard();
    CancelScope::new()
        .run(async {
            let (up, mut is_up) = oneshot::channel();
            let far = async move |mut io: FarBytes| {
                let _guard = guard;
                loop {
                    t::Write::write_all(&mut io, &[7; 1000]).await?;
                }
            };
            let reads = open_byte_link(on, far, async |mut io| -> Result<()> {
                let mut bytes = [0; 100];
                f::Read::read_exact(&mut io, &mut bytes).await?;
                let _ = up.send(());
                sleep(FOR_EVER).await
            });
            or(reads, async { is_up.recv().await.map(drop) }).await
        })
        .await?;
    assert!(gone.get(), "the scope completed before the task of a dropped link was dropped");
    Ok(())
}

// ---- C5, L10, L11, L17: what a stream says of the other side

/// Reads for ever, and says how that ended as a library would.
async fn reads_through_a_library(mut io: NearBytes) -> Result<()> {
    let mut bytes = Vec::new();
    f::Read::read_to_end(&mut io, &mut bytes).await.map_err(Wrapped)?;
    Ok(())
}

/// As [`reads_through_a_library`], on the other side.
async fn far_reads_through_a_library(mut io: FarBytes) -> Result<()> {
    let mut bytes = Vec::new();
    t::Read::read_to_end(&mut io, &mut bytes).await.map_err(Wrapped)?;
    Ok(())
}

async fn c05_bytes_a_cancel_is_absorbed<P: Place>(on: P) -> Result<()> {
    // On both sides it comes in the clothes of an `io::Error` in the clothes of a library's error.
    let both_read = open_byte_link(on, far_reads_through_a_library, reads_through_a_library);
    assert_eq!(move_on_after(A_WHILE, both_read).await?, None);

    let scope = CancelScope::new();
    let told = Mutex::new(None);
    let ended = scope.run(open_byte_link(on, far_reads_through_a_library, async |mut io| -> Result<()> {
        scope.cancel("enough");
        let error = f::Read::read(&mut io, &mut [0]).await.unwrap_err();
        assert!(says::<Cancelled>(&error, ErrorKind::ConnectionAborted), "{error:?}");
        let error = f::Write::close(&mut io).await.unwrap_err();
        assert!(says::<Cancelled>(&error, ErrorKind::ConnectionAborted), "cut off is not closed: {error:?}");
        let error = Error::from(Wrapped(error));
        *told.lock().unwrap() = Some((error.is_cancelled(), error.mark().map(|mark| mark.scope)));
        Err(error)
    }));
    assert_eq!(ended.await?, None);
    assert_eq!(*told.lock().unwrap(), Some((true, Some(scope.id()))));
    Ok(())
}

/// A library may keep no more of an error than its text, as h2 does.
async fn c05_bytes_a_cancel_of_which_only_the_text_is_left_is_absorbed<P: Place>(on: P) -> Result<()> {
    let text_of = |error: io::Error| Error::msg(format!("the codec has lost its stream: {error}"));
    let far = async move |mut io: FarBytes| {
        t::Write::write_all(&mut io, b"1").await?;
        t::Read::read_u8(&mut io).await.map_err(text_of)?;
        Ok(())
    };
    let scope = CancelScope::new();
    let ended = scope.run(open_byte_link(on, far, async |mut io| -> Result<()> {
        f::Read::read_exact(&mut io, &mut [0]).await?;
        scope.cancel("enough");
        Err(text_of(f::Read::read(&mut io, &mut [0]).await.unwrap_err()))
    }));
    assert_eq!(ended.await?, None);

    // That the body has returned is no failure of the far task, nor is what happened to another link.
    let far = async move |mut io: FarBytes| {
        loop {
            t::Write::write_all(&mut io, b"1").await.map_err(text_of)?;
        }
    };
    open_byte_link(on, far, async |_io| Ok(())).await?;
    let error =
        open_byte_link(on, async move |_io| Err(text_of(io::Error::other("cancelled"))), reads_through_a_library);
    assert!(error.await.unwrap_err().to_string().ends_with("the codec has lost its stream: cancelled"));
    Ok(())
}

async fn l10_bytes_a_far_failure_is_the_result<P: Place>(on: P) -> Result<()> {
    let far = async |mut io: FarBytes| -> Result<()> {
        t::Write::write_all(&mut io, b"half of a mess").await?;
        Err(Boom)?
    };
    let error = open_byte_link(on, far, reads_through_a_library).await.unwrap_err();
    assert_eq!(error.downcast_ref::<Boom>(), Some(&Boom), "{error:?}");
    assert!(error.to_string().ends_with("boom"), "{error}");

    let far = async |mut io: FarBytes| -> Result<()> {
        t::Write::write_all(&mut io, b"half of a mess").await?;
        std::panic::panic_any("the tokio task slipped")
    };
    let error = open_byte_link(on, far, reads_through_a_library).await.unwrap_err();
    assert!(error.is_panic() && error.to_string().contains("the tokio task slipped"), "{error:?}");
    Ok(())
}

/// What the foreign task makes of the body's failure is an echo, and not a second failure.
async fn l11_bytes_the_body_error_is_the_result<P: Place>(on: P) -> Result<()> {
    let body = async |mut io: NearBytes| -> Result<()> {
        f::Write::write_all(&mut io, b"half of a mess").await?;
        drop(io);
        Err(BodyError)?
    };
    let error = open_byte_link(on, far_reads_through_a_library, body).await.unwrap_err();
    assert_eq!(error.downcast_ref::<BodyError>(), Some(&BodyError), "{error:?}");

    let read = Arc::new(Mutex::new(None));
    let told = read.clone();
    let far = async move |mut io: FarBytes| -> Result<()> {
        let mut bytes = Vec::new();
        let end = t::Read::read_to_end(&mut io, &mut bytes).await;
        *told.lock().unwrap() = Some(end.as_ref().is_err_and(|e| says::<Cancelled>(e, ErrorKind::ConnectionAborted)));
        end.map(drop).map_err(Error::from)
    };
    open_byte_link(on, far, body).await.unwrap_err();
    assert_ne!(*read.lock().unwrap(), Some(false), "a half of a message was taken for a whole one");
    Ok(())
}

async fn l17_bytes_a_body_that_returns_is_no_failure<P: Place>(on: P) -> Result<()> {
    let seen = Arc::new(AtomicBool::new(false));
    let is_seen = seen.clone();
    let far = async move |mut io: FarBytes| -> Result<()> {
        loop {
            if let Err(error) = t::Write::write_all(&mut io, &[1; 100]).await {
                is_seen.store(says::<NearGone>(&error, ErrorKind::BrokenPipe), SeqCst);
                Err(Wrapped(error))?
            }
        }
    };
    let body = async |mut io: NearBytes| Ok(f::Read::read(&mut io, &mut [0; 10]).await?);
    let read = soon(link(on).capacity_bytes(10).open_bytes(far, body)).await?;
    assert!(read > 0);
    assert!(seen.load(SeqCst), "a write after the end says that nobody reads it");
    Ok(())
}

async fn l17_bytes_a_far_task_that_returns_is_no_failure<P: Place>(on: P) -> Result<()> {
    let far = async |mut io: FarBytes| Ok(t::Write::write_all(&mut io, b"bye").await?);
    open_byte_link(on, far, async |mut io| {
        let mut text = String::new();
        f::Read::read_to_string(&mut io, &mut text).await?;
        assert_eq!(text, "bye", "its return ends the stream");
        let error = f::Write::write_all(&mut io, b"too late").await.unwrap_err();
        assert!(says::<FarReturned>(&error, ErrorKind::BrokenPipe), "{error:?}");
        Ok(())
    })
    .await
}

async fn l17_bytes_an_end_that_was_carried_out<P: Place>(on: P) -> Result<()> {
    let (give, mut take) = oneshot::channel();
    let far = async move |io: FarBytes| {
        let _ = give.send(io);
        Ok(())
    };
    let mut near = open_byte_link(on, far, async |io| Ok(io)).await?;
    let mut far = take.recv().await?.ok_or(Ended)?;
    let errors = [
        f::Read::read(&mut near, &mut [0]).await.unwrap_err(),
        f::Write::write(&mut near, &[0]).await.unwrap_err(),
        t::Read::read(&mut far, &mut [0]).await.unwrap_err(),
        t::Write::write(&mut far, &[0]).await.unwrap_err(),
    ];
    assert!(errors.iter().all(|error| says::<Closed>(error, ErrorKind::NotConnected)), "{errors:?}");
    Ok(())
}

// ---- L23, L24, L26: the flow

async fn l23_bytes_writing_waits_when_full<P: Place>(on: P) -> Result<()> {
    let (may_read, mut reads) = oneshot::channel();
    let far = async move |mut io: FarBytes| {
        // Its own direction first: nobody reads before it is full.
        assert_eq!(t::Write::write(&mut io, &[1; 25]).await?, 10);
        assert!(is_pending(&poll_once(t::Write::write(&mut io, &[2])).await));
        reads.recv().await?;
        assert_eq!(read_all(&mut io).await?, [[3; 10].as_slice(), &[5; 4]].concat());
        Ok(())
    };
    let body = async |mut io: NearBytes| {
        assert_eq!(f::Write::write(&mut io, &[3; 25]).await?, 10, "its capacity");
        assert!(is_pending(&poll_once(f::Write::write(&mut io, &[4])).await));
        may_read.send(()).map_err(Error::from)?;
        f::Write::write_all(&mut io, &[5; 4]).await?;
        let mut bytes = Vec::new();
        f::Write::close(&mut io).await?;
        f::Read::read_to_end(&mut io, &mut bytes).await?;
        assert_eq!(bytes, [1; 10], "a write that was dropped while it waited writes nothing");
        Ok(())
    };
    soon(link(on).capacity_bytes(10).open_bytes(far, body)).await
}

async fn l23_bytes_memory_is_bounded<P: Place>(on: P) -> Result<()> {
    const CAPACITY: usize = 1000;
    let written = Arc::new(AtomicUsize::new(0));
    let counter = written.clone();
    let far = async move |mut io: FarBytes| {
        for _ in 0..300 {
            let count = t::Write::write(&mut io, &[7; 333]).await?;
            counter.fetch_add(count, SeqCst);
        }
        Ok(())
    };
    let body = async |mut io: NearBytes| {
        let mut read = 0;
        loop {
            for _ in 0..5 {
                checkpoint().await?; // every chance to write too much
            }
            let accepted = written.load(SeqCst);
            assert!(accepted <= read + CAPACITY, "{accepted} accepted, {read} read, room for {CAPACITY}");
            match f::Read::read(&mut io, &mut [0; 100]).await? {
                0 => return Ok((read, written.load(SeqCst))),
                count => read += count,
            }
        }
    };
    let (read, written) = eventually(link(on).capacity_bytes(CAPACITY).open_bytes(far, body)).await?;
    assert_eq!(read, written);
    Ok(())
}

async fn l24_bytes_each_direction_is_closed_alone<P: Place>(on: P) -> Result<()> {
    // The opener closes first, and reads on.
    let far = async |mut io: FarBytes| {
        let question = read_all(&mut io).await?;
        assert_eq!(t::Read::read(&mut io, &mut [0]).await?, 0, "the end stays the end");
        t::Write::write_all(&mut io, &question).await?;
        Ok(())
    };
    open_byte_link(on, far, async |mut io| {
        f::Write::write_all(&mut io, b"who?").await?;
        f::Write::close(&mut io).await?;
        f::Write::close(&mut io).await?;
        let error = f::Write::write(&mut io, b"!").await.unwrap_err();
        assert!(says::<Misuse>(&error, ErrorKind::BrokenPipe), "{error:?}");
        let mut answer = String::new();
        f::Read::read_to_string(&mut io, &mut answer).await?;
        assert_eq!(answer, "who?");
        Ok(())
    })
    .await?;
    // The foreign task closes first, and reads on.
    let far = async |mut io: FarBytes| {
        t::Write::write_all(&mut io, b"tell me").await?;
        t::Write::shutdown(&mut io).await?;
        let error = t::Write::write(&mut io, b"!").await.unwrap_err();
        assert!(says::<Misuse>(&error, ErrorKind::BrokenPipe), "{error:?}");
        assert_eq!(read_all(&mut io).await?, b"a long story");
        Ok(())
    };
    open_byte_link(on, far, async |mut io| {
        let mut text = String::new();
        f::Read::read_to_string(&mut io, &mut text).await?;
        assert_eq!(text, "tell me");
        Ok(f::Write::write_all(&mut io, b"a long story").await?)
    })
    .await
}

/// An end that is dropped by a failure does not look like one that was closed.
async fn l24_bytes_after_a_failure_the_rest_can_be_drained<P: Place>(on: P) -> Result<()> {
    let far = async |mut io: FarBytes| -> Result<()> {
        t::Write::write_all(&mut io, b"half of a mess").await?;
        drop(io);
        Err(Boom)?
    };
    let drained = Mutex::new(Vec::new());
    let failed = open_byte_link(on, far, async |mut io| -> Result<()> {
        // Nothing was read when it comes.
        sleep(2 * SOON).await.expect_err("the failure ends it");
        shield(SOON, async {
            let mut bytes = Vec::new();
            let error = f::Read::read_to_end(&mut io, &mut bytes).await.unwrap_err();
            assert!(says::<FarFailed>(&error, ErrorKind::ConnectionReset), "{error:?}");
            *drained.lock().unwrap() = bytes;
            Err(error)?
        })
        .await
    });
    let error = failed.await.unwrap_err();
    assert_eq!(*drained.lock().unwrap(), b"half of a mess");
    assert!(error.downcast_ref::<Boom>() == Some(&Boom), "{error:?}");
    Ok(())
}

async fn l26_bytes_a_dropped_read_takes_nothing<P: Place>(on: P) -> Result<()> {
    let far = async |mut io: FarBytes| {
        assert!(is_pending(&poll_once(t::Read::read_u8(&mut io)).await));
        t::Write::write_all(&mut io, b"1").await?;
        assert!(tokio::time::timeout(A_WHILE, t::Read::read_u8(&mut io)).await.is_err());
        t::Write::write_all(&mut io, b"2").await?;
        assert_eq!(t::Read::read_u8(&mut io).await?, b'3');
        Ok(())
    };
    open_byte_link(on, far, async |mut io| {
        let mut byte = [0];
        {
            let mut waiting = pin!(f::Read::read(&mut io, &mut byte));
            let _ = poll_once(&mut waiting).await;
        }
        let rest = if byte == *b"1" { &b"2"[..] } else { b"12" };
        for expected in rest {
            f::Read::read_exact(&mut io, &mut byte).await?;
            assert_eq!(byte[0], *expected);
        }
        Ok(f::Write::write_all(&mut io, b"3").await?)
    })
    .await
}

// ---- L29: nobody starves

async fn l29_bytes_a_stream_that_is_always_ready_lets_others_run<P: Place>(on: P) -> Result<()> {
    const COUNT: usize = 10_000;
    let (full, mut is_full) = oneshot::channel();
    let far = async move |mut io: FarBytes| {
        is_full.recv().await?;
        let (turns, counter) = (Arc::new(AtomicUsize::new(0)), Flag::default());
        let (counted, over) = (turns.clone(), counter.clone());
        let other = tokio::task::spawn_local(async move {
            while !over.get() {
                counted.fetch_add(1, SeqCst);
                tokio::task::yield_now().await;
            }
        });
        for _ in 0..COUNT {
            t::Read::read_u8(&mut io).await?;
        }
        counter.set();
        let turns = turns.load(SeqCst);
        other.await?;
        assert!(turns > 10, "{turns} turns of another task during {COUNT} reads");
        Ok(())
    };
    let body = async |mut io: NearBytes| {
        f::Write::write_all(&mut io, &[1; COUNT]).await?;
        full.send(()).map_err(Error::from)
    };
    link(on).capacity_bytes(COUNT).open_bytes(far, body).await
}

// ---- L24: random chunks against a model

/// Numbers that look random and come again with their seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.roll(256) as u8).collect()
    }

    async fn rest(&mut self) {
        for _ in 0..self.roll(3) {
            futures_lite::future::yield_now().await;
        }
    }
}

/// Writes all of `bytes` and reads to the end, at once, in the words of futures.
async fn talk_futures<I>(io: I, bytes: Vec<u8>, seed: u64) -> Result<Vec<u8>>
where
    I: futures_lite::AsyncRead + futures_lite::AsyncWrite + Unpin,
{
    let (mut reader, mut writer) = futures_lite::io::split(io);
    let writes = async {
        let (mut dice, mut rest) = (Dice(seed), &bytes[..]);
        while !rest.is_empty() {
            let cut = dice.roll(rest.len().min(200)) + 1;
            let (first, second) = rest[..cut].split_at(dice.roll(cut));
            let count = f::Write::write_vectored(&mut writer, &[IoSlice::new(first), IoSlice::new(second)]).await?;
            rest = &rest[count..];
            dice.rest().await;
        }
        f::Write::close(&mut writer).await
    };
    let reads = async {
        let (mut dice, mut read, mut buffer) = (Dice(seed + 1), Vec::new(), [0; 200]);
        loop {
            let room = dice.roll(buffer.len()) + 1;
            match f::Read::read(&mut reader, &mut buffer[..room]).await? {
                0 => return Ok(read),
                count => read.extend(&buffer[..count]),
            }
            dice.rest().await;
        }
    };
    let ((), read) = try_zip(writes, reads).await?;
    assert_eq!(f::Read::read(&mut reader, &mut [0]).await?, 0, "the end stays the end");
    Ok(read)
}

/// The same in the words of tokio.
async fn talk_tokio<I>(io: I, bytes: Vec<u8>, seed: u64) -> Result<Vec<u8>>
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite,
{
    let (mut reader, mut writer) = tokio::io::split(io);
    let writes = async {
        let (mut dice, mut rest) = (Dice(seed), &bytes[..]);
        while !rest.is_empty() {
            let cut = dice.roll(rest.len().min(200)) + 1;
            let (first, second) = rest[..cut].split_at(dice.roll(cut));
            let count = t::Write::write_vectored(&mut writer, &[IoSlice::new(first), IoSlice::new(second)]).await?;
            rest = &rest[count..];
            dice.rest().await;
        }
        t::Write::shutdown(&mut writer).await
    };
    let reads = async {
        let (mut dice, mut read) = (Dice(seed + 1), Vec::new());
        loop {
            let mut buffer = Vec::with_capacity(dice.roll(200) + 1);
            match t::Read::read_buf(&mut reader, &mut buffer).await? {
                0 => return Ok(read),
                _ => read.append(&mut buffer),
            }
            dice.rest().await;
        }
    };
    let ((), read) = try_zip(writes, reads).await?;
    assert_eq!(t::Read::read(&mut reader, &mut [0]).await?, 0, "the end stays the end");
    Ok(read)
}

async fn l24_bytes_random_chunks<P: Place>(on: P) -> Result<()> {
    for seed in 1..=40 {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let (capacity, there, back) = (dice.roll(300) + 1, dice.roll(5000), dice.roll(5000));
        let (there, back) = (dice.bytes(there), dice.bytes(back));
        let (question, answer) = (there.clone(), back.clone());
        let far = async move |io: FarBytes| {
            let read = match seed % 2 {
                0 => talk_tokio(io, answer, seed).await?,
                _ => talk_futures(io, answer, seed).await?,
            };
            assert!(read == question, "seed {seed}: the foreign task read something else");
            Ok(())
        };
        let body = async |io| match seed % 2 {
            0 => talk_futures(io, there, seed + 2).await,
            _ => talk_tokio(io, there, seed + 2).await,
        };
        let read = eventually(link(on).capacity_bytes(capacity).open_bytes(far, body)).await?;
        assert!(read == back, "seed {seed}: the opener read something else");
    }
    Ok(())
}

// ---- running them

fn in_guest<F, Fut>(law: F) -> Result<(), Failed>
where
    F: FnOnce(pleach_bridge::Here) -> Fut + Send + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    pleach::actor::run(Tokio::current_thread(), || eventually(async { law(Tokio::here()?).await }))
        .map_err(|error| format!("{error:?}").into())
}

fn in_thread<F, Fut>(law: F) -> Result<(), Failed>
where
    F: FnOnce(pleach_bridge::Thread) -> Fut + Send + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    pleach::actor::run(Smol::one_thread(), || eventually(law(Tokio::thread())))
        .map_err(|error| format!("{error:?}").into())
}

macro_rules! on_both {
    ($($law:ident),* $(,)?) => {
        vec![$(
            plain(concat!("guest::", stringify!($law)), || in_guest($law)),
            plain(concat!("thread::", stringify!($law)), || in_thread($law)),
        )*]
    };
}

fn main() {
    let laws: Vec<Trial> = on_both![
        l01_bytes_normal_exit,
        l01_bytes_cancel,
        l01_bytes_cancel_of_a_deaf_task,
        l01_bytes_dropped,
        l16_bytes_cancel_after_a_read_that_was_given_up,
        c05_bytes_a_cancel_is_absorbed,
        c05_bytes_a_cancel_of_which_only_the_text_is_left_is_absorbed,
        l10_bytes_a_far_failure_is_the_result,
        l11_bytes_the_body_error_is_the_result,
        l17_bytes_a_body_that_returns_is_no_failure,
        l17_bytes_a_far_task_that_returns_is_no_failure,
        l17_bytes_an_end_that_was_carried_out,
        l23_bytes_writing_waits_when_full,
        l23_bytes_memory_is_bounded,
        l24_bytes_each_direction_is_closed_alone,
        l24_bytes_after_a_failure_the_rest_can_be_drained,
        l26_bytes_a_dropped_read_takes_nothing,
        l29_bytes_a_stream_that_is_always_ready_lets_others_run,
        l24_bytes_random_chunks,
    ];
    harness::main(laws);
}
