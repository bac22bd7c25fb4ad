use std::future::pending;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::task::move_on_after;
use crate::task::time::VirtualClock;

struct NoSockets;

impl Reactor for NoSockets {
    fn serve(&self, _: std::os::unix::net::UnixStream) -> io::Result<Box<dyn Transport>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A listener for which there is never a descriptor.
struct Starved(Arc<AtomicUsize>);

impl Accept for Starved {
    fn accept(&self) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + '_>> {
        if self.0.fetch_add(1, Ordering::SeqCst) > 100 {
            // Whoever does not pause would ask for ever, as no time passes then.
            return Box::pin(pending());
        }
        Box::pin(std::future::ready(Err(Errno::MFILE.into())))
    }
}

struct Quiet;

impl Accept for Quiet {
    fn accept(&self) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + '_>> {
        Box::pin(pending())
    }
}

fn gate(listener: impl Accept) -> Gate {
    Gate {
        listener: Box::new(listener),
        address: Address::Uds("/run/x.sock".into()),
        reactor: Arc::new(NoSockets),
        key: Arc::new(Mutex::new(Key::take(&mut [1; KEY]))),
        purpose: Purpose::Join,
        state: Mutex::default(),
        _file: None,
    }
}

#[test]
fn x05_without_descriptors_it_looks_ten_times_a_second() {
    let looks = Arc::new(AtomicUsize::new(0));
    let gate = gate(Starved(looks.clone()));
    let second = move_on_after(Duration::from_secs(1), gate.run(|_| {}));
    assert!(VirtualClock::block_on(second).unwrap().is_none());
    assert!((5..=11).contains(&looks.load(Ordering::SeqCst)), "{looks:?}");
}

/// Counts the lines of a log.
struct Lines(Arc<AtomicUsize>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn x05_a_thousand_refusals_are_one_line() {
    let lines = Arc::new(AtomicUsize::new(0));
    let gate = gate(Quiet);
    tracing::subscriber::with_default(Lines(lines.clone()), || {
        for _ in 0..1000 {
            gate.tell(Source::User(0), None, &Refusal::Crowd);
        }
    });
    assert_eq!(lines.load(Ordering::SeqCst), 1);
    assert_eq!(gate.state().untold, 999, "they are counted in the next one");
}
