//! Who is at the other end: versions and the codec, agreed on with one Hello from each side.
//!
//! The parent speaks first and the child always answers, also when it cannot agree: so both ends can tell their user
//! what does not fit.

use thiserror::Error;

use super::control::Hello;

/// The first field of every Hello.
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"plch");
/// Sides of different major versions do not talk.
pub(crate) const MAJOR: u16 = 1;
/// Sides of different minor versions use the smaller one.
pub(crate) const MINOR: u16 = 0;

/// What a side brings into the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The codecs it knows, its favourite first.
    pub(crate) codecs: Vec<String>,
    /// The largest message it takes on the data connection.
    pub(crate) max_message: u64,
}

/// What both sides hold to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// The minor version.
    pub(crate) minor: u16,
    /// The codec of the data connection.
    pub(crate) codec: String,
    /// The largest message that both take.
    pub(crate) max_message: u64,
    /// The process at the other end, as it says.
    pub(crate) peer: u32,
}

/// Why two sides cannot talk.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum HandshakeError {
    #[error("the other end does not speak this protocol: it starts with {0:#010x}")]
    Magic(u32),
    #[error(
        "the other end speaks version {theirs_major}.{theirs_minor} of the protocol, this end {MAJOR}.{MINOR}: \
         build both from one version of pleach"
    )]
    Version { theirs_major: u16, theirs_minor: u16 },
    #[error(
        "no codec in common: the parent offers {parent:?}, the child knows {child:?}; \
         a codec of one's own must be in `pleach::codec::CODECS` of the child's program"
    )]
    Codec { parent: Vec<String>, child: Vec<String> },
    #[error("the child chose {chosen:?} where {expected:?} was to be chosen")]
    Choice { chosen: Option<String>, expected: String },
}

/// The parent's half: it has said Hello and waits for the answer.
#[derive(Clone, Debug)]
pub(crate) struct ParentSide {
    hello: Hello,
}

impl ParentSide {
    /// Makes the Hello of process `pid` in the tree `tree`.
    pub(crate) fn new(tree: &str, pid: u32, known: &Known) -> Self {
        Self { hello: introduce(tree, pid, known) }
    }

    /// What to send.
    pub(crate) fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Judges the answer. Whatever it says, the handshake is over.
    pub(crate) fn finish(self, answer: &Hello) -> Result<Agreed, HandshakeError> {
        check_version(answer)?;
        let codec = choose(&self.hello.codecs, &answer.codecs)?;
        if answer.chosen.as_ref() != Some(&codec) {
            return Err(HandshakeError::Choice { chosen: answer.chosen.clone(), expected: codec });
        }
        Ok(agree(&self.hello, answer, codec))
    }
}

/// The child's half: it waits for the parent's Hello.
#[derive(Clone, Debug)]
pub(crate) struct ChildSide {
    pid: u32,
    known: Known,
}

impl ChildSide {
    /// Waits for a Hello in process `pid`.
    pub(crate) fn new(pid: u32, known: Known) -> Self {
        Self { pid, known }
    }

    /// What to answer in any case, and what has been agreed on.
    pub(crate) fn answer(self, hello: &Hello) -> (Hello, Result<Agreed, HandshakeError>) {
        let mut answer = introduce(&hello.tree, self.pid, &self.known);
        let chosen = check_version(hello).and_then(|()| choose(&hello.codecs, &self.known.codecs));
        answer.chosen = chosen.as_ref().ok().cloned();
        let agreed = chosen.map(|codec| agree(&answer, hello, codec));
        (answer, agreed)
    }
}

fn introduce(tree: &str, pid: u32, known: &Known) -> Hello {
    Hello {
        magic: MAGIC,
        major: MAJOR,
        minor: MINOR,
        tree: tree.to_owned(),
        pid,
        codecs: known.codecs.clone(),
        chosen: None,
        max_message: known.max_message,
    }
}

fn check_version(theirs: &Hello) -> Result<(), HandshakeError> {
    if theirs.magic != MAGIC {
        return Err(HandshakeError::Magic(theirs.magic));
    }
    if theirs.major != MAJOR {
        return Err(HandshakeError::Version { theirs_major: theirs.major, theirs_minor: theirs.minor });
    }
    Ok(())
}

/// The first of the parent's codecs that the child knows.
fn choose(parent: &[String], child: &[String]) -> Result<String, HandshakeError> {
    let common = parent.iter().find(|codec| child.contains(codec)).cloned();
    common.ok_or_else(|| HandshakeError::Codec { parent: parent.to_vec(), child: child.to_vec() })
}

fn agree(ours: &Hello, theirs: &Hello, codec: String) -> Agreed {
    Agreed {
        minor: ours.minor.min(theirs.minor),
        codec,
        max_message: ours.max_message.min(theirs.max_message),
        peer: theirs.pid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(codecs: &[&str], max_message: u64) -> Known {
        Known { codecs: codecs.iter().map(|codec| (*codec).to_owned()).collect(), max_message }
    }

    #[test]
    fn t02_both_sides_agree_on_the_parents_favourite_and_the_smaller_limits() {
        let parent = ParentSide::new("tree", 1, &known(&["own", "msgpack", "json"], 100));
        let mut hello = parent.hello().clone();
        hello.minor = 7;
        let (answer, childs) = ChildSide::new(2, known(&["json", "msgpack"], 50)).answer(&hello);
        let (childs, parents) = (childs.unwrap(), parent.finish(&answer).unwrap());
        assert_eq!((childs.codec.as_str(), childs.max_message, childs.minor), ("msgpack", 50, MINOR));
        assert_eq!((parents.peer, childs.peer), (2, 1));
        assert_eq!((&parents.codec, parents.max_message), (&childs.codec, 50));
    }

    #[test]
    fn x07_another_major_version_is_an_error_that_names_both() {
        let parent = ParentSide::new("tree", 1, &known(&["json"], 1));
        let mut hello = parent.hello().clone();
        (hello.major, hello.minor) = (9, 4);
        let (answer, agreed) = ChildSide::new(2, known(&["json"], 1)).answer(&hello);
        let text = agreed.unwrap_err().to_string();
        assert!(text.contains("9.4") && text.contains(&format!("{MAJOR}.{MINOR}")), "{text}");
        assert_eq!(answer.chosen, None, "an answer is sent all the same");
    }

    #[test]
    fn another_magic_is_an_error() {
        let parent = ParentSide::new("tree", 1, &known(&["json"], 1));
        let answer = Hello { magic: 1, ..parent.hello().clone() };
        assert_eq!(parent.finish(&answer), Err(HandshakeError::Magic(1)));
    }

    #[test]
    fn t02_no_common_codec_is_an_error_on_both_sides_that_names_both_lists() {
        let parent = ParentSide::new("tree", 1, &known(&["own"], 1));
        let (answer, agreed) = ChildSide::new(2, known(&["json"], 1)).answer(parent.hello());
        let expected = HandshakeError::Codec { parent: vec!["own".into()], child: vec!["json".into()] };
        assert_eq!(agreed, Err(expected.clone()));
        assert_eq!(parent.finish(&answer), Err(expected));
    }

    #[test]
    fn a_child_that_chooses_otherwise_is_refused() {
        let parent = ParentSide::new("tree", 1, &known(&["msgpack", "json"], 1));
        let (mut answer, _) = ChildSide::new(2, known(&["json", "msgpack"], 1)).answer(parent.hello());
        answer.chosen = Some("json".into());
        assert!(matches!(parent.finish(&answer), Err(HandshakeError::Choice { .. })));
    }
}
