//! Terms of a score besides the product q · k: scale, score bias and the score function's transformation, with their gradients.

use super::AttentionParams;
use crate::attention::{
    bias::{HeadBias, Positions, TileBias},
    score::TileScore,
};
use kiln_spec::plan::TilePlan;

/// Score terms of one head of one sequence.
pub struct ScoreTerms<'a> {
    /// Factor of the products q · k.
    pub scale: f32,
    /// The score function of a row.
    pub score: &'a dyn TileScore,
    /// Bias of this head, if the scores have one.
    bias: Option<Box<dyn HeadBias + 'a>>,
    /// Whether the parameters of the bias get a gradient.
    pub needs_bias_gradient: bool,
}

/// Parameters of a head's bias, `[N]`.
pub struct HeadParameters(Vec<f32>);

impl HeadParameters {
    /// Returns column `head` of the parameters `[N, heads]`, row-major.
    pub fn new(parameters: &[f32], [head, heads]: [usize; 2]) -> Self {
        Self(parameters.iter().skip(head).step_by(heads).copied().collect())
    }

    /// Returns the parameters, `[N]`.
    pub fn values(&self) -> &[f32] {
        &self.0
    }
}

impl<'a> ScoreTerms<'a> {
    /// Returns the terms of a head over one sequence.
    pub fn new(params: &'a AttentionParams, parameters: &'a HeadParameters, tiles: &'a TilePlan) -> Self {
        let positions = Positions { query: &tiles.query_positions, key: &tiles.key_positions };
        let bias = params.bias.as_deref().map(|bias: &'a dyn TileBias| bias.head(&parameters.0, positions));
        let needs_bias_gradient = params.needs_bias_gradient;
        Self { scale: params.scale as f32, score: &*params.score, bias, needs_bias_gradient }
    }

    /// Adds the bias to the scaled products of query number `query` with the keys from number `first_key` on, and
    /// transforms the scores.
    pub fn apply(&self, scores: &mut [f32], query: usize, first_key: usize) {
        if let Some(bias) = &self.bias {
            bias.add(scores, query, first_key);
        }
        self.score.transform(scores);
    }

    /// Adds the gradients of one query's scores to the gradient `[N]` of this head's parameters.
    pub fn add_parameter_gradient(&self, gradients: &[f32], query: usize, first_key: usize, sum: &mut [f32]) {
        if let Some(bias) = &self.bias {
            bias.add_gradient(gradients, query, first_key, sum);
        }
    }
}
