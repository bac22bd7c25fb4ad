//! A serializer in front of a codec's own. It refuses what would arrive as something else, or not at all.
//!
//! serde_json writes `null` for infinities and NaN without asking its formatter, and makes text of numbers that are keys. Most
//! codecs write `Some(None)` as `None`. Those that know no names read a struct wrongly that is written without a field.
#![forbid(unsafe_code)]

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::ser::Formatter;

use super::level::Level;
use super::path::Step;
use super::rules::{BYTES, DEPTH, Rules, TEXT, looks_like_bytes};

/// Compact JSON, but bytes as base64 text behind a mark.
pub(super) struct Base64;

/// Bytes that are encoded at a time; a multiple of three, so that only the last ones are padded.
const CHUNK: usize = 3 * 1024;

impl Formatter for Base64 {
    fn write_byte_array<W: io::Write + ?Sized>(&mut self, writer: &mut W, bytes: &[u8]) -> io::Result<()> {
        writer.write_all(b"\"")?;
        writer.write_all(BYTES.as_bytes())?;
        let mut text = [0; CHUNK / 3 * 4];
        for chunk in bytes.chunks(CHUNK) {
            let length = STANDARD.encode_slice(chunk, &mut text).map_err(io::Error::other)?;
            writer.write_all(&text[..length])?;
        }
        writer.write_all(b"\"")
    }
}

/// Where in a value we are.
#[derive(Clone, Copy)]
struct Place<R> {
    rules: R,
    level: Level,
}

impl<R: Rules> Place<R> {
    /// One level down.
    #[inline]
    fn deeper<E: serde::ser::Error>(self) -> Result<Self, E> {
        let Some(level) = self.level.deeper() else { return Err(self.too_deep()) };
        Ok(Self { level, ..self })
    }

    /// The same for what is written like its inside.
    #[inline]
    fn inside<E: serde::ser::Error>(self, in_option: bool) -> Result<Self, E> {
        let below = self.deeper()?;
        Ok(Self { level: below.level.in_option(in_option), ..below })
    }

    /// Whether what is written like `None` may be here.
    #[inline]
    fn nothing<E: serde::ser::Error>(self, is_like_none: bool) -> Result<(), E> {
        if self.level.is_in_option() && is_like_none { Err(self.lost_option()) } else { Ok(()) }
    }

    #[cold]
    fn too_deep<E: serde::ser::Error>(self) -> E {
        self.rules.refuse(format_args!("it nests deeper than {DEPTH} levels"))
    }

    #[cold]
    fn lost_option<E: serde::ser::Error>(self) -> E {
        self.rules.refuse(format_args!("`Some` of nothing would arrive as `None`; an enum tells them apart"))
    }

    #[cold]
    fn lost_field<E: serde::ser::Error>(self, key: &str) -> E {
        self.rules.refuse(format_args!(
            "field `{key}` is left out, and the codec writes no names: the next one would be taken for it; \
             write all fields, or choose a codec with names"
        ))
    }
}

/// A value whose serializer is checked.
pub(super) struct Checked<'a, T: ?Sized, R> {
    value: &'a T,
    place: Place<R>,
}

impl<'a, T: Serialize + ?Sized, R: Rules> Checked<'a, T, R> {
    pub(super) fn new(value: &'a T, rules: R) -> Self {
        Self { value, place: Place { rules, level: Level::TOP } }
    }
}

impl<T: Serialize + ?Sized, R: Rules> Serialize for Checked<'_, T, R> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Check { inner: serializer, place: self.place })
    }
}

/// A key of JSON, which must be text.
struct CheckedKey<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for CheckedKey<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Key(serializer))
    }
}

/// Looks at every value on its way to the serializer inside.
struct Check<S, R> {
    inner: S,
    place: Place<R>,
}

impl<S, R: Rules> Check<S, R> {
    #[inline]
    fn value<'a, T: ?Sized>(&self, value: &'a T) -> Checked<'a, T, R> {
        Checked { value, place: self.place }
    }
}

#[cold]
fn not_finite<E: serde::ser::Error>(value: f64) -> E {
    E::custom(format_args!("JSON has no number {value}; msgpack has"))
}

#[cold]
#[inline(never)]
fn write_marked<S: Serializer>(serializer: S, text: &str) -> Result<S::Ok, S::Error> {
    // Not `collect_str`: a second user of what serde_json escapes text with would keep it from being inlined for all other text.
    serializer.serialize_str(&format!("{TEXT}{text}"))
}

/// Passes the simple values through.
macro_rules! pass {
    ($field:tt; $($name:ident($($arg:ident: $type:ty),*);)*) => {
        $(#[inline]
        fn $name(self, $($arg: $type),*) -> Result<S::Ok, S::Error> {
            self.$field.$name($($arg),*)
        })*
    };
}

/// Passes what has parts through, one level deeper.
macro_rules! open {
    ($($name:ident($($arg:ident: $type:ty),*) -> $ok:ident, $levels:literal;)*) => {
        $(#[inline]
        fn $name(self, $($arg: $type),*) -> Result<Self::$ok, S::Error> {
            let mut place = self.place.deeper()?;
            if $levels == 2 {
                place = place.deeper()?;
            }
            Ok(Check { inner: self.inner.$name($($arg),*)?, place })
        })*
    };
}

impl<S: Serializer, R: Rules> Serializer for Check<S, R> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Check<S::SerializeSeq, R>;
    type SerializeTuple = Check<S::SerializeTuple, R>;
    type SerializeTupleStruct = Check<S::SerializeTupleStruct, R>;
    type SerializeTupleVariant = Check<S::SerializeTupleVariant, R>;
    type SerializeMap = Check<S::SerializeMap, R>;
    type SerializeStruct = Check<S::SerializeStruct, R>;
    type SerializeStructVariant = Check<S::SerializeStructVariant, R>;

    pass! {
        inner;
        serialize_bool(v: bool);
        serialize_i8(v: i8);
        serialize_i16(v: i16);
        serialize_i32(v: i32);
        serialize_i64(v: i64);
        serialize_i128(v: i128);
        serialize_u8(v: u8);
        serialize_u16(v: u16);
        serialize_u32(v: u32);
        serialize_u64(v: u64);
        serialize_u128(v: u128);
        serialize_char(v: char);
    }

    open! {
        serialize_seq(len: Option<usize>) -> SerializeSeq, 1;
        serialize_tuple(len: usize) -> SerializeTuple, 1;
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct, 1;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeTupleVariant, 2;
        serialize_map(len: Option<usize>) -> SerializeMap, 1;
        serialize_struct(name: &'static str, len: usize) -> SerializeStruct, 1;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeStructVariant, 2;
    }

    #[inline]
    fn serialize_str(self, v: &str) -> Result<S::Ok, S::Error> {
        self.place.rules.takes(v.len())?;
        if R::JSON && looks_like_bytes(v) {
            return write_marked(self.inner, v);
        }
        self.inner.serialize_str(v)
    }

    #[inline]
    fn serialize_bytes(self, v: &[u8]) -> Result<S::Ok, S::Error> {
        self.place.rules.takes(v.len())?;
        self.inner.serialize_bytes(v)
    }

    #[inline]
    fn serialize_f32(self, v: f32) -> Result<S::Ok, S::Error> {
        if R::JSON && !v.is_finite() {
            return Err(not_finite(v.into()));
        }
        self.inner.serialize_f32(v)
    }

    #[inline]
    fn serialize_f64(self, v: f64) -> Result<S::Ok, S::Error> {
        if R::JSON && !v.is_finite() {
            return Err(not_finite(v));
        }
        self.inner.serialize_f64(v)
    }

    #[inline]
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.place.nothing(self.place.rules.has_flat_options())?;
        self.inner.serialize_none()
    }

    // For a reader who does not know what comes, these three may be lists or maps.

    #[inline]
    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Result<S::Ok, S::Error> {
        self.place.deeper()?;
        self.inner.serialize_unit_variant(name, index, variant)
    }

    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.place.deeper()?;
        self.place.nothing(self.place.rules.has_empty_units())?;
        if self.place.rules.makes_units_none() {
            return self.inner.serialize_none();
        }
        self.inner.serialize_unit()
    }

    #[inline]
    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        self.place.deeper()?;
        self.place.nothing(self.place.rules.has_empty_units() && !R::UNIT_STRUCTS_ARE_LISTS)?;
        if self.place.rules.makes_units_none() {
            return self.inner.serialize_none();
        }
        self.inner.serialize_unit_struct(name)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_some(&Checked { value, place: self.place.inside(true)? })
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        let place = self.place.inside(self.place.level.is_in_option())?;
        self.inner.serialize_newtype_struct(name, &Checked { value, place })
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let (place, rules) = (self.place.deeper()?, self.place.rules);
        let written = self.inner.serialize_newtype_variant(name, index, variant, &Checked { value, place });
        written.map_err(|error| rules.refused_in(error, Step::Name(variant)))
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Wraps the parts of sequences and the like.
macro_rules! compound {
    (@step $key:ident) => { Step::Name($key) };
    (@step) => { Step::Item };
    ($($trait:ident::$method:ident($($key:ident)?) $($skip:ident)?;)*) => {
        $(impl<S: $trait, R: Rules> $trait for Check<S, R> {
            type Ok = S::Ok;
            type Error = S::Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, $($key: &'static str,)? value: &T) -> Result<(), S::Error> {
                self.place.rules.takes_part()?;
                let value = self.value(value);
                let written = self.inner.$method($($key,)? &value);
                written.map_err(|error| self.place.rules.refused_in(error, compound!(@step $($key)?)))
            }

            $(fn $skip(&mut self, key: &'static str) -> Result<(), S::Error> {
                if !self.place.rules.has_named_fields() {
                    return Err(self.place.lost_field(key));
                }
                self.inner.$skip(key)
            })?

            #[inline]
            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        })*
    };
}

compound! {
    SerializeSeq::serialize_element();
    SerializeTuple::serialize_element();
    SerializeTupleStruct::serialize_field();
    SerializeTupleVariant::serialize_field();
    SerializeStruct::serialize_field(key) skip_field;
    SerializeStructVariant::serialize_field(key) skip_field;
}

impl<S: SerializeMap, R: Rules> SerializeMap for Check<S, R> {
    type Ok = S::Ok;
    type Error = S::Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        if R::JSON {
            return self.inner.serialize_key(&CheckedKey(key));
        }
        let key = self.value(key);
        self.inner.serialize_key(&key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.place.rules.takes_part()?;
        let value = self.value(value);
        self.inner.serialize_value(&value).map_err(|error| self.place.rules.refused_in(error, Step::Item))
    }

    #[inline]
    fn end(self) -> Result<S::Ok, S::Error> {
        self.inner.end()
    }
}

/// Takes text only.
struct Key<S>(S);

/// Refuses everything that is not text.
macro_rules! refuse {
    ($($name:ident($($type:ty),*) -> $ok:ty;)*) => {
        $(fn $name(self, $(_: $type),*) -> Result<$ok, S::Error> {
            Err(S::Error::custom("a key in JSON must be text; in msgpack it may be anything"))
        })*
    };
}

type Never<S> = serde::ser::Impossible<<S as Serializer>::Ok, <S as Serializer>::Error>;

impl<S: Serializer> Serializer for Key<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Never<S>;
    type SerializeTuple = Never<S>;
    type SerializeTupleStruct = Never<S>;
    type SerializeTupleVariant = Never<S>;
    type SerializeMap = Never<S>;
    type SerializeStruct = Never<S>;
    type SerializeStructVariant = Never<S>;

    pass! {
        0;
        serialize_char(v: char);
        serialize_str(v: &str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &CheckedKey(value))
    }

    refuse! {
        serialize_bool(bool) -> S::Ok;
        serialize_i8(i8) -> S::Ok;
        serialize_i16(i16) -> S::Ok;
        serialize_i32(i32) -> S::Ok;
        serialize_i64(i64) -> S::Ok;
        serialize_i128(i128) -> S::Ok;
        serialize_u8(u8) -> S::Ok;
        serialize_u16(u16) -> S::Ok;
        serialize_u32(u32) -> S::Ok;
        serialize_u64(u64) -> S::Ok;
        serialize_u128(u128) -> S::Ok;
        serialize_f32(f32) -> S::Ok;
        serialize_f64(f64) -> S::Ok;
        serialize_bytes(&[u8]) -> S::Ok;
        serialize_none() -> S::Ok;
        serialize_unit() -> S::Ok;
        serialize_unit_struct(&'static str) -> S::Ok;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("a key in JSON must be text; in msgpack it may be anything"))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("a key in JSON must be text; in msgpack it may be anything"))
    }
}
