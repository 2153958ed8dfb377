//! Equivalence checks of operations on rows of decode state: each function reads documents in two ways that must agree.
//!
//! | function | must equal |
//! |---|---|
//! | [`selected_difference`] | rows that were selected from a batch = each document alone |
//! | [`forked_difference`] | rows that were forked from one row = each document read from its start |
//! | [`truncated_difference`] | a row that was truncated and reads on = a row that never read what was removed |
//! | [`joined_difference`] | rows of several states in one = each document alone |
//! | [`rows_difference`] | all of these, for `kiln verify` |
//!
//! Results and conditions are those of [`crate::equivalence`].

use crate::{
    equivalence::{ModelRunner, difference_from_separate, init_state, nan_max},
    rows::{as_slices, int_tensor, pad_rows_to},
};
use burn::tensor::{ExecutionError, Tensor};
use kiln_nn::{Context, State};
use kiln_spec::Direction;

/// Rows that are read from a state, with their hidden states so far.
struct Reader<'a, M> {
    model: &'a M,
    state: State,
    /// Hidden states of the tokens of each row, one tensor `[1, T, M]` for each call.
    hidden: Vec<Vec<Tensor<3>>>,
}

impl<'a, M: ModelRunner> Reader<'a, M> {
    /// Rows of documents before their first token.
    fn new(model: &'a M, documents: &[&[u32]]) -> Self {
        let state = init_state(model.model(), documents);
        Self { model, state, hidden: vec![Vec::new(); documents.len()] }
    }

    /// Reads tokens of each row, which may be none, in calls of at most `chunk`.
    fn read(&mut self, rows: &[&[u32]], chunk: usize) {
        let device = self.model.model().device();
        let longest = rows.iter().map(|row| row.len()).max().unwrap_or_default();
        for start in (0..longest).step_by(chunk) {
            let part = |row: &&'_ [u32]| row[start.min(row.len())..(start + chunk).min(row.len())].to_vec();
            let parts: Vec<Vec<u32>> = rows.iter().map(part).collect();
            let lengths: Vec<usize> = parts.iter().map(Vec::len).collect();
            let width = lengths.iter().copied().max().unwrap_or_default();
            let state = std::mem::take(&mut self.state);
            let mut cx = Context::resume(state, &lengths, width, Direction::Causal, &device);
            let tokens = int_tensor(pad_rows_to(&as_slices(&parts), width), [lengths.len(), width], &device);
            let hidden = self.model.forward(tokens, &mut cx);
            self.state = cx.commit(&lengths).unwrap_or_default();
            for (row, length) in lengths.into_iter().enumerate().filter(|(_, length)| *length > 0) {
                self.hidden[row].push(hidden.clone().narrow(0, row, 1).narrow(1, 0, length));
            }
        }
    }

    /// Hidden states of each row, `[1, T, M]`.
    fn rows(self) -> Vec<Tensor<3>> {
        self.hidden.into_iter().filter(|parts| !parts.is_empty()).map(|parts| Tensor::cat(parts, 1)).collect()
    }
}

/// Splits each document; the number of tokens before the cut is a third of it and one more for each row before.
fn split(documents: &[Vec<u32>]) -> Vec<(&[u32], &[u32])> {
    let cut = |(row, document): (usize, &Vec<u32>)| (document.len() / 3 + row).min(document.len());
    documents.iter().enumerate().map(|(row, document)| document.split_at(cut((row, document)))).collect()
}

/// Returns the difference between rows selected from a batch, in reverse order and without the first one, and each document
/// alone. The rows have read different numbers of tokens when they are selected.
///
/// # Errors
/// Errors of the device.
pub async fn selected_difference(
    model: &impl ModelRunner,
    documents: &[Vec<u32>],
    chunk: usize,
) -> Result<f64, ExecutionError> {
    let parts = split(documents);
    let mut reader = Reader::new(model, &as_slices(documents));
    reader.read(&parts.iter().map(|part| part.0).collect::<Vec<_>>(), chunk);
    let order: Vec<usize> = (usize::from(documents.len() > 1)..documents.len()).rev().collect();
    reader.state = model.select(reader.state, &order);
    reader.hidden = order.iter().map(|row| reader.hidden[*row].clone()).collect();
    reader.read(&order.iter().map(|row| parts[*row].1).collect::<Vec<_>>(), chunk);
    let documents: Vec<Vec<u32>> = order.iter().map(|row| documents[*row].clone()).collect();
    difference_from_separate(model, &documents, Direction::Causal, reader.rows()).await
}

/// Returns the largest difference of all checks of this module, with the documents' own beginnings as detours and tails.
///
/// # Errors
/// Errors of the device.
pub async fn rows_difference(
    model: &impl ModelRunner,
    documents: &[Vec<u32>],
    chunk: usize,
) -> Result<f64, ExecutionError> {
    let Some(first) = documents.first().filter(|document| document.len() > 1) else { return Ok(0.0) };
    let (beginning, rest) = first.split_at(first.len().div_ceil(2));
    let tails: Vec<Vec<u32>> = [rest.to_vec(), rest.iter().rev().copied().collect()].into();
    let detours: Vec<Vec<u32>> =
        documents.iter().map(|document| document[..document.len() / 3].iter().rev().copied().collect()).collect();
    let differences = [
        selected_difference(model, documents, chunk).await?,
        joined_difference(model, documents, chunk).await?,
        forked_difference(model, beginning, &tails, chunk).await?,
        truncated_difference(model, documents, &detours, chunk).await?,
    ];
    Ok(differences.into_iter().fold(0.0, nan_max))
}

/// Returns the difference between rows that were forked from one row after a common beginning, and whole documents. All rows
/// then go on in one batch, the original included. `tails` follow the beginning; none is longer than it, so that an encoder
/// reads the beginning in every case.
///
/// # Errors
/// Errors of the device.
pub async fn forked_difference(
    model: &impl ModelRunner,
    beginning: &[u32],
    tails: &[Vec<u32>],
    chunk: usize,
) -> Result<f64, ExecutionError> {
    let documents: Vec<Vec<u32>> = tails.iter().map(|tail| [beginning, tail].concat()).collect();
    let mut reader = Reader::new(model, &as_slices(&documents[..1]));
    reader.read(&[beginning], chunk);
    let forks = model.fork(&reader.state, &vec![0; tails.len() - 1]);
    reader.state = model.append(std::mem::take(&mut reader.state), forks);
    reader.hidden = vec![reader.hidden[0].clone(); tails.len()];
    reader.read(&as_slices(tails), 1);
    difference_from_separate(model, &documents, Direction::Causal, reader.rows()).await
}

/// The hidden states of the first `count` tokens, as one tensor `[1, count, M]`; none for 0.
fn first_tokens(hidden: Vec<Tensor<3>>, count: usize) -> Vec<Tensor<3>> {
    if count == 0 { Vec::new() } else { vec![Tensor::cat(hidden, 1).narrow(1, 0, count)] }
}

/// Returns the difference between documents whose rows read `detours` after their first part, were truncated to that part and
/// read on, and documents alone. A row that goes back further reads the tokens in between again.
///
/// # Errors
/// Errors of the device.
pub async fn truncated_difference(
    model: &impl ModelRunner,
    documents: &[Vec<u32>],
    detours: &[Vec<u32>],
    chunk: usize,
) -> Result<f64, ExecutionError> {
    let parts = split(documents);
    let mut reader = Reader::new(model, &as_slices(documents));
    reader.read(&parts.iter().map(|part| part.0).collect::<Vec<_>>(), chunk);
    let hidden = reader.hidden.clone();
    let before = reader.state.next_positions().to_vec();
    reader.read(&as_slices(detours), chunk);
    let reached;
    (reader.state, reached) = model.truncate(std::mem::take(&mut reader.state), &before);
    // Virtual tokens of adapters come before a row's own.
    let own = |row: usize| reached[row].saturating_sub(before[row] - parts[row].0.len());
    let kept: Vec<usize> = (0..documents.len()).map(own).collect();
    reader.hidden = hidden.into_iter().zip(&kept).map(|(hidden, kept)| first_tokens(hidden, *kept)).collect();
    let rest: Vec<&[u32]> = documents.iter().zip(&kept).map(|(document, kept)| &document[*kept..]).collect();
    reader.read(&rest, chunk);
    difference_from_separate(model, documents, Direction::Causal, reader.rows()).await
}

/// Returns the difference between documents whose states were joined after different numbers of tokens, and documents alone.
/// The first document joins before its first token.
///
/// # Errors
/// Errors of the device.
pub async fn joined_difference(
    model: &impl ModelRunner,
    documents: &[Vec<u32>],
    chunk: usize,
) -> Result<f64, ExecutionError> {
    let mut parts = split(documents);
    if let Some((first, document)) = parts.first_mut().zip(documents.first()) {
        *first = document.split_at(0);
    }
    let mut all: Option<Reader<_>> = None;
    for (document, (first, _)) in documents.iter().zip(&parts) {
        let mut reader = Reader::new(model, &[document]);
        reader.read(&[first], chunk);
        all = Some(match all {
            None => reader,
            Some(mut all) => {
                all.state = model.append(all.state, reader.state);
                all.hidden.extend(reader.hidden);
                all
            }
        });
    }
    let Some(mut all) = all else { return Ok(0.0) };
    all.read(&parts.iter().map(|part| part.1).collect::<Vec<_>>(), chunk);
    difference_from_separate(model, documents, Direction::Causal, all.rows()).await
}
