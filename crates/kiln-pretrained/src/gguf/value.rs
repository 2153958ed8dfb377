//! Values of metadata: their types, and how each is encoded.
//!
//! A value is its type code (u32) and its contents: numbers in little-endian order, a string as its length (u64) and
//! UTF-8, an array as the type code of its items (u32), their number (u64) and the items without type codes.

use super::cursor::{Cursor, GgufError};

/// Maximum nesting of arrays.
const MAX_ARRAY_DEPTH: usize = 8;

/// A type with an encoding in the file.
trait GgufType: Sized {
    /// Smallest size of a value in bytes.
    const MIN_BYTES: usize;
    fn read(cursor: &mut Cursor) -> Result<Self, GgufError>;
    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! define_values {
    ($($(#[$doc:meta])* $name:ident($type:ty) = $code:literal,)*) => {
        /// A value of metadata.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Value { $($(#[$doc])* $name($type),)* }

        /// An array of values of one type.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Array { $($(#[$doc])* $name(Vec<$type>),)* }

        impl Value {
            /// Reads a type code and a value.
            pub(super) fn read(cursor: &mut Cursor) -> Result<Self, GgufError> {
                match cursor.u32()? {
                    $($code => <$type as GgufType>::read(cursor).map(Value::$name),)*
                    other => Err(cursor.error(format!("unknown value type {other}; expected 0 to 12"))),
                }
            }

            /// Writes the type code and the value.
            pub(super) fn write(&self, out: &mut Vec<u8>) {
                match self { $(Value::$name(value) => {
                    out.extend_from_slice(&u32::to_le_bytes($code));
                    value.write(out);
                })* }
            }
        }

        impl Array {
            /// Number of values.
            pub fn len(&self) -> usize {
                match self { $(Array::$name(values) => values.len(),)* }
            }
        }

        impl GgufType for Array {
            const MIN_BYTES: usize = 12;

            fn read(cursor: &mut Cursor) -> Result<Self, GgufError> {
                if cursor.depth == MAX_ARRAY_DEPTH {
                    return Err(cursor.error(format!("arrays are nested deeper than {MAX_ARRAY_DEPTH}")));
                }
                cursor.depth += 1;
                let read = match cursor.u32()? {
                    $($code => read_list(cursor).map(Array::$name),)*
                    other => Err(cursor.error(format!("unknown value type {other}; expected 0 to 12"))),
                };
                cursor.depth -= 1;
                read
            }

            fn write(&self, out: &mut Vec<u8>) {
                match self { $(Array::$name(values) => {
                    out.extend_from_slice(&u32::to_le_bytes($code));
                    out.extend_from_slice(&(values.len() as u64).to_le_bytes());
                    values.iter().for_each(|value| value.write(out));
                })* }
            }
        }
    };
}

define_values! {
    /// Unsigned 8-bit integer.
    U8(u8) = 0,
    /// Signed 8-bit integer.
    I8(i8) = 1,
    /// Unsigned 16-bit integer.
    U16(u16) = 2,
    /// Signed 16-bit integer.
    I16(i16) = 3,
    /// Unsigned 32-bit integer.
    U32(u32) = 4,
    /// Signed 32-bit integer.
    I32(i32) = 5,
    /// 32-bit float.
    F32(f32) = 6,
    /// Boolean: one byte, 0 or 1.
    Bool(bool) = 7,
    /// UTF-8 string.
    String(String) = 8,
    /// Array of values of one type.
    Array(Array) = 9,
    /// Unsigned 64-bit integer.
    U64(u64) = 10,
    /// Signed 64-bit integer.
    I64(i64) = 11,
    /// 64-bit float.
    F64(f64) = 12,
}

macro_rules! impl_numeric {
    ($($type:ty)*) => { $(impl GgufType for $type {
        const MIN_BYTES: usize = size_of::<$type>();
        fn read(cursor: &mut Cursor) -> Result<Self, GgufError> {
            Ok(Self::from_le_bytes(cursor.array()?))
        }
        fn write(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.to_le_bytes());
        }
    })* };
}

impl_numeric! { u8 i8 u16 i16 u32 i32 f32 u64 i64 f64 }

impl GgufType for bool {
    const MIN_BYTES: usize = 1;
    fn read(cursor: &mut Cursor) -> Result<Self, GgufError> {
        match cursor.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(cursor.error(format!("expected 0 or 1 for a boolean, found {other}"))),
        }
    }
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl GgufType for String {
    const MIN_BYTES: usize = 8;
    fn read(cursor: &mut Cursor) -> Result<Self, GgufError> {
        cursor.string()
    }
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.len() as u64).to_le_bytes());
        out.extend_from_slice(self.as_bytes());
    }
}

/// Reads the number of values, then the values.
fn read_list<T: GgufType>(cursor: &mut Cursor) -> Result<Vec<T>, GgufError> {
    let count = cursor.count("values", T::MIN_BYTES)?;
    (0..count).map(|_| T::read(cursor)).collect()
}

impl Array {
    /// Whether the array is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
