//! Weights that stay packed when they are loaded: matrices, and the stacked matrices of experts.

use super::{
    binding::{Binding, TensorLayout},
    load::{BindingsByParameter, LoadWeightsError, preferred, read_elements},
};
use crate::{
    model::Model,
    precision::{WeightPrecision, half_type},
    tensors::{TensorSource, float_type, pack_tensor},
};
use burn::tensor::Device;
use kiln_kernels::packed::{GgmlType, PackedMatrix};
use kiln_nn::packed_weight::PackedWeight;
use std::collections::BTreeMap;

/// Weights that stay packed on the CPU: those that the file packs row by row. Without autodiff, 16-bit floats are packed too,
/// whatever the file has.
pub(super) fn packed_weights(
    outline: &Model,
    bindings: &BindingsByParameter,
    tensors: &dyn TensorSource,
    (device, precision): (&Device, WeightPrecision),
) -> Result<BTreeMap<String, PackedWeight>, LoadWeightsError> {
    let mut all = BTreeMap::new();
    if *device != Device::flex() {
        return Ok(all);
    }
    for (parameter, bindings) in bindings {
        let Some(packable) = Packable::new(outline, parameter, bindings) else { continue };
        let file_dtype = &tensors.entries()[&packable.parts[0].tensor].dtype;
        let packed = match half_type(precision.matrix_dtype(file_dtype)) {
            // On an autodiff device, the parameter itself is of floats: it may be trained.
            Some(_) if device.is_autodiff() => None,
            Some(half) => packable.pack_half(tensors, half)?,
            None if precision == WeightPrecision::Keep => packable.packed_rows(tensors),
            None => None,
        };
        all.extend(packed.map(|packed| (parameter.clone(), packed)));
    }
    Ok(all)
}

/// A parameter that may be packed, and where its values are.
struct Packable {
    /// The tensor of the parameter, or those of its elements in ascending order.
    parts: Vec<Binding>,
    /// Whether the packed rows are the parameter's columns.
    by_columns: bool,
    is_stack: bool,
}

impl Packable {
    /// `None` if the parameter is no matrix or stack that may be packed, or several tensors are tied to it.
    fn new(outline: &Model, parameter: &str, bindings: &[Binding]) -> Option<Self> {
        let mut parts = preferred(bindings);
        parts.sort_by_key(|binding| binding.element);
        let first = parts.first()?;
        let is_stack = outline.stacks.contains(parameter);
        // The kernel of stacks reads both orders; that of the file needs no transposition.
        let by_columns = if is_stack { first.layout.transposed } else { *outline.matrices.get(parameter)? };
        (first.element.is_some() || parts.len() == 1).then_some(Self { parts, by_columns, is_stack })
    }

    /// Values of 16-bit floats, packed: moved as they are, or rounded to the type.
    fn pack_half(
        &self,
        tensors: &dyn TensorSource,
        half: &'static GgmlType,
    ) -> Result<Option<PackedWeight>, LoadWeightsError> {
        let parts = self.parts.iter().map(|part| {
            let transposed = part.layout.transposed != self.by_columns;
            Binding { layout: TensorLayout { transposed, ..part.layout }, ..part.clone() }
        });
        let elements = read_elements::<Vec<u8>>(&parts.collect::<Vec<_>>(), tensors)?;
        let shape = elements.shape.clone();
        let [outer @ .., columns] = &shape[..] else { return Ok(None) };
        let bytes = match float_type(half.name) == Some(elements.dtype) {
            true => elements.bytes,
            false => pack_tensor(half, &self.parts[0].tensor, elements.into_values())?,
        };
        let matrix = PackedMatrix::new(half, [outer.iter().product(), *columns], bytes.into());
        Ok(matrix.map(|matrix| self.weight(matrix, outer[0])))
    }

    /// The rows as the file packs them; `None` if they can't be taken from it unchanged.
    fn packed_rows(&self, tensors: &dyn TensorSource) -> Option<PackedWeight> {
        if self.parts.iter().any(|part| part.layout.transposed != self.by_columns) {
            return None;
        }
        let part = |part: &Binding| {
            let shape = &tensors.entries()[&part.tensor].shape;
            part.layout.slice_rows(tensors.read_packed(&part.tensor)?, shape)
        };
        let mut rows = self.parts.iter().map(part).collect::<Option<Vec<_>>>()?;
        let count = self.parts[0].element.map_or(tensors.entries()[&self.parts[0].tensor].shape[0], |(_, count)| count);
        let matrix = if rows.len() == 1 { rows.remove(0) } else { PackedMatrix::concat(&rows)? };
        Some(self.weight(matrix, count))
    }

    /// The packed weight with these rows; those of `count` matrices if it is a stack.
    fn weight(&self, matrix: PackedMatrix, count: usize) -> PackedWeight {
        PackedWeight { matrix, transposed: self.by_columns, stack: self.is_stack.then_some(count) }
    }
}
