//! Loss of each token from the logits of student and teacher, in chunks of tokens: logits are never whole.
//!
//! On the CPU, a chunk keeps its hidden states only. Backward, it computes the logits of both models once more, as a block
//! does with gradient checkpointing. The gradient of the logits is computed with their loss (`Divergence`); autograd
//! continues from there through the head.

use super::{Distill, divergence::TokenDivergence};
use burn::{
    module::Module,
    tensor::{Device, IndexingUpdateOp, Int, Tensor, activation::log_softmax},
};
use kiln_models::Model;
use kiln_nn::Context;
use std::sync::Arc;

/// Number of logits of a chunk: 16 MB in 32 bits.
const CHUNK_LOGITS: usize = 1 << 22;

/// Columns of the values of a token.
pub(super) const LOSS: usize = 0;
pub(super) const KL: usize = 1;
pub(super) const CROSS_ENTROPY: usize = 2;
pub(super) const AGREEMENT: usize = 3;

/// Inputs of the losses of N tokens.
pub(super) struct TokenInputs {
    /// Final hidden states of the student, `[N, M]`.
    pub student: Tensor<2>,
    /// Final hidden states of the teacher, `[N, M']`, without autodiff.
    pub teacher: Tensor<2>,
    /// Targets, `[N]`.
    pub targets: Tensor<1, Int>,
}

/// A chunk of tokens with all that its loss is a function of, apart from the student's hidden states. The student's model
/// is a submodule: the gradients of its head are collected by name.
#[derive(Module, Debug)]
struct TokenChunk {
    student: Model,
    #[module(skip)]
    constants: Arc<ChunkConstants>,
}

/// What a chunk reads and does not train.
#[derive(Debug)]
struct ChunkConstants {
    options: Distill,
    teacher: Model,
    hidden: Tensor<2>,
    targets: Tensor<1, Int>,
}

/// Number of tokens of a chunk for a vocabulary of `vocab` tokens.
pub(super) fn chunk_tokens(vocab: usize) -> usize {
    (CHUNK_LOGITS / vocab.max(1)).clamp(16, 1 << 14)
}

/// Loss, divergence (with T²), cross-entropy, and agreement of the largest logits of each token, `[n, 4]`, for each chunk
/// of `chunk` tokens in order. Only the loss is differentiable.
pub(super) fn token_losses(
    options: &Distill,
    (student, teacher): (&Model, &Model),
    inputs: TokenInputs,
    chunk: usize,
    cx: &mut Context,
) -> Vec<Tensor<2>> {
    let [tokens, width] = inputs.student.dims();
    let teacher_width = inputs.teacher.dims()[1];
    // Recomputing works on the CPU. Elsewhere the chunks keep their graph.
    let outer = cx.gradient_sink.take();
    cx.gradient_sink = cx.loss_sink.clone().filter(|_| student.device().without_autodiff() == Device::flex());
    let chunks = (0..tokens).step_by(chunk).map(|start| {
        let end = (start + chunk).min(tokens);
        let constants = ChunkConstants {
            options: options.clone(),
            teacher: teacher.clone(),
            hidden: inputs.teacher.clone().slice([start..end, 0..teacher_width]),
            targets: inputs.targets.clone().narrow(0, start, end - start),
        };
        let chunk = TokenChunk { student: student.clone(), constants: Arc::new(constants) };
        let hidden = inputs.student.clone().slice([start..end, 0..width]).unsqueeze_dim::<3>(0);
        cx.forward_recomputed(&chunk, hidden, TokenChunk::forward).squeeze_dim::<2>(0)
    });
    let losses = chunks.collect();
    cx.gradient_sink = outer;
    losses
}

impl TokenChunk {
    /// `[1, n, M] → [1, n, 4]`.
    fn forward(&self, hidden: Tensor<3>, _cx: &mut Context) -> Tensor<3> {
        let ChunkConstants { options, teacher, hidden: teacher_hidden, targets } = &*self.constants;
        let logits = self.student.logits(hidden.squeeze_dim::<2>(0));
        let values = if logits.is_autodiff() { logits.clone().inner() } else { logits.clone() };
        let (outputs, gradient) = options.token_values(values, teacher.logits(teacher_hidden.clone()), targets.clone());
        if !logits.is_autodiff() {
            return outputs.unsqueeze_dim(0);
        }
        // The sum has the wanted gradient. Its value is taken off again: x − x is exactly 0.
        let linear = (logits * gradient).sum_dim(1);
        let zero = linear.clone() - linear.detach();
        let n = outputs.dims()[0];
        let loss = zero + outputs.clone().slice([0..n, LOSS..LOSS + 1]);
        let others = Tensor::from_inner(outputs.slice([0..n, KL..AGREEMENT + 1]));
        Tensor::cat(vec![loss, others], 1).unsqueeze_dim(0)
    }
}

impl Distill {
    /// Values of N tokens, `[N, 4]`, and the gradient of their losses with respect to the student's logits, `[N, V]`. All
    /// tensors are without autodiff.
    ///
    /// Models of one tokenizer can have different numbers of unused rows: the tokens that both have are compared.
    pub(super) fn token_values(
        &self,
        student: Tensor<2>,
        teacher: Tensor<2>,
        targets: Tensor<1, Int>,
    ) -> (Tensor<2>, Tensor<2>) {
        let [n, width] = student.dims();
        let shared = width.min(teacher.dims()[1]);
        let [own, others] = [student.clone(), teacher].map(|logits| logits.slice([0..n, 0..shared]));
        let like = (own.device(), own.dtype());
        let agreement = own.clone().argmax(1).equal(others.clone().argmax(1)).float().cast(like.1);
        let temperature = self.temperature;
        let TokenDivergence { value, gradient } = self.loss.of_logits(own, others, temperature, self.top_k);
        let kl = value * (temperature * temperature);
        let mut gradient = gradient * (self.alpha * temperature);
        if shared < width {
            let unused = Tensor::zeros([n, width - shared], (&like.0, like.1));
            gradient = Tensor::cat(vec![gradient, unused], 1);
        }
        let log_p = log_softmax(student, 1);
        let targets = targets.unsqueeze_dim::<2>(1);
        let cross_entropy = log_p.clone().gather(1, targets.clone()).neg();
        if self.alpha < 1.0 {
            // ∂ cross-entropy / ∂ logits = softmax − [target].
            let weight = 1.0 - self.alpha;
            let ones = Tensor::full([n, 1], -weight, (&like.0, like.1));
            gradient = (gradient + log_p.exp() * weight).scatter(1, targets, ones, IndexingUpdateOp::Add);
        }
        let loss = kl.clone() * self.alpha + cross_entropy.clone() * (1.0 - self.alpha);
        (Tensor::cat(vec![loss, kl, cross_entropy, agreement], 1), gradient)
    }
}
