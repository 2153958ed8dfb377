//! The InfoNCE loss of embeddings, its symmetric form, its form for truncated embeddings, and its metrics.

use crate::objective::Loss;
use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData};
use kiln_kernels::cross_entropy::cross_entropy;

/// The score of an excluded candidate: exp(score − max) is 0 in f32 and in f64.
const EXCLUDED_SCORE: f64 = -1e30;

/// In-batch InfoNCE (1807.03748, equation 4), the `MultipleNegativesRankingLoss` of sentence-transformers.
///
/// For N anchors a_i and C ≥ N candidates c_j, of which c_i is the positive of a_i:
///
/// L = Σ_i −log ( exp(s(a_i, c_i) / τ) / Σ_j exp(s(a_i, c_j) / τ) )
///
/// s is the cosine, or the dot product without normalization. The sum over j leaves out excluded candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct InfoNce {
    /// τ.
    pub temperature: f64,
    /// Whether s is the cosine.
    pub normalize: bool,
    /// Whether the loss is the mean of L and of the loss that ranks the anchors by each positive (2310.19923).
    pub symmetric: bool,
    /// Widths to which the embeddings are truncated, each with the weight of its loss (2205.13147, equation 1). Empty: the full
    /// width.
    pub widths: Vec<(usize, f64)>,
}

impl InfoNce {
    /// Sum of the losses of all anchors, and the sums of the metrics.
    ///
    /// `anchors [N, M]`, `candidates [C, M]` with the positives first, `excluded` N · C flags, row-major. Metrics, at the full
    /// width: `accuracy` (the positive has the greatest similarity), `mrr` (1 / rank of the positive), `positive_similarity`,
    /// `negative_similarity` (mean over the negatives of an anchor). A negative as similar as the positive ranks before it, so
    /// that equal embeddings of all texts have no accuracy.
    pub fn loss(&self, anchors: Tensor<2>, candidates: Tensor<2>, excluded: &[bool]) -> Loss {
        let ([count, width], [columns, _]) = (anchors.dims(), candidates.dims());
        let device = anchors.device().without_autodiff();
        let mask = Tensor::<2, Bool>::from_data(TensorData::new(excluded.to_vec(), [count, columns]), &device);
        let mut sum = None;
        let full = [(width, 1.0)];
        for (width, weight) in if self.widths.is_empty() { &full } else { &self.widths[..] } {
            let [a, c] = [&anchors, &candidates].map(|vectors| vectors.clone().narrow(1, 0, *width));
            let loss = self.loss_of_scores(self.similarities(a, c), &mask) * *weight;
            sum = Some(match sum {
                None => loss,
                Some(sum) => sum + loss,
            });
        }
        let similarities = self.similarities(anchors.inner(), candidates.inner());
        let metrics = ranking_metrics(similarities, excluded);
        Loss { sum: sum.unwrap_or_else(|| Tensor::zeros([1], &device)), metrics }
    }

    /// s of each anchor and each candidate, `[N, C]`.
    fn similarities(&self, anchors: Tensor<2>, candidates: Tensor<2>) -> Tensor<2> {
        let scaled = |vectors: Tensor<2>| if self.normalize { kiln_nn::head::l2_normalize(vectors) } else { vectors };
        scaled(anchors).matmul(scaled(candidates).transpose())
    }

    /// The sum of the losses, `[1]`, of similarities `[N, C]`. `mask` is true at excluded candidates.
    fn loss_of_scores(&self, similarities: Tensor<2>, mask: &Tensor<2, Bool>) -> Tensor<1> {
        let count = similarities.dims()[0];
        // Burn's division by a number rounds the gradient's factor to f32; a multiplication does not.
        let scores = (similarities * self.temperature.recip()).mask_fill(mask.clone(), EXCLUDED_SCORE);
        let own = Tensor::<1, Int>::arange(0..count as i64, &scores.device().without_autodiff());
        if !self.symmetric {
            return cross_entropy(scores, own).sum();
        }
        let reverse = scores.clone().narrow(1, 0, count).transpose();
        (cross_entropy(scores, own.clone()).sum() + cross_entropy(reverse, own).sum()) * 0.5
    }
}

/// Sums over the anchors of the metrics of similarities `[N, C]`.
fn ranking_metrics(similarities: Tensor<2>, excluded: &[bool]) -> Vec<(&'static str, Tensor<1>)> {
    let [count, columns] = similarities.dims();
    let (device, dtype) = (similarities.device(), similarities.dtype());
    let constant = |values: Vec<f64>| constant([count, columns], values, &device, dtype);
    let own: Vec<f64> = (0..count * columns).map(|i| f64::from(u8::from(i / columns == i % columns))).collect();
    let negative: Vec<f64> =
        own.iter().zip(excluded).map(|(own, excluded)| if *excluded { 0.0 } else { 1.0 - own }).collect();
    // 1 / number of negatives; 0 for an anchor without any.
    let shares = negative.chunks(columns.max(1)).flat_map(|row| {
        let number: f64 = row.iter().sum();
        row.iter().map(move |share| if number > 0.0 { share / number } else { 0.0 })
    });
    let shares = constant(shares.collect());
    let (own, negative) = (constant(own), constant(negative));
    let positive = (similarities.clone() * own).sum_dim(1);
    let is_ahead = similarities.clone().greater_equal(positive.clone().expand([count, columns])).float().cast(dtype);
    let ranks = (is_ahead * negative).sum_dim(1) + 1.0;
    let sum = |values: Tensor<2>| values.sum();
    vec![
        ("accuracy", sum(ranks.clone().equal_elem(1.0).float().cast(dtype))),
        ("mrr", sum(ranks.recip())),
        ("positive_similarity", sum(positive)),
        ("negative_similarity", sum((similarities * shares).sum_dim(1))),
    ]
}

/// Values `[rows, columns]` on a device.
fn constant(shape: [usize; 2], values: Vec<f64>, device: &Device, dtype: DType) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (device, dtype))
}
