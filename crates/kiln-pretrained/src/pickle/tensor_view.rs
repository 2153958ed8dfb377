//! Storages (arrays of one type) and the strided views of them that tensors are.

use burn::tensor::{bf16, f16};

/// A storage as a pickle refers to it: an array of `numel` values of one type, under a key of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    pub dtype: StorageDtype,
    pub key: &'a str,
    /// Number of values.
    pub numel: usize,
}

/// The type of a storage's values.
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

/// For each type, in the order of the enum: prefix of PyTorch's storage class, PyTorch's name of the type, bytes.
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
    /// Returns the type of the class `PREFIXStorage`.
    pub fn from_storage_class(prefix: &str) -> Option<Self> {
        STORAGE_DTYPES.iter().find(|row| row.1 == prefix).map(|row| row.0)
    }

    /// PyTorch's name of the type.
    pub fn name(self) -> &'static str {
        STORAGE_DTYPES[self as usize].2
    }

    /// Bytes of one value.
    pub fn itemsize(self) -> usize {
        STORAGE_DTYPES[self as usize].3
    }

    /// Returns the values of a view as f32, in row-major order. The view must have been checked against the storage.
    pub fn gather(self, storage: &[u8], view: &StridedView) -> Vec<f32> {
        match self {
            Self::F64 => view.gather(storage, |b| f64::from_le_bytes(b) as f32),
            Self::F32 => view.gather(storage, f32::from_le_bytes),
            Self::F16 => view.gather(storage, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => view.gather(storage, |b| bf16::from_le_bytes(b).to_f32()),
            Self::I64 => view.gather(storage, |b| i64::from_le_bytes(b) as f32),
            Self::I32 => view.gather(storage, |b| i32::from_le_bytes(b) as f32),
            Self::I16 => view.gather(storage, |b| i16::from_le_bytes(b).into()),
            Self::I8 => view.gather(storage, |b| i8::from_le_bytes(b).into()),
            Self::U8 => view.gather(storage, |[b]| b.into()),
            Self::Bool => view.gather(storage, |[b]| (b != 0).into()),
        }
    }
}

/// A strided view of a storage: element (i, j, …) is value offset + i · stride₀ + j · stride₁ + … of the storage. Offset
/// and strides are counted in values.
#[derive(Clone, Debug)]
pub(super) struct StridedView {
    pub offset: usize,
    pub shape: Vec<usize>,
    pub stride: Vec<usize>,
}

impl StridedView {
    /// Number of elements; `None` if it is beyond what this machine can address.
    fn num_elements(&self) -> Option<usize> {
        kiln_models::tensors::num_elements(&self.shape)
    }

    /// The largest index into the storage, of a view that has elements; `None` on overflow.
    fn max_index(&self) -> Option<usize> {
        let mut index = self.offset;
        for (size, stride) in self.shape.iter().zip(&self.stride) {
            index = index.checked_add((size - 1).checked_mul(*stride)?)?;
        }
        Some(index)
    }

    /// Checks the view against a storage of `numel` values in a file of `file_size` bytes. A view may have more elements
    /// than its storage has values (a stride of 0 repeats them), but not more than the file has bytes, so that a small
    /// file cannot claim a large allocation.
    pub fn check(&self, numel: usize, file_size: usize) -> Result<(), String> {
        if self.shape.len() != self.stride.len() {
            return Err(format!(
                "expected as many strides as sizes, found {} sizes and {} strides",
                self.shape.len(),
                self.stride.len()
            ));
        }
        match self.num_elements() {
            Some(0) => Ok(()),
            Some(count) if count <= numel.max(file_size) => match self.max_index() {
                Some(last) if last < numel => Ok(()),
                _ => Err(format!(
                    "shape {:?} with strides {:?} from {} leaves its storage of {numel} values",
                    self.shape, self.stride, self.offset
                )),
            },
            _ => Err(format!("shape {:?} is larger than the whole file of {file_size} bytes", self.shape)),
        }
    }

    /// Returns the elements in row-major order, each decoded from `N` bytes of the storage.
    fn gather<const N: usize>(&self, storage: &[u8], decode: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let count = self.num_elements().expect("checked");
        let mut values = Vec::with_capacity(count);
        if count == 0 {
            return values;
        }
        let value_at = |index: usize| decode(storage[index * N..][..N].try_into().expect("N bytes"));
        // The last dimension is the inner loop; a scalar is one row of one element.
        let outer_dims = self.shape.len().saturating_sub(1);
        let row_size = self.shape.last().copied().unwrap_or(1);
        let row_stride = self.stride.last().copied().unwrap_or(0);
        let mut row = vec![0; outer_dims];
        loop {
            let start = row.iter().zip(&self.stride).fold(self.offset, |index, (i, stride)| index + i * stride);
            values.extend((0..row_size).map(|i| value_at(start + i * row_stride)));
            if !advance(&mut row, &self.shape) {
                return values;
            }
        }
    }
}

/// Moves an index to the next one in row-major order; `false` after the last.
fn advance(index: &mut [usize], shape: &[usize]) -> bool {
    for (position, size) in index.iter_mut().zip(shape).rev() {
        *position += 1;
        if *position < *size {
            return true;
        }
        *position = 0;
    }
    false
}
