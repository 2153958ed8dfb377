//! From hidden states of tokens to one vector a document.

use crate::context::TokenMarks;
use burn::tensor::{Int, Tensor, TensorData};
use kiln_spec::Layout;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Pooling of token states into one vector per document.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// First token (BERT's [CLS]).
    First,
    /// Mean over all tokens (1908.10084).
    #[default]
    Mean,
    /// Element-wise maximum over all tokens.
    Max,
    /// Last token.
    Last,
}

impl Pooling {
    /// `hidden [B, T, M] → [D, M]`, a row a document that has live tokens, in the order of rows and documents; 0 rows if
    /// the host doesn't know the marks.
    pub fn pool(self, hidden: Tensor<3>, marks: &TokenMarks) -> Tensor<2> {
        if self == Self::Max {
            return max_pool(hidden, marks);
        }
        let [b, t, m] = hidden.dims();
        let documents = marks.layout().map_or_else(Vec::new, live_documents);
        let most = documents.iter().map(|d| d.live_index + 1).max().unwrap_or(1);
        let mut shares = vec![0.0f64; b * most * t];
        for document in &documents {
            let start = (document.row * most + document.live_index) * t;
            self.token_weights(&document.token_indices).for_each(|(token, share)| shares[start + token] = share);
        }
        let shares =
            Tensor::from_data(TensorData::new(shares, [b, most, t]), (&token_marks_device(marks), hidden.dtype()));
        let pooled: Tensor<2> = shares.matmul(hidden).reshape([b * most, m]);
        let rows: Vec<i32> = documents.iter().map(|d| (d.row * most + d.live_index) as i32).collect();
        let count = rows.len();
        pooled.select(0, Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), &token_marks_device(marks)))
    }

    /// What each of a document's tokens counts; they add up to 1.
    fn token_weights(self, tokens: &[usize]) -> impl Iterator<Item = (usize, f64)> {
        let all = match self {
            Self::First => &tokens[..1],
            Self::Mean | Self::Max => tokens,
            Self::Last => &tokens[tokens.len() - 1..],
        };
        all.iter().map(|token| (*token, 1.0 / all.len() as f64))
    }
}

/// The largest of each number: a document's tokens beside each other, a shorter one's first token said again.
fn max_pool(hidden: Tensor<3>, marks: &TokenMarks) -> Tensor<2> {
    let [b, t, m] = hidden.dims();
    let documents = marks.layout().map_or_else(Vec::new, live_documents);
    let longest = documents.iter().map(|d| d.token_indices.len()).max().unwrap_or(1);
    let places = |d: &Document| {
        let again = std::iter::repeat_n(d.token_indices[0], longest - d.token_indices.len());
        let row = d.row * t;
        d.token_indices.iter().copied().chain(again).map(|token| (row + token) as i32).collect::<Vec<_>>()
    };
    let (count, rows): (usize, Vec<i32>) = (documents.len(), documents.iter().flat_map(places).collect());
    let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [count * longest]), &token_marks_device(marks));
    hidden.reshape([b * t, m]).select(0, rows).reshape([count, longest, m]).max_dim(1).squeeze_dim(1)
}

fn token_marks_device(marks: &TokenMarks) -> burn::tensor::Device {
    marks.field(kiln_spec::formula::MarkField::Position).device()
}

/// A document of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its row.
    pub row: usize,
    /// Its number within the row.
    pub index: usize,
    /// Its place among those of the row that have live tokens.
    live_index: usize,
    /// Places of its live tokens in the row, at least one.
    pub token_indices: Vec<usize>,
}

/// The documents of a layout that have live tokens, in the order of rows and numbers: what pooled vectors are of.
pub fn live_documents(layout: &Layout) -> Vec<Document> {
    let mut all = Vec::new();
    for row in 0..layout.batch_size() {
        let mut tokens = std::collections::BTreeMap::<usize, Vec<usize>>::new();
        for (place, mark) in layout.row(row).iter().enumerate().filter(|(_, mark)| mark.valid) {
            tokens.entry(mark.document as usize).or_default().push(place);
        }
        let of =
            |(place, (document, tokens))| Document { row, index: document, live_index: place, token_indices: tokens };
        all.extend(tokens.into_iter().enumerate().map(of));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use kiln_spec::DocumentSpan;

    #[test]
    fn a_document_is_its_first_its_last_or_all_of_its_tokens() {
        let piece = |length| DocumentSpan { length, ..DocumentSpan::default() };
        let layout = Layout::packed(&[vec![piece(2), piece(0), piece(3)], vec![piece(1)]], 6);
        let device = Device::flex();
        let hidden = Tensor::<1, Int>::arange(0..24, &device).float().reshape([2, 6, 2]);
        let pooled = |pooling: Pooling| {
            let data = pooling.pool(hidden.clone(), &TokenMarks::new(&layout, &device)).into_data();
            (data.shape().to_vec(), data.iter::<f64>().collect::<Vec<_>>())
        };
        assert_eq!(pooled(Pooling::First), (vec![3, 2], vec![0.0, 1.0, 4.0, 5.0, 12.0, 13.0]));
        assert_eq!(pooled(Pooling::Last), (vec![3, 2], vec![2.0, 3.0, 8.0, 9.0, 12.0, 13.0]));
        assert_eq!(pooled(Pooling::Max), pooled(Pooling::Last), "numbers rise here");
        let (_, mean) = pooled(Pooling::Mean);
        let apart = mean.iter().zip([1.0, 2.0, 6.0, 7.0, 12.0, 13.0]).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f64::max) < 1e-6, "{mean:?}");
        let numbers: Vec<_> = live_documents(&layout).iter().map(|d| (d.row, d.index)).collect();
        assert_eq!(numbers, [(0, 0), (0, 2), (1, 0)]);
    }
}
