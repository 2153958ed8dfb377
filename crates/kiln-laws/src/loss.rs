//! A loss of a whole model over documents that is the same for every layout of these documents.
//!
//! For document d with the tokens x₀ … xₙ₋₁ it is Σᵢ (1 + 0.1 i) · −log p(xᵢ₊₁ | x₀ … xᵢ), where xₙ is x₀ again. The
//! weights differ by position, so that a mix-up of positions changes the sum. Laws compare its value and its gradients
//! between packed, padded and separate documents.

use crate::parameters::{ByPath, gradients};
use burn::tensor::{Int, Tensor, TensorData};
use kiln_infer::equivalence::{self, ModelRunner};
use kiln_models::Model;
use kiln_nn::Context;
use kiln_spec::{Direction, DocumentSpan, Layout};

/// Documents laid out in rows of one batch, all of one direction.
#[derive(Clone, Debug)]
pub struct DocumentRows {
    /// Token ids, by row and document.
    pub documents: Vec<Vec<Vec<u32>>>,
    /// Attention direction of every document.
    pub direction: Direction,
    /// Tokens of a row, padding at its end included.
    pub width: usize,
}

impl DocumentRows {
    /// Batches of one row with one document and no padding each. Empty documents are left out.
    pub fn separate(documents: &[Vec<u32>], direction: Direction) -> Vec<Self> {
        let present = documents.iter().filter(|document| !document.is_empty());
        present.map(|d| Self { documents: vec![vec![d.clone()]], direction, width: d.len() }).collect()
    }

    /// All documents in one row, then `padding` tokens.
    pub fn packed(documents: &[Vec<u32>], direction: Direction, padding: usize) -> Self {
        let width = documents.iter().map(Vec::len).sum::<usize>() + padding;
        Self { documents: vec![documents.to_vec()], direction, width }
    }

    /// A row for each document, `padding` tokens wider than the longest one.
    pub fn padded(documents: &[Vec<u32>], direction: Direction, padding: usize) -> Self {
        let width = documents.iter().map(Vec::len).max().unwrap_or_default() + padding;
        Self { documents: documents.iter().map(|d| vec![d.clone()]).collect(), direction, width }
    }

    /// Layout of the batch.
    pub fn layout(&self) -> Layout {
        let span = |d: &Vec<u32>| DocumentSpan { length: d.len(), start: 0, direction: self.direction };
        let rows: Vec<Vec<DocumentSpan>> = self.documents.iter().map(|row| row.iter().map(span).collect()).collect();
        Layout::packed(&rows, self.width)
    }

    /// Input ids, target ids and weights of the loss, each `[rows × width]`.
    ///
    /// The target of a document's last token is its first token, so that no target lies outside the document. Padding
    /// has id 0 and weight 0.
    pub fn inputs_targets_weights(&self) -> (Vec<i32>, Vec<i32>, Vec<f64>) {
        let mut inputs = Vec::new();
        let mut targets = Vec::new();
        let mut weights = Vec::new();
        for (number, row) in self.documents.iter().enumerate() {
            for document in row {
                inputs.extend(document.iter().map(|id| *id as i32));
                targets.extend(document.iter().cycle().skip(1).take(document.len()).map(|id| *id as i32));
                weights.extend((0..document.len()).map(|position| 1.0 + 0.1 * position as f64));
            }
            inputs.resize((number + 1) * self.width, 0);
            targets.resize((number + 1) * self.width, 0);
            weights.resize((number + 1) * self.width, 0.0);
        }
        (inputs, targets, weights)
    }
}

/// The loss of a batch, `[1]`: a weighted sum over tokens (see the module's formula).
///
/// A head that pools has no tokens to predict: then the loss is a weighted sum of the outputs of each document, with
/// weights that depend on the document's first token and on the output.
pub fn loss(run: &impl ModelRunner, rows: &DocumentRows, cx: &mut Context) -> Tensor<1> {
    let (device, shape) = (run.model().device(), [rows.documents.len(), rows.width]);
    let (inputs, targets, weights) = rows.inputs_targets_weights();
    let num_tokens = shape[0] * shape[1];
    equivalence::encode_first_halves(run.model(), &inputs, cx);
    let inputs = Tensor::<2, Int>::from_data(TensorData::new(inputs, shape), &device);
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [num_tokens]), &device);
    let hidden = run.forward(inputs, cx);
    if run.model().config().head.pooling().is_some() {
        return pooled_loss(run.model(), rows, hidden, cx);
    }
    let width = hidden.dims()[2];
    let losses = run.model().cross_entropy(hidden.reshape([num_tokens, width]), targets);
    let weights = Tensor::<1>::from_data(TensorData::new(weights, [num_tokens]), (&device, losses.dtype()));
    (losses * weights).sum()
}

/// The loss of a model whose head pools.
fn pooled_loss(model: &Model, rows: &DocumentRows, hidden: Tensor<3>, cx: &Context) -> Tensor<1> {
    let outputs = model.outputs(hidden, cx);
    let (device, shape) = (outputs.device(), outputs.dims());
    let documents = rows.documents.iter().flatten().filter(|document| !document.is_empty());
    let weights = documents
        .flat_map(|document| (0..shape[1]).map(move |output| (f64::from(document[0]) + 1.7 * output as f64).sin()));
    let weights: Vec<f64> = weights.collect();
    let weights = Tensor::<2>::from_data(TensorData::new(weights, shape), (&device, outputs.dtype()));
    (outputs * weights).sum_dim(1).sum()
}

/// The loss of a forward pass without dropout, as a number.
pub fn loss_value(run: &impl ModelRunner, rows: &DocumentRows) -> f64 {
    let mut cx = Context::new(&rows.layout(), &run.model().device());
    loss(run, rows, &mut cx).into_data().iter::<f64>().sum()
}

/// Gradients of the loss by every parameter, of a forward pass without dropout. The model must be on an autodiff
/// device.
pub fn loss_gradients(run: &impl ModelRunner, rows: &DocumentRows) -> ByPath<Vec<f64>> {
    let mut cx = Context::new(&rows.layout(), &run.model().device());
    gradients(run.model(), &loss(run, rows, &mut cx).backward())
}
