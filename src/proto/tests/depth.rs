//! X6: what the protocol reads fits a small stack, however deep it claims to be.

use crate::error::Reason;
use crate::proto::plain::{get, put};

/// A reason in a reason, `depth` times, as only a liar writes it.
fn nested(depth: usize) -> Vec<u8> {
    let mut reason = Reason::Deadline;
    for _ in 0..depth {
        reason = Reason::ParentCancelled { actor: String::new(), because: Box::new(reason) };
    }
    let mut bytes = Vec::new();
    put(&mut bytes, &reason).unwrap();
    bytes
}

#[test]
fn x06_what_is_nested_too_deep_is_refused_on_a_small_stack() {
    let small = std::thread::Builder::new().stack_size(512 * 1024);
    let read = small.spawn(|| {
        assert!(get::<Reason>(&nested(10)).is_ok());
        assert!(get::<Reason>(&nested(400)).is_err());
        assert!(get::<Reason>(&[0x91; 100_000]).is_err());
    });
    read.unwrap().join().expect("the stack is large enough");
}
