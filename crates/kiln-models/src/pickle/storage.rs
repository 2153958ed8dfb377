//! Storages: rows of numbers of one type.

use super::strided::Strided;
use burn::tensor::{bf16, f16};

/// A storage as a pickle names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    pub kind: Kind,
    pub key: &'a str,
    /// How many numbers.
    pub numel: usize,
}

/// The type of a storage's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

/// Each with PyTorch's word for its storage, PyTorch's word for the type, and its size in bytes.
const KINDS: [(Kind, &str, &str, usize); 10] = [
    (Kind::F64, "Double", "float64", 8),
    (Kind::F32, "Float", "float32", 4),
    (Kind::F16, "Half", "float16", 2),
    (Kind::Bf16, "BFloat16", "bfloat16", 2),
    (Kind::I64, "Long", "int64", 8),
    (Kind::I32, "Int", "int32", 4),
    (Kind::I16, "Short", "int16", 2),
    (Kind::I8, "Char", "int8", 1),
    (Kind::U8, "Byte", "uint8", 1),
    (Kind::Bool, "Bool", "bool", 1),
];

impl Kind {
    /// The kind of `…Storage`.
    pub fn of_storage(word: &str) -> Option<Self> {
        KINDS.iter().find(|row| row.1 == word).map(|row| row.0)
    }

    pub fn name(self) -> &'static str {
        KINDS[self as usize].2
    }

    /// Bytes of a number.
    pub fn size(self) -> usize {
        KINDS[self as usize].3
    }

    /// A tensor's numbers from its storage's bytes, in the order of its shape.
    pub fn gather(self, bytes: &[u8], strided: &Strided) -> Vec<f32> {
        match self {
            Self::F64 => strided.gather(bytes, |b| f64::from_le_bytes(b) as f32),
            Self::F32 => strided.gather(bytes, f32::from_le_bytes),
            Self::F16 => strided.gather(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => strided.gather(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Self::I64 => strided.gather(bytes, |b| i64::from_le_bytes(b) as f32),
            Self::I32 => strided.gather(bytes, |b| i32::from_le_bytes(b) as f32),
            Self::I16 => strided.gather(bytes, |b| i16::from_le_bytes(b).into()),
            Self::I8 => strided.gather(bytes, |b| i8::from_le_bytes(b).into()),
            Self::U8 => strided.gather(bytes, |[b]| b.into()),
            Self::Bool => strided.gather(bytes, |[b]| (b != 0).into()),
        }
    }
}
