//! Equivalence checks: each function computes hidden states in two ways that must agree and returns the difference.
//!
//! | function | must equal |
//! |---|---|
//! | [`chunked_difference`] | cached processing in chunks = whole documents |
//! | [`packed_difference`] | documents packed into one row = each document alone |
//! | [`padded_difference`] | documents padded in one batch = each document alone |
//! | [`kernel_difference`] | one attention kernel = another |
//! | [`exact::ExactReference`] | batch-invariant arithmetic: alone = together = in chunks, to the bit |
//!
//! The result is max |a − b| / max(1, max |a|): a relative error for large values and an absolute error for small ones. It
//! is NaN if any hidden state is NaN. Differences of about 1e-5 are rounding; `kiln verify` reports larger ones.
//!
//! Token ids must be below the vocabulary size and documents at most as long as the position table. The encoder of an
//! encoder-decoder model reads the first half of each document. Shapes: B rows, T tokens, M hidden.

pub mod exact;

use crate::rows::{as_slices, int_tensor, one_document_per_row, pad_rows, pad_rows_to};
use burn::tensor::{ExecutionError, Int, Tensor};
use kiln_data::EncoderBatch;
use kiln_kernels::{exact::Arithmetic, planner::Kernel};
use kiln_models::Model;
use kiln_nn::{
    Context, State, StateError,
    head::pooling::{self, Document},
};
use kiln_spec::{Direction, DocumentSpan, Layout};

/// Forward pass of a model. Implemented by [`Model`]; tests implement it for models with deliberate faults.
pub trait ModelRunner {
    /// Returns the model.
    fn model(&self) -> &Model;

    /// Computes hidden states: tokens `[B, T]` → `[B, T, M]`.
    fn forward(&self, tokens: Tensor<2, Int>, cx: &mut Context) -> Tensor<3> {
        self.model().forward(tokens, cx)
    }

    /// Returns rows of a state: [`State::fork`].
    fn fork(&self, state: &State, rows: &[usize]) -> State {
        state.fork(rows).expect("rows of the state")
    }

    /// Keeps rows of a state: [`State::select`].
    fn select(&self, mut state: State, rows: &[usize]) -> State {
        state.select(rows).expect("rows of the state");
        state
    }

    /// Joins two states: [`State::append`].
    fn append(&self, mut state: State, other: State) -> State {
        state.append(other).expect("states of one model");
        state
    }

    /// Truncates the rows of a state, to a snapshot or to nothing: [`State::truncate`]. Returns the tokens that each row has
    /// then.
    fn truncate(&self, state: State, lengths: &[usize]) -> (State, Vec<usize>) {
        truncate_or_restart(state, lengths)
    }
}

/// Truncates the rows of a state; a row without a snapshot that early keeps nothing.
pub fn truncate_or_restart(mut state: State, lengths: &[usize]) -> (State, Vec<usize>) {
    let mut lengths = lengths.to_vec();
    loop {
        match state.truncate(&lengths) {
            Ok(reached) => return (state, reached),
            Err(StateError::NoSnapshot { row, .. }) => lengths[row] = 0,
            Err(error) => panic!("{error}"),
        }
    }
}

impl ModelRunner for Model {
    fn model(&self) -> &Model {
        self
    }
}

/// Returns the difference between cached processing in chunks and whole documents, in causal direction.
///
/// All documents are processed side by side, as in batched generation. Document `d` uses chunks of `chunks[d]`,
/// `chunks[d + 1]`, … tokens, cyclically, so that the rows of a step have different lengths.
///
/// # Errors
/// Errors of the device.
pub async fn chunked_difference(
    model: &impl ModelRunner,
    documents: &[Vec<u32>],
    chunks: &[usize],
) -> Result<f64, ExecutionError> {
    let chunks: Vec<usize> = chunks.iter().copied().filter(|size| *size > 0).collect();
    let mut parts = vec![Vec::new(); documents.len()];
    let mut remaining = as_slices(documents);
    let mut state = init_state(model.model(), &as_slices(documents));
    let device = model.model().device();
    for turn in 0.. {
        let lengths: Vec<usize> =
            remaining.iter().enumerate().map(|(row, rest)| rest.len().min(chunk_size(&chunks, turn + row))).collect();
        let Some(width) = lengths.iter().copied().max().filter(|width| *width > 0) else { break };
        let rows: Vec<&[u32]> = remaining.iter().zip(&lengths).map(|(rest, length)| &rest[..*length]).collect();
        let mut cx = Context::resume(state, &lengths, width, Direction::Causal, &device);
        let hidden = model.forward(int_tensor(pad_rows_to(&rows, width), [lengths.len(), width], &device), &mut cx);
        state = cx.commit(&lengths).unwrap_or_default();
        for (row, length) in lengths.into_iter().enumerate().filter(|(_, length)| *length > 0) {
            parts[row].push(hidden.clone().narrow(0, row, 1).narrow(1, 0, length));
            remaining[row] = &remaining[row][length..];
        }
    }
    let rows = parts.into_iter().filter(|parts| !parts.is_empty()).map(|parts| Tensor::cat(parts, 1));
    difference_from_separate(model, documents, Direction::Causal, rows.collect()).await
}

/// Size of a chunk by its number, cyclically; unlimited without sizes.
fn chunk_size(chunks: &[usize], number: usize) -> usize {
    chunks.get(number % chunks.len().max(1)).copied().unwrap_or(usize::MAX)
}

/// Returns the difference between documents packed into one row and each document alone.
///
/// # Errors
/// Errors of the device.
pub async fn packed_difference(
    model: &impl ModelRunner,
    documents: &[Vec<u32>],
    direction: Direction,
) -> Result<f64, ExecutionError> {
    let spans: Vec<DocumentSpan> =
        documents.iter().map(|document| DocumentSpan { length: document.len(), start: 0, direction }).collect();
    let tokens: Vec<u32> = documents.concat();
    let layout = Layout::packed(&[spans], tokens.len());
    let hidden = hidden_states(model, &[&tokens], &layout);
    let mut parts = Vec::new();
    let mut start = 0;
    for document in documents.iter().filter(|document| !document.is_empty()) {
        parts.push(hidden.clone().narrow(1, start, document.len()));
        start += document.len();
    }
    difference_from_separate(model, documents, direction, parts).await
}

/// Returns the difference between documents as rows of one padded batch and each document alone. Rows are `padding` tokens
/// longer than the longest document.
///
/// # Errors
/// Errors of the device.
pub async fn padded_difference(
    model: &impl ModelRunner,
    documents: &[Vec<u32>],
    direction: Direction,
    padding: usize,
) -> Result<f64, ExecutionError> {
    let width = documents.iter().map(Vec::len).max().unwrap_or_default() + padding;
    let rows = as_slices(documents);
    let layout = one_document_per_row(&rows, width, |_| direction);
    let hidden = hidden_states(model, &rows, &layout);
    let parts = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| !row.is_empty())
        .map(|(index, row)| hidden.clone().narrow(0, index, 1).narrow(1, 0, row.len()))
        .collect();
    difference_from_separate(model, documents, direction, parts).await
}

/// Returns the difference between two attention kernels on the same document.
///
/// A layer that a kernel does not support keeps the planner's choice. The result is `None` if no layer used the first kernel
/// in the first run, or the second one in the second run: then nothing was compared.
///
/// # Errors
/// Errors of the device.
pub async fn kernel_difference(
    model: &impl ModelRunner,
    document: &[u32],
    direction: Direction,
    [first, second]: [Kernel; 2],
) -> Result<Option<f64>, ExecutionError> {
    let layout = one_document_per_row(&[document], document.len(), |_| direction);
    let Some(first) = hidden_states_with_kernel(model, document, &layout, first) else { return Ok(None) };
    let Some(second) = hidden_states_with_kernel(model, document, &layout, second) else { return Ok(None) };
    relative_difference(first, second).await.map(Some)
}

/// Hidden states of a document with one attention kernel in all layers that support it; `None` if no layer does.
fn hidden_states_with_kernel(
    model: &impl ModelRunner,
    document: &[u32],
    layout: &Layout,
    kernel: Kernel,
) -> Option<Tensor<3>> {
    let mut cx = Context::new(layout, &model.model().device());
    cx.forced_kernel = Some(kernel);
    let hidden = forward_rows(model, &[document], layout, &mut cx);
    cx.used_kernels().contains(&kernel).then_some(hidden)
}

/// Largest difference between `parts` (`[1, T, M]` each) and the hidden states of each non-empty document alone.
pub(crate) async fn difference_from_separate(
    model: &impl ModelRunner,
    documents: &[Vec<u32>],
    direction: Direction,
    parts: Vec<Tensor<3>>,
) -> Result<f64, ExecutionError> {
    let mut largest = 0.0;
    for (document, part) in documents.iter().filter(|document| !document.is_empty()).zip(parts) {
        let layout = one_document_per_row(&[document], document.len(), |_| direction);
        let separate = hidden_states(model, &[document], &layout);
        largest = nan_max(largest, relative_difference(separate, part).await?);
    }
    Ok(largest)
}

/// Runs the encoder of an encoder-decoder model on the first half of each document of the layout in `cx`. Does nothing for
/// other models. `tokens` are the decoder inputs, row-major.
pub fn encode_first_halves(model: &Model, tokens: &[i32], cx: &mut Context) {
    let Some(layout) = cx.stream.tokens.layout().filter(|_| model.encoder().is_some()) else { return };
    let mut rows = vec![Vec::new(); layout.batch_size()];
    for Document { row, index, token_indices, .. } in pooling::live_documents(layout) {
        let row_start = row * layout.sequence_length();
        let document: Vec<u32> =
            token_indices.iter().map(|token_index| tokens[row_start + token_index] as u32).collect();
        // Documents are numbered from 0 within a row; missing ones are empty.
        rows[row].resize(index, Vec::new());
        rows[row].push(first_half(&document).to_vec());
    }
    let Ok(batch) = EncoderBatch::from_rows(&rows, 0) else { return };
    let tokens = int_tensor(batch.inputs, [layout.batch_size(), batch.sequence_length], &model.device());
    model.encode(tokens, &batch.layout, cx);
}

/// First half of a document, rounded up.
fn first_half(document: &[u32]) -> &[u32] {
    &document[..document.len().div_ceil(2)]
}

/// State before the first chunk, with the lengths of the documents declared; the encoder of an encoder-decoder model has read
/// the first half of each document.
pub(crate) fn init_state(model: &Model, documents: &[&[u32]]) -> State {
    init_state_in(model, documents, Arithmetic::Fast)
}

/// [`init_state`] of calls in the given arithmetic.
fn init_state_in(model: &Model, documents: &[&[u32]], arithmetic: Arithmetic) -> State {
    let halves: Vec<&[u32]> = documents.iter().map(|document| first_half(document)).collect();
    let (tokens, lengths) = pad_rows(&halves);
    let declared: Vec<usize> = documents.iter().map(|document| document.len()).collect();
    model.init_state_in(&tokens, &lengths, arithmetic).with_declared_lengths(&declared)
}

/// Hidden states of rows, `[B, T, M]`, without cached state.
fn hidden_states(model: &impl ModelRunner, rows: &[&[u32]], layout: &Layout) -> Tensor<3> {
    forward_rows(model, rows, layout, &mut Context::new(layout, &model.model().device()))
}

/// Hidden states of rows, `[B, T, M]`, within a given context.
fn forward_rows(model: &impl ModelRunner, rows: &[&[u32]], layout: &Layout, cx: &mut Context) -> Tensor<3> {
    let tokens = pad_rows_to(rows, layout.sequence_length());
    encode_first_halves(model.model(), &tokens, cx);
    let shape = [layout.batch_size(), layout.sequence_length()];
    model.forward(int_tensor(tokens, shape, &model.model().device()), cx)
}

/// max |a − b| / max(1, max |a|); NaN if any value is NaN.
async fn relative_difference(a: Tensor<3>, b: Tensor<3>) -> Result<f64, ExecutionError> {
    let scale = a.clone().abs().into_data_async().await?.iter::<f64>().fold(1.0, nan_max);
    let differences = (a - b).abs().into_data_async().await?;
    Ok(differences.iter::<f64>().fold(0.0, nan_max) / scale)
}

/// Maximum that is NaN if one of the numbers is. [`f64::max`] would ignore it.
pub(crate) fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}
