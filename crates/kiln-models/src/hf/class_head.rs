//! Heads of encoders: the class in `architectures`.
//!
//! | class | head |
//! |---|---|
//! | `…ForMaskedLM`, `…ForPreTraining` | `language` with a transform (linear, activation, LayerNorm) before the logits |
//! | `…ForSequenceClassification` | `class` on the first token, with pooler or transform |
//! | `…Model` | `embedding`: mean of the hidden states; `modules.json` may say otherwise |

use super::{config_reader::ConfigReader, family::unsupported_class, gguf::GgufFields, keys::Convert, template::Holes};
use kiln_nn::part::feed_forward::activation::Activation;
use kiln_spec::ValidationError;
use serde_json::{Map, Value, json};

/// The class in `architectures`; absent: the first, a masked language model. Holes: `head`, the alternative of the template's
/// head; `num_classes`, `pooler` and `class_transform`; `head_activation`; `head_width`, that of a factorized embedding.
pub(super) struct ClassHead {
    /// Start of the class names: `Bert` of `BertForMaskedLM`.
    pub class: &'static str,
    /// Classes of the family.
    pub classes: &'static [&'static str],
    /// Activation in the head of a masked language model; `None`: that of the blocks.
    pub activation: Option<Activation>,
    /// Activation before the classifier; `None`: BERT's pooler, which has a tanh.
    pub class_activation: Option<Activation>,
}

/// Ends of the names of classes, with the alternative of the template's head. Of several, the first is written.
const CLASS_ENDS: &[(&str, &str)] = &[
    ("ForMaskedLM", "language"),
    ("ForPreTraining", "language"),
    ("ForSequenceClassification", "class"),
    ("Model", "embedding"),
];

impl ClassHead {
    /// The alternative of the template for a class. The family has the class if one of its own has the same end.
    fn head(&self, class: &str) -> Result<&'static str, ValidationError> {
        let is_own = |end: &str| self.classes.iter().any(|own| own.strip_prefix(self.class) == Some(end));
        let found = CLASS_ENDS.iter().find(|(end, _)| class.ends_with(end) && is_own(end));
        found.map(|(_, head)| *head).ok_or_else(|| unsupported_class(self.classes, class))
    }
}

/// Number of classes: that of the labels' names, or `num_labels`.
fn read_num_classes(fields: &ConfigReader) -> Result<usize, ValidationError> {
    match fields.get("id2label").and_then(Value::as_object).map(Map::len) {
        Some(labels) => Ok(labels),
        None => fields.size("num_labels", 2),
    }
}

impl Convert for ClassHead {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let class = match fields.get("architectures").map(|list| (list, list[0].as_str())) {
            None => self.classes[0],
            Some((_, Some(class))) => class,
            Some((list, None)) => {
                let reason = format!("expected a list of class names, found {list}");
                return Err(ValidationError::new("architectures", reason));
            }
        };
        let head = self.head(class)?;
        holes.set("head", head);
        if head == "class" {
            holes.set("num_classes", read_num_classes(fields)?);
        }
        let transform = self.class_activation.map(|activation| json!({ "activation": activation, "norm": "none" }));
        holes.set("pooler", transform.is_none());
        holes.set("class_transform", transform);
        let own = self.activation.map(|activation| json!(activation));
        holes.set("head_activation", own.unwrap_or_else(|| holes.get("activation").clone()));
        holes.set("head_width", holes.get("factorized")["width"].clone());
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let head = holes.get("head").as_str().unwrap_or_default();
        let end = CLASS_ENDS.iter().find(|(_, known)| *known == head).map_or("Model", |(end, _)| end);
        json.insert("architectures".into(), vec![format!("{}{end}", self.class)].into());
        if head == "class" {
            let labels = (0..holes.integer("num_classes")).map(|i| (i.to_string(), Value::from(format!("LABEL_{i}"))));
            json.insert("id2label".into(), labels.collect());
        }
        Ok(())
    }

    /// Files have no head: the model is one of embeddings.
    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        self.read(&fields.defaults()?, holes)?;
        holes.set("head", self.head("Model")?);
        Ok(())
    }
}
