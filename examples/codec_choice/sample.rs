//! The sample: messages from a file of JSON.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeSeed;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::node::{Node, Of, Typed};
use crate::shape::{Shape, set_shape, shape};

/// A message. It is sent by many, and copied by nobody.
#[derive(Clone, Debug)]
pub(crate) struct Message(Arc<Node>);

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Typed(shape(), &self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Of(shape()).deserialize(deserializer).map(|node| Self(Arc::new(node)))
    }
}

/// What is to be sent.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    /// Bytes of the file.
    pub(crate) size: usize,
    pub(crate) messages: Arc<[Message]>,
}

impl Sample {
    /// Reads a file that holds a value, an array of objects, each of which is a message, or several values.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let name = file.display().to_string();
        let text = fs::read_to_string(file).map_err(|error| format!("{name} cannot be read: {error}"))?;
        let mut values = Vec::new();
        for value in serde_json::Deserializer::from_str(&text).into_iter() {
            values.push(value.map_err(|error: serde_json::Error| not_json(&name, &error))?);
        }
        let values = match values.as_mut_slice() {
            [] => return Err(format!("{name}:1:1: there is no JSON value in it")),
            [Value::Array(items)] if !items.is_empty() && items.iter().all(Value::is_object) => std::mem::take(items),
            _ => values,
        };
        let shape = set_shape(Shape::of(&values));
        let messages = values.into_iter().map(|value| Message(Arc::new(Node::new(value, shape)))).collect();
        Ok(Self { name, size: text.len(), messages })
    }
}

/// As compilers write it, so that an editor finds the place.
fn not_json(name: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("{name}:{}:{}: this is not JSON: {what}", error.line(), error.column())
}
