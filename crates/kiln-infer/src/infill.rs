//! Blanks in a text, filled by a model that sees both sides of them.
//!
//! The surest first: of all blanks that are left, the one whose token the model gives the highest probability is filled,
//! and the model reads the text anew (Mask-Predict, 1904.09324, with one token an iteration). B rows, T tokens, N blanks,
//! M hidden, V vocabulary.

use crate::{
    error::GenerateError,
    request::{check_language_head, check_texts},
    sample::Sampling,
};
use burn::{
    module::Module,
    tensor::{Int, Tensor, TensorData},
};
use kiln_models::Model;
use kiln_nn::Context;
use kiln_spec::{Direction, DocumentSpan, Layout};

/// Texts with blanks.
#[derive(Clone, Debug, PartialEq)]
pub struct InfillRequest {
    /// Token ids of each text.
    pub texts: Vec<Vec<u32>>,
    /// The token that stands for a blank.
    pub mask_token_id: u32,
    /// Tokens that fill no blank.
    pub suppress_tokens: Vec<u32>,
    /// How a token is chosen; each place has a random number of its own.
    pub sampling: Sampling,
    /// Whether all blanks are filled at once, and the model reads the text only once.
    pub parallel: bool,
}

/// A token for a blank.
struct Prediction {
    position: usize,
    id: u32,
    /// What the model gives it, whatever it was sampled with.
    probability: f64,
}

/// The texts with all blanks filled.
///
/// # Errors
/// If a text has no blank, is too long or of other tokens than the model's, if the weights are broken or the device
/// fails.
pub async fn infill(model: &Model, blanks: InfillRequest) -> Result<Vec<Vec<u32>>, GenerateError> {
    blanks.sampling.check("")?;
    check_language_head(model.config())?;
    check_texts(&blanks.texts, model)?;
    let none = |text: &Vec<u32>| !text.contains(&blanks.mask_token_id);
    if let Some(row) = blanks.texts.iter().position(none) {
        return Err(GenerateError::NoBlank { row });
    }
    let model = if model.device().is_autodiff() { model.valid() } else { model.clone() };
    let InfillRequest { texts, mask_token_id: mask, suppress_tokens: never, sampling, parallel: at_once } = blanks;
    let (mut texts, reader) = (texts, Infiller { model, mask_token_id: mask, suppress_tokens: never, sampling });
    loop {
        let guesses = reader.predict(&texts).await?;
        if guesses.iter().all(Vec::is_empty) {
            return Ok(texts);
        }
        for (text, mut guesses) in texts.iter_mut().zip(guesses) {
            // Of equals the first.
            guesses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
            guesses.truncate(if at_once { guesses.len() } else { 1 });
            guesses.into_iter().for_each(|guess| text[guess.position] = guess.id);
        }
    }
}

struct Infiller {
    model: Model,
    mask_token_id: u32,
    suppress_tokens: Vec<u32>,
    sampling: Sampling,
}

impl Infiller {
    /// What each text's blanks hold, the texts as they are.
    async fn predict(&self, texts: &[Vec<u32>]) -> Result<Vec<Vec<Prediction>>, GenerateError> {
        let blank = |(row, text): (usize, &Vec<u32>)| {
            let places = text.iter().enumerate().filter(|(_, id)| **id == self.mask_token_id);
            places.map(|(place, _)| (row, place)).collect::<Vec<_>>()
        };
        let blanks: Vec<(usize, usize)> = texts.iter().enumerate().flat_map(blank).collect();
        let mut guesses: Vec<Vec<Prediction>> = texts.iter().map(|_| Vec::new()).collect();
        if blanks.is_empty() {
            return Ok(guesses);
        }
        let logits = self.logits(texts, &blanks).into_data_async().await?.convert::<f32>();
        let logits = logits.as_slice::<f32>().unwrap_or_default();
        let vocab = logits.len() / blanks.len();
        for ((row, place), logits) in blanks.into_iter().zip(logits.chunks_exact(vocab.max(1))) {
            let mut logits = logits.to_vec();
            let banned = self.suppress_tokens.iter().chain([&self.mask_token_id]).filter(|id| (**id as usize) < vocab);
            banned.for_each(|id| logits[*id as usize] = f32::NEG_INFINITY);
            let id = self.sampling.sample(&logits, place as u64, row as u64)?;
            let plain = Sampling::default().probabilities(&logits);
            let probability = plain.map_or(0.0, |plain| plain[id as usize]);
            guesses[row].push(Prediction { position: place, id, probability });
        }
        Ok(guesses)
    }

    /// Logits of each blank, `[N, V]`.
    fn logits(&self, texts: &[Vec<u32>], blanks: &[(usize, usize)]) -> Tensor<2> {
        let width = texts.iter().map(Vec::len).max().unwrap_or_default();
        let whole =
            |text: &Vec<u32>| vec![DocumentSpan { length: text.len(), start: 0, direction: Direction::Bidirectional }];
        let layout = Layout::packed(&texts.iter().map(whole).collect::<Vec<_>>(), width);
        let padded = |text: &Vec<u32>| (0..width).map(|i| text.get(i).map_or(0, |id| *id as i32)).collect::<Vec<_>>();
        let tokens: Vec<i32> = texts.iter().flat_map(padded).collect();
        let device = self.model.device();
        let tokens = Tensor::from_data(TensorData::new(tokens, [texts.len(), width]), &device);
        let hidden = self.model.forward(tokens, &mut Context::new(&layout, &device));
        let [b, t, m] = hidden.dims();
        let places: Vec<i32> = blanks.iter().map(|(row, place)| (row * width + place) as i32).collect();
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, [blanks.len()]), &device);
        self.model.logits(hidden.reshape([b * t, m]).select(0, places))
    }
}
