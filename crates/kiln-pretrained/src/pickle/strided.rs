//! Views of a storage: an offset, a shape, a stride per dimension, all counted in numbers.

/// A view: entry (i, j, …) is number offset + i · stride₀ + j · stride₁ + … of the storage.
#[derive(Clone, Debug)]
pub(super) struct StridedView {
    pub offset: usize,
    pub shape: Vec<usize>,
    pub stride: Vec<usize>,
}

impl StridedView {
    /// How many numbers it has.
    fn num_elements(&self) -> Option<usize> {
        kiln_models::tensors::num_elements(&self.shape)
    }

    /// The storage's number that lies farthest, of a view that has any.
    fn max_index(&self) -> Option<usize> {
        let dimensions = self.shape.iter().zip(&self.stride);
        dimensions
            .into_iter()
            .try_fold(self.offset, |at, (&size, &stride)| at.checked_add((size - 1).checked_mul(stride)?))
    }

    /// Checks it against a storage of `numel` numbers, and its size against the file's: a stride of zero repeats
    /// numbers, which costs a file nothing.
    pub fn check(&self, numel: usize, file: usize) -> Result<(), String> {
        if self.shape.len() != self.stride.len() {
            return Err(format!("{} sizes, {} strides", self.shape.len(), self.stride.len()));
        }
        match self.num_elements() {
            Some(0) => Ok(()),
            Some(count) if count <= numel.max(file) => match self.max_index() {
                Some(last) if last < numel => Ok(()),
                _ => Err(format!(
                    "shape {:?} with strides {:?} from {} leaves its storage of {numel} numbers",
                    self.shape, self.stride, self.offset
                )),
            },
            _ => Err(format!("shape {:?} is larger than the whole file of {file} bytes", self.shape)),
        }
    }

    /// Its numbers, row by row. `self` was checked against the storage's length.
    pub fn gather<const N: usize>(&self, bytes: &[u8], decode: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let count = self.num_elements().expect("checked");
        let mut numbers = Vec::with_capacity(count);
        if count == 0 {
            return numbers;
        }
        let number = |at: usize| decode(bytes[at * N..][..N].try_into().expect("N bytes"));
        let outer = self.shape.len().saturating_sub(1);
        let (size, stride) =
            self.shape.last().zip(self.stride.last()).map_or((1, 0), |(&size, &stride)| (size, stride));
        let mut index = vec![0; outer];
        loop {
            let start = index.iter().zip(&self.stride).fold(self.offset, |at, (i, stride)| at + i * stride);
            numbers.extend((0..size).map(|i| number(start + i * stride)));
            if !advance(&mut index, &self.shape) {
                return numbers;
            }
        }
    }
}

/// The next index in the order of the shape, if there is one.
fn advance(index: &mut [usize], shape: &[usize]) -> bool {
    for (at, size) in index.iter_mut().zip(shape).rev() {
        *at += 1;
        if *at < *size {
            return true;
        }
        *at = 0;
    }
    false
}
