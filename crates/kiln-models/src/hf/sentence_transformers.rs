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

/// Path of the pooling module's configuration below the model's folder, from the contents of `modules.json`.
///
/// `None` if there is no `modules.json` or no pooling module in it. The file itself may be missing.
///
/// # Errors
/// If the path leads out of the model's folder.
pub fn pooling_file(modules: Option<&Value>) -> Result<Option<String>, ValidationError> {
    let entries = modules.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let Some((i, entry)) = entries.iter().enumerate().find(|(_, entry)| module_type(entry) == "Pooling") else {
        return Ok(None);
    };
    let folder = entry["path"].as_str().unwrap_or_default();
    match folder {
        "" => Ok(Some("config.json".into())),
        _ if folder.split('/').all(is_plain_name) => Ok(Some(format!("{folder}/config.json"))),
        _ => {
            let reason = format!("expected a folder inside the model's folder, found {folder:?}");
            Err(ValidationError::new(format!("{MODULES_FILE}[{i}].path"), reason))
        }
    }
}

/// Whether a component of a path is the name of a file or folder on every platform.
fn is_plain_name(component: &str) -> bool {
    !component.is_empty() && component != ".." && component != "." && !component.contains(['\\', ':'])
}

/// Class name of a module: `Pooling` of `sentence_transformers.models.Pooling`.
fn module_type(entry: &Value) -> &str {
    entry["type"].as_str().and_then(|kind| kind.rsplit('.').next()).unwrap_or_default()
}

/// The embedding head of a sentence encoder, from the contents of `modules.json` and of [`pooling_file`].
///
/// Defaults as in `sentence-transformers`: without a pooling file the mean of all tokens, without a `Normalize` module no
/// normalization.
///
/// # Errors
/// A module or a pooling mode that Kiln does not implement.
pub fn embedding_head(
    modules: Option<&Value>,
    pooling: Option<&Value>,
) -> Result<EmbeddingHeadConfig, ValidationError> {
    let mut head = EmbeddingHeadConfig { pooling: Pooling::Mean, projection_dim: None, normalize: false };
    if let Some(pooling) = pooling {
        head.pooling = read_pooling(pooling)?;
    }
    let Some(modules) = modules else { return Ok(head) };
    let Some(entries) = modules.as_array() else {
        return Err(ValidationError::new(MODULES_FILE, format!("expected a list of modules, found {modules}")));
    };
    for (i, entry) in entries.iter().enumerate() {
        match module_type(entry) {
            "Transformer" | "Pooling" => {}
            "Normalize" => head.normalize = true,
            other => {
                let path = format!("{MODULES_FILE}[{i}].type");
                let error = ValidationError::new(path, format!("unsupported module `{other}`"));
                return Err(error.with_suggestion("supported: Transformer, Pooling, Normalize"));
            }
        }
    }
    Ok(head)
}

/// Pooling modes: flag in older files, value of `pooling_mode` in newer ones.
const POOLING_MODES: &[(&str, &str, Pooling)] = &[
    ("pooling_mode_cls_token", "cls", Pooling::First),
    ("pooling_mode_mean_tokens", "mean", Pooling::Mean),
    ("pooling_mode_max_tokens", "max", Pooling::Max),
    ("pooling_mode_lasttoken", "lasttoken", Pooling::Last),
];

/// The pooling mode of a pooling module's `config.json`; the mean if none is set.
fn read_pooling(json: &Value) -> Result<Pooling, ValidationError> {
    let fields = ConfigReader::new("pooling", json)?;
    fields.ignore(&["word_embedding_dimension", "embedding_dimension", "include_prompt"]);
    let mut enabled = Vec::new();
    if let Some(mode) = fields.get("pooling_mode") {
        let Some((_, _, pooling)) = POOLING_MODES.iter().find(|(_, name, _)| mode.as_str() == Some(name)) else {
            let names: Vec<&str> = POOLING_MODES.iter().map(|(_, name, _)| *name).collect();
            let error = ValidationError::new("pooling_mode", format!("unsupported pooling mode {mode}"));
            return Err(error.with_suggestion(format!("supported: {}", names.join(", "))));
        };
        enabled.push(("pooling_mode", *pooling));
    }
    for (flag, _, pooling) in POOLING_MODES {
        if fields.flag(flag, false)? {
            enabled.push((*flag, *pooling));
        }
    }
    fields.finish()?;
    match enabled[..] {
        [] => Ok(Pooling::Mean),
        [(_, pooling)] => Ok(pooling),
        [(first, _), (second, _), ..] => {
            let reason = format!("expected one pooling mode, but `{first}` is set too");
            Err(ValidationError::new(second, reason).with_suggestion("set one of them"))
        }
    }
}

/// The files that describe an embedding head, with their paths below the model's folder. The reverse of
/// [`embedding_head`]. `hidden` is the hidden size.
///
/// # Errors
/// If the head has a projection: it would be a `Dense` module with a weight file of its own.
pub fn config_files(head: &EmbeddingHeadConfig, hidden: usize) -> Result<Vec<(String, Value)>, ValidationError> {
    if head.projection_dim.is_some() {
        let reason = "the projection of an embedding head (module `Dense` of sentence-transformers) cannot be saved";
        return Err(ValidationError::new("model.head.embedding.projection_dim", reason));
    }
    let mut modules = vec![module_entry(0, "", "Transformer"), module_entry(1, "1_Pooling", "Pooling")];
    if head.normalize {
        modules.push(module_entry(2, "2_Normalize", "Normalize"));
    }
    let mut config = json!({ "word_embedding_dimension": hidden });
    for (flag, _, pooling) in POOLING_MODES {
        config[*flag] = (*pooling == head.pooling).into();
    }
    Ok(vec![(MODULES_FILE.into(), modules.into()), ("1_Pooling/config.json".into(), config)])
}

/// An entry of `modules.json`.
fn module_entry(index: usize, path: &str, class: &str) -> Value {
    let class = format!("sentence_transformers.models.{class}");
    json!({ "idx": index, "name": index.to_string(), "path": path, "type": class })
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
    fn unsupported_modules_and_modes_are_refused_by_name() {
        let both = json!({ "pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true });
        assert_eq!(embedding_head(None, Some(&both)).unwrap_err().path, "pooling_mode_mean_tokens");
        let weighted = json!({ "pooling_mode_weightedmean_tokens": true });
        assert_eq!(embedding_head(None, Some(&weighted)).unwrap_err().path, "pooling_mode_weightedmean_tokens");
        assert_eq!(embedding_head(None, Some(&json!({ "pooling_mode": "sqrt" }))).unwrap_err().path, "pooling_mode");
        let dense = modules(&["Transformer", "Pooling", "Dense"]);
        assert_eq!(embedding_head(Some(&dense), None).unwrap_err().path, "modules.json[2].type");
        let outside = json!([{ "type": "x.Pooling", "path": "../1_Pooling" }]);
        assert_eq!(pooling_file(Some(&outside)).unwrap_err().path, "modules.json[0].path");
    }

    #[test]
    fn a_written_head_is_read_back() {
        for (normalize, pooling) in [(true, Pooling::Max), (false, Pooling::First)] {
            let config = EmbeddingHeadConfig { pooling, projection_dim: None, normalize };
            let files = config_files(&config, 8).unwrap();
            assert_eq!(pooling_file(Some(&files[0].1)).unwrap().as_deref(), Some(files[1].0.as_str()));
            assert_eq!(embedding_head(Some(&files[0].1), Some(&files[1].1)).unwrap(), config);
        }
    }
}
