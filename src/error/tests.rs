//! Identity, kind and place of failures.

use super::*;

#[derive(Debug)]
struct Lost;
impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lost")
    }
}
impl StdError for Lost {}

#[test]
fn a_boxed_error_comes_back_with_its_identity() {
    let error = Error::from(Lost);
    let id = error.id();
    let again = Error::from(std::io::Error::other(error.into_boxed()));
    assert_ne!(again.id(), id, "a foreign wrapper makes a new failure");
    let direct = Error::from(Boxed(Error::from(Lost).with_id(id)));
    assert_eq!(direct.id(), id);
}

#[test]
fn a_cancel_is_found_through_a_wrapper_that_skips_it() {
    let mark = Mark { scope: ScopeId::fresh(), reason: Reason::Deadline };
    let error = Error::from(std::io::Error::other(Cancelled { mark: mark.clone() }));
    assert_eq!(error.mark(), Some(&mark));
    assert!(error.is_cancelled(), "{:?}", error.kind());
}

#[test]
fn location_is_that_of_the_question_mark() {
    fn fails() -> Result<()> {
        Err(Lost)?;
        Ok(())
    }
    let error = fails().unwrap_err();
    assert!(error.location().file().ends_with("error/tests.rs"), "{}", error.location());
}

#[test]
fn a_remote_error_keeps_identity_kind_and_grows_its_path() {
    let born = Error::from(Lost).to_remote("root/a/b", 1);
    let relayed = Error::from(born.clone()).to_remote("root/a", 1);
    assert_eq!((relayed.id, relayed.kind), (born.id, born.kind));
    assert_eq!(relayed.relay, ["root/a"]);
    assert!(relayed.type_name.ends_with("Lost"));
}

#[test]
fn the_place_is_none_where_a_conversion_was_passed_by_name() {
    fn loses() -> std::result::Result<(), Lost> {
        Err(Lost)
    }
    let error = loses().map_err(Error::from).unwrap_err();
    assert!(error.location().file().starts_with("/rustc/"), "{}", error.location());
    assert_eq!(error.to_remote("root", 1).location, None, "a line of std tells nobody anything");
}

#[test]
fn c14_a_panic_of_another_thread_does_not_get_the_place_of_one_of_this() {
    install_hook();
    let here = std::panic::catch_unwind(|| std::panic::panic_any("here")).unwrap_err();
    // Caught by somebody who made no error of it.
    drop(here);
    let there = std::thread::spawn(|| std::panic::panic_any("there")).join().unwrap_err();
    let error = Error::from_panic(there);
    let panicked = error.downcast_ref::<Panicked>().unwrap();
    assert_eq!((panicked.message(), panicked.location()), ("there", None));
    let here = std::panic::catch_unwind(|| std::panic::panic_any("here")).unwrap_err();
    let error = Error::from_panic(here);
    let place = error.downcast_ref::<Panicked>().unwrap().location().unwrap().to_owned();
    assert!(place.contains("error/tests.rs"), "{place}");
}
