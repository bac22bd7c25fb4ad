//! The attribute macros of pleach: `#[pleach::endpoint]`, `#[pleach::main]` and `#[pleach::test]`.
//!
//! Use them through the `pleach` crate, as `pleach::endpoint`: what they write names that crate.
#![forbid(unsafe_code)]

mod endpoint;
mod main_fn;
mod test_fn;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Makes an `async fn` callable from other actors. The function itself stays as it is.
///
/// The program's table of endpoints gets an entry for it, so that a child, which is the same program, finds it by name.
/// A portal takes the function itself: `portal.run(double, (21,))`, `portal.open_context(doubles, (), ..)`. An actor
/// serves it only if it was exposed where the actor is started: `n.actor("worker").expose(double)`.
///
/// * A function whose first argument is a `Far<First, In, Out>` converses; it is opened with `open_context`. The argument
///   is recognised by the name `Far`, so do not rename the type.
/// * Any other function is called with `run`.
/// * Besides the `Far` it takes up to six arguments. They and the result are owned serde types, and `Send`, as are the
///   `First`, `In` and `Out` of a dialog; the function's future is `Send`.
///
/// # Options
///
/// * `name = ".."`: the name on the wire, instead of `crate::module::function`. Two endpoints of one name are an error
///   at the first use of any.
/// * `version = N`: compared when the endpoint is opened, together with a hash of the argument types as they are written;
///   1 by default. 0 is not compared.
///
/// # Errors
/// It does not compile on a function that is not `async`, is generic, takes `self`, or returns nothing: the failure of an
/// endpoint must have a way out, so it returns `pleach::Result<..>`.
///
/// # Examples
/// ```no_run
/// use pleach::prelude::*;
///
/// #[pleach::endpoint]
/// async fn double(n: u64) -> Result<u64> {
///     Ok(2 * n)
/// }
///
/// #[pleach::endpoint(name = "doubles", version = 2)]
/// async fn doubles(mut far: Far<(), u64, u64>) -> Result<()> {
///     far.started(()).await?;
///     while let Some(n) = far.recv().await? {
///         far.send(2 * n).await?;
///     }
///     Ok(())
/// }
/// ```
#[proc_macro_attribute]
pub fn endpoint(attributes: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(attributes with endpoint::Options::parse);
    let function = parse_macro_input!(item as syn::ItemFn);
    endpoint::expand(&options, &function).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Makes `async fn main` the root of a tree, and its program able to be any actor of that tree.
///
/// An actor is this same program, started again. What the attribute writes looks first whether this process was started
/// as one: then it lives that actor's life and exits, and the body below is never run. Otherwise the body runs, as the
/// root, on smol with one thread unless another host is named. `pleach::actor::enter` and `pleach::actor::run` do the same by
/// hand.
///
/// The function takes no arguments and returns nothing or a `pleach::Result<T>`; its future is `Send`, so what is not (the iterator
/// `std::env::args()`: collect it) is not kept over an await. An `Err` is printed to standard error, with where it
/// was born and how it came here, and makes the exit status 1, as a panic does; `T` is dropped.
///
/// SIGINT (Ctrl-C) and SIGTERM cancel the tree, as `pleach::actor::run` says. The exit status then is 130 or 143, however the
/// root ended, and only what failed on the way is printed.
///
/// # Options
///
/// * `init = function`: a `fn()` that runs in the root and in every actor before the host is started: subscribers, panic
///   hooks. In an actor, it must not start processes.
/// * `host = EXPRESSION`: what runs the root instead of smol with one thread: `host = Smol::threads(4)`, and with `pleach-bridge`
///   `host = Tokio::current_thread()`. Actors have a host each, by `ActorBuilder::host`.
///
/// # Errors
/// It does not compile on a function that is not `async` or takes arguments: read `std::env::args()`.
///
/// # Examples
/// ```no_run
/// use pleach::prelude::*;
///
/// fn setup() {
///     std::panic::set_hook(Box::new(|panic| eprintln!("process {}: {panic}", std::process::id())));
/// }
///
/// #[pleach::main(init = setup)]
/// async fn main() -> Result<()> {
///     println!("the tree is up");
///     Ok(())
/// }
/// ```
///
/// One that cannot fail:
/// ```
/// #[pleach::main]
/// async fn main() {
///     println!("the tree is up");
/// }
/// ```
#[proc_macro_attribute]
pub fn main(attributes: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(attributes with main_fn::Options::parse);
    let function = parse_macro_input!(item as syn::ItemFn);
    main_fn::expand(&options, &function).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Makes an `async fn` an ordinary test whose body is the root of a tree.
///
/// It works with the test harness of `cargo test`, where tests run beside each other in one process, and with
/// `cargo nextest`. Each test is a root, and a tree, of its own; it runs on smol with one thread. `#[ignore]`,
/// `#[should_panic]` and `#[cfg(..)]` mean what they always do.
///
/// The function takes no arguments and returns nothing or a `pleach::Result<T>`. An `Err` or a panic fails the test.
///
/// Time is real. What has no actors and no sockets is tested in virtual time by an ordinary `#[test]`, with
/// `pleach::task::VirtualClock::block_on`.
///
/// Actors on `Carrier::Mem` need nothing else. Actors that are processes need one line in the same binary,
/// `pleach::test_entry!();`; without it starting one fails before anything is started, and the error names that line.
///
/// # Options
///
/// * `timeout = ".."`: how long the test may take, as a number and a unit, `500ms`, `30s` or `2min`; 60 s by default. When it
///   is over the body is cancelled, and the test fails with the actors that were alive then and what each of them had not
///   answered. A body that has not ended 6 s later, because it blocks its thread, is left behind, and the test fails all
///   the same.
/// * `host = EXPRESSION`: what runs the root instead of smol.
///
/// # Errors
/// It does not compile on a function that is not `async`, takes arguments, or has `#[test]` as well; nor where one that
/// `#[should_panic]` returns something.
///
/// # Examples
/// ```
/// use pleach::prelude::*;
///
/// pleach::test_entry!();
///
/// #[pleach::endpoint]
/// async fn double(n: u64) -> Result<u64> {
///     Ok(2 * n)
/// }
///
/// #[pleach::test(timeout = "10s")]
/// async fn doubles() -> Result<()> {
///     actor_nursery(async |n| {
///         let worker = n.actor("worker").expose(double).start().await?;
///         assert_eq!(worker.run(double, (21,)).await?, 42);
///         worker.cancel_actor().await
///     })
///     .await
/// }
/// # fn main() {}
/// ```
#[proc_macro_attribute]
pub fn test(attributes: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(attributes with test_fn::Options::parse);
    let function = parse_macro_input!(item as syn::ItemFn);
    test_fn::expand(&options, &function).unwrap_or_else(|error| error.to_compile_error()).into()
}
