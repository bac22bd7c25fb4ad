//! The floor of links: the same two tasks on the same hosts, joined by bare channels. No outcome, no cancel, no start.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::task::yield_now;

/// How long a side looks for a value before it sleeps, where it looks.
const LOOK: Duration = Duration::from_micros(50);

pub(crate) trait Sender: Send + 'static {
    fn send(&mut self, value: u64) -> impl Future<Output = ()> + Send;
    fn try_send(&mut self, value: u64) -> bool;
}

pub(crate) trait Receiver: Send + 'static {
    /// `None` at the end.
    fn recv(&mut self) -> impl Future<Output = Option<u64>> + Send;
    fn try_recv(&mut self) -> Option<u64>;
}

/// A kind of channel.
pub(crate) trait Channel: 'static {
    const NAME: &'static str;
    type Sender: Sender;
    type Receiver: Receiver;
    fn pair(capacity: usize) -> (Self::Sender, Self::Receiver);
}

pub(crate) struct TokioMpsc;

impl Channel for TokioMpsc {
    const NAME: &'static str = "tokio mpsc";
    type Sender = tokio::sync::mpsc::Sender<u64>;
    type Receiver = tokio::sync::mpsc::Receiver<u64>;

    fn pair(capacity: usize) -> (Self::Sender, Self::Receiver) {
        tokio::sync::mpsc::channel(capacity)
    }
}

impl Sender for tokio::sync::mpsc::Sender<u64> {
    async fn send(&mut self, value: u64) {
        let _ = Self::send(self, value).await;
    }

    fn try_send(&mut self, value: u64) -> bool {
        Self::try_send(self, value).is_ok()
    }
}

impl Receiver for tokio::sync::mpsc::Receiver<u64> {
    async fn recv(&mut self) -> Option<u64> {
        Self::recv(self).await
    }

    fn try_recv(&mut self) -> Option<u64> {
        Self::try_recv(self).ok()
    }
}

pub(crate) struct Kanal;

impl Channel for Kanal {
    const NAME: &'static str = "kanal";
    type Sender = kanal::AsyncSender<u64>;
    type Receiver = kanal::AsyncReceiver<u64>;

    fn pair(capacity: usize) -> (Self::Sender, Self::Receiver) {
        kanal::bounded_async(capacity)
    }
}

impl Sender for kanal::AsyncSender<u64> {
    async fn send(&mut self, value: u64) {
        let _ = Self::send(self, value).await;
    }

    fn try_send(&mut self, value: u64) -> bool {
        Self::try_send(self, value).unwrap_or(true)
    }
}

impl Receiver for kanal::AsyncReceiver<u64> {
    async fn recv(&mut self) -> Option<u64> {
        Self::recv(self).await.ok()
    }

    fn try_recv(&mut self) -> Option<u64> {
        Self::try_recv(self).ok().flatten()
    }
}

pub(crate) struct Own;

impl Channel for Own {
    const NAME: &'static str = "pleach::task::channel";
    type Sender = pleach::task::channel::Sender<u64>;
    type Receiver = pleach::task::channel::Receiver<u64>;

    fn pair(capacity: usize) -> (Self::Sender, Self::Receiver) {
        pleach::task::channel::bounded(capacity)
    }
}

impl Sender for pleach::task::channel::Sender<u64> {
    async fn send(&mut self, value: u64) {
        let _ = Self::send(self, value).await;
    }

    fn try_send(&mut self, value: u64) -> bool {
        Self::try_send(self, value).is_ok()
    }
}

impl Receiver for pleach::task::channel::Receiver<u64> {
    async fn recv(&mut self) -> Option<u64> {
        Self::recv(self).await.ok().flatten()
    }

    fn try_recv(&mut self) -> Option<u64> {
        Self::try_recv(self)
    }
}

/// How a side waits for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Its waker is called.
    Woken,
    /// It looks for up to [`LOOK`], giving the CPU away each time, before it is woken.
    Yields,
    /// It looks for up to [`LOOK`] without giving the CPU away, before it is woken.
    Spins,
}

impl Wait {
    /// Looks again and again; its executor gets a turn in between.
    async fn look<T>(self, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
        if let Some(found) = attempt() {
            return Some(found);
        }
        if self == Self::Woken {
            return None;
        }
        let since = Instant::now();
        while since.elapsed() < LOOK {
            for _ in 0..8 {
                match self {
                    Self::Yields => std::thread::yield_now(),
                    _ => std::hint::spin_loop(),
                }
                if let Some(found) = attempt() {
                    return Some(found);
                }
            }
            yield_now().await;
        }
        None
    }

    async fn send(self, sender: &mut impl Sender, value: u64) {
        if self.look(|| sender.try_send(value).then_some(())).await.is_none() {
            sender.send(value).await;
        }
    }

    async fn recv(self, receiver: &mut impl Receiver) -> Option<u64> {
        match self.look(|| receiver.try_recv()).await {
            Some(value) => Some(value),
            None => receiver.recv().await,
        }
    }
}

/// The near side of a floor.
pub(crate) struct Near<C: Channel> {
    wait: Wait,
    sender: C::Sender,
    receiver: C::Receiver,
}

/// The far side of a floor.
pub(crate) struct Far<C: Channel> {
    wait: Wait,
    sender: C::Sender,
    receiver: C::Receiver,
}

pub(crate) fn ends<C: Channel>(capacity: usize, wait: Wait) -> (Near<C>, Far<C>) {
    let (to_far, from_near) = C::pair(capacity);
    let (to_near, from_far) = C::pair(capacity);
    (Near { wait, sender: to_far, receiver: from_far }, Far { wait, sender: to_near, receiver: from_near })
}

impl<C: Channel> Near<C> {
    pub(crate) async fn round_trip(&mut self, value: u64) {
        self.wait.send(&mut self.sender, value).await;
        assert_eq!(self.wait.recv(&mut self.receiver).await, Some(value));
    }

    /// Sends `count` values, and waits until the last has been taken.
    pub(crate) async fn stream(&mut self, count: u64) {
        for value in 0..count {
            self.wait.send(&mut self.sender, value).await;
        }
        assert_eq!(self.wait.recv(&mut self.receiver).await, Some(count));
    }
}

impl<C: Channel> Far<C> {
    pub(crate) async fn echo(mut self) {
        while let Some(value) = self.wait.recv(&mut self.receiver).await {
            self.wait.send(&mut self.sender, value).await;
        }
    }

    /// Answers each `batch` values with their number.
    pub(crate) async fn sink(mut self, batch: u64) {
        let mut taken = 0;
        while self.wait.recv(&mut self.receiver).await.is_some() {
            taken += 1;
            if taken == batch {
                self.wait.send(&mut self.sender, taken).await;
                taken = 0;
            }
        }
    }
}
