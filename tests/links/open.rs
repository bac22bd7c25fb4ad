//! A loop between a link and its loop, which sees what is started.

use std::sync::{Arc, Mutex};

use pleach::prelude::*;
use pleach_bridge::{Abort, ForeignLoop, ForeignTask, Translated};

/// A loop that gives others what they need to cancel its tasks.
#[derive(Clone)]
pub(crate) struct Open<L> {
    on: L,
    tasks: Arc<Mutex<Vec<Shared>>>,
}

#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Box<dyn Abort>>>);

impl Abort for Shared {
    fn abort(&self) {
        self.0.lock().unwrap().abort();
    }
}

impl<L: ForeignLoop> Open<L> {
    pub(crate) fn new(on: L) -> Self {
        Self { on, tasks: Arc::default() }
    }

    pub(crate) fn has_started_anything(&self) -> bool {
        !self.tasks.lock().unwrap().is_empty()
    }

    pub(crate) fn abort_all(&self) {
        self.tasks.lock().unwrap().iter().for_each(Abort::abort);
    }
}

impl<L: ForeignLoop> ForeignLoop for Open<L> {
    fn start(&self, task: ForeignTask) -> Result<Box<dyn Abort>> {
        let shared = Shared(Arc::new(Mutex::new(self.on.start(task)?)));
        self.tasks.lock().unwrap().push(shared.clone());
        Ok(Box::new(shared))
    }

    fn noun(&self) -> &'static str {
        self.on.noun()
    }

    fn translate(error: Error) -> Translated {
        L::translate(error)
    }
}
