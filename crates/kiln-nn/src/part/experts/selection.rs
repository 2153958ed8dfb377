//! Selection of experts: the k best of all, or the k best of a token's best groups (2405.04434, section 2.2).
//!
//! A choice has no gradient. Ties go to the lower number, so that the selection is the same on every backend.
//!
//! Shapes: N tokens, E experts, k experts per token, G groups of E / G neighboring experts.

use crate::{autograd_order::stop_gradient, variant::invalid};
use burn::tensor::{Int, Tensor};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Score of a group of experts.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum GroupScore {
    /// Greatest score of its experts (DeepSeek V2).
    #[default]
    Max,
    /// Sum of the two greatest scores of its experts (DeepSeek V3).
    TopTwoSum,
}

/// Groups of experts, from the best of which a token's experts are selected.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ExpertGroupsConfig {
    /// Number of groups of neighboring experts; must divide the number of experts.
    pub n_group: usize,
    /// Number of groups from which a token's experts are selected.
    pub topk_group: usize,
    /// Score of a group. A selection bias is part of it.
    pub score: GroupScore,
}

impl Default for ExpertGroupsConfig {
    fn default() -> Self {
        Self { n_group: 2, topk_group: 1, score: GroupScore::Max }
    }
}

impl ExpertGroupsConfig {
    /// Checks the groups of so many experts, of which `top_k` are selected, at `path`.
    pub(super) fn check(&self, [experts, top_k]: [usize; 2], path: &str) -> Result<(), ValidationError> {
        let Self { n_group, topk_group, score } = *self;
        if n_group == 0 || !experts.is_multiple_of(n_group) {
            return invalid(path, "n_group", format!("n_group = {n_group} does not divide num_experts = {experts}"));
        }
        if topk_group == 0 || topk_group > n_group {
            let reason = format!("expected from 1 to all {n_group} groups, found {topk_group}");
            return invalid(path, "topk_group", reason);
        }
        let size = experts / n_group;
        if top_k > topk_group * size {
            let reason = format!("{topk_group} groups of {size} experts have fewer than top_k = {top_k} experts");
            return invalid(path, "topk_group", reason);
        }
        if score == GroupScore::TopTwoSum && size < 2 {
            return invalid(path, "score", "`top_two_sum` needs groups of at least 2 experts, found groups of 1");
        }
        Ok(())
    }
}

/// Returns the k experts of each token with the greatest scores, the greatest first, `[N, E] → [N, k]`.
///
/// k passes over the experts.
pub fn select_top_k(scores: Tensor<2>, k: usize) -> Tensor<2, Int> {
    let [n, e] = scores.dims();
    let experts = Tensor::<1, Int>::arange(0..e as i64, &scores.device()).reshape([1, e]).expand([n, e]);
    let mut remaining = stop_gradient(scores);
    let mut selected = Vec::with_capacity(k);
    for _ in 0..k {
        let best = remaining.clone().max_dim(1).expand([n, e]);
        let first = experts.clone().mask_fill(remaining.clone().lower(best), e as i32 - 1).min_dim(1);
        remaining = remaining.mask_fill(experts.clone().equal(first.clone().expand([n, e])), f32::NEG_INFINITY);
        selected.push(first);
    }
    Tensor::cat(selected, 1)
}

/// Returns 1 for each selected expert, otherwise 0: `selected [N, k] → [N, E]`, E and float type those of `like`.
pub fn multi_hot(selected: &Tensor<2, Int>, like: &Tensor<2>) -> Tensor<2> {
    let ([n, k], [_, e]) = (selected.dims(), like.dims());
    let experts = Tensor::<1, Int>::arange(0..e as i64, &selected.device()).reshape([1, 1, e]).expand([n, k, e]);
    let is_selected = experts.equal(selected.clone().unsqueeze_dim::<3>(2).expand([n, k, e]));
    is_selected.int().sum_dim(1).squeeze_dim::<2>(1).float().cast(like.dtype())
}

/// Returns the scores with −∞ for the experts outside a token's best groups, `[N, E] → [N, E]`.
pub fn within_best_groups(scores: Tensor<2>, groups: &ExpertGroupsConfig) -> Tensor<2> {
    let ([n, e], g) = (scores.dims(), groups.n_group);
    let scores = stop_gradient(scores);
    let by_group = scores.clone().reshape([n * g, e / g]);
    let of_group = match groups.score {
        GroupScore::Max => by_group.max_dim(1),
        GroupScore::TopTwoSum => by_group.clone().gather(1, select_top_k(by_group, 2)).sum_dim(1),
    };
    let of_group = of_group.reshape([n, g]);
    let chosen = multi_hot(&select_top_k(of_group.clone(), groups.topk_group), &of_group);
    let outside = chosen.unsqueeze_dim::<3>(2).expand([n, g, e / g]).reshape([n, e]).lower_elem(0.5);
    scores.mask_fill(outside, f32::NEG_INFINITY)
}
