//! Values of metadata.

use super::{GgufError, cursor::Cursor};

/// Arrays within arrays, at most.
const DEEPEST: usize = 8;

/// How a type stands in a file.
trait Stored: Sized {
    /// Bytes that one takes, at least.
    const LEAST: usize;
    fn read(cursor: &mut Cursor) -> Result<Self, GgufError>;
    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! values {
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
                    $($code => <$type as Stored>::read(cursor).map(Value::$name),)*
                    other => Err(cursor.broken(format!("{other} is no type of values"))),
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

        impl Stored for Array {
            const LEAST: usize = 12;

            fn read(cursor: &mut Cursor) -> Result<Self, GgufError> {
                if cursor.depth == DEEPEST {
                    return Err(cursor.broken(format!("more than {DEEPEST} arrays within each other")));
                }
                cursor.depth += 1;
                let read = match cursor.u32()? {
                    $($code => list(cursor).map(Array::$name),)*
                    other => Err(cursor.broken(format!("{other} is no type of values"))),
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

values! {
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

macro_rules! numbers {
    ($($type:ty)*) => { $(impl Stored for $type {
        const LEAST: usize = size_of::<$type>();
        fn read(cursor: &mut Cursor) -> Result<Self, GgufError> {
            Ok(Self::from_le_bytes(cursor.array()?))
        }
        fn write(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.to_le_bytes());
        }
    })* };
}

numbers! { u8 i8 u16 i16 u32 i32 f32 u64 i64 f64 }

impl Stored for bool {
    const LEAST: usize = 1;
    fn read(cursor: &mut Cursor) -> Result<Self, GgufError> {
        match cursor.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(cursor.broken(format!("yes or no (1 or 0) was expected, found {other}"))),
        }
    }
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Stored for String {
    const LEAST: usize = 8;
    fn read(cursor: &mut Cursor) -> Result<Self, GgufError> {
        cursor.string()
    }
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.len() as u64).to_le_bytes());
        out.extend_from_slice(self.as_bytes());
    }
}

fn list<T: Stored>(cursor: &mut Cursor) -> Result<Vec<T>, GgufError> {
    let count = cursor.count("values", T::LEAST)?;
    (0..count).map(|_| T::read(cursor)).collect()
}

impl Array {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Value {
    /// A whole number from 0 on.
    pub fn whole(&self) -> Option<u64> {
        match *self {
            Value::U8(n) => Some(n.into()),
            Value::U16(n) => Some(n.into()),
            Value::U32(n) => Some(n.into()),
            Value::U64(n) => Some(n),
            Value::I8(n) => n.try_into().ok(),
            Value::I16(n) => n.try_into().ok(),
            Value::I32(n) => n.try_into().ok(),
            Value::I64(n) => n.try_into().ok(),
            _ => None,
        }
    }

    /// A number. One of 32 bits is taken as the shortest decimal that means it: 1e-5, not 9.9999997e-6.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::F32(n) => n.to_string().parse().ok(),
            Value::F64(n) => Some(*n),
            other => other.whole().map(|n| n as f64),
        }
    }

    /// Text.
    pub fn text(&self) -> Option<&str> {
        if let Value::String(text) = self { Some(text) } else { None }
    }

    /// Texts.
    pub fn texts(&self) -> Option<&[String]> {
        if let Value::Array(Array::String(texts)) = self { Some(texts) } else { None }
    }

    /// Whether it is 0, no, or empty: as good as not there.
    pub(super) fn is_off(&self) -> bool {
        match self {
            Value::Bool(yes) => !yes,
            Value::String(text) => text.is_empty(),
            Value::Array(array) => array.is_empty(),
            number => number.number() == Some(0.0),
        }
    }

    /// What it is, for errors: arrays without their values.
    pub(super) fn told(&self) -> String {
        match self {
            Value::Array(array) => format!("an array of {}", array.len()),
            other => format!("{other:?}"),
        }
    }
}
