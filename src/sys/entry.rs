//! The entry point of a binary whose `main` is not its own.

/// Makes a binary of ordinary tests able to be any actor of its tests: one line, at the top of the file.
///
/// ```
/// pleach::test_entry!();
/// # fn main() {}
/// ```
///
/// An actor is the same program, started again. The `main` of a test binary belongs to the test harness, which knows no
/// actors, so this line has the program look *before* `main` whether it was started as one. Then it lives that actor's
/// life and exits, and no test is run. In the root nothing happens but that actors can be started from then on.
///
/// Write it once per test binary: at the top of each file in `tests/`, and of `lib.rs` for the tests in a library. It is
/// there in tests only, and needs no `#[cfg(test)]`. A binary whose actors are all carried by
/// [memory](crate::actor::Carrier::Mem) does without, and so does one that has a `main` of its own (`harness = false`),
/// which calls [`enter`](crate::actor::enter).
///
/// # Options
///
/// * `init = function`: a `fn()` that runs in every actor before its host: subscribers, panic hooks. In the root it does
///   not run.
///
/// # What differs before `main`
///
/// An actor of a test binary is at home in the start of its program, so that its main thread has no name yet (a panic
/// says `<unnamed>`), a stack overflow ends it without a message, and static constructors of other crates may not have
/// run. Arguments are visible there with glibc; with musl they are not, and starting an actor fails. What actors print
/// is not captured by the harness of `cargo test`; `cargo nextest` captures it.
///
/// # Panics
/// A panic of `init` ends the actor before its handshake, which fails its start.
///
/// # Examples
/// ```
/// pleach::test_entry!(init = setup);
///
/// fn setup() {
///     std::panic::set_hook(Box::new(|panic| eprintln!("process {}: {panic}", std::process::id())));
/// }
/// # fn main() { let _ = setup; }
/// ```
#[macro_export]
macro_rules! test_entry {
    () => {
        $crate::test_entry!(init = || {});
    };
    (init = $init:expr $(,)?) => {
        #[cfg(test)]
        const _: () = {
            extern "C" fn enter() {
                $crate::__private::before_main($init);
            }

            // The loader calls what stands in this section once, after the standard library has seen the arguments.
            #[used]
            #[unsafe(link_section = ".init_array")]
            static ENTRY: extern "C" fn() = enter;
        };
    };
}
