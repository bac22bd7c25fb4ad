//! A message as a value of the type that a program would have for it: what is encoded and decoded is what serde's derive would do.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_json::Value;

use super::shape::Shape;

/// The bytes that a text stands for, if it says so.
pub(crate) fn bytes_in(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.strip_prefix("base64:")?).ok()
}

/// What is at one place in a message.
#[derive(Debug)]
pub(crate) enum Node {
    Nothing,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    Bytes(ByteBuf),
    /// The items of a list, or the fields of a record.
    Many(Vec<Self>),
    Map(Vec<(String, Self)>),
    Mixed(Value),
}

impl Node {
    /// A value of this shape, which was made of it.
    pub(crate) fn new(value: Value, shape: &Shape) -> Self {
        match (shape, value) {
            (Shape::Mixed, value) => Self::Mixed(value),
            (_, Value::Null) => Self::Nothing,
            (Shape::Option(inner), value) => Self::new(value, inner),
            (_, Value::Bool(value)) => Self::Bool(value),
            (Shape::Bytes, Value::String(text)) => Self::Bytes(bytes_in(&text).unwrap_or_default().into()),
            (_, Value::String(text)) => Self::Text(text),
            (Shape::List(inner), Value::Array(items)) => {
                Self::Many(items.into_iter().map(|item| Self::new(item, inner)).collect())
            }
            (Shape::Map(inner), Value::Object(entries)) => {
                Self::Map(entries.into_iter().map(|(key, value)| (key, Self::new(value, inner))).collect())
            }
            (Shape::Record(names, shapes), Value::Object(mut fields)) => {
                let field = |(name, shape)| fields.remove(name).map_or(Self::Nothing, |value| Self::new(value, shape));
                Self::Many(names.0.iter().copied().zip(shapes).map(field).collect())
            }
            (Shape::Small | Shape::Unsigned, Value::Number(number)) => {
                number.as_u64().map_or(Self::Nothing, Self::Unsigned)
            }
            (Shape::Signed, Value::Number(number)) => number.as_i64().map_or(Self::Nothing, Self::Signed),
            (_, Value::Number(number)) => number.as_f64().map_or(Self::Nothing, Self::Float),
            (_, value) => Self::Mixed(value),
        }
    }
}

/// A value and its type.
pub(crate) struct Typed<'a>(pub(crate) &'a Shape, pub(crate) &'a Node);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match (self.0, self.1) {
            (Shape::Option(_), Node::Nothing) => to.serialize_none(),
            (Shape::Option(inner), value) => to.serialize_some(&Typed(inner, value)),
            (Shape::List(inner), Node::Many(items)) => {
                let mut list = to.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(&Typed(inner, item)))?;
                list.end()
            }
            (Shape::Record(names, shapes), Node::Many(fields)) => {
                let mut record = to.serialize_struct("Message", fields.len())?;
                for (name, (shape, field)) in names.0.iter().zip(shapes.iter().zip(fields)) {
                    record.serialize_field(name, &Typed(shape, field))?;
                }
                record.end()
            }
            (Shape::Map(inner), Node::Map(entries)) => {
                let mut map = to.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, &Typed(inner, value)))?;
                map.end()
            }
            (_, node) => node.plain(to),
        }
    }
}

impl Node {
    fn plain<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing | Self::Many(_) | Self::Map(_) => to.serialize_unit(),
            Self::Bool(value) => to.serialize_bool(*value),
            Self::Unsigned(value) => to.serialize_u64(*value),
            Self::Signed(value) => to.serialize_i64(*value),
            Self::Float(value) => to.serialize_f64(*value),
            Self::Text(value) => to.serialize_str(value),
            Self::Bytes(value) => to.serialize_bytes(value),
            Self::Mixed(value) => value.serialize(to),
        }
    }
}

/// Reads a value of a type.
#[derive(Clone, Copy)]
pub(crate) struct Of<'a>(pub(crate) &'a Shape);

impl<'de> DeserializeSeed<'de> for Of<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        match self.0 {
            Shape::Nothing => <()>::deserialize(from).map(|()| Node::Nothing),
            Shape::Bool => bool::deserialize(from).map(Node::Bool),
            Shape::Small | Shape::Unsigned => u64::deserialize(from).map(Node::Unsigned),
            Shape::Signed => i64::deserialize(from).map(Node::Signed),
            Shape::Float => f64::deserialize(from).map(Node::Float),
            Shape::Text => String::deserialize(from).map(Node::Text),
            Shape::Bytes => ByteBuf::deserialize(from).map(Node::Bytes),
            Shape::Option(_) => from.deserialize_option(self),
            Shape::List(_) => from.deserialize_seq(self),
            Shape::Record(names, _) => from.deserialize_struct("Message", names.0, self),
            Shape::Map(_) => from.deserialize_map(self),
            Shape::Mixed => Value::deserialize(from).map(Node::Mixed),
        }
    }
}

impl<'de> Visitor<'de> for Of<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value as those of the sample")
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        let Shape::Option(inner) = self.0 else { return Err(D::Error::custom("no option is here")) };
        Of(inner).deserialize(from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut all = Vec::with_capacity(from.size_hint().unwrap_or(0).min(4096));
        match self.0 {
            Shape::Record(_, shapes) => {
                for shape in shapes {
                    let field = from.next_element_seed(Of(shape))?;
                    all.push(field.ok_or_else(|| A::Error::invalid_length(all.len(), &self))?);
                }
            }
            Shape::List(inner) => {
                while let Some(item) = from.next_element_seed(Of(inner))? {
                    all.push(item);
                }
            }
            _ => return Err(A::Error::custom("no list is here")),
        }
        Ok(Node::Many(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        if let Shape::Map(inner) = self.0 {
            let mut entries = Vec::new();
            while let Some(key) = from.next_key()? {
                entries.push((key, from.next_value_seed(Of(inner))?));
            }
            return Ok(Node::Map(entries));
        }
        let Shape::Record(names, shapes) = self.0 else { return Err(A::Error::custom("no map is here")) };
        let mut fields: Vec<Node> = shapes.iter().map(|_| Node::Nothing).collect();
        let mut next = 0;
        while let Some(at) = from.next_key_seed(Field { names: names.0, next })? {
            fields[at] = from.next_value_seed(Of(&shapes[at]))?;
            next = at + 1;
        }
        Ok(Node::Many(fields))
    }
}

/// Which field a name is; the next one is looked at first.
struct Field<'a> {
    names: &'a [&'static str],
    next: usize,
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<usize, D::Error> {
        from.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Field<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name of a field")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<usize, E> {
        if self.names.get(self.next) == Some(&name) {
            return Ok(self.next);
        }
        let at = self.names.iter().position(|known| *known == name);
        at.ok_or_else(|| E::custom(format_args!("no field `{name}` is in the sample")))
    }
}
