//! The type that a program would have for the messages of a sample. JSON does not say it, so it is what all of them have in common.
//!
//! Without it only codecs could be compared that say in each message what comes, and all of them would do so more slowly than for a type.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Records with more fields are taken for maps, whose keys are data.
const MOST_FIELDS: usize = 64;

/// Of this process: the actors are told it before the first message.
static SHAPE: OnceLock<Shape> = OnceLock::new();

/// That of all messages.
pub(crate) fn shape() -> &'static Shape {
    SHAPE.get().expect("it is set before there is a message")
}

/// Sets it; the first one counts, of several actors in one process.
pub(crate) fn set_shape(shape: Shape) -> &'static Shape {
    SHAPE.get_or_init(|| shape)
}

/// What is at one place in all messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Shape {
    /// Nothing ever was.
    Nothing,
    Bool,
    /// Not below 0, and not above what an `i64` holds.
    Small,
    Unsigned,
    Signed,
    Float,
    Text,
    /// Text that says so, as JSON of pleach does: base64 behind `base64:`.
    Bytes,
    /// It may be null, or not be there.
    Option(Box<Self>),
    List(Box<Self>),
    Record(Names, Vec<Self>),
    Map(Box<Self>),
    /// Of several types, for which a program has an enum.
    Mixed,
}

/// Names of fields, which serde wants for ever.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<String>")]
pub(crate) struct Names(pub(crate) &'static [&'static str]);

impl From<Vec<String>> for Names {
    fn from(names: Vec<String>) -> Self {
        let names: Vec<&'static str> = names.into_iter().map(|name| &*name.leak()).collect();
        Self(names.leak())
    }
}

/// The same while it still grows.
enum Draft {
    Plain(Shape),
    Option(Box<Self>),
    List(Box<Self>),
    Record(Vec<(String, Self)>),
    Map(Box<Self>),
}

impl Shape {
    /// What all of these have in common.
    pub(crate) fn of(values: &[Value]) -> Self {
        values.iter().map(Draft::of).fold(Draft::Plain(Self::Nothing), Draft::and).done()
    }

    /// Whether something in it is of several types.
    pub(crate) fn is_mixed(&self) -> bool {
        match self {
            Self::Mixed => true,
            Self::Option(inner) | Self::List(inner) | Self::Map(inner) => inner.is_mixed(),
            Self::Record(_, fields) => fields.iter().any(Self::is_mixed),
            _ => false,
        }
    }
}

impl Draft {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Option(Box::new(Self::Plain(Shape::Nothing))),
            Value::Bool(_) => Self::Plain(Shape::Bool),
            Value::Number(number) => Self::Plain(match (number.as_i64(), number.as_u64()) {
                (Some(_), Some(_)) => Shape::Small,
                (Some(_), None) => Shape::Signed,
                (None, Some(_)) => Shape::Unsigned,
                (None, None) => Shape::Float,
            }),
            Value::String(text) => {
                Self::Plain(if super::node::bytes_in(text).is_some() { Shape::Bytes } else { Shape::Text })
            }
            Value::Array(items) => Self::List(Box::new(common(items.iter().map(Self::of)))),
            Value::Object(fields) => {
                Self::record(fields.iter().map(|(name, value)| (name.clone(), Self::of(value))).collect())
            }
        }
    }

    fn record(fields: Vec<(String, Self)>) -> Self {
        if fields.len() <= MOST_FIELDS {
            return Self::Record(fields);
        }
        Self::Map(Box::new(common(fields.into_iter().map(|(_, field)| field))))
    }

    /// What both have in common.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Plain(Shape::Nothing), other) | (other, Self::Plain(Shape::Nothing)) => other,
            (Self::Option(one), Self::Option(other)) => Self::Option(Box::new(one.and(*other))),
            (Self::Option(one), other) | (other, Self::Option(one)) => Self::Option(Box::new(one.and(other))),
            (Self::List(one), Self::List(other)) => Self::List(Box::new(one.and(*other))),
            (Self::Map(one), Self::Map(other)) => Self::Map(Box::new(one.and(*other))),
            (Self::Map(values), Self::Record(fields)) | (Self::Record(fields), Self::Map(values)) => {
                Self::Map(Box::new(fields.into_iter().map(|(_, field)| field).fold(*values, Self::and)))
            }
            (Self::Record(one), Self::Record(other)) => Self::record(united(one, other)),
            (Self::Plain(one), Self::Plain(other)) => Self::Plain(common_plain(one, other)),
            _ => Self::Plain(Shape::Mixed),
        }
    }

    fn optional(self) -> Self {
        match self {
            Self::Option(_) => self,
            other => Self::Option(Box::new(other)),
        }
    }

    fn done(self) -> Shape {
        match self {
            Self::Plain(shape) => shape,
            Self::Option(inner) => Shape::Option(Box::new(inner.done())),
            Self::List(inner) => Shape::List(Box::new(inner.done())),
            Self::Map(inner) => Shape::Map(Box::new(inner.done())),
            Self::Record(fields) => {
                let (names, shapes): (Vec<_>, _) = fields.into_iter().map(|(name, field)| (name, field.done())).unzip();
                Shape::Record(names.into(), shapes)
            }
        }
    }
}

fn common(drafts: impl Iterator<Item = Draft>) -> Draft {
    drafts.fold(Draft::Plain(Shape::Nothing), Draft::and)
}

fn common_plain(one: Shape, other: Shape) -> Shape {
    use Shape::{Bytes, Float, Mixed, Signed, Small, Text, Unsigned};
    match (one, other) {
        (one, other) if one == other => one,
        (Text | Bytes, Text | Bytes) => Text,
        (Small, Unsigned) | (Unsigned, Small) => Unsigned,
        (Small, Signed) | (Signed, Small) => Signed,
        (Small | Unsigned | Signed | Float, Small | Unsigned | Signed | Float) => Float,
        _ => Mixed,
    }
}

/// The fields of either, of which those are options that only one has.
fn united(one: Vec<(String, Draft)>, other: Vec<(String, Draft)>) -> Vec<(String, Draft)> {
    let mut others: Vec<Option<(String, Draft)>> = other.into_iter().map(Some).collect();
    let mut take = |name: &str, at: usize| {
        let is_it = |other: &Option<(String, Draft)>| other.as_ref().is_some_and(|(known, _)| known == name);
        // Messages mostly have the same fields in the same order.
        let at = if others.get(at).is_some_and(is_it) { at } else { others.iter().position(is_it)? };
        others[at].take()
    };
    let mut fields = Vec::new();
    for (at, (name, field)) in one.into_iter().enumerate() {
        let field = match take(&name, at) {
            Some((_, other)) => field.and(other),
            None => field.optional(),
        };
        fields.push((name, field));
    }
    fields.extend(others.into_iter().flatten().map(|(name, field)| (name, field.optional())));
    fields
}
