//! JSON files with texts: JSON lines, pretty-printed objects one after the other, and lists.
//!
//! A row is an object, one of whose fields is the text, or a string, which is the text itself. An example is made of several
//! fields of an object.

mod array;
mod lines;
mod nesting;
mod row;
mod shape;
#[cfg(test)]
mod tests;
mod visitors;

use array::JsonArray;
use lines::JsonLines;
pub(super) use row::missing_field_error;
pub(super) use shape::{JsonShape, has_object_rows, has_rows, json_shape};
