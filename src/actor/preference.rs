//! What whoever runs a program may choose from outside, to compare: a transport and a codec, among those that are as safe.
//!
//! It chooses where the program has not chosen, and adds nothing: a codec that an actor does not list is not used, and what
//! would open a port, or put an actor into another process than the program means, is refused.

use super::carrier::Carrier;
use crate::Result;
use crate::codec::Codec;
use crate::error::Misuse;

/// The transport of actors whose program names none.
const TRANSPORT: &str = "PLEACH_TRANSPORT";
/// The codec to come first where it is listed.
const CODEC: &str = "PLEACH_CODEC";

/// The carrier that the environment asks for.
pub(super) fn carrier() -> Result<Option<Carrier>> {
    let Some(name) = asked(TRANSPORT) else { return Ok(None) };
    let refused = match name.as_str() {
        "inherited" => return Ok(Some(Carrier::Inherited)),
        "uds" => return Ok(Some(Carrier::Uds)),
        "tcp" => "a port is opened only by a program that says so: `.carrier(Carrier::Tcp(..))`",
        "mem" => "an actor shares a process only where the program says so: `.carrier(Carrier::Mem)`",
        _ => "there is no such transport",
    };
    Err(Misuse::new(format!("{TRANSPORT}={name}: {refused}; here it can be `inherited` or `uds`")).into())
}

/// Whether the codec that the environment asks for is one at all.
pub(super) fn check_codec() -> Result<()> {
    let Some(name) = asked(CODEC).filter(|name| Codec::from_name(name).is_none()) else { return Ok(()) };
    let known: Vec<_> = Codec::all().map(|codec| format!("`{}`", codec.name())).collect();
    let text = format!("{CODEC}={name}: there is no such codec; here it can be {}", known.join(" or "));
    Err(Misuse::new(text).into())
}

/// Puts the codec that the environment asks for first, if it is among them.
pub(super) fn sort_codecs<T>(codecs: &mut [T], name_of: impl Fn(&T) -> &str) {
    let Some(name) = asked(CODEC) else { return };
    match codecs.iter().position(|codec| name_of(codec) == name) {
        Some(at) => codecs[..=at].rotate_right(1),
        None => {
            let listed: Vec<_> = codecs.iter().map(name_of).collect();
            tracing::warn!(
                "{CODEC}={name} changes nothing where {listed:?} are listed: it puts a codec first, and adds none"
            );
        }
    }
}

fn asked(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}
