//! A loss of a whole model over documents: what gradients are taken of.

use crate::parameters::{ByPath, gradients};
use burn::tensor::{Int, Tensor, TensorData};
use kiln_infer::equivalence::{self, ModelRunner};
use kiln_models::Model;
use kiln_nn::Context;
use kiln_spec::{Direction, DocumentSpan, Layout};

/// Documents in rows, with who sees whom in them.
#[derive(Clone, Debug)]
pub struct DocumentRows {
    /// Token ids, by row and document.
    pub documents: Vec<Vec<Vec<u32>>>,
    /// Who sees whom.
    pub direction: Direction,
    /// Tokens a row.
    pub width: usize,
}

impl DocumentRows {
    /// Each document alone in a row of its own.
    pub fn separate(documents: &[Vec<u32>], direction: Direction) -> Vec<Self> {
        let alone = |d: &Vec<u32>| Self { documents: vec![vec![d.clone()]], direction, width: d.len() };
        documents.iter().filter(|d| !d.is_empty()).map(alone).collect()
    }

    /// All documents in one row.
    pub fn packed(documents: &[Vec<u32>], direction: Direction, padding: usize) -> Self {
        let width = documents.iter().map(Vec::len).sum::<usize>() + padding;
        Self { documents: vec![documents.to_vec()], direction, width }
    }

    /// A row a document.
    pub fn padded(documents: &[Vec<u32>], direction: Direction, padding: usize) -> Self {
        let width = documents.iter().map(Vec::len).max().unwrap_or_default() + padding;
        Self { documents: documents.iter().map(|d| vec![d.clone()]).collect(), direction, width }
    }

    /// Their geometry.
    pub fn layout(&self) -> Layout {
        let piece = |d: &Vec<u32>| DocumentSpan { length: d.len(), start: 0, direction: self.direction };
        let rows: Vec<Vec<DocumentSpan>> = self.documents.iter().map(|row| row.iter().map(piece).collect()).collect();
        Layout::packed(&rows, self.width)
    }

    /// Token ids `[rows × width]`, and those to be predicted with their weights. Each token predicts the first one of
    /// its document and its place, so that padding has nothing to do with it.
    pub fn inputs_targets_weights(&self) -> (Vec<i32>, Vec<i32>, Vec<f64>) {
        let (mut inputs, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for (number, row) in self.documents.iter().enumerate() {
            for document in row {
                let places = document.iter().enumerate();
                inputs.extend(document.iter().map(|id| *id as i32));
                targets.extend(document.iter().cycle().skip(1).take(document.len()).map(|id| *id as i32));
                weights.extend(places.map(|(place, _)| 1.0 + 0.1 * place as f64));
            }
            inputs.resize((number + 1) * self.width, 0);
            targets.resize((number + 1) * self.width, 0);
            weights.resize((number + 1) * self.width, 0.0);
        }
        (inputs, targets, weights)
    }
}

/// Sum of weighted −log p of each document's tokens, `[1]`, or of what a head that pools gives, weighted by the document
/// and its tokens. It is the same however the documents are laid out.
pub fn loss(run: &impl ModelRunner, rows: &DocumentRows, cx: &mut Context) -> Tensor<1> {
    let (device, shape) = (run.model().device(), [rows.documents.len(), rows.width]);
    let (inputs, targets, weights) = rows.inputs_targets_weights();
    let cells = shape[0] * shape[1];
    equivalence::encode_first_halves(run.model(), &inputs, cx);
    let inputs = Tensor::<2, Int>::from_data(TensorData::new(inputs, shape), &device);
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [cells]), &device);
    let hidden = run.forward(inputs, cx);
    if run.model().config().head.pooling().is_some() {
        return pooled_loss(run.model(), rows, hidden, cx);
    }
    let width = hidden.dims()[2];
    let losses = run.model().cross_entropy(hidden.reshape([cells, width]), targets);
    let weights = Tensor::<1>::from_data(TensorData::new(weights, [cells]), (&device, losses.dtype()));
    (losses * weights).sum()
}

fn pooled_loss(model: &Model, rows: &DocumentRows, hidden: Tensor<3>, cx: &Context) -> Tensor<1> {
    let outputs = model.outputs(hidden, cx);
    let (device, shape) = (outputs.device(), outputs.dims());
    let documents = rows.documents.iter().flatten().filter(|document| !document.is_empty());
    let weight = |document: &Vec<u32>, output: usize| (document[0] as f64 + 1.7 * output as f64).sin();
    let weights: Vec<f64> = documents.flat_map(|d| (0..shape[1]).map(move |output| weight(d, output))).collect();
    let weights = Tensor::<2>::from_data(TensorData::new(weights, shape), (&device, outputs.dtype()));
    (outputs * weights).sum_dim(1).sum()
}

/// The loss of a call without randomness, as a number.
pub fn loss_value(run: &impl ModelRunner, rows: &DocumentRows) -> f64 {
    let mut cx = Context::new(&rows.layout(), &run.model().device());
    loss(run, rows, &mut cx).into_data().iter::<f64>().sum()
}

/// Gradients of the loss by every parameter.
pub fn loss_gradients(run: &impl ModelRunner, rows: &DocumentRows) -> ByPath<Vec<f64>> {
    let mut cx = Context::new(&rows.layout(), &run.model().device());
    gradients(run.model(), &loss(run, rows, &mut cx).backward())
}
