//! A guest in the loop of winit: values both ways, a timer, a wake from another thread, a cancel from a callback, the end. There is
//! one such loop per process, on its main thread, and it cannot be entered twice; so this is a program and not the tests that other
//! hosts have.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pleach::task::guest::{GuestRun, Tick};
use pleach::task::{CancelScope, Nursery, cancellable, channel, nursery, oneshot, shield, sleep, start_guest_run};
use pleach::{Error, Result};
use winit::application::ApplicationHandler;
use winit::event::{StartCause, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop, EventLoopProxy};
use winit::window::{Window, WindowId};

/// No run may take longer.
const BOUND: Duration = Duration::from_secs(20);

/// Something that the loop runs, with the host on its thread.
type Job = Box<dyn FnOnce(&mut App) + Send>;
/// *Run this soon*, from any thread: an event of the program's own.
type Post = Arc<dyn Fn(Job) + Send + Sync>;

fn post_by(proxy: EventLoopProxy<Job>) -> Post {
    // Not every platform's can be used from two threads at once. The loop takes no such lock.
    let proxy = Mutex::new(proxy);
    Arc::new(move |job| {
        let _ = proxy.lock().unwrap_or_else(PoisonError::into_inner).send_event(job);
    })
}

/// What `done` was told of the guest: that it panicked, that it failed, or whether it ended without the cancel.
type Outcome = Result<Result<Option<()>>>;

/// The host: it has a window, counts, and starts its guest when the loop has started.
struct App {
    post: Post,
    scope: CancelScope,
    window: Option<Window>,
    guest: Option<GuestRun>,
    /// What the guest was asked, and what it has answered.
    answers: Vec<u32>,
    questions: Option<channel::Sender<u32>>,
    outcome: Rc<Cell<Option<Outcome>>>,
    cleaned_up: bool,
    until: Instant,
    is_late: bool,
}

impl App {
    fn new(post: Post) -> Self {
        Self {
            post,
            scope: CancelScope::new(),
            window: None,
            guest: None,
            answers: Vec::new(),
            questions: None,
            outcome: Rc::default(),
            cleaned_up: false,
            until: Instant::now() + BOUND,
            is_late: false,
        }
    }

    fn start(&mut self) {
        let (questions, asked) = channel::bounded(1);
        questions.try_send(1).expect("it is empty");
        self.questions = Some(questions);
        let (post, outcome) = (self.post.clone(), self.outcome.clone());
        let root = self.scope.run(nursery({
            let post = post.clone();
            async move |n| tour(n, post, asked).await
        }));
        let run_soon = move |tick: Tick| post(Box::new(move |_| tick.run()));
        self.guest = Some(start_guest_run(run_soon, root, move |told| outcome.set(Some(told))));
    }

    /// A callback with an answer of the guest; it asks the next question.
    fn answered(&mut self, answer: u32) {
        self.answers.push(answer);
        let Some(questions) = &self.questions else { return };
        match self.answers.len() {
            100 => self.questions = None,
            count => questions.try_send(count as u32 + 1).expect("the last one was taken"),
        }
    }
}

/// The root of the guest. Each part says where it stands, should it end too soon.
async fn tour(n: Nursery<'static>, post: Post, mut asked: channel::Receiver<u32>) -> Result<()> {
    while let Some(number) = asked.recv().await? {
        post(Box::new(move |app| app.answered(2 * number)));
    }

    let start = Instant::now();
    sleep(Duration::from_millis(20)).await?;
    if start.elapsed() < Duration::from_millis(20) {
        return Err(Error::msg("the timer was early"));
    }

    let (sender, mut from_thread) = oneshot::channel();
    thread::spawn(move || sender.send("woken"));
    if from_thread.recv().await? != Some("woken") {
        return Err(Error::msg("nothing has come from the thread"));
    }

    let cleanup = post.clone();
    n.spawn(async move {
        let told = cancellable(std::future::pending::<()>()).await;
        shield(Duration::from_secs(1), sleep(Duration::from_millis(5))).await?;
        cleanup(Box::new(|app| app.cleaned_up = true));
        told
    })?;
    post(Box::new(|app| app.scope.cancel("by a callback")));
    cancellable(std::future::pending()).await
}

impl ApplicationHandler<Job> for App {
    fn new_events(&mut self, event_loop: &ActiveEventLoop, cause: StartCause) {
        if cause == StartCause::Init {
            event_loop.set_control_flow(ControlFlow::WaitUntil(self.until));
        }
        self.is_late = Instant::now() > self.until;
        if self.is_late {
            event_loop.exit();
        }
    }

    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        let attributes = Window::default_attributes().with_visible(false);
        self.window = Some(event_loop.create_window(attributes).expect("there is a display"));
        self.start();
    }

    fn user_event(&mut self, event_loop: &ActiveEventLoop, job: Job) {
        job(self);
        if self.guest.as_ref().is_some_and(GuestRun::is_over) && self.cleaned_up {
            event_loop.exit();
        }
    }

    fn window_event(&mut self, _: &ActiveEventLoop, _: WindowId, _: WindowEvent) {}
}

/// What is wrong, if anything is.
fn verdict(app: &App) -> Result<(), String> {
    if app.is_late {
        return Err(format!("it has taken too long, with {} answers", app.answers.len()));
    }
    match app.outcome.take() {
        Some(Ok(Ok(None))) => {}
        Some(Ok(Ok(Some(())))) => return Err("the guest was not cancelled".to_owned()),
        Some(Ok(Err(error)) | Err(error)) => return Err(format!("the guest has failed: {error:?}")),
        None => return Err("`done` was not called".to_owned()),
    }
    let expected: Vec<u32> = (1..=100).map(|number| 2 * number).collect();
    if app.answers != expected {
        return Err(format!("the answers are {:?}", app.answers));
    }
    Ok(())
}

fn main() -> ExitCode {
    let event_loop = EventLoop::<Job>::with_user_event().build().expect("there is a display");
    let mut app = App::new(post_by(event_loop.create_proxy()));
    event_loop.run_app(&mut app).expect("the loop goes on until it is told to end");
    match verdict(&app) {
        Ok(()) => {
            println!("guest on winit: values both ways, a timer, a thread, a cancel with its cleanup, the end");
            ExitCode::SUCCESS
        }
        Err(what) => {
            eprintln!("guest on winit: {what}");
            ExitCode::FAILURE
        }
    }
}
