//! Values of metadata.

use super::{GgufError, cursor::Cursor};

/// Arrays within arrays, at most.
const MAX_ARRAY_DEPTH: usize = 8;

/// How a type stands in a file.
trait GgufType: Sized {
    /// Bytes that one takes, at least.
    const MIN_BYTES: usize;
    fn read(cursor: &mut Cursor) -> Result<Self, GgufError>;
    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! define_values {
    ($($(#[$doc:meta])* $name:ident($type:ty) = $code:literal,)*) => {
        /// A value.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Value { $($(#[$doc])* $name($type),)* }

        /// Values of one type.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Array { $($(#[$doc])* $name(Vec<$type>),)* }

        impl Value {
            pub(super) fn read(cursor: &mut Cursor) -> Result<Self, GgufError> {
                match cursor.u32()? {
                    $($code => <$type as GgufType>::read(cursor).map(Value::$name),)*
                    other => Err(cursor.error(format!("{other} is no type of values"))),
                }
            }

            pub(super) fn write(&self, out: &mut Vec<u8>) {
                match self { $(Value::$name(value) => {
                    out.extend_from_slice(&u32::to_le_bytes($code));
                    value.write(out);
                })* }
            }
        }

        impl Array {
            /// How many there are.
            pub fn len(&self) -> usize {
                match self { $(Array::$name(values) => values.len(),)* }
            }
        }

        impl GgufType for Array {
            const MIN_BYTES: usize = 12;

            fn read(cursor: &mut Cursor) -> Result<Self, GgufError> {
                if cursor.depth == MAX_ARRAY_DEPTH {
                    return Err(cursor.error(format!("more than {MAX_ARRAY_DEPTH} arrays within each other")));
                }
                cursor.depth += 1;
                let read = match cursor.u32()? {
                    $($code => read_list(cursor).map(Array::$name),)*
                    other => Err(cursor.error(format!("{other} is no type of values"))),
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
    /// 8 bits without a sign.
    U8(u8) = 0,
    /// 8 bits.
    I8(i8) = 1,
    /// 16 bits without a sign.
    U16(u16) = 2,
    /// 16 bits.
    I16(i16) = 3,
    /// 32 bits without a sign.
    U32(u32) = 4,
    /// 32 bits.
    I32(i32) = 5,
    /// A float of 32 bits.
    F32(f32) = 6,
    /// Yes or no.
    Bool(bool) = 7,
    /// Text.
    String(String) = 8,
    /// Values of one type.
    Array(Array) = 9,
    /// 64 bits without a sign.
    U64(u64) = 10,
    /// 64 bits.
    I64(i64) = 11,
    /// A float of 64 bits.
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
            [other] => Err(cursor.error(format!("yes or no (1 or 0) was expected, found {other}"))),
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

fn read_list<T: GgufType>(cursor: &mut Cursor) -> Result<Vec<T>, GgufError> {
    let count = cursor.count("values", T::MIN_BYTES)?;
    (0..count).map(|_| T::read(cursor)).collect()
}

impl Array {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
