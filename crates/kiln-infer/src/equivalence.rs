//! What must be equal, as functions: each computes hidden states in two ways and returns the largest difference, relative
//! to the largest of them where that is above 1.
//!
//! Tokens must be of the model's vocabulary and no document longer than its positions. The encoder of an
//! encoder–decoder reads the first half of each document. B rows, T tokens, M hidden.

use burn::{
    prelude::Device,
    tensor::{ExecutionError, Int, Tensor, TensorData},
};
use kiln_data::EncoderBatch;
use kiln_kernels::planner::Kernel;
use kiln_models::Model;
use kiln_nn::{
    Context, State,
    head::pooling::{self, Document},
};
use kiln_spec::{Direction, DocumentSpan, Layout};

/// Who runs a model: the model itself, or whatever stands around one.
pub trait ModelRunner {
    /// The model.
    fn model(&self) -> &Model;

    /// Hidden states: `tokens [B, T] → [B, T, M]`.
    fn forward(&self, tokens: Tensor<2, Int>, cx: &mut Context) -> Tensor<3> {
        self.model().forward(tokens, cx)
    }
}

impl ModelRunner for Model {
    fn model(&self) -> &Model {
        self
    }
}

/// Any chunking = whole: the documents go on side by side, each in chunks of its own, against each one whole and alone.
/// `chunks` are taken in turn, again and again; the second document begins with the second. Causal.
///
/// # Errors
/// If the device fails.
pub async fn chunked_difference(
    model: &impl ModelRunner,
    documents: &[Vec<u32>],
    chunks: &[usize],
) -> Result<f64, ExecutionError> {
    let sizes: Vec<usize> = chunks.iter().copied().filter(|size| *size > 0).collect();
    let size = |turn: usize| sizes.get(turn % sizes.len().max(1)).copied().unwrap_or(usize::MAX);
    let mut parts = vec![Vec::new(); documents.len()];
    let mut rest: Vec<&[u32]> = documents.iter().map(Vec::as_slice).collect();
    let (mut state, device) = (begin_state(model.model(), documents), model.model().device());
    for turn in 0.. {
        let cut = |(row, rest): (usize, &&[u32])| rest.len().min(size(turn + row));
        let lengths: Vec<usize> = rest.iter().enumerate().map(cut).collect();
        let Some(width) = lengths.iter().copied().max().filter(|width| *width > 0) else { break };
        let rows: Vec<&[u32]> = rest.iter().zip(&lengths).map(|(rest, length)| &rest[..*length]).collect();
        let mut cx = Context::resume(state, &lengths, width, Direction::Causal, &device);
        let hidden = model.forward(int_tensor(pad_rows(&rows, width), [lengths.len(), width], &device), &mut cx);
        state = cx.commit(&lengths).unwrap_or_default();
        for (row, length) in lengths.into_iter().enumerate().filter(|(_, length)| *length > 0) {
            parts[row].push(hidden.clone().narrow(0, row, 1).narrow(1, 0, length));
            rest[row] = &rest[row][length..];
        }
    }
    let rows = parts.into_iter().filter(|parts| !parts.is_empty()).map(|parts| Tensor::cat(parts, 1));
    difference_from_separate(model, documents, Direction::Causal, rows.collect()).await
}

/// Packed = apart: the documents one after the other in one row, against each one alone.
///
/// # Errors
/// If the device fails.
pub async fn packed_difference(
    model: &impl ModelRunner,
    documents: &[Vec<u32>],
    direction: Direction,
) -> Result<f64, ExecutionError> {
    let row: Vec<DocumentSpan> =
        documents.iter().map(|d| DocumentSpan { length: d.len(), start: 0, direction }).collect();
    let tokens: Vec<u32> = documents.concat();
    let layout = Layout::packed(&[row], tokens.len());
    let hidden = hidden(model, &[&tokens], &layout);
    let mut begin = 0;
    let documents: Vec<Vec<u32>> = documents.iter().filter(|d| !d.is_empty()).cloned().collect();
    let part = |d: &Vec<u32>| {
        begin += d.len();
        hidden.clone().narrow(1, begin - d.len(), d.len())
    };
    let parts = documents.iter().map(part).collect();
    difference_from_separate(model, &documents, direction, parts).await
}

/// Padded = single: the documents as rows of one batch, `padding` more tokens wide than the longest, against each one
/// alone.
///
/// # Errors
/// If the device fails.
pub async fn padded_difference(
    model: &impl ModelRunner,
    documents: &[Vec<u32>],
    direction: Direction,
    padding: usize,
) -> Result<f64, ExecutionError> {
    let piece = |d: &Vec<u32>| vec![DocumentSpan { length: d.len(), start: 0, direction }];
    let width = documents.iter().map(Vec::len).max().unwrap_or_default() + padding;
    let layout = Layout::packed(&documents.iter().map(piece).collect::<Vec<_>>(), width);
    let rows: Vec<&[u32]> = documents.iter().map(Vec::as_slice).collect();
    let hidden = hidden(model, &rows, &layout);
    let row = |(i, d): (usize, &Vec<u32>)| hidden.clone().narrow(0, i, 1).narrow(1, 0, d.len());
    let rows = documents.iter().enumerate().filter(|(_, d)| !d.is_empty()).map(row).collect();
    difference_from_separate(model, documents, direction, rows).await
}

/// Kernel = kernel: compares the hidden states of a document computed by kernel `one` with those computed by `other`.
///
/// A layer whose attention a kernel does not support keeps the planner's choice. Returns `None` if no layer used `one`
/// in the first run or `other` in the second: then nothing was compared.
///
/// # Errors
/// If the device fails.
pub async fn kernel_difference(
    model: &impl ModelRunner,
    document: &[u32],
    direction: Direction,
    [one, other]: [Kernel; 2],
) -> Result<Option<f64>, ExecutionError> {
    let layout = Layout::packed(&[vec![DocumentSpan { length: document.len(), start: 0, direction }]], document.len());
    let run_with = |kernel: Kernel| {
        let mut cx = Context::new(&layout, &model.model().device());
        cx.forced_kernel = Some(kernel);
        let hidden = forward_rows(model, &[document], &layout, &mut cx);
        cx.used_kernels().contains(&kernel).then_some(hidden)
    };
    let (Some(first), Some(second)) = (run_with(one), run_with(other)) else { return Ok(None) };
    relative_difference(first, second).await.map(Some)
}

/// Largest difference of `parts` (`[1, T, M]` each) from each non-empty document whole and alone.
async fn difference_from_separate(
    model: &impl ModelRunner,
    documents: &[Vec<u32>],
    direction: Direction,
    parts: Vec<Tensor<3>>,
) -> Result<f64, ExecutionError> {
    let mut largest = 0.0;
    for (document, part) in documents.iter().filter(|d| !d.is_empty()).zip(parts) {
        let layout =
            Layout::packed(&[vec![DocumentSpan { length: document.len(), start: 0, direction }]], document.len());
        let alone = relative_difference(hidden(model, &[document], &layout), part).await?;
        largest = nan_max(largest, alone);
    }
    Ok(largest)
}

/// Has an encoder–decoder read the first half of each document of the call's layout; any other model does nothing.
pub fn encode_first_halves(model: &Model, tokens: &[i32], cx: &mut Context) {
    let Some(layout) = cx.stream.tokens.layout().filter(|_| model.encoder().is_some()) else { return };
    let mut rows = vec![Vec::new(); layout.batch_size()];
    for Document { row, index: document, token_indices: places, .. } in pooling::live_documents(layout) {
        let all = places.iter().map(|place| tokens[row * layout.sequence_length() + place] as u32).collect::<Vec<_>>();
        rows[row].resize(document, Vec::new());
        rows[row].push(first_half(&all).to_vec());
    }
    let Ok(memory) = EncoderBatch::from_rows(&rows, 0) else { return };
    let tokens = int_tensor(memory.inputs, [layout.batch_size(), memory.sequence_length], &model.device());
    model.encode(tokens, &memory.layout, cx);
}

fn first_half(document: &[u32]) -> &[u32] {
    &document[..document.len().div_ceil(2)]
}

fn begin_state(model: &Model, documents: &[Vec<u32>]) -> State {
    let halves: Vec<&[u32]> = documents.iter().map(|document| first_half(document)).collect();
    let lengths: Vec<usize> = halves.iter().map(|half| half.len()).collect();
    model.init_state(&pad_rows(&halves, lengths.iter().copied().max().unwrap_or_default()), &lengths)
}

/// Hidden states `[B, T, M]` of rows of tokens, without cached state.
fn hidden(model: &impl ModelRunner, rows: &[&[u32]], layout: &Layout) -> Tensor<3> {
    forward_rows(model, rows, layout, &mut Context::new(layout, &model.model().device()))
}

/// The same within a given context.
fn forward_rows(model: &impl ModelRunner, rows: &[&[u32]], layout: &Layout, cx: &mut Context) -> Tensor<3> {
    let tokens = pad_rows(rows, layout.sequence_length());
    encode_first_halves(model.model(), &tokens, cx);
    let shape = [layout.batch_size(), layout.sequence_length()];
    model.forward(int_tensor(tokens, shape, &model.model().device()), cx)
}

fn pad_rows(rows: &[&[u32]], width: usize) -> Vec<i32> {
    let padded = |row: &&[u32]| (0..width).map(|i| row.get(i).map_or(0, |id| *id as i32)).collect::<Vec<_>>();
    rows.iter().flat_map(padded).collect()
}

fn int_tensor(values: Vec<i32>, shape: [usize; 2], device: &Device) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Largest |a − b|, in units of the largest |a| where that is above 1; not a number if any is none.
async fn relative_difference(a: Tensor<3>, b: Tensor<3>) -> Result<f64, ExecutionError> {
    let size = a.clone().abs().into_data_async().await?.iter::<f64>().fold(1.0, nan_max);
    let apart = (a - b).abs().into_data_async().await?;
    Ok(apart.iter::<f64>().fold(0.0, nan_max) / size)
}

fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}
