//! Tables of the keys of `adapter_config.json`, read and written.

use super::method::Method;
use kiln_models::hf::ConfigReader;
use kiln_spec::{ValidationError, config::closest_match};
use serde_json::{Map, Value, json};

/// A key of an adapter method, or several that are alike.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key {
    /// A whole number above 0, and its default.
    Size(&'static str, usize),
    /// A whole number, 0 by default.
    Integer(&'static str),
    /// A number, and its default.
    Number(&'static str, f64),
    /// A number of at least 0 and below 1; 0 by default.
    Probability(&'static str),
    /// `true` or `false`, and its default.
    Flag(&'static str, bool),
    /// One of these texts; the first is the default.
    Choice(&'static str, &'static [&'static str]),
    /// How a new adapter is initialized: `true`, `false` or one of these texts. Others change the base weights, so that a
    /// saved adapter does not fit the base model.
    Init(&'static str, &'static [&'static str]),
    /// Names or numbers of modules, read by `ModuleRules`, `ModuleValues` and their like.
    Modules(&'static [&'static str]),
    /// Keys that do not change what loaded adapters compute.
    Ignored(&'static [&'static str]),
    /// An option that changes what adapters compute and that Kiln lacks, and what it is.
    Unsupported(&'static str, &'static str),
}

/// Keys of every method that compute nothing: the origin of the adapters and the program that saved them.
const COMMON: [Key; 2] = [
    Key::Modules(&["peft_type"]),
    Key::Ignored(&[
        "auto_mapping",
        "base_model_name_or_path",
        "inference_mode",
        "peft_version",
        "revision",
        "runtime_config",
        "task_type",
    ]),
];

/// What to do about adapters that Kiln cannot compute.
pub(super) const MERGE_SUGGESTION: &str =
    "merge the adapters into the base model with peft (merge_and_unload) and load the result";

impl Key {
    /// The names.
    pub fn names(&self) -> &[&'static str] {
        match self {
            Self::Modules(names) | Self::Ignored(names) => names,
            Self::Size(name, _)
            | Self::Integer(name)
            | Self::Number(name, _)
            | Self::Probability(name)
            | Self::Flag(name, _)
            | Self::Choice(name, _)
            | Self::Init(name, _)
            | Self::Unsupported(name, _) => std::slice::from_ref(name),
        }
    }

    /// The value in a file, or the default; `None` for keys that are not options with a default.
    fn read(&self, fields: &ConfigReader) -> Result<Option<Value>, ValidationError> {
        Ok(Some(match *self {
            Self::Size(name, default) => fields.size(name, default)?.into(),
            Self::Integer(name) => fields.integer(name)?.unwrap_or_default().into(),
            Self::Number(name, default) => fields.float(name)?.unwrap_or(default).into(),
            Self::Probability(name) => {
                let value = fields.float(name)?.unwrap_or(0.0);
                if !(0.0..1.0).contains(&value) {
                    let reason = format!("expected a number of at least 0 and below 1, found {value}");
                    return Err(ValidationError::new(name, reason));
                }
                value.into()
            }
            Self::Flag(name, default) => fields.flag(name, default)?.into(),
            Self::Choice(name, choices) => {
                let value = fields.string(name, choices[0])?;
                if !choices.contains(&value) {
                    let expected = choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ");
                    return Err(ValidationError::new(name, format!("expected one of {expected}, found `{value}`")));
                }
                value.into()
            }
            Self::Init(name, texts) => {
                let value = fields.get(name).cloned().unwrap_or(Value::Bool(true));
                check_init(name, texts, &value)?;
                value
            }
            Self::Modules(_) | Self::Ignored(_) | Self::Unsupported(..) => return Ok(None),
        }))
    }
}

/// Refuses initializations that change the base weights.
fn check_init(name: &str, texts: &[&str], value: &Value) -> Result<(), ValidationError> {
    if value.is_boolean() || value.as_str().is_some_and(|text| texts.contains(&text)) {
        return Ok(());
    }
    let reason = format!("{name} = {value} also changes the base weights, which an adapter folder does not contain");
    let suggestion = "convert the adapter with peft: save_pretrained(path_initial_model_for_weight_conversion=…)";
    Err(ValidationError::new(name, reason).with_suggestion(suggestion))
}

/// Values of the options of a method: those of a file, and the defaults of the others.
#[derive(Clone, Debug)]
pub(super) struct Options(Map<String, Value>);

impl Options {
    /// Reads the options of a method.
    ///
    /// # Errors
    /// If a key is unknown or not supported, or a value has the wrong type or range; the path is the key.
    pub fn read(method: &Method, config: &Value) -> Result<Self, ValidationError> {
        let fields = ConfigReader::new("peft's adapter", config)?;
        check_names(config.as_object().unwrap_or(&Map::new()), method)?;
        let mut values = Map::new();
        for key in method.keys {
            if let Some(value) = key.read(&fields)? {
                values.insert(key.names()[0].into(), value);
            }
        }
        Ok(Self(values))
    }

    /// A whole number of the table.
    pub fn size(&self, key: &str) -> usize {
        self.0.get(key).and_then(Value::as_u64).unwrap_or_default() as usize
    }

    /// A number of the table.
    pub fn number(&self, key: &str) -> f64 {
        self.0.get(key).and_then(Value::as_f64).unwrap_or_default()
    }

    /// A text of the table.
    pub fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// A flag of the table.
    pub fn flag(&self, key: &str) -> bool {
        self.0.get(key).and_then(Value::as_bool).unwrap_or_default()
    }
}

/// The keys of a method with these values, and the others with their defaults.
pub(super) fn write_keys(method: &Method, values: &[(&str, Value)]) -> Map<String, Value> {
    let none = json!({});
    let fields = ConfigReader::new("peft's adapter", &none).expect("an object");
    let mut written = Map::new();
    for key in method.keys {
        for name in key.names() {
            let given = values.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
            let value = given.or_else(|| key.read(&fields).expect("defaults are valid"));
            written.extend(value.map(|value| ((*name).to_owned(), value)));
        }
    }
    written
}

/// Refuses options that Kiln lacks and keys that it does not know, unless they are switched off.
fn check_names(config: &Map<String, Value>, method: &Method) -> Result<(), ValidationError> {
    let keys = || COMMON.iter().chain(method.keys);
    for (name, value) in config.iter().filter(|(_, value)| !is_switched_off(value)) {
        match keys().find(|key| key.names().contains(&name.as_str())) {
            Some(Key::Unsupported(_, meaning)) => {
                let error = ValidationError::new(name, format!("{meaning}; not supported, found {value}"));
                return Err(error.with_suggestion(MERGE_SUGGESTION));
            }
            Some(_) => {}
            None => {
                let known = keys().flat_map(|key| key.names().iter().copied());
                let meant = closest_match(name, known).map(|name| format!("did you mean `{name}`? "));
                let meant = meant.unwrap_or_default();
                let suggestion =
                    format!("{meant}remove it from adapter_config.json if the adapters do not depend on it");
                let reason = format!("unknown option of {}, found {value}", method.peft_type);
                return Err(ValidationError::new(name, reason).with_suggestion(suggestion));
            }
        }
    }
    Ok(())
}

/// Whether a value means that its option is not used: `null`, `false`, an empty list or object.
fn is_switched_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::method, *};

    fn checked(config: &Value) -> Result<Options, ValidationError> {
        Options::read(method::find("LORA").unwrap(), config)
    }

    #[test]
    fn options_that_are_off_and_keys_that_compute_nothing_are_accepted() {
        let off = json!({ "use_qalora": false, "lora_bias": false, "layer_replication": null, "later": [], "r": 3 });
        assert_eq!(checked(&off).unwrap().size("r"), 3);
        assert!(checked(&json!({ "eva_config": { "rho": 2.0 }, "megatron_core": "megatron.core" })).is_ok());
    }

    #[test]
    fn an_unsupported_option_is_named_with_its_meaning() {
        let error = checked(&json!({ "use_qalora": true })).unwrap_err();
        assert!(error.path == "use_qalora" && error.reason.contains("QA-LoRA"), "{error}");
        assert!(error.suggestion.unwrap().contains("merge_and_unload"));
        let error = checked(&json!({ "use_rslorra": true })).unwrap_err();
        assert!(error.path == "use_rslorra" && error.suggestion.unwrap().contains("did you mean `use_rslora`?"));
    }

    #[test]
    fn every_method_reads_the_keys_that_it_writes() {
        for method in method::METHODS {
            let written = Value::Object(write_keys(method, &[]));
            assert!(Options::read(method, &written).is_ok(), "{}: {written}", method.peft_type);
        }
    }
}
