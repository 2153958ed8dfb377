//! Whether a model has batch-invariant arithmetic: the cards of its components say it, by the law `exact`.

use super::ModelConfig;
use kiln_nn::{
    depth::Depth,
    head::Head,
    junction::Junction,
    norm::Norm,
    part::{
        Part,
        attention::{AnyProjection, AnyScore, AttentionSource},
        experts::Expert,
        feed_forward::activation::Activation,
    },
    position::Position,
    streams::ResidualStreams,
};
use kiln_spec::{
    Card, Pattern, ValidationError,
    config::{SelectedChoice, selected_choices},
};
use schemars::schema_for;

/// Cards of all families of a model's components.
const FAMILIES: [&[Card]; 13] = [
    Part::CARDS,
    AttentionSource::CARDS,
    AnyProjection::CARDS,
    Expert::CARDS,
    Activation::CARDS,
    Position::CARDS,
    Pattern::CARDS,
    AnyScore::CARDS,
    Norm::CARDS,
    ResidualStreams::CARDS,
    Junction::CARDS,
    Depth::CARDS,
    Head::CARDS,
];

/// Law that exempts components without batch-invariant arithmetic.
const LAW: &str = "exact";

impl ModelConfig {
    /// Checks that every component has batch-invariant arithmetic. `path` is the path of the model, such as `model`.
    ///
    /// # Errors
    /// The first component without it: its path, and the reason on its card.
    pub fn check_exact(&self, path: &str) -> Result<(), ValidationError> {
        let value = serde_json::to_value(self).unwrap_or_default();
        let choices = selected_choices(&schema_for!(Self), &value);
        match choices.into_iter().find_map(|choice| Some((not_exact(&choice)?, choice))) {
            None => Ok(()),
            Some((reason, choice)) => {
                let reason = format!("`{}` has no batch-invariant arithmetic: {reason}", choice.selected);
                let error = ValidationError::new(format!("{path}.{}", choice.path), reason);
                Err(error.with_suggestion("leave out `--exact`, or choose another one"))
            }
        }
    }
}

/// Why a selected component has no batch-invariant arithmetic, if it has none.
fn not_exact(choice: &SelectedChoice) -> Option<&'static str> {
    let names = || choice.alternatives.iter().map(String::as_str);
    let family = FAMILIES.iter().find(|cards| cards.iter().map(|card| card.name).eq(names()))?;
    let card = family.iter().find(|card| card.name == choice.selected)?;
    // An exemption from every law is about small models in tests, not about arithmetic.
    card.exemptions.iter().find(|(law, _)| *law == LAW).map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_without_exact_arithmetic_is_found_by_its_path() {
        let read = |score: &str| {
            let text = format!("[{{ sublayers = [{{ parts = [{{ attention = {{ score = {score} }} }}] }}] }}]");
            let table: toml::Table = toml::from_str(&format!("vocab = 7\nhidden = 8\nblocks = {text}")).unwrap();
            table.try_into::<ModelConfig>().unwrap()
        };
        assert_eq!(read("'softmax'").check_exact("model"), Ok(()));
        assert_eq!(read("'sigmoid'").check_exact("model"), Ok(()));
        let error = read("{ top_k = { k = 3 } }").check_exact("model").unwrap_err().to_string();
        assert!(error.contains("model.blocks[0].sublayers[0].parts[0].attention.score"), "{error}");
        assert!(error.contains("`top_k` has no batch-invariant arithmetic"), "{error}");
    }

    /// Choices that select options, not components: no card describes them.
    const WITHOUT_CARDS: [&str; 3] = ["stack", "position.rotary.scaling", "visibility"];

    #[test]
    fn every_family_of_the_schema_is_listed() {
        let value = serde_json::to_value(ModelConfig::default()).unwrap();
        let choices = selected_choices(&schema_for!(ModelConfig), &value);
        let known = |choice: &SelectedChoice| {
            FAMILIES.iter().any(|cards| cards.iter().map(|card| card.name).eq(choice.alternatives.iter()))
        };
        let unknown: Vec<_> = choices.iter().filter(|choice| !known(choice)).map(|choice| &*choice.path).collect();
        assert_eq!(unknown, WITHOUT_CARDS);
        assert!(choices.len() > 10, "{}", choices.len());
    }
}
