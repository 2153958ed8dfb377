//! Filters of sampling: each sets the weights of the tokens that it removes to 0.
//!
//! Weights are probabilities relative to that of the most probable token, which has 1. The most probable token always
//! remains. The reference is `logits_process.py` of `transformers`. V vocabulary.

/// Number of most probable tokens that top-H considers.
const TOP_H_TOKENS: usize = 100;

/// Keeps the most probable tokens whose terms −p ln p sum to at most `fraction` of the entropy (top-H, 2509.02510).
/// Probabilities and entropy are those of the 100 most probable tokens. O(V log V).
pub(super) fn keep_top_h(weights: &mut [f64], fraction: f64) {
    let order = descending(weights);
    let (candidates, others) = order.split_at(order.len().min(TOP_H_TOKENS));
    others.iter().for_each(|i| weights[*i] = 0.0);
    let total: f64 = candidates.iter().map(|i| weights[*i]).sum();
    let terms: Vec<f64> = candidates.iter().map(|i| entropy_term(weights[*i] / total)).collect();
    let limit = fraction * terms.iter().sum::<f64>();
    let mut sum = terms.first().copied().unwrap_or_default();
    for (i, term) in candidates.iter().zip(terms).skip(1) {
        sum += term;
        if sum > limit {
            weights[*i] = 0.0;
        }
    }
}

/// Sets all weights below the `k`-th largest one to 0. O(V).
pub(super) fn keep_top_k(weights: &mut [f64], k: usize) {
    if k >= weights.len() {
        return;
    }
    let mut sorted = weights.to_vec();
    let (_, threshold, _) = sorted.select_nth_unstable_by(k.saturating_sub(1), |a, b| b.total_cmp(a));
    weights.iter_mut().filter(|weight| **weight < *threshold).for_each(|weight| *weight = 0.0);
}

/// Keeps the largest weights until their sum is at least `p` times the total. O(V log V).
pub(super) fn keep_top_p(weights: &mut [f64], p: f64) {
    let order = descending(weights);
    let target = p * order.iter().map(|i| weights[*i]).sum::<f64>();
    let mut sum_before = 0.0;
    for (rank, i) in order.into_iter().enumerate() {
        let weight = weights[i];
        if rank > 0 && sum_before >= target {
            weights[i] = 0.0;
        }
        sum_before += weight;
    }
}

/// Sets all weights below `p` to 0: the largest weight is 1.
pub(super) fn keep_min_p(weights: &mut [f64], p: f64) {
    weights.iter_mut().filter(|weight| **weight < p).for_each(|weight| *weight = 0.0);
}

/// Keeps the tokens whose information −ln p is closest to the entropy, until their total probability is at least `mass`
/// (locally typical sampling, 2202.00666). O(V log V).
pub(super) fn keep_typical(weights: &mut [f64], mass: f64) {
    let total: f64 = weights.iter().sum();
    let entropy = entropy(weights);
    let distance = |weight: f64| (-(weight / total).ln() - entropy).abs();
    let mut order: Vec<usize> = (0..weights.len()).filter(|i| weights[*i] > 0.0).collect();
    order.sort_by(|a, b| distance(weights[*a]).total_cmp(&distance(weights[*b])));
    let mut sum = 0.0;
    let last = order.iter().position(|i| {
        sum += weights[*i] / total;
        sum >= mass
    });
    let Some(threshold) = last.or(order.len().checked_sub(1)).map(|last| distance(weights[order[last]])) else {
        return;
    };
    // Tokens that are as typical as the last one remain too.
    order.retain(|i| distance(weights[*i]) > threshold);
    order.into_iter().for_each(|i| weights[i] = 0.0);
}

/// Keeps the tokens with a probability of at least `epsilon`, and the most probable ones (2210.15191).
pub(super) fn keep_above_epsilon(weights: &mut [f64], epsilon: f64) {
    let minimum = epsilon * weights.iter().sum::<f64>();
    let is_removed = |weight: f64| weight < minimum && weight < 1.0;
    weights.iter_mut().filter(|weight| is_removed(**weight)).for_each(|weight| *weight = 0.0);
}

/// Keeps the tokens with a probability of at least min(ε, √ε exp(−entropy)), and the most probable ones (η-sampling,
/// 2210.15191).
pub(super) fn keep_above_eta(weights: &mut [f64], epsilon: f64) {
    let eta = epsilon.min(epsilon.sqrt() * (-entropy(weights)).exp());
    keep_above_epsilon(weights, eta);
}

/// Indices of the positive weights, the largest first, the first of equal ones first.
fn descending(weights: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..weights.len()).filter(|i| weights[*i] > 0.0).collect();
    order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
    order
}

/// Entropy in nats.
fn entropy(weights: &[f64]) -> f64 {
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| entropy_term(weight / total)).sum()
}

/// −p ln p, which is 0 for p = 0.
fn entropy_term(p: f64) -> f64 {
    if p > 0.0 { -p * p.ln() } else { 0.0 }
}
