//! Functions that other actors can call: how one is named, found, and served.
//!
//! The table is a linker section, so a child finds by name what its parent names by the function itself. Declaring the
//! section needs an attribute that the compiler counts as unsafe; nothing here is executed.
#![allow(unsafe_code)]

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::OnceLock;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wire::Inbound;
use crate::dialog::Far;
use crate::error::Misuse;
use crate::{Error, Result};

/// What every endpoint of the program has put here.
#[linkme::distributed_slice]
pub static ENDPOINTS: [Entry];

/// An endpoint as the program's table has it. Made by `#[pleach::endpoint]`.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The name on the wire.
    pub name: &'static str,
    /// The types it takes and gives, for errors.
    pub signature: &'static str,
    /// A hash of that.
    pub hash: u64,
    /// The version its author gave it.
    pub version: u32,
    /// Which function it is, in this program.
    pub key: fn() -> TypeId,
    /// Runs it for one dialog and gives its encoded result.
    pub serve: fn(Inbound) -> Serving,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("signature", &self.signature).finish_non_exhaustive()
    }
}

/// A running endpoint: ends with its encoded result.
pub type Serving = Pin<Box<dyn Future<Output = Result<Vec<u8>>> + Send>>;

/// The identity of a function in this program.
pub fn key_of<F: 'static>(_: &F) -> TypeId {
    TypeId::of::<F>()
}

/// Serves a function of arguments only.
pub fn serve_call<A, R, Fut>(mut inbound: Inbound, function: fn(A) -> Fut) -> Serving
where
    A: DeserializeOwned + Send + 'static,
    R: Serialize + Send + 'static,
    Fut: Future<Output = Result<R>> + Send + 'static,
{
    Box::pin(async move {
        let arguments = inbound.arguments::<A>().await?;
        let result = function(arguments).await?;
        inbound.encode(result).await
    })
}

/// Serves a function that converses.
pub fn serve_dialog<First, In, Out, A, R, Fut>(
    mut inbound: Inbound,
    function: fn(Far<First, In, Out>, A) -> Fut,
) -> Serving
where
    First: Serialize + Send + 'static,
    In: DeserializeOwned + Send + 'static,
    Out: Serialize + Send + 'static,
    A: DeserializeOwned + Send + 'static,
    R: Serialize + Send + 'static,
    Fut: Future<Output = Result<R>> + Send + 'static,
{
    Box::pin(async move {
        let arguments = inbound.arguments::<A>().await?;
        let result = function(inbound.far(), arguments).await?;
        inbound.encode(result).await
    })
}

/// What is asked for on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub(crate) name: String,
    pub(crate) hash: u64,
    pub(crate) version: u32,
}

struct Index {
    by_name: HashMap<&'static str, &'static Entry>,
    by_key: HashMap<TypeId, &'static Entry>,
    twice: Option<&'static str>,
}

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let mut index = Index { by_name: HashMap::new(), by_key: HashMap::new(), twice: None };
        for entry in ENDPOINTS {
            if index.by_name.insert(entry.name, entry).is_some() {
                index.twice = Some(entry.name);
            }
            index.by_key.insert((entry.key)(), entry);
        }
        index
    })
}

/// The endpoint of that name in this program.
pub(crate) fn by_name(name: &str) -> Option<&'static Entry> {
    index().by_name.get(name).copied()
}

/// The endpoint that this function is.
pub(crate) fn of<F: 'static>() -> Result<&'static Entry> {
    if let Some(name) = index().twice {
        let text = format!("two endpoints are called `{name}`: give one of them `#[pleach::endpoint(name = \"..\")]`");
        return Err(Misuse::new(text).into());
    }
    index().by_key.get(&TypeId::of::<F>()).copied().ok_or_else(not_annotated::<F>)
}

fn not_annotated<F>() -> Error {
    let name = std::any::type_name::<F>();
    Misuse::new(format!("`{name}` is not an endpoint: write `#[pleach::endpoint]` above it")).into()
}

fn target_of<F: 'static>() -> Result<Target> {
    let entry = of::<F>()?;
    Ok(Target { name: entry.name.to_owned(), hash: entry.hash, version: entry.version })
}

/// A function of arguments only that can be run in another actor: an endpoint, or a [`Named`] one.
///
/// `Args` is the tuple of its arguments.
#[diagnostic::on_unimplemented(
    message = "this cannot be run with these arguments",
    note = "`run` takes an endpoint without a `Far`, and its arguments as one tuple: `(a,)`, `(a, b)`, or `()` for none",
    note = "an endpoint that takes a `Far` converses: use `open_context`"
)]
pub trait CallFn<Args>: Send + 'static {
    /// What it returns when it does not fail.
    type Output;
    /// What to ask for.
    #[doc(hidden)]
    fn target(&self) -> Result<Target>;
}

/// A function that converses and can be opened in another actor: an endpoint, or a [`Named`] one.
///
/// `Args` is the tuple of its arguments after the [`Far`].
#[diagnostic::on_unimplemented(
    message = "this cannot be opened with these arguments",
    note = "`open_context` takes an endpoint whose first argument is a `Far`, and the others as one tuple: `(a,)`, or `()`",
    note = "an endpoint without a `Far` is called: use `run`"
)]
pub trait DialogFn<First, In, Out, Args>: Send + 'static {
    /// What it returns when it does not fail.
    type Output;
    /// What to ask for.
    #[doc(hidden)]
    fn target(&self) -> Result<Target>;
}

macro_rules! functions {
    ($($argument:ident),*) => {
        impl<F, Fut, R, $($argument),*> CallFn<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Fut + Send + 'static,
            Fut: Future<Output = Result<R>>,
        {
            type Output = R;

            fn target(&self) -> Result<Target> {
                target_of::<F>()
            }
        }

        impl<F, Fut, First, In, Out, R, $($argument),*> DialogFn<First, In, Out, ($($argument,)*)> for F
        where
            F: Fn(Far<First, In, Out>, $($argument),*) -> Fut + Send + 'static,
            Fut: Future<Output = Result<R>>,
        {
            type Output = R;

            fn target(&self) -> Result<Target> {
                target_of::<F>()
            }
        }
    };
}

functions!();
functions!(A1);
functions!(A1, A2);
functions!(A1, A2, A3);
functions!(A1, A2, A3, A4);
functions!(A1, A2, A3, A4, A5);
functions!(A1, A2, A3, A4, A5, A6);

/// An endpoint by its name alone: one of another program, of another version of this one, or of another language.
///
/// Nothing is known of its signature here, so nothing is compared; arguments that it cannot decode are its error.
///
/// ```
/// use pleach::actor::Named;
///
/// let double = Named::<(u64,), u64>::new("calculator::double");
/// # let _ = double;
/// ```
///
/// For one that converses, the first parameter is the tuple of its `First`, `In` and `Out` and the tuple of its other
/// arguments:
///
/// ```
/// use pleach::actor::Named;
///
/// // async fn doubles(far: Far<String, u64, u64>, by: u64) -> Result<()>
/// let doubles = Named::<(String, u64, u64, (u64,)), ()>::new("calculator::doubles");
/// # let _ = doubles;
/// ```
pub struct Named<Args, R> {
    name: String,
    types: PhantomData<fn(Args) -> R>,
}

impl<Args, R> Named<Args, R> {
    /// The endpoint of that name, which takes `Args` (a tuple) and returns `R`.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), types: PhantomData }
    }
}

impl<Args, R> fmt::Debug for Named<Args, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Named").field(&self.name).finish()
    }
}

impl<Args: 'static, R: 'static> CallFn<Args> for Named<Args, R> {
    type Output = R;

    fn target(&self) -> Result<Target> {
        Ok(Target { name: self.name.clone(), hash: 0, version: 0 })
    }
}

impl<First: 'static, In: 'static, Out: 'static, Args: 'static, R: 'static> DialogFn<First, In, Out, Args>
    for Named<(First, In, Out, Args), R>
{
    type Output = R;

    fn target(&self) -> Result<Target> {
        Ok(Target { name: self.name.clone(), hash: 0, version: 0 })
    }
}
