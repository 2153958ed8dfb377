//! Storages: rows of numbers of one type.

use super::strided::StridedView;
use burn::tensor::{bf16, f16};

/// A storage as a pickle names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    pub dtype: StorageDtype,
    pub key: &'a str,
    /// How many numbers.
    pub numel: usize,
}

/// The type of a storage's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StorageDtype {
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
const STORAGE_DTYPES: [(StorageDtype, &str, &str, usize); 10] = [
    (StorageDtype::F64, "Double", "float64", 8),
    (StorageDtype::F32, "Float", "float32", 4),
    (StorageDtype::F16, "Half", "float16", 2),
    (StorageDtype::Bf16, "BFloat16", "bfloat16", 2),
    (StorageDtype::I64, "Long", "int64", 8),
    (StorageDtype::I32, "Int", "int32", 4),
    (StorageDtype::I16, "Short", "int16", 2),
    (StorageDtype::I8, "Char", "int8", 1),
    (StorageDtype::U8, "Byte", "uint8", 1),
    (StorageDtype::Bool, "Bool", "bool", 1),
];

impl StorageDtype {
    /// The kind of `…Storage`.
    pub fn from_storage_class(word: &str) -> Option<Self> {
        STORAGE_DTYPES.iter().find(|row| row.1 == word).map(|row| row.0)
    }

    pub fn name(self) -> &'static str {
        STORAGE_DTYPES[self as usize].2
    }

    /// Bytes of a number.
    pub fn itemsize(self) -> usize {
        STORAGE_DTYPES[self as usize].3
    }

    /// A tensor's numbers from its storage's bytes, in the order of its shape.
    pub fn gather(self, bytes: &[u8], strided: &StridedView) -> Vec<f32> {
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
