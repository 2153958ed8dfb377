//! Pooling: from the hidden states of a document's tokens to one vector.
//!
//! All but max pooling are one matrix product: shares `[B, n, T]` times hidden states `[B, T, M]`, n the greatest
//! number of documents in a row. Max pooling selects the tokens of each document and takes the maximum. Documents may be
//! packed into rows; padding is left out.

use crate::{arithmetic::grouped_product, context::TokenMarks};
use burn::tensor::{Int, Tensor, TensorData};
use kiln_kernels::exact::Arithmetic;
use kiln_spec::Layout;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Pooling of token states into one vector per document.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// First token (BERT's `[CLS]`).
    #[serde(alias = "cls")]
    First,
    /// Mean over all tokens (1908.10084).
    #[default]
    Mean,
    /// Element-wise maximum over all tokens.
    Max,
    /// Last token.
    Last,
    /// Sum over all n tokens, divided by √n.
    MeanSqrtLen,
    /// Mean weighted by position, the first token with weight 1 (SGPT, 2202.08904).
    WeightedMean,
}

impl Pooling {
    /// Pools `hidden [B, T, M] → [D, M]`: one row for each document with valid tokens, in the order of rows and documents (that
    /// of [`live_documents`]). 0 rows if the host doesn't know the layout.
    pub fn pool(self, hidden: Tensor<3>, marks: &TokenMarks, arithmetic: Arithmetic) -> Tensor<2> {
        self.pool_after(0, hidden, marks, arithmetic)
    }

    /// Pools as [`pool`](Self::pool) does, without the first `skipped` tokens of each document (a prompt). The last token
    /// of a document is never left out. Weights by position count the tokens that are left out.
    pub fn pool_after(
        self,
        skipped: usize,
        hidden: Tensor<3>,
        marks: &TokenMarks,
        arithmetic: Arithmetic,
    ) -> Tensor<2> {
        if self == Self::Max {
            return max_pool(skipped, hidden, marks);
        }
        let [b, t, m] = hidden.dims();
        let documents = marks.layout().map_or_else(Vec::new, live_documents);
        let max_documents = documents.iter().map(|document| document.live_index + 1).max().unwrap_or(1);
        let mut shares = vec![0.0f64; b * max_documents * t];
        for document in &documents {
            let start = (document.row * max_documents + document.live_index) * t;
            for (token, share) in self.token_weights(&document.token_indices, skipped) {
                shares[start + token] = share;
            }
        }
        let shares = Tensor::from_data(
            TensorData::new(shares, [b, max_documents, t]),
            (&token_marks_device(marks), hidden.dtype()),
        );
        let pooled = weighted_sums(shares, hidden, arithmetic).reshape([b * max_documents, m]);
        let rows: Vec<i32> =
            documents.iter().map(|document| (document.row * max_documents + document.live_index) as i32).collect();
        let count = rows.len();
        pooled.select(0, Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), &token_marks_device(marks)))
    }

    /// Share of each token of a document in its vector.
    fn token_weights(self, tokens: &[usize], skipped: usize) -> Vec<(usize, f64)> {
        let kept = after(tokens, skipped);
        let equal = |tokens: &[usize], share: f64| tokens.iter().map(|token| (*token, share)).collect();
        let count = kept.len() as f64;
        match self {
            Self::First => equal(&kept[..1], 1.0),
            Self::Last => equal(&kept[kept.len() - 1..], 1.0),
            Self::Mean | Self::Max => equal(kept, 1.0 / count),
            Self::MeanSqrtLen => equal(kept, 1.0 / count.sqrt()),
            Self::WeightedMean => {
                let weights = || (tokens.len() - kept.len() + 1..=tokens.len()).map(|position| position as f64);
                let sum: f64 = weights().sum();
                kept.iter().copied().zip(weights().map(|weight| weight / sum)).collect()
            }
        }
    }
}

/// Products of the shares `[B, n, T]` and the hidden states `[B, T, M]` of each row, `[B · n, M]`. In exact arithmetic the tokens
/// are added in ascending order; those of other documents, and padding, have share 0 and change no bit.
fn weighted_sums(shares: Tensor<3>, hidden: Tensor<3>, arithmetic: Arithmetic) -> Tensor<2> {
    let ([b, n, t], [_, _, m]) = (shares.dims(), hidden.dims());
    if !arithmetic.is_exact() {
        return shares.matmul(hidden).reshape([b * n, m]);
    }
    let rows = Tensor::<1, Int>::arange(0..b as i64, &hidden.device()).reshape([b, 1]).expand([b, n]);
    grouped_product(shares.reshape([b * n, t]), hidden, rows.reshape([b * n]), arithmetic)
}

/// The tokens of a document without the first `skipped`, but at least the last one.
fn after(tokens: &[usize], skipped: usize) -> &[usize] {
    &tokens[skipped.min(tokens.len() - 1)..]
}

/// Element-wise maximum over each document, `[D, M]`. Shorter documents repeat their first token up to the longest one's
/// length, which doesn't change a maximum.
fn max_pool(skipped: usize, hidden: Tensor<3>, marks: &TokenMarks) -> Tensor<2> {
    let [b, t, m] = hidden.dims();
    let documents = marks.layout().map_or_else(Vec::new, live_documents);
    let longest = documents.iter().map(|document| after(&document.token_indices, skipped).len()).max().unwrap_or(1);
    let count = documents.len();
    let rows = documents.iter().flat_map(|document| {
        let tokens = after(&document.token_indices, skipped);
        let padding = std::iter::repeat_n(tokens[0], longest - tokens.len());
        tokens.iter().copied().chain(padding).map(|token| (document.row * t + token) as i32)
    });
    let rows: Vec<i32> = rows.collect();
    let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [count * longest]), &token_marks_device(marks));
    hidden.reshape([b * t, m]).select(0, rows).reshape([count, longest, m]).max_dim(1).squeeze_dim(1)
}

/// Device of the marks.
fn token_marks_device(marks: &TokenMarks) -> burn::tensor::Device {
    marks.field(kiln_spec::formula::MarkField::Position).device()
}

/// Document of a batch, with at least one valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Row of the document.
    pub row: usize,
    /// Number of the document within its row.
    pub index: usize,
    /// Number among the documents of the row that have valid tokens.
    live_index: usize,
    /// Indices of its valid tokens in the row, ascending, at least one.
    pub token_indices: Vec<usize>,
}

/// Returns the documents of a layout that have valid tokens, by row and number: the rows of pooled vectors.
pub fn live_documents(layout: &Layout) -> Vec<Document> {
    let mut all = Vec::new();
    for row in 0..layout.batch_size() {
        let mut tokens = std::collections::BTreeMap::<usize, Vec<usize>>::new();
        for (index, mark) in layout.row(row).iter().enumerate().filter(|(_, mark)| mark.valid) {
            tokens.entry(mark.document as usize).or_default().push(index);
        }
        let documents = tokens.into_iter().enumerate();
        all.extend(documents.map(|(live_index, (index, token_indices))| Document {
            row,
            index,
            live_index,
            token_indices,
        }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use kiln_spec::DocumentSpan;

    fn spans(lengths: &[usize]) -> Vec<DocumentSpan> {
        lengths.iter().map(|length| DocumentSpan { length: *length, ..DocumentSpan::default() }).collect()
    }

    #[test]
    fn pooling_reads_the_first_the_last_or_all_tokens_of_a_document() {
        let layout = Layout::packed(&[spans(&[2, 0, 3]), spans(&[1])], 6);
        let device = Device::flex();
        let hidden = Tensor::<1, Int>::arange(0..24, &device).float().reshape([2, 6, 2]);
        let pooled = |pooling: Pooling| {
            let data = pooling.pool(hidden.clone(), &TokenMarks::new(&layout, &device), Arithmetic::Fast).into_data();
            (data.shape().to_vec(), data.iter::<f64>().collect::<Vec<_>>())
        };
        assert_eq!(pooled(Pooling::First), (vec![3, 2], vec![0.0, 1.0, 4.0, 5.0, 12.0, 13.0]));
        assert_eq!(pooled(Pooling::Last), (vec![3, 2], vec![2.0, 3.0, 8.0, 9.0, 12.0, 13.0]));
        assert_eq!(pooled(Pooling::Max), pooled(Pooling::Last), "values ascend here");
        let (_, mean) = pooled(Pooling::Mean);
        let differences = mean.iter().zip([1.0, 2.0, 6.0, 7.0, 12.0, 13.0]).map(|(a, b)| (a - b).abs());
        assert!(differences.fold(0.0, f64::max) < 1e-6, "{mean:?}");
        let (_, root) = pooled(Pooling::MeanSqrtLen);
        let (_, mean) = pooled(Pooling::Mean);
        let scaled = [2f64.sqrt(), 2f64.sqrt(), 3f64.sqrt(), 3f64.sqrt(), 1.0, 1.0];
        let differences = root.iter().zip(&mean).zip(scaled).map(|((a, b), scale)| (a - b * scale).abs());
        assert!(differences.fold(0.0, f64::max) < 1e-5, "{root:?}");
        let (_, weighted) = pooled(Pooling::WeightedMean);
        assert!((weighted[0] - 4.0 / 3.0).abs() < 1e-6, "(1·0 + 2·2) / 3: {weighted:?}");
        let documents: Vec<_> = live_documents(&layout).iter().map(|document| (document.row, document.index)).collect();
        assert_eq!(documents, [(0, 0), (0, 2), (1, 0)]);
    }

    #[test]
    fn skipped_tokens_do_not_count_but_the_last_token_always_does() {
        let layout = Layout::packed(&[spans(&[3]), spans(&[1])], 3);
        let device = Device::flex();
        let hidden = Tensor::<1, Int>::arange(0..6, &device).float().reshape([2, 3, 1]);
        let pooled = |pooling: Pooling| {
            let marks = TokenMarks::new(&layout, &device);
            let data = pooling.pool_after(1, hidden.clone(), &marks, Arithmetic::Fast).into_data();
            data.iter::<f64>().map(|value| (value * 1e4).round() / 1e4).collect::<Vec<_>>()
        };
        assert_eq!(pooled(Pooling::First), [1.0, 3.0]);
        assert_eq!(pooled(Pooling::Mean), [1.5, 3.0]);
        assert_eq!(pooled(Pooling::Max), [2.0, 3.0]);
        assert_eq!(pooled(Pooling::WeightedMean), [1.6, 3.0], "(2·1 + 3·2) / 5");
    }
}
