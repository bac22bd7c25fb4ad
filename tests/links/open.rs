//! A loop between a link and its loop, which sees what is started.

use std::sync::{Arc, Mutex};

use futures_util::future::{AbortHandle, abortable};
use pleach::prelude::*;
use pleach_bridge::{ForeignLoop, ForeignTask, Translated};

/// A loop that gives others what they need to cancel its tasks.
#[derive(Clone)]
pub(crate) struct Open<L> {
    on: L,
    tasks: Arc<Mutex<Vec<AbortHandle>>>,
}

impl<L: ForeignLoop> Open<L> {
    pub(crate) fn new(on: L) -> Self {
        Self { on, tasks: Arc::default() }
    }

    pub(crate) fn has_started_anything(&self) -> bool {
        !self.tasks.lock().unwrap().is_empty()
    }

    pub(crate) fn abort_all(&self) {
        self.tasks.lock().unwrap().iter().for_each(AbortHandle::abort);
    }
}

impl<L: ForeignLoop> ForeignLoop for Open<L> {
    fn start(&self, task: ForeignTask) -> Result<()> {
        let tasks = self.tasks.clone();
        self.on.start(Box::new(move || {
            let (task, handle) = abortable(task());
            tasks.lock().unwrap().push(handle);
            Box::pin(async move {
                let _ = task.await;
            })
        }))
    }

    fn noun(&self) -> &'static str {
        self.on.noun()
    }

    fn translate(error: Error) -> Translated {
        L::translate(error)
    }
}
