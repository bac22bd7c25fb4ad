//! Tests of the opener's side with a far task that is only played.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::{Opener, Options, converse};
use crate::error::Reason;
use crate::task::time::VirtualClock;
use crate::task::{CancelScope, checkpoint};
use crate::{Error, Result};

/// A far task that starts at once, waits for values, and ends when it is told to; it keeps what it was told.
#[derive(Clone, Default)]
struct Played(Arc<Mutex<(Vec<&'static str>, Option<Waker>)>>);

impl Played {
    fn told(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().0.clone()
    }

    fn tell(&self, word: &'static str) {
        let mut state = self.0.lock().unwrap();
        state.0.push(word);
        let opener = state.1.take();
        drop(state);
        opener.into_iter().for_each(Waker::wake);
    }
}

impl Opener<()> for Played {
    fn poll_first(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        Poll::Ready(Some(Ok(())))
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.0.lock().unwrap();
        if !state.0.is_empty() {
            return Poll::Ready(false);
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }

    fn take_failure(&mut self) -> Option<Error> {
        None
    }

    fn stop(&mut self) {
        self.tell("stop");
    }

    fn cancel(&mut self, _: Reason) {
        self.tell("cancel");
    }
}

/// Of the two words, the first would have it on its way to something else when the second looks for it.
#[test]
fn l16_who_is_to_be_cancelled_hears_of_no_finish_before() {
    let (far, scope) = (Played::default(), CancelScope::new());
    let opened = converse(far.clone(), Options::default(), async |()| {
        scope.cancel("enough");
        checkpoint().await.expect_err("the scope is cancelled");
        Ok("done all the same")
    });
    assert_eq!(VirtualClock::block_on(scope.run(opened)).unwrap(), Some("done all the same"));
    assert_eq!(far.told(), ["cancel"]);
}

#[test]
fn a_body_that_is_done_tells_of_the_finish_alone() {
    let far = Played::default();
    let opened = converse(far.clone(), Options::default(), async |()| Ok("done"));
    assert_eq!(VirtualClock::block_on(opened).unwrap(), "done");
    assert_eq!(far.told(), ["stop"]);
}
