//! Cross-entropy of a head on the CPU, in `chunks`, with its own backward pass.

use super::{
    LinearCrossEntropyCall, VocabularyMatrix,
    chunks::{Chunking, OutputGradients, Problem, Rows},
};
use crate::cpu::{
    backend_api::{
        Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor,
        Gradients, IntTensor, Ops, OpsKind, TensorMetadata, backend_extension,
    },
    matrix::MatrixRef,
    tensor::{as_f32_slice, f32_tensor, par_fill_rows},
};
use crate::packed::{HalfMatrix, PackedMatrix, is_half};
use burn::tensor::{Int, Shape, Tensor};

/// What the operation needs besides tensors.
#[derive(Clone, Debug)]
pub struct HeadOptions {
    /// Whether the weight is `[M, V]`.
    is_transposed: bool,
    /// Packed rows `[V, M]`, which take the place of the weight.
    packed: Option<PackedMatrix>,
    softcap: Option<f64>,
    chunking: Chunking,
}

/// Operation of [`linear_cross_entropy`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait LinearCrossEntropy: Backend {
    /// Cross-entropy of each target: `hidden [N, M]`, `weight [V, M]` or `[M, V]`, `bias [V]`, `targets [N] → [N]`.
    fn linear_cross_entropy(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        targets: IntTensor<Self>,
        options: HeadOptions,
    ) -> FloatTensor<Self>;
}

/// Tensors of the operation.
#[derive(Clone, Debug)]
pub struct HeadTensors<B: Backend> {
    hidden: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    targets: IntTensor<B>,
}

/// Forward pass with the stored log-sum-exp, and gradient, on backends without autodiff.
pub trait LinearCrossEntropyGradient: LinearCrossEntropy {
    /// Returns the cross-entropy `[N]` and log Σ exp of each position `[N]`, which the gradient needs.
    fn forward_with_log_sum_exp(
        tensors: HeadTensors<Self>,
        options: HeadOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Returns the gradients of hidden states, weight and bias, those that are `wanted`, from that of the output,
    /// `gradient [N]`.
    fn linear_cross_entropy_gradient(
        tensors: HeadTensors<Self>,
        options: HeadOptions,
        log_sums: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<Self>>; 3];
}

/// Cross-entropy of each target in nats, of the logits of a head: `targets [N] → [N]`.
///
/// # Panics
/// If a tensor isn't f32 on flex, shapes don't match, or a target isn't below V.
pub fn linear_cross_entropy(call: LinearCrossEntropyCall, targets: Tensor<1, Int>) -> Tensor<1> {
    linear_cross_entropy_in(Chunking::default(), call, targets)
}

/// [`linear_cross_entropy`] with blocks and chunks of other sizes.
pub fn linear_cross_entropy_in(chunking: Chunking, call: LinearCrossEntropyCall, targets: Tensor<1, Int>) -> Tensor<1> {
    let plain = call.hidden.device().without_autodiff();
    let hidden = call.scale.map_or(call.hidden.clone(), |scale| call.hidden * scale);
    let bias = call.bias.unwrap_or_else(|| Tensor::zeros([call.matrix.vocab()], &plain));
    let (weight, is_transposed, packed) = match call.matrix {
        VocabularyMatrix::Rows(table) => (table, false, None),
        VocabularyMatrix::Columns(map) => (map, true, None),
        // The operation has a weight; that of a packed head is never read.
        VocabularyMatrix::Packed(matrix) => (Tensor::zeros([1, 1], &plain), false, Some(matrix)),
    };
    Tensor::from_dispatch(Dispatch::linear_cross_entropy(
        hidden.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        targets.into_dispatch(),
        HeadOptions { is_transposed, packed, softcap: call.softcap, chunking },
    ))
}

/// Contiguous tensors of a call; the weight may have any strides, one of 16-bit floats those of rows or columns.
fn contiguous(tensors: HeadTensors<Flex>) -> HeadTensors<Flex> {
    let HeadTensors { hidden, weight, bias, targets } = tensors;
    let is_odd = is_half(weight.dtype()) && HalfMatrix::of(&weight).is_none();
    let weight = if is_odd { weight.to_contiguous() } else { weight };
    HeadTensors { hidden: hidden.to_contiguous(), weight, bias: bias.to_contiguous(), targets: targets.to_contiguous() }
}

/// The call on slices.
fn problem<'a>(tensors: &'a HeadTensors<Flex>, options: &'a HeadOptions) -> Problem<'a> {
    let (weight, width) = (&tensors.weight, tensors.hidden.shape()[1]);
    let rows = match (&options.packed, HalfMatrix::of(weight), options.is_transposed) {
        (Some(packed), ..) => Rows::Packed(packed),
        (None, Some(weight), true) => Rows::Half(weight.transposed()),
        (None, Some(weight), false) => Rows::Half(weight),
        (None, None, true) => Rows::Floats(MatrixRef::of(weight).transposed()),
        (None, None, false) => Rows::Floats(MatrixRef::of(weight)),
    };
    let shape = match rows {
        Rows::Packed(packed) => packed.shape(),
        Rows::Half(matrix) => matrix.shape(),
        Rows::Floats(matrix) => matrix.shape,
    };
    let bias = as_f32_slice(&tensors.bias);
    assert_eq!(shape, [bias.len(), width], "shape of the output matrix, and vocabulary and hidden size");
    let targets = tensors.targets.as_slice::<i32>().expect("contiguous 32-bit integers");
    let found = targets.iter().find(|target| !(0..bias.len() as i32).contains(target));
    assert!(found.is_none(), "target {found:?} is not below the vocabulary of {}", bias.len());
    let softcap = options.softcap.map(|cap| cap as f32);
    Problem { hidden: as_f32_slice(&tensors.hidden), rows, bias, softcap, targets, width, chunking: options.chunking }
}

/// Values of the positions `kept`, `width` each.
fn gather(values: &[f32], kept: &[usize], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; kept.len() * width];
    par_fill_rows(&mut out, width, |row, out| out.copy_from_slice(&values[kept[row] * width..][..width]));
    out
}

impl LinearCrossEntropy for Flex {
    fn linear_cross_entropy(
        hidden: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        targets: FlexTensor,
        options: HeadOptions,
    ) -> FlexTensor {
        Self::forward_with_log_sum_exp(HeadTensors { hidden, weight, bias, targets }, options).0
    }
}

impl LinearCrossEntropyGradient for Flex {
    fn forward_with_log_sum_exp(tensors: HeadTensors<Self>, options: HeadOptions) -> (FlexTensor, FlexTensor) {
        let tensors = contiguous(tensors);
        let (nats, log_sums) = problem(&tensors, &options).forward();
        let shape = tensors.targets.shape();
        (f32_tensor(nats, shape.clone()), f32_tensor(log_sums, shape))
    }

    fn linear_cross_entropy_gradient(
        tensors: HeadTensors<Self>,
        options: HeadOptions,
        log_sums: FlexTensor,
        gradient: FlexTensor,
        wanted: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let (tensors, gradient) = (contiguous(tensors), gradient.to_contiguous());
        let whole = problem(&tensors, &options);
        let (log_sums, gradient) = (as_f32_slice(&log_sums), as_f32_slice(&gradient));
        let (positions, width, vocab) = (gradient.len(), whole.width, whole.bias.len());
        // Positions without a gradient, such as padding, are left out.
        let kept: Vec<usize> = (0..positions).filter(|position| gradient[*position] != 0.0).collect();
        let hidden = gather(whole.hidden, &kept, width);
        let targets: Vec<i32> = kept.iter().map(|position| whole.targets[*position]).collect();
        let problem = Problem { hidden: &hidden, targets: &targets, ..whole };
        let wanted_size = [kept.len() * width, vocab * width, vocab];
        let buffer = |index: usize| wanted[index].then(|| vec![0.0; wanted_size[index]]);
        let mut out = OutputGradients {
            hidden: buffer(0),
            matrix: buffer(1).filter(|_| options.packed.is_none()),
            bias: buffer(2),
            is_transposed: options.is_transposed,
        };
        problem.backward(&gather(log_sums, &kept, 1), &gather(gradient, &kept, 1), &mut out);
        let hidden = out.hidden.map(|rows| {
            let mut hidden = vec![0.0; positions * width];
            kept.iter().enumerate().for_each(|(row, position)| {
                hidden[position * width..][..width].copy_from_slice(&rows[row * width..][..width]);
            });
            f32_tensor(hidden, tensors.hidden.shape())
        });
        let matrix = out.matrix.map(|matrix| f32_tensor(matrix, tensors.weight.shape()));
        [hidden, matrix, out.bias.map(|bias| f32_tensor(bias, Shape::from([vocab])))]
    }
}

/// Backward step; stores hidden states, weight (shared, not copied), bias, targets and log-sum-exps.
#[derive(Debug)]
struct LinearCrossEntropyBackward;

impl<B: LinearCrossEntropyGradient> Backward<B, 3> for LinearCrossEntropyBackward {
    type State = (HeadTensors<B>, HeadOptions, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (tensors, options, log_sums) = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let gradients = B::linear_cross_entropy_gradient(tensors, options, log_sums, gradient, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: LinearCrossEntropyGradient, C: CheckpointStrategy> LinearCrossEntropy for Autodiff<B, C> {
    fn linear_cross_entropy(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        targets: IntTensor<Self>,
        options: HeadOptions,
    ) -> FloatTensor<Self> {
        let (hidden, hidden_node) = hidden.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        let tensors = HeadTensors::<B> { hidden, weight, bias, targets };
        let (nats, log_sums) = B::forward_with_log_sum_exp(tensors.clone(), options.clone());
        let nodes = [hidden_node, weight_node, bias_node];
        match LinearCrossEntropyBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((tensors, options, log_sums), nats),
            OpsKind::UnTracked(prep) => prep.finish(nats),
        }
    }
}
