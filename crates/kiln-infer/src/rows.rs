//! Token rows as tensors: padding, layouts and index tensors for batches of texts of unequal length.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_spec::{Direction, DocumentSpan, Layout};

/// Rows padded to the longest one with 0, row-major, and the length of each.
pub(crate) fn pad_rows(rows: &[&[u32]]) -> (Vec<i32>, Vec<usize>) {
    let lengths: Vec<usize> = rows.iter().map(|row| row.len()).collect();
    let width = lengths.iter().copied().max().unwrap_or_default();
    (pad_rows_to(rows, width), lengths)
}

/// Rows padded to `width` with 0, row-major. The id of padding is irrelevant: no token attends to it.
pub(crate) fn pad_rows_to(rows: &[&[u32]], width: usize) -> Vec<i32> {
    rows.iter().flat_map(|row| (0..width).map(|i| row.get(i).map_or(0, |id| *id as i32))).collect()
}

/// Texts as slices.
pub(crate) fn as_slices(texts: &[Vec<u32>]) -> Vec<&[u32]> {
    texts.iter().map(Vec::as_slice).collect()
}

/// Layout with one document from position 0 in each row. `direction` gets the length of the document.
pub(crate) fn one_document_per_row(rows: &[&[u32]], width: usize, direction: impl Fn(usize) -> Direction) -> Layout {
    let rows: Vec<Vec<DocumentSpan>> = rows
        .iter()
        .map(|row| vec![DocumentSpan { length: row.len(), start: 0, direction: direction(row.len()) }])
        .collect();
    Layout::packed(&rows, width)
}

/// Integer tensor of the given shape.
pub(crate) fn int_tensor<const D: usize>(values: Vec<i32>, shape: [usize; D], device: &Device) -> Tensor<D, Int> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
