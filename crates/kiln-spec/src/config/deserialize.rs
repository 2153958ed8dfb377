//! Deserialization of a [`choice!`](crate::choice): a bare word, or a table with one key.
//!
//! The value is passed from the deserializer to the alternative directly, so that paths and line numbers of errors are
//! preserved. An untagged serde enum would buffer the value and lose both.
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{Error as Blank, MapDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::Choice;

/// Deserializes a bare word or a table with one key.
///
/// # Errors
/// An unknown name, a table with no or several keys, a bare word whose alternative has required keys, or an error within
/// the options.
pub fn deserialize_choice<'de, T: Choice, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(ChoiceVisitor(PhantomData))
}

/// Deserializer of a table without keys. The options of a bare word are read from it, so that all get their defaults.
pub(super) struct EmptyTable<E>(PhantomData<E>);

impl<E> EmptyTable<E> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, E: Error> Deserializer<'de> for EmptyTable<E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_map(MapDeserializer::new(std::iter::empty::<(&str, &str)>()))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, E> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_some(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// Index in `T::NAMES` of a name or an alias.
fn variant_index<T: Choice, E: Error>(name: &str) -> Result<usize, E> {
    let canonical = T::ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, canonical)| canonical);
    T::NAMES.iter().position(|known| *known == canonical).ok_or_else(|| E::unknown_variant(name, T::NAMES))
}

/// Visitor for both forms of a choice.
struct ChoiceVisitor<T>(PhantomData<T>);

impl<'de, T: Choice> Visitor<'de> for ChoiceVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "one of {}, or a table with one of these as its key", T::NAMES.join(", "))
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<T, E> {
        let inner = T::deserialize_variant(variant_index::<T, E>(word)?, EmptyTable::<Blank>::new());
        inner.map_err(|error| E::custom(format_args!("`{word}` {NEEDS_TABLE}: {error}")))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<T, A::Error> {
        let Some(index) = table.next_key_seed(NameSeed::<T>(PhantomData))? else {
            return Err(A::Error::custom(format_args!(
                "expected one of {} as the key, found an empty table",
                T::NAMES.join(", ")
            )));
        };
        let value = table.next_value_seed(PayloadSeed(index, PhantomData))?;
        match table.next_key::<String>()? {
            None => Ok(value),
            Some(other) => {
                Err(A::Error::custom(format_args!("`{}` and `{other}` {MUTUALLY_EXCLUSIVE}", T::NAMES[index])))
            }
        }
    }
}

/// Text after the name of an alternative with required options that is written as a bare word.
pub(super) const NEEDS_TABLE: &str = "needs a value";
/// Text after two names in the same table.
pub(super) const MUTUALLY_EXCLUSIVE: &str = "exclude each other, keep one of them";

/// Deserializes the key of the table form as an index in `T::NAMES`.
struct NameSeed<T>(PhantomData<T>);

impl<'de, T: Choice> DeserializeSeed<'de> for NameSeed<T> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<usize, D::Error> {
        key.deserialize_identifier(self)
    }
}

impl<T: Choice> Visitor<'_> for NameSeed<T> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "one of {}", T::NAMES.join(", "))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        variant_index::<T, E>(name)
    }
}

/// Deserializes the value of the table form as the options of the alternative with an index.
struct PayloadSeed<T>(usize, PhantomData<T>);

impl<'de, T: Choice> DeserializeSeed<'de> for PayloadSeed<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<T, D::Error> {
        T::deserialize_variant(self.0, inner)
    }
}
