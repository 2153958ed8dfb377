//! ELECTRA (2003.10555): BERT with a narrower embedding and a projection to the hidden size.
//!
//! `ElectraForMaskedLM` is the generator. The discriminator's head, one logit for each token (`ElectraForPreTraining`), is refused
//! by the name of its class. With `ElectraModel` in `architectures`, its file is read without the head. The classifier has a GELU
//! before it where BERT has a tanh. Reference: `modeling_electra.py` of transformers.

use super::{
    Family, bert_like,
    class_head::ClassHead,
    config_reader::ConfigReader,
    keys::{Absent::*, Convert, Key::*},
    names::{linear, same},
    position_table::PositionTable,
    template::Holes,
};
use kiln_nn::part::feed_forward::activation::Activation as ActivationFunction;
use kiln_spec::ValidationError;
use serde_json::{Map, Value, json};

/// Classes of the reference.
const CLASSES: &[&str] = &["ElectraForMaskedLM", "ElectraModel", "ElectraForSequenceClassification"];

pub(super) const FAMILY: Family = Family {
    name: "electra",
    aliases: &[],
    architectures: CLASSES,
    prefix: "electra.",
    // Constants, and the head of the discriminator.
    ignored_suffixes: &[
        "embeddings.position_ids",
        "discriminator_predictions.dense.weight",
        "discriminator_predictions.dense.bias",
        "discriminator_predictions.dense_prediction.weight",
        "discriminator_predictions.dense_prediction.bias",
    ],
    keys: &[
        Size("vocab_size", "vocab", Is(30_522)),
        Size("hidden_size", "hidden", Is(256)),
        Size("num_attention_heads", "heads", Is(4)),
        Size("intermediate_size", "intermediate", Is(1024)),
        Converted(&EmbeddingSize),
        All(bert_like::ENCODER_KEYS),
        Converted(&PositionTable::FromZero),
        Converted(&ClassHead {
            class: "Electra",
            classes: CLASSES,
            activation: Some(ActivationFunction::Gelu),
            class_activation: Some(ActivationFunction::Gelu),
        }),
        // Settings of heads that are not supported.
        Ignored(&["summary_type", "summary_use_proj", "summary_activation", "summary_last_dropout"]),
    ],
    template: bert_like::TEMPLATE,
    names: &[
        bert_like::ENCODER_NAMES,
        &[
            linear("embedded.project_in", "electra.embeddings_project"),
            linear("head.transform.dense", "generator_predictions.dense").without("head.classes.weight"),
            same("head.transform.norm", "generator_predictions.LayerNorm"),
            same("head.bias", "generator_lm_head.bias"),
            same("embedding", "generator_lm_head.weight").if_tied(),
            linear("head.weight", "generator_lm_head.weight"),
            linear("head.transform.dense", "classifier.dense").with("head.classes.weight"),
            linear("head.classes", "classifier.out_proj"),
        ],
    ],
    gguf: None,
};

/// `embedding_size`: the width of the embedding, projected to the hidden size if it is another. Hole: `factorized`, `null` if
/// the two are equal.
struct EmbeddingSize;

impl Convert for EmbeddingSize {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let width = fields.size("embedding_size", 128)?;
        let factorized = json!({ "width": width, "bias": true, "projection": "last" });
        holes.set("factorized", Some(factorized).filter(|_| width != holes.integer("hidden")));
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let width = holes.get("factorized")["width"].as_u64().unwrap_or(holes.integer("hidden") as u64);
        json.insert("embedding_size".into(), width.into());
        Ok(())
    }
}
