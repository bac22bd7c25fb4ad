//! The end of a watch that looks.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_lite::{Stream, stream};

use super::Shared;
use crate::Result;
use crate::task::crowd::wake_all;
use crate::task::wait::Wait;
use crate::task::waits_for::WaitsFor;

/// An end that looks. A clone has seen what this one has.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    place: usize,
    /// The version that it has seen last.
    seen: Option<u64>,
}

impl<T> Receiver<T> {
    /// One that has seen what is there now.
    pub(super) fn new(shared: &Arc<Shared<T>>) -> Self {
        let mut state = shared.lock();
        let (place, seen) = (state.receivers.join(), Some(state.version));
        drop(state);
        Self { shared: shared.clone(), place, seen }
    }

    /// The value now, as it stays in the hands of whoever asked. It does not count as seen.
    pub fn get(&self) -> Arc<T> {
        self.shared.lock().value.clone()
    }

    /// Whether no sender is left: the value will not change any more.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().senders == 0
    }

    /// Waits for a value that this receiver has not seen, which is always the latest: `None` if there is none and no
    /// sender is left.
    ///
    /// # Errors
    /// `Cancelled` if the scope around was cancelled, also when there is such a value.
    ///
    /// # Cancel safety
    /// Cancelled or dropped it has seen nothing.
    #[track_caller]
    pub fn changed(&mut self) -> impl Future<Output = Result<Option<Arc<T>>>> + use<'_, T> {
        let mut wait = Wait::new(WaitsFor::Value);
        poll_fn(move |cx| self.poll_changed(&mut wait, cx))
    }

    fn poll_changed(&mut self, wait: &mut Wait, cx: &mut Context<'_>) -> Poll<Result<Option<Arc<T>>>> {
        wait.attempt(cx, |cx| self.shared.newer(self.place, &mut self.seen, cx))
    }

    /// Waits for a value that `accepts`, the one that is there included, also if it was seen: `None` if no sender is left
    /// who could send it. Values that others follow at once may not be asked about.
    ///
    /// # Errors
    /// `Cancelled` if the scope around was cancelled, also when there is such a value.
    ///
    /// # Cancel safety
    /// Cancelled or dropped it has seen nothing.
    ///
    /// ```
    /// use pleach::task::{nursery, sleep, time::VirtualClock, watch};
    /// use std::time::Duration;
    ///
    /// let (sender, mut receiver) = watch::channel(1);
    /// VirtualClock::block_on(nursery(async |n| {
    ///     n.spawn(async move {
    ///         for number in 2..100 {
    ///             sender.send(number)?;
    ///             sleep(Duration::from_secs(1)).await?;
    ///         }
    ///         Ok(())
    ///     })?;
    ///     let tenfold = receiver.wait_for(|number| number % 10 == 0).await?;
    ///     assert_eq!(tenfold.as_deref(), Some(&10));
    ///     n.cancel();
    ///     Ok(())
    /// }))
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn wait_for<P>(&mut self, mut accepts: P) -> impl Future<Output = Result<Option<Arc<T>>>> + use<'_, T, P>
    where
        P: FnMut(&T) -> bool,
    {
        let mut wait = Wait::new(WaitsFor::Value);
        let mut asked = None;
        poll_fn(move |cx| wait.attempt(cx, |cx| self.find(&mut accepts, &mut asked, cx)))
    }

    /// A value that `accepts`, later than the last one that was `asked` about.
    fn find(
        &mut self,
        accepts: &mut impl FnMut(&T) -> bool,
        asked: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Option<Arc<T>>> {
        loop {
            let Some(value) = ready!(self.shared.newer(self.place, asked, cx)) else { return Poll::Ready(None) };
            if accepts(&value) {
                self.seen = *asked;
                return Poll::Ready(Some(value));
            }
        }
    }

    /// The value that is there and then each that this receiver comes to see. It ends when no sender is left.
    ///
    /// An item is `Cancelled` if the scope around was cancelled.
    ///
    /// ```
    /// use futures_lite::StreamExt;
    /// use pleach::task::{time::VirtualClock, watch};
    ///
    /// let (sender, receiver) = watch::channel("red");
    /// let mut lights = receiver.into_stream();
    /// VirtualClock::block_on(async {
    ///     assert_eq!(lights.try_next().await.unwrap().as_deref(), Some(&"red"));
    ///     sender.send("green").unwrap();
    ///     drop(sender);
    ///     assert_eq!(lights.try_next().await.unwrap().as_deref(), Some(&"green"));
    ///     assert_eq!(lights.try_next().await.unwrap(), None);
    /// });
    /// ```
    #[track_caller]
    pub fn into_stream(mut self) -> impl Stream<Item = Result<Arc<T>>> + Unpin + use<T> {
        let mut wait = Wait::new(WaitsFor::Value);
        self.seen = None;
        stream::poll_fn(move |cx| self.poll_changed(&mut wait, cx).map(Result::transpose))
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        let place = self.shared.lock().receivers.join();
        Self { shared: self.shared.clone(), place, seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let own = state.receivers.leave(self.place);
        let closing = if state.receivers.len() == 0 { state.closing.take() } else { Vec::new() };
        drop(state);
        drop(own);
        wake_all(closing);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
