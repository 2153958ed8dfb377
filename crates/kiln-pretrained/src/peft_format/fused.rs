//! One LoRA for a fused layer from the LoRAs of its parts: q, k and v of GPT-2's `c_attn`, gate and up of Phi-3's
//! `gate_up_proj`.
//!
//! Parts with the same A (as read from a fused layer's LoRA) keep it: B has the rows of all parts. Other parts are stacked:
//! A = [A₁; A₂; …], and B has the blocks s₁/s₁ B₁, s₂/s₁ B₂, … on its diagonal, so that one scale s₁ fits all.

use burn::tensor::TensorData;
use kiln_models::hf::{TensorLayout, binding::Slice};
use kiln_nn::adapter::LoraSpec;

/// The LoRA of one part: A `[in, r]`, B `[r, out]`.
pub(super) struct PartAdapter {
    /// The outputs of the fused layer that are this part's; `None` if the part is the whole layer.
    pub outputs: Option<Slice>,
    pub spec: LoraSpec,
    pub a: TensorData,
    pub b: TensorData,
}

/// Returns the LoRA of the whole layer in PEFT's layout: A `[r, in]`, B `[out, r]`. `None` without parts. Outputs of parts
/// that are not listed get nothing.
pub(super) fn fuse(parts: &[PartAdapter]) -> Option<(LoraSpec, TensorData, TensorData)> {
    let first = parts.first()?;
    let is_shared = parts.iter().all(|part| part.spec == first.spec && part.a == first.a);
    let ranks = parts.iter().map(|part| part.spec.rank);
    let (rank, alpha) = if is_shared {
        (first.spec.rank, first.spec.alpha)
    } else {
        let rank: usize = ranks.sum();
        let unit = LoraSpec { rank, alpha: 1.0, ..first.spec };
        (rank, first.spec.scale() / unit.scale())
    };
    let transposed = |slice| TensorLayout { transposed: true, slice, ..TensorLayout::default() };
    let (mut a, mut b, mut start) = (Vec::new(), None, 0);
    for part in parts {
        let block = if is_shared { part.b.clone() } else { padded(part, first, start, rank) };
        b = Some(transposed(part.outputs).insert(block, b));
        if start == 0 || !is_shared {
            // The values of a transposed matrix [r, in]: the rows of all parts, one after the other.
            a.extend(transposed(None).extract(part.a.clone()).iter::<f32>());
        }
        start += part.spec.rank;
    }
    let a = TensorData::new(a, [rank, first.a.shape()[0]]);
    Some((LoraSpec { rank, alpha, ..first.spec }, a, b?))
}

/// B of a part as rows `start..` of `rank` rows, for the scale of the first part.
fn padded(part: &PartAdapter, first: &PartAdapter, start: usize, rank: usize) -> TensorData {
    let ratio = part.spec.scale() / first.spec.scale();
    let outputs = part.b.shape()[1];
    let mut values = vec![0.0f32; rank * outputs];
    for (value, b) in values[start * outputs..].iter_mut().zip(part.b.iter::<f64>()) {
        *value = (b * ratio) as f32;
    }
    TensorData::new(values, [rank, outputs])
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_nn::adapter::LoraInit;

    fn part(outputs: Option<Slice>, rank: usize, alpha: f64, seed: f32) -> PartAdapter {
        let matrix = |rows: usize, columns: usize| {
            let values: Vec<f32> = (0..rows * columns).map(|i| ((i * 7 + 3) % 11) as f32 * 0.25 - seed).collect();
            TensorData::new(values, [rows, columns])
        };
        let spec = LoraSpec { rank, alpha, rslora: false, dropout: 0.0, init: LoraInit::Uniform };
        PartAdapter { outputs, spec, a: matrix(3, rank), b: matrix(rank, 2) }
    }

    /// s B A of PEFT's layout, `[out, in]`.
    fn product(spec: &LoraSpec, a: &TensorData, b: &TensorData) -> Vec<f64> {
        let (a, b): (Vec<f64>, Vec<f64>) = (a.iter::<f64>().collect(), b.iter::<f64>().collect());
        let (rank, inputs) = (spec.rank, a.len() / spec.rank);
        let cell = |o: usize, i: usize| (0..rank).map(|r| b[o * rank + r] * a[r * inputs + i]).sum::<f64>();
        let outputs = b.len() / rank;
        (0..outputs * inputs).map(|index| spec.scale() * cell(index / inputs, index % inputs)).collect()
    }

    #[test]
    fn the_adapter_of_a_fused_layer_computes_what_its_parts_compute() {
        let slice = |start| Some(Slice::contiguous(0, start, 2, 6));
        // The outputs 2 and 3 have no adapter.
        let parts = [part(slice(0), 2, 3.0, 0.5), part(slice(4), 1, 5.0, 0.25)];
        let (spec, a, b) = fuse(&parts).unwrap();
        assert_eq!((spec.rank, a.shape().to_vec(), b.shape().to_vec()), (3, vec![3, 3], vec![6, 3]));
        let alone = |index: usize| {
            let part = &parts[index];
            let (_, a, b) =
                fuse(&[PartAdapter { outputs: None, spec: part.spec, a: part.a.clone(), b: part.b.clone() }]).unwrap();
            product(&part.spec, &a, &b)
        };
        let expected = [alone(0), vec![0.0; 6], alone(1)].concat();
        let differences = product(&spec, &a, &b).iter().zip(&expected).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        assert!(differences < 1e-6 && expected.iter().any(|x| x.abs() > 0.5), "{differences}");
    }

    #[test]
    fn parts_with_the_same_matrix_a_keep_their_rank() {
        let slice = |start| Some(Slice::contiguous(0, start, 2, 4));
        let (spec, a, b) = fuse(&[part(slice(0), 2, 3.0, 0.5), part(slice(2), 2, 3.0, 0.5)]).unwrap();
        assert_eq!((spec.rank, spec.alpha, a.shape().to_vec(), b.shape().to_vec()), (2, 3.0, vec![2, 3], vec![4, 2]));
        assert!(fuse(&[]).is_none());
    }
}
