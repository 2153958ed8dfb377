//! Sentence encoders in the layout of `sentence-transformers` (1908.10084): how a text becomes one vector.
//!
//! | file | contents |
//! |---|---|
//! | `modules.json` | the pipeline: `Transformer`, `Pooling`, then any of `Normalize`, `Dense`, `Dropout` |
//! | `1_Pooling/config.json` | pooling modes, whether tokens of a prompt are pooled |
//! | `2_Dense/config.json`, `2_Dense/model.safetensors` | a linear layer with an activation function |
//! | `sentence_bert_config.json` | `max_seq_length`, `do_lower_case` |
//! | `config_sentence_transformers.json` | prompts by name, the default prompt, the similarity function |
//!
//! Without `modules.json` the vector is the mean over all tokens, as in that library. [`SentenceConfig`] holds what the
//! files say, and writes them; `kiln_infer::SentenceEncoder` computes with it.

mod dense;
#[cfg(feature = "files")]
mod read;
mod settings;
#[cfg(feature = "files")]
mod write;

pub use dense::{DenseActivation, DenseModule};
#[cfg(feature = "files")]
pub use read::SETTINGS_FILES;
pub use settings::{Prompts, Similarity};

use burn::tensor::Tensor;
use kiln_kernels::exact::Arithmetic;
use kiln_models::hf::sentence_transformers::PoolingOptions;

/// How a model turns a text into one vector.
#[derive(Clone, Debug, Default)]
pub struct SentenceConfig {
    /// Pooling of the token states.
    pub pooling: PoolingOptions,
    /// What is applied to the pooled vector, in order.
    pub modules: Vec<VectorModule>,
    /// Longest text in tokens; longer ones are cut at the end. `None`: as long as the model allows.
    pub max_length: Option<usize>,
    /// Whether the text is lowercased before it is tokenized.
    pub lowercase: bool,
    /// Texts before a text, by name.
    pub prompts: Prompts,
    /// The function that vectors are made to be compared by.
    pub similarity: Similarity,
}

/// A module after pooling.
#[derive(Clone, Debug, PartialEq)]
pub enum VectorModule {
    /// x / ‖x‖.
    Normalize,
    /// activation(x W + b).
    Dense(DenseModule),
}

impl SentenceConfig {
    /// Applies the modules to pooled vectors, `[N, M] → [N, width]`.
    ///
    /// # Errors
    /// If a dense module expects vectors of another width.
    pub fn apply_modules(
        &self,
        vectors: Tensor<2>,
        arithmetic: Arithmetic,
    ) -> Result<Tensor<2>, kiln_spec::ValidationError> {
        self.modules.iter().try_fold(vectors, |vectors, module| match module {
            VectorModule::Normalize => Ok(normalize(vectors)),
            VectorModule::Dense(dense) => dense.forward(vectors, arithmetic),
        })
    }

    /// The text that is tokenized for a text.
    ///
    /// Lowercasing is by character, as in the `tokenizers` library: a final sigma is no special case.
    pub fn prepare_text(&self, prompt: &str, text: &str) -> String {
        let text = format!("{prompt}{text}");
        if self.lowercase { text.chars().flat_map(char::to_lowercase).collect() } else { text }
    }
}

/// x / max(‖x‖, 10⁻¹²) of each row, as PyTorch's `normalize`.
fn normalize(vectors: Tensor<2>) -> Tensor<2> {
    let length = vectors.clone().square().sum_dim(1).sqrt().clamp_min(1e-12);
    vectors / length
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn modules_are_applied_in_their_order() {
        let device = Device::flex();
        let dense = DenseModule::new([2, 1], vec![3.0, -4.0], Some(vec![0.5]), DenseActivation::Tanh).unwrap();
        let config = |modules| SentenceConfig { modules, ..SentenceConfig::default() };
        let x = || Tensor::<2>::from_floats([[0.6, 0.8], [1e-4, 0.0]], &device);
        let values = |config: &SentenceConfig| {
            let vectors = config.apply_modules(x(), Arithmetic::Fast).unwrap();
            vectors.into_data().iter::<f64>().collect::<Vec<_>>()
        };
        let close = |found: &[f64], expected: &[f64]| {
            assert!(found.iter().zip(expected).all(|(x, y)| (x - y).abs() < 1e-6), "{found:?} {expected:?}");
        };
        close(&values(&config(vec![VectorModule::Normalize])), &[0.6, 0.8, 1.0, 0.0]);
        let dense = VectorModule::Dense(dense);
        close(&values(&config(vec![dense.clone()])), &[(-0.9f64).tanh(), 0.5003f64.tanh()]);
        close(&values(&config(vec![dense.clone(), VectorModule::Normalize])), &[-1.0, 1.0]);
        let twice = config(vec![dense.clone(), dense]);
        assert!(
            twice.apply_modules(x(), Arithmetic::Fast).unwrap_err().to_string().contains("2"),
            "a wrong width is an error"
        );
    }

    #[test]
    fn text_is_lowercased_by_character() {
        let config = SentenceConfig { lowercase: true, ..SentenceConfig::default() };
        assert_eq!(config.prepare_text("Query: ", "ΣΑΣ Ä"), "query: σασ ä");
        assert_eq!(SentenceConfig::default().prepare_text("Q: ", "A"), "Q: A");
    }
}
