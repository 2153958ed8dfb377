//! JSON files with texts: JSON lines, pretty-printed objects one after the other, and lists.
//!
//! A row is an object, one of whose fields is the text, or a string, which is the text itself.

mod array;
mod lines;
mod nesting;
mod non_finite;
mod row;
mod shape;
#[cfg(test)]
mod tests;
mod visitors;

pub(super) use array::JsonArray;
pub(super) use lines::JsonLines;
pub(super) use row::missing_field_error;
pub(super) use shape::{JsonShape, has_rows, json_shape};
