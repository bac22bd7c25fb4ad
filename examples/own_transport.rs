//! A transport of one's own: it carries an actor, and counts what it carries.
//!
//! ```text
//! cargo run --example own_transport
//! ```

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead, AsyncWrite};
use pleach::prelude::*;
use pleach::transport::{Transport, mem};

/// One end: whatever moves bytes in order, and a count of those that were written.
struct Counted(mem::Mem, Arc<AtomicUsize>);

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.0).poll_write(cx, bytes))?;
        self.1.fetch_add(written, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// To be woken is as cheap as looking, so nothing else is needed.
impl Transport for Counted {}

#[pleach::endpoint]
async fn shout(text: String) -> Result<String> {
    Ok(text.to_uppercase())
}

#[pleach::main]
async fn main() -> Result<()> {
    let count = Arc::new(AtomicUsize::new(0));
    let (ours, its) = mem::pair();
    actor_nursery(async |n| {
        let ends = (Counted(ours, count.clone()), Counted(its, count.clone()));
        let worker = n.actor("worker").over(ends.0, ends.1).expose(shout).start().await?;
        println!("{}", worker.run(shout, ("hello".to_owned(),)).await?);
        println!("over {}", worker.connection().transport);
        worker.cancel_actor().await
    })
    .await?;
    println!("{} bytes", count.load(Ordering::Relaxed));
    Ok(())
}
