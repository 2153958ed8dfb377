//! Sentence encoders in the layout of `sentence-transformers` (1908.10084).
//!
//! `modules.json` beside `config.json` lists the modules of a pipeline, each with a folder: the transformer, pooling
//! (`1_Pooling/config.json`), normalization. The modules after the transformer become an [`EmbeddingHeadConfig`]. This
//! module works on JSON values; reading the files is the caller's task.

use super::ConfigReader;
use kiln_nn::head::{EmbeddingHeadConfig, Pooling};
use kiln_spec::ValidationError;
use serde_json::{Value, json};

/// Name of the file that lists the modules, beside `config.json`.
pub const MODULES_FILE: &str = "modules.json";

/// A module of a pipeline, as `modules.json` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleEntry {
    /// Class name: `Pooling` of `sentence_transformers.models.Pooling`.
    pub class: String,
    /// Folder of its files below the model's folder; empty for the model's folder itself.
    pub folder: String,
}

impl ModuleEntry {
    /// Path of a file of the module below the model's folder.
    pub fn file(&self, name: &str) -> String {
        if self.folder.is_empty() { name.to_owned() } else { format!("{}/{name}", self.folder) }
    }
}

/// The modules that the contents of `modules.json` list, in order.
///
/// # Errors
/// If it is not a list, or a folder is outside of the model's folder.
pub fn read_modules(modules: &Value) -> Result<Vec<ModuleEntry>, ValidationError> {
    let Some(entries) = modules.as_array() else {
        return Err(ValidationError::new(MODULES_FILE, format!("expected a list of modules, found {modules}")));
    };
    let read = |(i, entry): (usize, &Value)| {
        let folder = entry["path"].as_str().unwrap_or_default();
        if !folder.is_empty() && !folder.split('/').all(is_plain_name) {
            let reason = format!("expected a folder inside the model's folder, found {folder:?}");
            return Err(ValidationError::new(format!("{MODULES_FILE}[{i}].path"), reason));
        }
        let class = entry["type"].as_str().and_then(|kind| kind.rsplit('.').next()).unwrap_or_default();
        Ok(ModuleEntry { class: class.to_owned(), folder: folder.to_owned() })
    };
    entries.iter().enumerate().map(read).collect()
}

/// Path of the pooling module's configuration below the model's folder, from the contents of `modules.json`.
///
/// `None` if there is no `modules.json` or no pooling module in it. The file itself may be missing.
///
/// # Errors
/// If a path leads out of the model's folder.
pub fn pooling_file(modules: Option<&Value>) -> Result<Option<String>, ValidationError> {
    let entries = modules.filter(|modules| modules.is_array()).map(read_modules).transpose()?.unwrap_or_default();
    Ok(entries.iter().find(|entry| entry.class == "Pooling").map(|entry| entry.file("config.json")))
}

/// Whether a component of a path is the name of a file or folder on every platform.
fn is_plain_name(component: &str) -> bool {
    !component.is_empty() && component != ".." && component != "." && !component.contains(['\\', ':'])
}

/// The error of a module that Kiln does not implement. `index` is its place in `modules.json`.
pub fn unsupported_module(index: usize, class: &str, supported: &str) -> ValidationError {
    let path = format!("{MODULES_FILE}[{index}].type");
    let error = ValidationError::new(path, format!("unsupported module `{class}`"));
    error.with_suggestion(format!("supported: {supported}"))
}

/// The embedding head of a sentence encoder, from the contents of `modules.json` and of [`pooling_file`].
///
/// Defaults as in `sentence-transformers`: without a pooling file the mean of all tokens, without a `Normalize` module no
/// normalization.
///
/// # Errors
/// A module or a pooling mode that a head does not have.
pub fn embedding_head(
    modules: Option<&Value>,
    pooling: Option<&Value>,
) -> Result<EmbeddingHeadConfig, ValidationError> {
    let mut head = EmbeddingHeadConfig { pooling: Pooling::Mean, projection_dim: None, normalize: false };
    if let Some(pooling) = pooling {
        head.pooling = match read_pooling(pooling)?.modes[..] {
            [mode] => mode,
            ref modes => {
                let reason = format!("an embedding head has one pooling mode, found {}", modes.len());
                return Err(ValidationError::new("pooling_mode", reason));
            }
        };
    }
    for (i, entry) in modules.map(read_modules).transpose()?.unwrap_or_default().iter().enumerate() {
        match entry.class.as_str() {
            "Transformer" | "Pooling" => {}
            "Normalize" => head.normalize = true,
            other => return Err(unsupported_module(i, other, "Transformer, Pooling, Normalize")),
        }
    }
    Ok(head)
}

/// Options of a pooling module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolingOptions {
    /// Modes, at least one. The vectors of several are concatenated.
    pub modes: Vec<Pooling>,
    /// Whether the tokens of a prompt before the text are pooled too.
    pub include_prompt: bool,
}

impl Default for PoolingOptions {
    fn default() -> Self {
        Self { modes: vec![Pooling::Mean], include_prompt: true }
    }
}

/// Pooling modes: flag in older files, value of `pooling_mode` in newer ones. In the order in which older files
/// concatenate the vectors.
const POOLING_MODES: &[(&str, &str, Pooling)] = &[
    ("pooling_mode_cls_token", "cls", Pooling::First),
    ("pooling_mode_max_tokens", "max", Pooling::Max),
    ("pooling_mode_mean_tokens", "mean", Pooling::Mean),
    ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
    ("pooling_mode_weightedmean_tokens", "weightedmean", Pooling::WeightedMean),
    ("pooling_mode_lasttoken", "lasttoken", Pooling::Last),
];

/// The options of a pooling module's `config.json`; the mean if no mode is set. `pooling_mode` overrules the flags.
///
/// # Errors
/// A mode or a key that Kiln does not implement.
pub fn read_pooling(json: &Value) -> Result<PoolingOptions, ValidationError> {
    let fields = ConfigReader::new("pooling", json)?;
    fields.ignore(&["word_embedding_dimension", "embedding_dimension"]);
    let mut modes = Vec::new();
    for (flag, _, pooling) in POOLING_MODES {
        if fields.flag(flag, false)? {
            modes.push(*pooling);
        }
    }
    if let Some(value) = fields.get("pooling_mode") {
        let names = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        modes = names.iter().map(named_mode).collect::<Result<_, _>>()?;
    }
    if modes.is_empty() {
        modes.push(Pooling::Mean);
    }
    let include_prompt = fields.flag("include_prompt", true)?;
    fields.finish()?;
    Ok(PoolingOptions { modes, include_prompt })
}

/// A mode by its name in newer files.
fn named_mode(name: &Value) -> Result<Pooling, ValidationError> {
    match POOLING_MODES.iter().find(|(_, known, _)| name.as_str() == Some(known)) {
        Some((_, _, pooling)) => Ok(*pooling),
        None => {
            let names: Vec<&str> = POOLING_MODES.iter().map(|(_, known, _)| *known).collect();
            let error = ValidationError::new("pooling_mode", format!("unsupported pooling mode {name}"));
            Err(error.with_suggestion(format!("supported: {}", names.join(", "))))
        }
    }
}

/// The contents of a pooling module's `config.json`. The reverse of [`read_pooling`]. `hidden` is the hidden size.
pub fn write_pooling(options: &PoolingOptions, hidden: usize) -> Value {
    let mut config = json!({ "word_embedding_dimension": hidden });
    for (flag, _, pooling) in POOLING_MODES {
        config[*flag] = options.modes.contains(pooling).into();
    }
    let ordered = options.modes.iter().map(|mode| POOLING_MODES.iter().position(|(_, _, pooling)| pooling == mode));
    if !ordered.is_sorted_by(|a, b| a < b) {
        // The flags cannot tell another order.
        let names =
            options.modes.iter().filter_map(|mode| POOLING_MODES.iter().find(|(_, _, pooling)| pooling == mode));
        config["pooling_mode"] = names.map(|(_, name, _)| Value::from(*name)).collect();
    }
    if !options.include_prompt {
        config["include_prompt"] = false.into();
    }
    config
}

/// The contents of `modules.json`. The reverse of [`read_modules`].
pub fn write_modules(modules: &[ModuleEntry]) -> Value {
    let entries = modules.iter().enumerate().map(|(index, module)| {
        // All versions of the library find the classes under this path.
        let class = format!("sentence_transformers.models.{}", module.class);
        json!({ "idx": index, "name": index.to_string(), "path": module.folder, "type": class })
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(kinds: &[&str]) -> Value {
        let entry = |kind: &&str| json!({ "path": format!("1_{kind}"), "type": format!("sentence_transformers.models.{kind}") });
        kinds.iter().map(entry).collect()
    }

    #[test]
    fn the_default_is_a_mean_without_normalization() {
        let mean = EmbeddingHeadConfig { pooling: Pooling::Mean, projection_dim: None, normalize: false };
        assert_eq!(embedding_head(None, None).unwrap(), mean);
        let listed = modules(&["Transformer", "Pooling", "Normalize"]);
        assert_eq!(pooling_file(Some(&listed)).unwrap().unwrap(), "1_Pooling/config.json");
        assert_eq!(pooling_file(None).unwrap(), None);
        // The listed folder is missing.
        assert_eq!(embedding_head(Some(&listed), None).unwrap(), EmbeddingHeadConfig { normalize: true, ..mean });
    }

    #[test]
    fn a_pooling_mode_is_read_from_its_flag_and_its_name() {
        for (flag, name, pooling) in POOLING_MODES {
            let flagged = json!({ "word_embedding_dimension": 8, "pooling_mode_mean_tokens": false, *flag: true });
            assert_eq!(embedding_head(None, Some(&flagged)).unwrap().pooling, *pooling);
            assert_eq!(embedding_head(None, Some(&json!({ "pooling_mode": name }))).unwrap().pooling, *pooling);
        }
    }

    #[test]
    fn several_modes_are_read_in_their_order() {
        let flags = json!({ "pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true });
        assert_eq!(read_pooling(&flags).unwrap().modes, [Pooling::First, Pooling::Mean]);
        let named = json!({ "pooling_mode": ["weightedmean", "cls"], "include_prompt": false });
        let options = PoolingOptions { modes: vec![Pooling::WeightedMean, Pooling::First], include_prompt: false };
        assert_eq!(read_pooling(&named).unwrap(), options);
        let both = json!({ "pooling_mode": "max", "pooling_mode_mean_tokens": true });
        assert_eq!(read_pooling(&both).unwrap().modes, [Pooling::Max]);
        assert_eq!(embedding_head(None, Some(&flags)).unwrap_err().path, "pooling_mode");
    }

    #[test]
    fn unsupported_modules_and_modes_are_refused_by_name() {
        let unknown = json!({ "pooling_mode_median_tokens": true });
        assert_eq!(read_pooling(&unknown).unwrap_err().path, "pooling_mode_median_tokens");
        for mode in [json!("sqrt"), json!(["cls", "sqrt"]), json!(3)] {
            assert_eq!(read_pooling(&json!({ "pooling_mode": mode })).unwrap_err().path, "pooling_mode");
        }
        let dense = modules(&["Transformer", "Pooling", "Dense"]);
        assert_eq!(embedding_head(Some(&dense), None).unwrap_err().path, "modules.json[2].type");
        let outside = json!([{ "type": "x.Pooling", "path": "../1_Pooling" }]);
        assert_eq!(pooling_file(Some(&outside)).unwrap_err().path, "modules.json[0].path");
    }

    #[test]
    fn written_modules_and_poolings_are_read_back() {
        let modules = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
            .map(|(class, folder)| ModuleEntry { class: class.into(), folder: folder.into() });
        assert_eq!(read_modules(&write_modules(&modules)).unwrap(), modules);
        assert_eq!(pooling_file(Some(&write_modules(&modules))).unwrap().as_deref(), Some("1_Pooling/config.json"));
        let several = [vec![Pooling::First, Pooling::Mean], vec![Pooling::Mean, Pooling::First]];
        for modes in POOLING_MODES.iter().map(|(_, _, pooling)| vec![*pooling]).chain(several) {
            let options = PoolingOptions { include_prompt: modes.len() == 1, modes };
            let written = write_pooling(&options, 8);
            assert_eq!(read_pooling(&written).unwrap(), options);
            assert_eq!(written.get("pooling_mode").is_some(), options.modes == [Pooling::Mean, Pooling::First]);
        }
    }
}
