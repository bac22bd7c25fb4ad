//! Framed codecs over links of bytes: tokio-util on one side, or on both, and plain code of futures on the other.

use std::fmt;
use std::io;

use bytes::Bytes;
use futures_lite::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use pleach::prelude::*;
use pleach_bridge::{FarBytes, NearBytes, Placement, link};
use tokio_util::codec::{Framed, LengthDelimitedCodec, LinesCodec};

pleach::test_entry!();

/// Bytes that a direction of these links holds: less than the largest frame.
const CAPACITY: usize = 4096;
const SIZES: [usize; 5] = [0, 1, 4095, 4096, 100_000];

fn frames() -> Vec<Bytes> {
    SIZES.iter().enumerate().map(|(at, size)| vec![b'a' + at as u8; *size].into()).collect()
}

/// Each test in an infected actor's place, and with a tokio on a thread of its own.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod guest {
            use pleach_bridge::Tokio;
            $(#[pleach::test(host = Tokio::current_thread())]
            async fn $test() -> pleach::Result<()> {
                super::$test(Tokio::here()?).await
            })*
        }
        mod thread {
            use pleach_bridge::Tokio;
            $(#[pleach::test]
            async fn $test() -> pleach::Result<()> {
                super::$test(Tokio::thread()).await
            })*
        }
    };
}

on_both![
    l24_bytes_frames_come_whole_and_in_order,
    l24_bytes_lines_come_whole_and_in_order,
    l24_bytes_a_frame_that_was_cut_off_is_none,
    l28_bytes_both_sides_are_framed,
];

/// Plain tokio code: answers each frame with the same.
async fn echoes_frames(io: FarBytes) -> Result<()> {
    let (answers, frames) = Framed::new(io, LengthDelimitedCodec::new()).split();
    Ok(frames.map_ok(|frame| frame.freeze()).forward(answers).await?)
}

async fn write_frame(io: &mut NearBytes, frame: &[u8]) -> Result<()> {
    io.write_all(&(frame.len() as u32).to_be_bytes()).await?;
    Ok(io.write_all(frame).await?)
}

async fn read_frame(io: &mut NearBytes) -> Result<Vec<u8>> {
    let mut head = [0; 4];
    io.read_exact(&mut head).await?;
    let mut frame = vec![0; u32::from_be_bytes(head) as usize];
    io.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn l24_bytes_frames_come_whole_and_in_order<P: Placement>(on: P) -> Result<()> {
    let opened = link(on).capacity_bytes(CAPACITY).open_bytes(echoes_frames, async |mut io| {
        for frame in frames() {
            write_frame(&mut io, &frame).await?;
            assert!(read_frame(&mut io).await? == frame, "a frame of {} bytes", frame.len());
        }
        io.close().await?;
        assert_eq!(io.read(&mut [0]).await?, 0, "nothing after the last frame");
        Ok(())
    });
    opened.await
}

/// Plain tokio code.
async fn shouts(io: FarBytes) -> Result<()> {
    let mut lines = Framed::new(io, LinesCodec::new_with_max_length(1 << 20));
    while let Some(line) = lines.try_next().await? {
        lines.send(line.to_uppercase()).await?;
    }
    Ok(())
}

async fn l24_bytes_lines_come_whole_and_in_order<P: Placement>(on: P) -> Result<()> {
    let opened = link(on).capacity_bytes(CAPACITY).open_bytes(shouts, async |io| {
        let mut io = BufReader::new(io);
        for size in SIZES {
            io.get_mut().write_all(format!("{}\n", "é".repeat(size)).as_bytes()).await?;
            let mut answer = String::new();
            io.read_line(&mut answer).await?;
            assert!(answer.strip_suffix('\n') == Some(&"É".repeat(size)), "a line of {size}");
        }
        Ok(())
    });
    opened.await
}

async fn l28_bytes_both_sides_are_framed<P: Placement>(on: P) -> Result<()> {
    let opened = link(on).capacity_bytes(CAPACITY).open_bytes(echoes_frames, async |io| {
        let (mut to, from) = Framed::new(io, LengthDelimitedCodec::new()).split();
        let sends = async {
            to.send_all(&mut stream::iter(frames()).map(Ok)).await?;
            to.close().await
        };
        let ((), answers) = futures_util::future::try_join(sends, from.try_collect::<Vec<_>>()).await?;
        Ok(answers)
    });
    assert!(opened.await? == frames());
    Ok(())
}

#[derive(Debug)]
struct HadEnough;

impl fmt::Display for HadEnough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the writer has had enough")
    }
}

impl std::error::Error for HadEnough {}

async fn l24_bytes_a_frame_that_was_cut_off_is_none<P: Placement>(on: P) -> Result<()> {
    let (ends, mut ended) = pleach::task::oneshot::channel();
    let far = async move |io: FarBytes| {
        let mut frames = Framed::new(io, LengthDelimitedCodec::new());
        let whole = frames.try_next().await?;
        frames.send(Bytes::new()).await?;
        let cut = frames.next().await;
        let _ = ends.send((whole.map(|frame| frame.to_vec()), cut.map(|cut| cut.map_err(|error| error.kind()))));
        Ok(())
    };
    let opened = link(on).open_bytes(far, async |mut io| {
        write_frame(&mut io, b"whole").await?;
        read_frame(&mut io).await?;
        io.write_all(&[0, 0, 0, 5, b'c', b'u']).await?;
        Err::<(), _>(HadEnough.into())
    });
    assert!(opened.await.unwrap_err().downcast_ref::<HadEnough>().is_some());
    let (whole, cut) = ended.recv().await?.expect("it has said");
    assert_eq!(whole.as_deref(), Some(&b"whole"[..]));
    assert!(matches!(cut, Some(Err(io::ErrorKind::ConnectionAborted))), "{cut:?}");
    Ok(())
}
