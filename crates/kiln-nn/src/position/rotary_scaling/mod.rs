//! Scaling of rotary frequencies for contexts longer than the pretraining context.
//!
//! f_i = θ^(−i/P) is the frequency of pair i of P, s the factor and L the original context:
//!
//! | scaling | frequencies | follows the length | paper |
//! |---|---|---|---|
//! | linear | f_i / s | | 2306.15595 |
//! | YaRN | a ramp from f_i to f_i / s, by the pair's index | | 2309.00071 |
//! | Llama 3.1 | the same, by the pair's rotations over L | | 2407.21783 |
//! | dynamic NTK | those of a larger θ beyond L | yes | 2309.00071, appendix B.1 |
//! | LongRoPE | f_i / one of two lists of factors, within L and beyond | yes | 2402.13753 |
//!
//! A scaling that follows the length has frequencies of its own for each row: those of the row's context length (see
//! [`TokenMarks::context_lengths`](crate::context::TokenMarks::context_lengths)), fixed when the row begins. Rotated keys are
//! cached, so that frequencies which change while a row grows would mix keys of different frequencies. Frequencies are
//! computed in f64 and rounded to f32.

mod dynamic;
mod linear;
mod llama3;
mod longrope;
mod yarn;

pub use dynamic::DynamicScaling;
pub use linear::LinearScaling;
pub use llama3::Llama3Scaling;
pub use longrope::LongRopeScaling;
pub use yarn::YarnScaling;

use kiln_spec::config::NoOptions;

/// Scaling of rotary frequencies. The default changes nothing.
pub trait FrequencyScaling {
    /// Returns the frequencies of `pairs` pairs for the base `theta`, in radians per token, in a context of `length` tokens.
    fn frequencies(&self, theta: f64, pairs: usize, _length: usize) -> Vec<f64> {
        base_frequencies(theta, pairs).collect()
    }

    /// Returns the factor of cosines and sines.
    fn attention_factor(&self) -> f64 {
        1.0
    }

    /// Whether the frequencies differ between contexts of two lengths.
    fn differs_between(&self, _length: usize, _other: usize) -> bool {
        false
    }

    /// Whether the frequencies follow the length.
    fn follows_length(&self) -> bool {
        self.differs_between(0, usize::MAX)
    }

    /// Checks that the scaling works with `pairs` pairs.
    ///
    /// # Errors
    /// The reason.
    fn check_pairs(&self, _pairs: usize) -> Result<(), String> {
        Ok(())
    }

    /// Returns the first invalid key and the reason, or `None`.
    fn invalid_field(&self) -> Option<(&'static str, String)> {
        None
    }
}

kiln_spec::choice! {
    /// RoPE frequency scaling for longer contexts.
    pub enum RotaryScaling {
        /// No scaling.
        "none" => None(NoOptions),
        /// Linear position interpolation: frequencies are divided by `factor` (2306.15595).
        "linear" => Linear(LinearScaling),
        /// YaRN: low frequencies are divided by `factor`, high ones kept, with a ramp between; attention is rescaled
        /// (2309.00071).
        "yarn" => Yarn(YarnScaling),
        /// Llama 3.1: like YaRN, but interpolated linearly in the number of rotations (context / wavelength), and without
        /// rescaling attention (2407.21783).
        "llama3" => Llama3(Llama3Scaling),
        /// Dynamic NTK: a row longer than the original context has a larger base θ, by its length (2309.00071, appendix B.1).
        "dynamic" => Dynamic(DynamicScaling),
        /// LongRoPE: frequencies are divided by one list of factors within the original context, by another beyond
        /// (2402.13753).
        "longrope" => LongRope(LongRopeScaling),
    }
}

impl FrequencyScaling for NoOptions {}

impl std::ops::Deref for RotaryScaling {
    type Target = dyn FrequencyScaling;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::None(scaling) => scaling,
            Self::Linear(scaling) => scaling,
            Self::Yarn(scaling) => scaling,
            Self::Llama3(scaling) => scaling,
            Self::Dynamic(scaling) => scaling,
            Self::LongRope(scaling) => scaling,
        }
    }
}

impl Default for RotaryScaling {
    fn default() -> Self {
        Self::None(NoOptions {})
    }
}

impl RotaryScaling {
    /// Returns the frequencies of `pairs` pairs for the base `theta` in a context of `length` tokens, in radians per token, and
    /// the factor of cos and sin.
    pub fn scaled_frequencies(&self, theta: f64, pairs: usize, length: usize) -> (Vec<f32>, f64) {
        let frequencies = self.frequencies(theta, pairs, length);
        (frequencies.into_iter().map(|frequency| frequency as f32).collect(), self.attention_factor())
    }
}

/// Frequencies f_i = θ^(−i/P) without scaling.
fn base_frequencies(theta: f64, pairs: usize) -> impl Iterator<Item = f64> {
    (0..pairs).map(move |i| theta.powf(-(i as f64) / pairs as f64))
}

/// The key and reason of an invalid context factor.
fn invalid_factor(factor: f64) -> Option<(&'static str, String)> {
    let is_valid = factor.is_finite() && factor >= 1.0;
    (!is_valid).then(|| ("factor", format!("expected a finite number of at least 1, found {factor}")))
}

/// The key and reason of an invalid factor of cosines and sines.
fn invalid_attention_factor(factor: Option<f64>) -> Option<(&'static str, String)> {
    let invalid = factor.filter(|factor| !(factor.is_finite() && *factor > 0.0))?;
    Some(("attention_factor", format!("expected a finite number above 0, found {invalid}")))
}

/// The key and reason of an original context without tokens.
fn invalid_original(length: usize) -> Option<(&'static str, String)> {
    (length == 0).then(|| ("original_max_position_embeddings", "expected at least 1 token, found 0".into()))
}
