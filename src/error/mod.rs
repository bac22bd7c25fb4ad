//! One error type for the whole tree.
//!
//! [`Error`] is dynamic: any `std::error::Error + Send + Sync + 'static` becomes one by `?`. It remembers *where* it was
//! born and carries an identity, so that a failure which ends ten dialogs is still one failure when it is reported.

mod identity;
mod panicked;
mod plain;
mod reason;
mod remote;
mod show;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location};

pub use identity::{FailureId, Kind};
pub use panicked::Panicked;
pub(crate) use panicked::{Raised, install_hook};
pub use plain::{Closed, Ended, Group, Misuse, TimedOut};
pub use reason::{Cancelled, Mark, Reason, ScopeId};
pub use remote::RemoteError;
use show::Boxed;

/// What every fallible operation of the runtime returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error of the runtime: any failure, with an identity, a birth place and a kind.
///
/// It dereferences to `dyn std::error::Error`, so `source()`, `to_string()` and [`downcast_ref`](Error::downcast_ref)
/// work as usual. It does not implement `std::error::Error` itself (that is what lets `?` take every error);
/// [`into_boxed`](Error::into_boxed) gives one that does, and [`from_boxed`](Error::from_boxed) takes any other's.
///
/// ```
/// fn parse(text: &str) -> pleach::Result<u32> {
///     Ok(text.parse()?)
/// }
/// let error = parse("twelve").unwrap_err();
/// assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
/// assert!(!error.is_cancelled());
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    id: FailureId,
    kind: Kind,
    type_name: &'static str,
    location: &'static Location<'static>,
    context: Vec<String>,
    after_cancel: bool,
    delivered: bool,
    source: Box<dyn StdError + Send + Sync>,
}

impl Error {
    /// A panic that was caught, as a failure. For whoever polls futures of others, such as the host of a foreign loop.
    #[track_caller]
    pub fn from_panic(payload: Box<dyn Any + Send>) -> Self {
        Panicked::caught(payload).into()
    }

    /// A failure that is only a text. A type of its own can be recognised, this cannot.
    ///
    /// ```
    /// let error = pleach::Error::msg("the kettle is empty");
    /// assert_eq!(error.to_string(), "the kettle is empty");
    /// ```
    #[track_caller]
    pub fn msg(text: impl Into<String>) -> Self {
        plain::Message(text.into()).into()
    }

    /// An error that comes in a box, as much foreign code gives it: `.map_err(Error::from_boxed)?`. A box itself is no
    /// `std::error::Error`, so that `?` alone does not take it. What is in it can be had by
    /// [`downcast_ref`](Error::downcast_ref).
    ///
    /// ```
    /// use pleach::Error;
    ///
    /// fn legacy() -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
    ///     Ok("twelve".parse()?)
    /// }
    ///
    /// let error = legacy().map_err(Error::from_boxed).unwrap_err();
    /// assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
    /// ```
    #[track_caller]
    pub fn from_boxed(error: Box<dyn StdError + Send + Sync + 'static>) -> Self {
        match error.downcast::<Boxed>() {
            Ok(boxed) => boxed.0,
            Err(error) => Self::new(error, "Box<dyn Error>"),
        }
    }

    #[track_caller]
    fn new(source: Box<dyn StdError + Send + Sync + 'static>, type_name: &'static str) -> Self {
        let (id, kind) = classify(&*source);
        let location = Location::caller();
        Self(Box::new(Inner {
            id,
            kind,
            type_name,
            location,
            context: Vec::new(),
            after_cancel: false,
            delivered: false,
            source,
        }))
    }

    /// The identity of this failure, the same in every report of it.
    pub fn id(&self) -> FailureId {
        self.0.id
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Where it became an [`Error`] in this process.
    pub fn location(&self) -> &'static Location<'static> {
        self.0.location
    }

    /// The type of the error it was made from, in the process where it was born.
    pub fn type_name(&self) -> &str {
        self.remote().map_or(self.0.type_name, |remote| &remote.type_name)
    }

    /// Whether it is a cancel.
    pub fn is_cancelled(&self) -> bool {
        self.kind() == Kind::Cancelled
    }

    /// Whether it is a panic.
    pub fn is_panic(&self) -> bool {
        self.kind() == Kind::Panicked
    }

    /// Whether a time limit ran out.
    pub fn is_timeout(&self) -> bool {
        self.kind() == Kind::TimedOut
    }

    /// Whether a process died.
    pub fn is_died(&self) -> bool {
        self.kind() == Kind::Died
    }

    /// Whether the runtime refused a use of it.
    pub fn is_misuse(&self) -> bool {
        self.kind() == Kind::Misuse
    }

    /// The failure as another actor described it, if it came from one.
    pub fn remote(&self) -> Option<&RemoteError> {
        self.downcast_ref()
    }

    /// The failures of a group, or this one alone.
    pub fn failures(&self) -> &[Self] {
        match self.downcast_ref::<Group>() {
            Some(group) => group.failures(),
            None => std::slice::from_ref(self),
        }
    }

    /// The cancel in it, also through wrappers and from another process.
    pub fn mark(&self) -> Option<&Mark> {
        mark_in(&*self.0.source)
    }

    /// Whether it is this error, or was made of it.
    pub(crate) fn tells_of<E: StdError + PartialEq + 'static>(&self, of: &E) -> bool {
        let mut next: Option<&(dyn StdError + 'static)> = Some(&*self.0.source);
        while let Some(error) = next {
            if error.downcast_ref() == Some(of) {
                return true;
            }
            next = error.source();
        }
        false
    }

    /// Says what was being done, in front of the message.
    #[must_use]
    pub fn context(mut self, what: impl Into<String>) -> Self {
        self.0.context.push(what.into());
        self
    }

    /// Whether the failure came from a task that had already been told of a cancel.
    pub fn is_after_cancel(&self) -> bool {
        self.0.after_cancel
    }

    pub(crate) fn mark_after_cancel(&mut self) {
        self.0.after_cancel = true;
    }

    /// Borrows the original error if it is an `E`.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.source.downcast_ref()
    }

    /// Takes the original error out if it is an `E`.
    ///
    /// # Errors
    /// Gives the error back unchanged if it is of another type.
    pub fn downcast<E: StdError + 'static>(self) -> std::result::Result<E, Self> {
        if self.0.source.is::<E>() {
            let source = self.0.source.downcast::<E>().expect("the type was just looked at");
            Ok(*source)
        } else {
            Err(self)
        }
    }

    /// The same failure as a type that implements `std::error::Error`.
    pub fn into_boxed(self) -> Box<dyn StdError + Send + Sync + 'static> {
        Box::new(Boxed(self))
    }

    /// Its message, also if what says it panics: a failure must arrive.
    pub(crate) fn text(&self) -> String {
        text(self).unwrap_or_else(|| format!("a `{}` whose text panics", self.0.type_name))
    }

    /// This failure as data for another actor: born in `actor` unless it came from elsewhere, in which case `actor`
    /// has relayed it.
    pub fn to_remote(&self, actor: &str, incarnation: u64) -> RemoteError {
        if let Some(remote) = self.remote() {
            let mut relayed = remote.clone();
            relayed.relay.push(actor.to_owned());
            return relayed;
        }
        let mut chain = Vec::new();
        let mut next = self.0.source.source();
        while let Some(cause) = next {
            chain.push(text(cause).unwrap_or_else(|| "a cause whose text panics".to_owned()));
            next = cause.source();
        }
        RemoteError {
            id: self.0.id,
            kind: self.0.kind,
            actor: actor.to_owned(),
            incarnation,
            location: self.birth_place(),
            relay: Vec::new(),
            type_name: self.0.type_name.to_owned(),
            message: self.text(),
            chain,
            trace: self.trace(),
            mark: self.mark().cloned(),
        }
    }

    /// What was recorded of the panic, cut at its far end.
    fn trace(&self) -> Option<String> {
        const MOST: usize = 8 * 1024;
        let trace = self.downcast_ref::<Panicked>()?.backtrace()?;
        Some(trace[..trace.floor_char_boundary(MOST)].to_owned())
    }

    /// The source location to name: of the panic itself, not of where it was caught; none for what the runtime found out
    /// by itself, whose place would be one of its own lines.
    fn birth_place(&self) -> Option<String> {
        if let Some(panicked) = self.downcast_ref::<Panicked>() {
            return panicked.location().map(str::to_owned);
        }
        let here = file!().trim_end_matches("error/mod.rs");
        let file = self.0.location.file();
        // In std where it was called by name instead of in a line.
        let by_runtime = file.starts_with("/rustc/") || (!here.is_empty() && file.starts_with(here));
        (!by_runtime).then(|| self.0.location.to_string())
    }

    /// The failures of a group, each with the group's context, or this one alone.
    pub(crate) fn into_failures(self) -> Vec<Self> {
        let (context, after_cancel) = (self.0.context.clone(), self.0.after_cancel);
        match self.downcast::<Group>() {
            Ok(Group(mut failures)) => {
                for failure in &mut failures {
                    failure.0.context.extend(context.iter().cloned());
                    failure.0.after_cancel |= after_cancel;
                }
                failures
            }
            Err(single) => vec![single],
        }
    }

    /// The same failure, born at a line of the user's and not where the runtime noticed it.
    #[must_use]
    pub(crate) fn born_at(mut self, location: &'static Location<'static>) -> Self {
        self.0.location = location;
        self
    }

    /// Somebody else has been told of it: a nursery need not be.
    #[must_use]
    pub(crate) fn delivered(mut self) -> Self {
        self.0.delivered = true;
        self
    }

    pub(crate) fn is_delivered(&self) -> bool {
        self.0.delivered
    }

    /// A second report of the failure `id`: same identity, so that a group holds it once.
    #[must_use]
    pub(crate) fn with_id(mut self, id: FailureId) -> Self {
        self.0.id = id;
        self
    }

    /// The same failure as one of this sort, for a crate that adds errors of its own to the runtime.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }
}

/// The cancel in an error or in one of its causes.
fn mark_in<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Mark> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(cancelled) = error.downcast_ref::<Cancelled>() {
            return Some(&cancelled.mark);
        }
        if let Some(mark) = error.downcast_ref::<Mark>() {
            return Some(mark);
        }
        if let Some(remote) = error.downcast_ref::<RemoteError>() {
            return remote.mark.as_ref();
        }
        next = error.source();
    }
    None
}

/// What a user's `Display` says, if it says anything.
fn text(error: &(impl fmt::Display + ?Sized)) -> Option<String> {
    std::panic::catch_unwind(AssertUnwindSafe(|| error.to_string())).ok()
}

/// Recognises the runtime's own errors, whose identity and kind must survive the conversion.
fn classify(error: &(dyn StdError + Send + Sync + 'static)) -> (FailureId, Kind) {
    if let Some(remote) = error.downcast_ref::<RemoteError>() {
        return (remote.id, remote.kind);
    }
    let kind = if error.is::<Panicked>() {
        Kind::Panicked
    } else if error.is::<TimedOut>() {
        Kind::TimedOut
    } else if error.is::<Misuse>() {
        Kind::Misuse
    } else if error.is::<Group>() {
        Kind::Group
    } else if mark_in(error).is_some() {
        Kind::Cancelled // also in the clothes of an `io::Error`, or of a library's own error around that
    } else {
        Kind::Failed
    };
    (FailureId::fresh(), kind)
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    #[track_caller]
    fn from(error: E) -> Self {
        // An error that was boxed to pass through foreign code comes back as itself.
        let error = match (Box::new(error) as Box<dyn Any>).downcast::<Boxed>() {
            Ok(boxed) => return boxed.0,
            Err(other) => other.downcast::<E>().expect("the box was made from an E"),
        };
        Self::new(error, std::any::type_name::<E>())
    }
}

impl std::ops::Deref for Error {
    type Target = dyn StdError + Send + Sync + 'static;

    fn deref(&self) -> &Self::Target {
        &*self.0.source
    }
}
