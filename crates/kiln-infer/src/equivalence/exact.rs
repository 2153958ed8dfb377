//! Check of batch-invariant arithmetic: the number of values whose bits depend on how documents are computed.
//!
//! [`ExactReference`] holds hidden states and outputs of each document alone, computed in [`Arithmetic::Exact`].
//! [`ExactReference::differing_values`] computes the same documents in another arrangement and counts the values with other
//! bits; it must return 0. `kiln verify` reports the count, and the law `exact` of the registry asserts it for models of every
//! variant.

use super::{ModelRunner, forward_rows, init_state_in};
use crate::rows::{as_slices, int_tensor, pad_rows_to};
use burn::tensor::{ExecutionError, Int, Tensor, TensorData};
use kiln_kernels::exact::Arithmetic;
use kiln_nn::{Context, State};
use kiln_spec::{Direction, DocumentSpan, Layout, TokenMark};

/// How documents are computed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrangement {
    /// One document a row, with padding after it: at least so many tokens.
    PaddedRight(usize),
    /// One document a row, with padding before it: at least so many tokens.
    PaddedLeft(usize),
    /// All documents in one row.
    Packed,
    /// One document a row, in chunks of these lengths, cyclically, with cached state. Row i begins with chunk i, so that the rows of
    /// a call differ in length. Causal models only.
    Chunked(Vec<usize>),
    /// The first half of each document alone, followed by other tokens that are removed from the state again; then the states of
    /// all documents joined in reverse order, and the rest in chunks of these lengths. Causal models only.
    Rejoined(Vec<usize>),
}

/// Hidden states of one document `[T, M]`, and its outputs: logits of its tokens, or the vector of a head that pools.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DocumentBits {
    hidden: Vec<u32>,
    outputs: Vec<u32>,
}

/// Documents with their results alone, in batch-invariant arithmetic.
pub struct ExactReference<'a, M> {
    model: &'a M,
    documents: &'a [Vec<u32>],
    direction: Direction,
    alone: Vec<DocumentBits>,
}

impl<'a, M: ModelRunner> ExactReference<'a, M> {
    /// Computes each document alone. No document may be empty.
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn new(model: &'a M, documents: &'a [Vec<u32>], direction: Direction) -> Result<Self, ExecutionError> {
        let mut alone = Vec::with_capacity(documents.len());
        for document in documents {
            let layout = rows_layout(std::slice::from_ref(document), document.len(), false, direction);
            alone.extend(whole_rows(model, &[document], &layout).await?);
        }
        Ok(Self { model, documents, direction, alone })
    }

    /// Returns the bits of all hidden states and outputs of the documents alone.
    pub fn bits(&self) -> Vec<u32> {
        self.alone.iter().flat_map(|document| document.hidden.iter().chain(&document.outputs)).copied().collect()
    }

    /// Returns the number of hidden states and outputs whose bits in this arrangement differ from those of the document alone.
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn differing_values(&self, arrangement: &Arrangement) -> Result<usize, ExecutionError> {
        let (documents, longest) = (self.documents, self.documents.iter().map(Vec::len).max().unwrap_or_default());
        let found = match arrangement {
            Arrangement::PaddedRight(padding) => {
                let layout = rows_layout(documents, longest + padding, false, self.direction);
                whole_rows(self.model, &as_slices(documents), &layout).await?
            }
            Arrangement::PaddedLeft(padding) => {
                let width = longest + padding;
                let rows: Vec<Vec<u32>> =
                    documents.iter().map(|tokens| [vec![0; width - tokens.len()], tokens.clone()].concat()).collect();
                let layout = rows_layout(documents, width, true, self.direction);
                whole_rows(self.model, &as_slices(&rows), &layout).await?
            }
            Arrangement::Packed => {
                let span = |length| DocumentSpan { length, start: 0, direction: self.direction };
                let tokens = documents.concat();
                let spans = documents.iter().map(|document| span(document.len())).collect();
                whole_rows(self.model, &[&tokens], &Layout::packed(&[spans], tokens.len())).await?
            }
            Arrangement::Chunked(chunks) => self.chunked(chunks).await?,
            Arrangement::Rejoined(chunks) => self.rejoined(chunks).await?,
        };
        let pairs = self.alone.iter().zip(&found);
        Ok(pairs.map(|(a, b)| differing(&a.hidden, &b.hidden) + differing(&a.outputs, &b.outputs)).sum())
    }

    /// The documents before their first token, in one batch.
    fn begin<'b>(&'b self, documents: &'b [Vec<u32>], alone: &[DocumentBits]) -> PartlyRead<'b> {
        let predicts_tokens = self.model.model().config().head.pooling().is_none();
        let outputs = |alone: &DocumentBits| if predicts_tokens { Vec::new() } else { alone.outputs.clone() };
        let empty = |alone| DocumentBits { hidden: Vec::new(), outputs: outputs(alone) };
        PartlyRead {
            predicts_tokens,
            state: init_state_in(self.model.model(), &as_slices(documents), Arithmetic::Exact),
            rest: as_slices(documents),
            found: alone.iter().map(empty).collect(),
        }
    }

    /// Reads the next `lengths[i]` tokens of row i. `counted`: the results are those of the document.
    async fn read(&self, rows: &mut PartlyRead<'_>, lengths: &[usize], counted: bool) -> Result<(), ExecutionError> {
        if lengths.iter().all(|length| *length == 0) {
            return Ok(());
        }
        let (model, device) = (self.model, self.model.model().device());
        let width = lengths.iter().copied().max().unwrap_or_default();
        let chunks: Vec<&[u32]> = rows.rest.iter().zip(lengths).map(|(rest, length)| &rest[..*length]).collect();
        let mut cx = Context::resume(std::mem::take(&mut rows.state), lengths, width, Direction::Causal, &device);
        let tokens = int_tensor(pad_rows_to(&chunks, width), [lengths.len(), width], &device);
        let hidden = model.forward(tokens, &mut cx);
        let outputs = rows.predicts_tokens.then(|| model.model().outputs(hidden.clone(), &cx));
        rows.state = cx.commit(lengths).unwrap_or_default();
        for (row, length) in lengths.iter().copied().enumerate().filter(|(_, length)| *length > 0 && counted) {
            rows.found[row].hidden.extend(bits(hidden.clone().narrow(0, row, 1).narrow(1, 0, length)).await?);
            if let Some(outputs) = &outputs {
                rows.found[row].outputs.extend(bits(outputs.clone().narrow(0, row * width, length)).await?);
            }
            rows.rest[row] = &rows.rest[row][length..];
        }
        Ok(())
    }

    /// Reads all that is left, in chunks.
    async fn read_rest(&self, rows: &mut PartlyRead<'_>, chunks: &[usize]) -> Result<(), ExecutionError> {
        for turn in 0.. {
            let lengths: Vec<usize> = rows
                .rest
                .iter()
                .enumerate()
                .map(|(row, rest)| rest.len().min(super::chunk_size(chunks, turn + row)))
                .collect();
            if lengths.iter().all(|length| *length == 0) {
                break;
            }
            self.read(rows, &lengths, true).await?;
        }
        Ok(())
    }

    /// Results of the documents in chunks.
    async fn chunked(&self, chunks: &[usize]) -> Result<Vec<DocumentBits>, ExecutionError> {
        let mut rows = self.begin(self.documents, &self.alone);
        self.read_rest(&mut rows, chunks).await?;
        Ok(rows.found)
    }

    /// Results of the documents whose first halves are read apart and whose second halves are read together; see
    /// [`Arrangement::Rejoined`].
    async fn rejoined(&self, chunks: &[usize]) -> Result<Vec<DocumentBits>, ExecutionError> {
        let mut joined: Option<PartlyRead> = None;
        for (document, alone) in self.documents.chunks(1).zip(self.alone.chunks(1)) {
            let (length, virtual_tokens) = (document[0].len(), self.model.model().num_virtual_tokens());
            // A row that joins others before its first token would get no virtual tokens.
            let half = (length / 2).max(usize::from(virtual_tokens > 0));
            let mut rows = self.begin(document, alone);
            if half > 0 {
                let others = half.min(3).min(length - half);
                self.read(&mut rows, &[half], true).await?;
                rows.rest = vec![&document[0][..others]];
                self.read(&mut rows, &[others], false).await?;
                let kept = half + virtual_tokens;
                let (state, reached) = self.model.truncate(std::mem::take(&mut rows.state), &[kept]);
                rows.keep(state, reached[0].saturating_sub(virtual_tokens), &document[0], half);
            }
            match &mut joined {
                None => joined = Some(rows),
                Some(joined) => joined.append(rows, self.model),
            }
        }
        let Some(mut rows) = joined else { return Ok(Vec::new()) };
        rows.reverse(self.model);
        self.read_rest(&mut rows, chunks).await?;
        rows.found.reverse();
        Ok(rows.found)
    }
}

/// Documents that are read with cached state, one a row.
struct PartlyRead<'a> {
    state: State,
    /// Whether outputs are those of tokens. Those of a head that pools are not computed in parts: they count as equal.
    predicts_tokens: bool,
    /// Tokens that are left.
    rest: Vec<&'a [u32]>,
    /// Results of the tokens so far.
    found: Vec<DocumentBits>,
}

impl<'a> PartlyRead<'a> {
    /// Takes the state of a single document that has gone back from `read` tokens to the first `kept`.
    fn keep(&mut self, mut state: State, kept: usize, document: &'a [u32], read: usize) {
        state.declare_lengths_of_new_rows(&[document.len()]);
        self.state = state;
        self.rest = vec![&document[kept..]];
        let DocumentBits { hidden, outputs } = &mut self.found[0];
        hidden.truncate(hidden.len() / read * kept);
        if self.predicts_tokens {
            outputs.truncate(outputs.len() / read * kept);
        }
    }

    /// Appends the rows of another batch.
    fn append(&mut self, other: Self, model: &impl ModelRunner) {
        self.state = model.append(std::mem::take(&mut self.state), other.state);
        self.rest.extend(other.rest);
        self.found.extend(other.found);
    }

    /// Reverses the order of the rows.
    fn reverse(&mut self, model: &impl ModelRunner) {
        let order: Vec<usize> = (0..self.rest.len()).rev().collect();
        self.state = model.select(std::mem::take(&mut self.state), &order);
        self.rest.reverse();
        self.found.reverse();
    }
}

/// Layout with one document a row, at its end or at its beginning.
fn rows_layout(documents: &[Vec<u32>], width: usize, at_end: bool, direction: Direction) -> Layout {
    let mut marks = Vec::with_capacity(documents.len() * width);
    for document in documents {
        let padding = vec![TokenMark::default(); width - document.len()];
        let tokens = (0..document.len()).map(|position| TokenMark::new(position, 0, direction));
        if at_end {
            marks.extend(padding.into_iter().chain(tokens));
        } else {
            marks.extend(tokens.chain(padding));
        }
    }
    let layout = Layout::from_marks(marks, width);
    layout.unwrap_or_else(|| Layout::packed(&[], width))
}

/// Results of the documents of whole rows, in the order of rows and documents.
async fn whole_rows(
    model: &impl ModelRunner,
    rows: &[&[u32]],
    layout: &Layout,
) -> Result<Vec<DocumentBits>, ExecutionError> {
    let mut cx = Context::new(layout, &model.model().device()).with_arithmetic(Arithmetic::Exact);
    let hidden = forward_rows(model, rows, layout, &mut cx);
    let outputs = model.model().outputs(hidden.clone(), &cx);
    let ([b, t, m], predicts_tokens) = (hidden.dims(), model.model().config().head.pooling().is_none());
    let hidden = hidden.reshape([b * t, m]);
    let mut found = Vec::new();
    for (number, document) in kiln_nn::head::pooling::live_documents(layout).into_iter().enumerate() {
        let tokens: Vec<i32> = document.token_indices.iter().map(|token| (document.row * t + token) as i32).collect();
        let count = tokens.len();
        let tokens = Tensor::<1, Int>::from_data(TensorData::new(tokens, [count]), &hidden.device());
        let own = match predicts_tokens {
            true => outputs.clone().select(0, tokens.clone()),
            false => outputs.clone().narrow(0, number, 1),
        };
        let hidden = bits(hidden.clone().select(0, tokens)).await?;
        found.push(DocumentBits { hidden, outputs: bits(own).await? });
    }
    Ok(found)
}

/// The bits of all values.
async fn bits<const D: usize>(tensor: Tensor<D>) -> Result<Vec<u32>, ExecutionError> {
    Ok(tensor.into_data_async().await?.iter::<f32>().map(f32::to_bits).collect())
}

/// Number of places at which two lists differ, a missing value among them.
fn differing(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count() + a.len().abs_diff(b.len())
}
