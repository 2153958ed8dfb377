//! Retrieval with sentence embeddings: documents ranked by their similarity to a query, and how good the ranking is.
//!
//! | measure | value |
//! |---|---|
//! | nDCG@k | Σ_{r ≤ k} rel(r) / log₂(r + 1), divided by its greatest possible value (Järvelin and Kekäläinen, 2002) |
//! | recall@k | share of the relevant documents among the first k |
//! | MRR | 1 / rank of the first relevant document |
//!
//! Relevance is 0 or 1, as in most retrieval benchmarks (BEIR, 2104.08663).

use crate::{error::GenerateError, sentence_encoder::SentenceEncoder};
use burn::tensor::Tensor;
use kiln_pretrained::sentence::Similarity;

/// Texts embedded at once.
const BATCH_SIZE: usize = 32;

/// Queries and documents, with the relevant documents of each query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetrievalTask {
    /// Texts of the queries.
    pub queries: Vec<String>,
    /// Texts of the documents.
    pub documents: Vec<String>,
    /// Indices of the relevant documents of each query.
    pub relevant: Vec<Vec<usize>>,
}

/// Measures of a ranking, as means over the queries that have a relevant document.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RetrievalScores {
    /// Normalized discounted cumulative gain of the first k documents.
    pub ndcg: f64,
    /// Share of the relevant documents among the first k.
    pub recall: f64,
    /// Mean reciprocal rank of the first relevant document.
    pub mrr: f64,
    /// Number of queries.
    pub queries: usize,
}

impl RetrievalTask {
    /// Ranks the documents for each query by the embeddings of `encoder`, and scores the first `k`. Documents of equal similarity
    /// rank in their order. `prompts` are put before queries and documents.
    ///
    /// # Errors
    /// If a text cannot be embedded, or the device fails.
    pub async fn score(
        &self,
        encoder: &SentenceEncoder<'_>,
        k: usize,
        prompts: [&str; 2],
    ) -> Result<RetrievalScores, GenerateError> {
        let queries = embed_texts(encoder, &self.queries, prompts[0]).await?;
        let documents = embed_texts(encoder, &self.documents, prompts[1]).await?;
        let rankings: Vec<Vec<usize>> =
            queries.iter().map(|query| rank(query, &documents, encoder.config.similarity)).collect();
        Ok(score_rankings(&rankings, &self.relevant, k))
    }
}

/// The embedding of each text.
async fn embed_texts(
    encoder: &SentenceEncoder<'_>,
    texts: &[String],
    prompt: &str,
) -> Result<Vec<Vec<f32>>, GenerateError> {
    let mut rows = Vec::with_capacity(texts.len());
    for batch in texts.chunks(BATCH_SIZE) {
        let vectors: Tensor<2> = encoder.encode(batch, prompt)?;
        let width = vectors.dims()[1].max(1);
        let values: Vec<f32> = vectors.into_data_async().await?.iter::<f32>().collect();
        rows.extend(values.chunks_exact(width).map(<[f32]>::to_vec));
    }
    Ok(rows)
}

/// The documents by falling similarity to the query.
fn rank(query: &[f32], documents: &[Vec<f32>], similarity: Similarity) -> Vec<usize> {
    let similarities: Vec<f64> = documents.iter().map(|document| similarity.of(query, document)).collect();
    let mut order: Vec<usize> = (0..documents.len()).collect();
    // A stable sort: equal similarities keep their order. A NaN ranks last.
    let key =
        |document: &usize| Some(similarities[*document]).filter(|value| !value.is_nan()).unwrap_or(f64::NEG_INFINITY);
    order.sort_by(|a, b| key(b).total_cmp(&key(a)));
    order
}

/// Measures of rankings, each the documents of a query from best to worst. Queries without a relevant document do not count.
///
/// ```
/// use kiln_infer::retrieval::score_rankings;
///
/// let scores = score_rankings(&[vec![2, 0, 1]], &[vec![0]], 10);
/// assert!((scores.ndcg - 1.0 / 3f64.log2()).abs() < 1e-12);
/// assert_eq!((scores.recall, scores.mrr, scores.queries), (1.0, 0.5, 1));
/// ```
pub fn score_rankings(rankings: &[Vec<usize>], relevant: &[Vec<usize>], k: usize) -> RetrievalScores {
    let mut scores = RetrievalScores::default();
    for (ranking, relevant) in rankings.iter().zip(relevant).filter(|(_, relevant)| !relevant.is_empty()) {
        let hits =
            |limit: usize| ranking.iter().take(limit).enumerate().filter(|(_, document)| relevant.contains(document));
        let gain = |index: usize| 1.0 / (index as f64 + 2.0).log2();
        let ideal: f64 = (0..relevant.len().min(k)).map(gain).sum();
        let found: f64 = hits(k).map(|(index, _)| gain(index)).sum();
        scores.ndcg += if ideal > 0.0 { found / ideal } else { 0.0 };
        scores.recall += hits(k).count() as f64 / relevant.len() as f64;
        scores.mrr += hits(ranking.len()).next().map_or(0.0, |(index, _)| 1.0 / (index as f64 + 1.0));
        scores.queries += 1;
    }
    let count = scores.queries.max(1) as f64;
    RetrievalScores { ndcg: scores.ndcg / count, recall: scores.recall / count, mrr: scores.mrr / count, ..scores }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_have_their_values_by_hand() {
        // Relevant at ranks 2 and 4 of five documents.
        let ranking = vec![vec![4, 1, 0, 3, 2]];
        let scores = score_rankings(&ranking, &[vec![1, 3]], 10);
        let (found, ideal) = (1.0 / 3f64.log2() + 1.0 / 5f64.log2(), 1.0 + 1.0 / 3f64.log2());
        assert!((scores.ndcg - found / ideal).abs() < 1e-12, "{scores:?}");
        assert_eq!((scores.recall, scores.mrr), (1.0, 0.5));
        // Only the first three count.
        let cut = score_rankings(&ranking, &[vec![1, 3]], 3);
        assert!((cut.ndcg - (1.0 / 3f64.log2()) / ideal).abs() < 1e-12, "{cut:?}");
        assert_eq!((cut.recall, cut.mrr), (0.5, 0.5));
        // More relevant documents than places: the ideal has k of them.
        let full = score_rankings(&ranking, &[vec![0, 1, 2, 3, 4]], 2);
        assert_eq!((full.ndcg, full.recall), (1.0, 0.4));
    }

    #[test]
    fn measures_are_means_over_queries_with_a_relevant_document() {
        let rankings = [vec![0, 1], vec![0, 1], vec![0, 1]];
        let scores = score_rankings(&rankings, &[vec![0], vec![], vec![1]], 1);
        assert_eq!((scores.ndcg, scores.recall, scores.mrr, scores.queries), (0.5, 0.5, 0.75, 2));
        assert_eq!(score_rankings(&[], &[], 10), RetrievalScores::default());
    }

    #[test]
    fn documents_are_ranked_by_similarity_and_then_by_their_order() {
        let documents = [vec![0.0, 1.0], vec![1.0, 0.0], vec![f32::NAN, 0.0], vec![2.0, 0.0]];
        assert_eq!(rank(&[1.0, 0.0], &documents, Similarity::Cosine), [1, 3, 0, 2]);
        assert_eq!(rank(&[1.0, 0.0], &documents, Similarity::Dot), [3, 1, 0, 2]);
    }
}
