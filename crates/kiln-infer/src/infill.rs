//! Infilling of masked tokens by a bidirectional model.
//!
//! By default the masks of a text are filled one after the other, the most confident first: the model predicts all masks,
//! the prediction with the highest probability is kept, and the model reads the text again (Mask-Predict, 1904.09324, with
//! one token per iteration). N masks cost N forward passes. With [`InfillRequest::parallel`] all masks are filled in one
//! pass. Shapes: B rows, T tokens, N masks of all rows, M hidden, V vocabulary.

use crate::{
    error::GenerateError,
    request::{check_language_head, check_texts},
    rows::{as_slices, int_tensor, one_document_per_row, pad_rows_to},
    sample::Sampling,
};
use burn::{module::Module, tensor::Tensor};
use kiln_kernels::exact::Arithmetic;
use kiln_models::Model;
use kiln_nn::Context;
use kiln_spec::Direction;

/// Request for filling the masked tokens of one or more texts.
#[derive(Clone, Debug, PartialEq)]
pub struct InfillRequest {
    /// Token ids of each text. Each text has at least one mask token.
    pub texts: Vec<Vec<u32>>,
    /// Id of the mask token.
    pub mask_token_id: u32,
    /// Tokens that are never predicted, such as special tokens. The mask token is always excluded.
    pub suppress_tokens: Vec<u32>,
    /// Choice of each token. The random number of a mask depends on its row and position only.
    pub sampling: Sampling,
    /// Whether all masks are filled in one forward pass.
    pub parallel: bool,
    /// Arithmetic of the model; see [`GenerateOptions`](crate::GenerateOptions).
    pub arithmetic: Arithmetic,
}

/// Sampled token for a mask.
struct Prediction {
    /// Index of the mask in its text.
    position: usize,
    id: u32,
    /// Probability of the token under the model at temperature 1 without filters: its confidence.
    probability: f64,
}

/// Fills all masks and returns the complete texts.
///
/// # Errors
/// [`GenerateError::NoBlank`] for a text without a mask, an invalid option, a text that is too long or has unknown tokens,
/// [`GenerateError::NotFinite`], or an error of the device.
pub async fn infill(model: &Model, request: InfillRequest) -> Result<Vec<Vec<u32>>, GenerateError> {
    request.sampling.check("")?;
    model.check_arithmetic(request.arithmetic)?;
    check_language_head(model.config())?;
    check_texts(&request.texts, model)?;
    if let Some(row) = request.texts.iter().position(|text| !text.contains(&request.mask_token_id)) {
        return Err(GenerateError::NoBlank { row });
    }
    let InfillRequest { mut texts, mask_token_id, suppress_tokens, sampling, parallel, arithmetic } = request;
    let model = if model.device().is_autodiff() { model.valid() } else { model.clone() };
    let infiller = Infiller { model, mask_token_id, suppress_tokens, sampling, arithmetic };
    loop {
        let predictions = infiller.predict(&texts).await?;
        if predictions.iter().all(Vec::is_empty) {
            return Ok(texts);
        }
        for (text, mut predictions) in texts.iter_mut().zip(predictions) {
            // The sort is stable: of equal probabilities, the first position is filled.
            predictions.sort_by(|a, b| b.probability.total_cmp(&a.probability));
            predictions.truncate(if parallel { predictions.len() } else { 1 });
            predictions.into_iter().for_each(|prediction| text[prediction.position] = prediction.id);
        }
    }
}

/// Model with the options of a request.
struct Infiller {
    model: Model,
    mask_token_id: u32,
    suppress_tokens: Vec<u32>,
    sampling: Sampling,
    arithmetic: Arithmetic,
}

impl Infiller {
    /// Predictions for all masks of each text, in order.
    async fn predict(&self, texts: &[Vec<u32>]) -> Result<Vec<Vec<Prediction>>, GenerateError> {
        let masks = self.mask_positions(texts);
        let mut predictions: Vec<Vec<Prediction>> = texts.iter().map(|_| Vec::new()).collect();
        if masks.is_empty() {
            return Ok(predictions);
        }
        let logits = self.logits(texts, &masks).into_data_async().await?.convert::<f32>();
        let logits = logits.as_slice::<f32>().unwrap_or_default();
        let vocab = logits.len() / masks.len();
        for ((row, position), logits) in masks.into_iter().zip(logits.chunks_exact(vocab.max(1))) {
            let mut logits = logits.to_vec();
            for id in self.suppress_tokens.iter().chain([&self.mask_token_id]) {
                if let Some(logit) = logits.get_mut(*id as usize) {
                    *logit = f32::NEG_INFINITY;
                }
            }
            let id = self.sampling.sample(&logits, position as u64, row as u64)?;
            let probabilities = Sampling::default().probabilities(&logits);
            let probability = probabilities.map_or(0.0, |probabilities| probabilities[id as usize]);
            predictions[row].push(Prediction { position, id, probability });
        }
        Ok(predictions)
    }

    /// Row and position of every mask, row-major.
    fn mask_positions(&self, texts: &[Vec<u32>]) -> Vec<(usize, usize)> {
        let mut masks = Vec::new();
        for (row, text) in texts.iter().enumerate() {
            let positions = text.iter().enumerate().filter(|(_, id)| **id == self.mask_token_id);
            masks.extend(positions.map(|(position, _)| (row, position)));
        }
        masks
    }

    /// Logits of every mask, `[N, V]`.
    fn logits(&self, texts: &[Vec<u32>], masks: &[(usize, usize)]) -> Tensor<2> {
        let width = texts.iter().map(Vec::len).max().unwrap_or_default();
        let rows = as_slices(texts);
        let layout = one_document_per_row(&rows, width, |_| Direction::Bidirectional);
        let device = self.model.device();
        let tokens = int_tensor(pad_rows_to(&rows, width), [texts.len(), width], &device);
        let hidden = self.model.forward(tokens, &mut Context::new(&layout, &device).with_arithmetic(self.arithmetic));
        let [b, t, m] = hidden.dims();
        let indices: Vec<i32> = masks.iter().map(|(row, position)| (row * width + position) as i32).collect();
        let indices = int_tensor(indices, [masks.len()], &device);
        self.model.logits_in(hidden.reshape([b * t, m]).select(0, indices), self.arithmetic)
    }
}
