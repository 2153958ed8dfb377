//! From hidden states of tokens to one vector a document.

use crate::cx::Marks;
use burn::tensor::{Int, Tensor, TensorData};
use kiln_spec::Layout;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which of a document's live tokens speak for it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The first one: BERT's `[CLS]` (1810.04805).
    First,
    /// The mean of all (1908.10084).
    #[default]
    Mean,
    /// The largest of each number over all of them.
    Max,
    /// The last one, which alone has seen the whole document in a causal model.
    Last,
}

impl Pooling {
    /// `hidden [B, T, M] → [D, M]`, a row a document that has live tokens, in the order of rows and documents; 0 rows if
    /// the host doesn't know the marks.
    pub fn pool(self, hidden: Tensor<3>, marks: &Marks) -> Tensor<2> {
        if self == Self::Max {
            return largest(hidden, marks);
        }
        let [b, t, m] = hidden.dims();
        let documents = marks.host().map_or_else(Vec::new, documents);
        let most = documents.iter().map(|d| d.place + 1).max().unwrap_or(1);
        let mut shares = vec![0.0f64; b * most * t];
        for document in &documents {
            let start = (document.row * most + document.place) * t;
            self.shares(&document.tokens).for_each(|(token, share)| shares[start + token] = share);
        }
        let shares = Tensor::from_data(TensorData::new(shares, [b, most, t]), (&marks_device(marks), hidden.dtype()));
        let pooled: Tensor<2> = shares.matmul(hidden).reshape([b * most, m]);
        let rows: Vec<i32> = documents.iter().map(|d| (d.row * most + d.place) as i32).collect();
        let count = rows.len();
        pooled.select(0, Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), &marks_device(marks)))
    }

    /// What each of a document's tokens counts; they add up to 1.
    fn shares(self, tokens: &[usize]) -> impl Iterator<Item = (usize, f64)> {
        let all = match self {
            Self::First => &tokens[..1],
            Self::Mean | Self::Max => tokens,
            Self::Last => &tokens[tokens.len() - 1..],
        };
        all.iter().map(|token| (*token, 1.0 / all.len() as f64))
    }
}

/// The largest of each number: a document's tokens beside each other, a shorter one's first token said again.
fn largest(hidden: Tensor<3>, marks: &Marks) -> Tensor<2> {
    let [b, t, m] = hidden.dims();
    let documents = marks.host().map_or_else(Vec::new, documents);
    let longest = documents.iter().map(|d| d.tokens.len()).max().unwrap_or(1);
    let places = |d: &Document| {
        let again = std::iter::repeat_n(d.tokens[0], longest - d.tokens.len());
        let row = d.row * t;
        d.tokens.iter().copied().chain(again).map(|token| (row + token) as i32).collect::<Vec<_>>()
    };
    let (count, rows): (usize, Vec<i32>) = (documents.len(), documents.iter().flat_map(places).collect());
    let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [count * longest]), &marks_device(marks));
    hidden.reshape([b * t, m]).select(0, rows).reshape([count, longest, m]).max_dim(1).squeeze_dim(1)
}

fn marks_device(marks: &Marks) -> burn::tensor::Device {
    marks.field(kiln_spec::formula::Field::Position).device()
}

/// A document of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its row.
    pub row: usize,
    /// Its number within the row.
    pub document: usize,
    /// Its place among those of the row that have live tokens.
    place: usize,
    /// Places of its live tokens in the row, at least one.
    pub tokens: Vec<usize>,
}

/// The documents of a layout that have live tokens, in the order of rows and numbers: what pooled vectors are of.
pub fn documents(layout: &Layout) -> Vec<Document> {
    let mut all = Vec::new();
    for row in 0..layout.rows() {
        let mut tokens = std::collections::BTreeMap::<usize, Vec<usize>>::new();
        for (place, mark) in layout.row(row).iter().enumerate().filter(|(_, mark)| mark.live) {
            tokens.entry(mark.document as usize).or_default().push(place);
        }
        let of = |(place, (document, tokens))| Document { row, document, place, tokens };
        all.extend(tokens.into_iter().enumerate().map(of));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use kiln_spec::Piece;

    #[test]
    fn a_document_is_its_first_its_last_or_all_of_its_tokens() {
        let piece = |length| Piece { length, ..Piece::default() };
        let layout = Layout::packed(&[vec![piece(2), piece(0), piece(3)], vec![piece(1)]], 6);
        let device = Device::flex();
        let hidden = Tensor::<1, Int>::arange(0..24, &device).float().reshape([2, 6, 2]);
        let pooled = |pooling: Pooling| {
            let data = pooling.pool(hidden.clone(), &Marks::new(&layout, &device)).into_data();
            (data.shape().to_vec(), data.iter::<f64>().collect::<Vec<_>>())
        };
        assert_eq!(pooled(Pooling::First), (vec![3, 2], vec![0.0, 1.0, 4.0, 5.0, 12.0, 13.0]));
        assert_eq!(pooled(Pooling::Last), (vec![3, 2], vec![2.0, 3.0, 8.0, 9.0, 12.0, 13.0]));
        assert_eq!(pooled(Pooling::Max), pooled(Pooling::Last), "numbers rise here");
        let (_, mean) = pooled(Pooling::Mean);
        let apart = mean.iter().zip([1.0, 2.0, 6.0, 7.0, 12.0, 13.0]).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f64::max) < 1e-6, "{mean:?}");
        let numbers: Vec<_> = documents(&layout).iter().map(|d| (d.row, d.document)).collect();
        assert_eq!(numbers, [(0, 0), (0, 2), (1, 0)]);
    }
}
