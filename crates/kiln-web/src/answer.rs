//! Answer of a call.

use serde_json::Value;

/// Answer of a call: a JSON value, and arrays that belong into it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The value, without the arrays.
    pub value: Value,
    /// Arrays, each with the JSON pointer (RFC 6901) of its place in the value, such as `/layers/0/visible`. The object that
    /// holds it is in the value.
    pub arrays: Vec<(String, Array)>,
}

/// An array of numbers or bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Contents of a file: an `ArrayBuffer` in JavaScript.
    File(Vec<u8>),
    /// Small whole numbers: a `Uint8Array`.
    Bytes(Vec<u8>),
    /// Numbers: a `Float32Array`.
    Floats(Vec<f32>),
}

impl Answer {
    /// The answer with an array at a JSON pointer.
    #[must_use]
    pub fn with_array(mut self, pointer: impl Into<String>, array: Array) -> Self {
        self.arrays.push((pointer.into(), array));
        self
    }
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        Self { value, arrays: Vec::new() }
    }
}
