//! Call `pattern`: what each layer of a recipe sees.

use crate::{
    Answer, Array, SessionError,
    layers::{Layer, layers},
    recipe::{RecipeArguments, max_vocab},
};
use kiln_models::{Model, ModelConfig, Visibility};
use kiln_spec::{DocumentSpan, Layout, Pattern, plan::dense_mask};
use serde::Deserialize;
use serde_json::{Value, json};

/// Maximum number of tokens of a drawn pattern.
const MAX_LENGTH: usize = 128;

/// Arguments of the call.
#[derive(Deserialize)]
pub struct PatternArguments {
    #[serde(flatten)]
    recipe: RecipeArguments,
    /// Number of tokens.
    length: usize,
}

/// The effective attention pattern of each layer that has one, over one document of `length` tokens: a byte for each query
/// and key, row-major, 1 where the query attends to the key. With prefix visibility, the first third is the prefix.
///
/// # Errors
/// An invalid recipe, or a length that is 0 or above 128.
pub fn patterns(arguments: &PatternArguments) -> Result<Answer, SessionError> {
    let length = arguments.length;
    if !(1..=MAX_LENGTH).contains(&length) {
        let message = format!("expected a length of 1 to {MAX_LENGTH} tokens, found {length}");
        return Err(SessionError::usage(message).at("length"));
    }
    let recipe = arguments.recipe.load()?;
    let model = Model::without_weights(&ModelConfig { vocab: max_vocab(&recipe), ..recipe.model.clone() });
    let mut answer = Answer::default();
    let mut described: Vec<Value> = Vec::new();
    for Layer { path, part, visibility } in layers(&model) {
        let Some(pattern) = part.pattern() else { continue };
        let pointer = format!("/layers/{}/visible", described.len());
        answer = answer.with_array(pointer, Array::Bytes(visible(pattern, visibility, length)));
        described.push(json!({ "path": path, "label": label(pattern, visibility) }));
    }
    Ok(Answer { value: json!({ "layers": described }), ..answer })
}

/// The mask of a pattern over one document.
fn visible(pattern: &Pattern, visibility: Visibility, length: usize) -> Vec<u8> {
    let document = DocumentSpan { length, start: 0, direction: visibility.direction(length / 3) };
    let layout = Layout::packed(&[vec![document]], length);
    let row = layout.row(0);
    dense_mask(&pattern.visibility_formula(), row, row).into_iter().map(u8::from).collect()
}

/// A description, such as `causal, window of 1 before, 0 after`.
fn label(pattern: &Pattern, visibility: Visibility) -> String {
    match pattern {
        Pattern::Global(_) => visibility.name().into(),
        _ => format!("{}, {pattern}", visibility.name()),
    }
}
