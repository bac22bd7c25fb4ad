//! Where in a value it is that cannot be encoded.
//!
//! The error of a serializer holds a text and nothing else, so the way is written into that text while the error comes out of the value,
//! or, where that text cannot be had, into a cell. As long as all goes well, nothing is done for it.
#![forbid(unsafe_code)]

/// Before the way.
const WAY: char = '\u{1}';
/// Between the way and the cause.
const CAUSE: char = '\u{2}';

/// Characters of a way that are shown from each of its ends.
const SHOWN: usize = 100;

/// One step into a value.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// A field, or a variant.
    Name(&'static str),
    /// One of those that have no name.
    Item,
}

impl Step {
    /// What the text of an error becomes one step further out.
    #[cold]
    pub(super) fn put_into(self, text: &str) -> String {
        let (way, cause) = parts(text);
        let mut way = way.to_owned();
        self.put_before(&mut way);
        join(&way, cause)
    }

    /// The way one step further out.
    pub(super) fn put_before(self, way: &mut String) {
        match self {
            Self::Name(name) => way.insert_str(0, &format!(".{name}")),
            Self::Item => way.insert_str(0, "[..]"),
        }
    }
}

/// A text of both.
pub(super) fn join(way: &str, cause: &str) -> String {
    if way.is_empty() { cause.to_owned() } else { format!("{WAY}{way}{CAUSE}{cause}") }
}

fn parts(text: &str) -> (&str, &str) {
    text.strip_prefix(WAY).and_then(|text| text.split_once(CAUSE)).unwrap_or(("", text))
}

/// The way and the cause in the text of an error, for a reader.
pub(super) fn split(text: &str) -> (&str, &str) {
    let (way, cause) = parts(text);
    (way.trim_start_matches('.'), cause)
}

/// A way for a reader: what is in the middle of one through a hundred levels says little.
pub(super) fn shortened(way: &str) -> String {
    let Some((from, _)) = way.char_indices().rev().nth(SHOWN - 1) else { return way.to_owned() };
    match way.char_indices().nth(SHOWN) {
        Some((to, _)) if to < from => format!("{} .. {}", &way[..to], &way[from..]),
        _ => way.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_grows_outwards() {
        let mut text = "no".to_owned();
        assert_eq!(split(&text), ("", "no"));
        for step in [Step::Name("celsius"), Step::Item, Step::Name("readings")] {
            text = step.put_into(&text);
        }
        assert_eq!(split(&text), ("readings[..].celsius", "no"));
    }

    #[test]
    fn of_a_long_way_both_ends_are_shown() {
        let short = "a.b".repeat(60);
        assert_eq!(shortened(&short), short);
        let long = format!("first{}last", "\u{e9}[..]".repeat(100));
        let text = shortened(&long);
        assert!(text.starts_with("first\u{e9}") && text.ends_with("[..]last") && text.chars().count() == 204, "{text}");
    }
}
