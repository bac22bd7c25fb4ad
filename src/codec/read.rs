//! A deserializer in front of a codec's own: it counts levels, and finds the bytes in JSON.
//!
//! A wrapper stands before the deserializer and everything it hands out, because a level, or bytes, may come at any depth. Options
//! and newtypes are levels too: bytes that say nothing else make a type that contains itself in them recurse for ever.
#![forbid(unsafe_code)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::rules::{BYTES, DEPTH, Rules, TEXT, looks_like_bytes};

/// Reads a value.
#[inline]
pub(super) fn read<'de, T, D>(deserializer: D, rules: impl Rules) -> Result<T, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(Wrap::new(deserializer, rules))
}

/// The same, for somebody else to read from.
pub(super) fn wrap<'de, D, R>(deserializer: D, rules: R) -> impl Deserializer<'de, Error = D::Error>
where
    D: Deserializer<'de>,
    R: Rules,
{
    Wrap::new(deserializer, rules)
}

/// Stands before a deserializer, an access, a seed or a visitor.
struct Wrap<D, R> {
    inner: D,
    rules: R,
    /// Levels that are left.
    left: u8,
    /// A visitor that takes whatever comes.
    any: bool,
}

impl<D, R: Rules> Wrap<D, R> {
    #[inline]
    fn new(inner: D, rules: R) -> Self {
        Self { inner, rules, left: DEPTH, any: false }
    }

    /// The same before something else at this level.
    #[inline]
    fn over<T>(&self, inner: T) -> Wrap<T, R> {
        Wrap { inner, rules: self.rules, left: self.left, any: false }
    }

    /// One level down.
    #[inline]
    fn deeper<T, E: serde::de::Error>(&self, inner: T) -> Result<Wrap<T, R>, E> {
        let left = self.left.checked_sub(1).ok_or_else(too_deep)?;
        Ok(Wrap { inner, rules: self.rules, left, any: false })
    }
}

#[cold]
fn too_deep<E: serde::de::Error>() -> E {
    E::custom(format_args!("they nest deeper than {DEPTH} levels"))
}

/// Visits text that stands for bytes.
struct Decode<V>(V);

/// Passes through what is expected, with a wrapped visitor.
macro_rules! pass {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => {
        $(#[inline]
        fn $name<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let (rules, visitor) = (self.rules, self.over(visitor));
            let read = self.inner.$name($($arg,)* visitor);
            // Where nothing is noted, nothing is to stand between the value and its place.
            if R::NOTES { read.map_err(|error| rules.failed(error)) } else { read }
        })*
    };
}

impl<'de, D: Deserializer<'de>, R: Rules> Deserializer<'de> for Wrap<D, R> {
    type Error = D::Error;

    pass! {
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_option();
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_map();
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
        deserialize_ignored_any();
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        if self.rules.makes_units_none() {
            return self.inner.deserialize_option(NoneAsUnit(visitor));
        }
        self.inner.deserialize_unit(visitor)
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        if self.rules.makes_units_none() {
            return self.inner.deserialize_option(NoneAsUnit(visitor));
        }
        self.inner.deserialize_unit_struct(name, visitor)
    }

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let (rules, visitor) = (self.rules, Wrap { any: true, ..self.over(visitor) });
        let read = self.inner.deserialize_any(visitor);
        if R::NOTES { read.map_err(|error| rules.failed(error)) } else { read }
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        if R::JSON { self.inner.deserialize_str(Decode(visitor)) } else { self.inner.deserialize_bytes(visitor) }
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        if R::JSON { self.inner.deserialize_str(Decode(visitor)) } else { self.inner.deserialize_byte_buf(visitor) }
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Decode<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.expecting(f)?;
        write!(f, " as base64 text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<V::Value, E> {
        // Another language may leave out the mark where only bytes can be.
        match STANDARD.decode(text.strip_prefix(BYTES).unwrap_or(text)) {
            Ok(bytes) => self.0.visit_byte_buf(bytes),
            Err(error) => Err(E::custom(format_args!("not base64: {error}"))),
        }
    }
}

/// Text with a mark: bytes where anything can be, else text that is not marked any more.
#[cold]
#[inline(never)]
fn visit_marked<'de, V: Visitor<'de>, E: serde::de::Error>(visitor: V, any: bool, text: &str) -> Result<V::Value, E> {
    let bytes = text.strip_prefix(BYTES).filter(|_| any).and_then(|text| STANDARD.decode(text).ok());
    match bytes {
        Some(bytes) => visitor.visit_byte_buf(bytes),
        None => visitor.visit_str(text.strip_prefix(TEXT).unwrap_or(text)),
    }
}

/// Takes `()` that was written as `None`, or as itself by somebody else.
struct NoneAsUnit<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for NoneAsUnit<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.expecting(f)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        inner.deserialize_unit(self.0)
    }
}

/// Passes simple values on to the visitor.
macro_rules! visit {
    ($($name:ident($type:ty);)*) => {
        $(#[inline]
        fn $name<E: serde::de::Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$name(value)
        })*
    };
}

/// The same for text.
macro_rules! visit_text {
    ($($name:ident($type:ty);)*) => {
        $(#[inline]
        fn $name<E: serde::de::Error>(self, text: $type) -> Result<V::Value, E> {
            if R::JSON && looks_like_bytes(&text) {
                return visit_marked(self.inner, self.any, &text);
            }
            self.inner.$name(text)
        })*
    };
}

impl<'de, V: Visitor<'de>, R: Rules> Visitor<'de> for Wrap<V, R> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.expecting(f)
    }

    visit! {
        visit_bool(bool);
        visit_i8(i8);
        visit_i16(i16);
        visit_i32(i32);
        visit_i64(i64);
        visit_i128(i128);
        visit_u8(u8);
        visit_u16(u16);
        visit_u32(u32);
        visit_u64(u64);
        visit_u128(u128);
        visit_f32(f32);
        visit_f64(f64);
        visit_char(char);
        visit_bytes(&[u8]);
        visit_borrowed_bytes(&'de [u8]);
        visit_byte_buf(Vec<u8>);
    }

    visit_text! {
        visit_str(&str);
        visit_borrowed_str(&'de str);
        visit_string(String);
    }

    #[inline]
    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        // Only who takes whatever comes can be told so.
        if self.rules.makes_units_none() && self.any { self.inner.visit_unit() } else { self.inner.visit_none() }
    }

    #[inline]
    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let inner = self.deeper(inner)?;
        self.inner.visit_some(inner)
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let inner = self.deeper(inner)?;
        self.inner.visit_newtype_struct(inner)
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        let seq = self.deeper(seq)?;
        self.inner.visit_seq(seq)
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let map = self.deeper(map)?;
        self.inner.visit_map(map)
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
        let data = self.deeper(data)?;
        self.inner.visit_enum(data)
    }
}

impl<'de, T: DeserializeSeed<'de>, R: Rules> DeserializeSeed<'de> for Wrap<T, R> {
    type Value = T::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<T::Value, D::Error> {
        let inner = self.over(inner);
        self.inner.deserialize(inner)
    }
}

impl<'de, A: SeqAccess<'de>, R: Rules> SeqAccess<'de> for Wrap<A, R> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        let seed = self.over(seed);
        self.inner.next_element_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>, R: Rules> MapAccess<'de> for Wrap<A, R> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        // A key of JSON is text and nothing else, whatever it looks like.
        if R::JSON {
            return self.inner.next_key_seed(seed);
        }
        let seed = self.over(seed);
        self.inner.next_key_seed(seed)
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        let seed = self.over(seed);
        self.inner.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>, R: Rules> EnumAccess<'de> for Wrap<A, R> {
    type Error = A::Error;
    type Variant = Wrap<A::Variant, R>;

    #[inline]
    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self::Variant), A::Error> {
        let above = self.over(());
        let (value, inner) = self.inner.variant_seed(seed)?;
        Ok((value, above.over(inner)))
    }
}

impl<'de, A: VariantAccess<'de>, R: Rules> VariantAccess<'de> for Wrap<A, R> {
    type Error = A::Error;

    #[inline]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        let seed = self.over(seed);
        self.inner.newtype_variant_seed(seed)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.over(visitor);
        self.inner.tuple_variant(len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.over(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}
