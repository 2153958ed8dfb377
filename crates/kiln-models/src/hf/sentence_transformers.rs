//! Sentence encoders as `sentence-transformers` lays them out: `modules.json` lists what follows the model, a folder
//! each; `1_Pooling/config.json` says which tokens speak for a text (1908.10084).

use super::ConfigReader;
use kiln_nn::head::{EmbeddingHeadConfig, Pooling};
use kiln_spec::ValidationError;
use serde_json::{Value, json};

/// The list of modules, beside `config.json`.
pub const MODULES_FILE: &str = "modules.json";

/// Which file says how to pool, by `modules.json`; it may be missing, and so may the list. `None`: no such module.
///
/// # Errors
/// If a path leaves the model's folder.
pub fn pooling_file(modules: Option<&Value>) -> Result<Option<String>, ValidationError> {
    let entries = modules.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let Some((i, entry)) = entries.iter().enumerate().find(|(_, entry)| module_type(entry) == "Pooling") else {
        return Ok(None);
    };
    let folder = entry["path"].as_str().unwrap_or_default();
    let plain = |part: &str| !part.is_empty() && part != ".." && part != "." && !part.contains(['\\', ':']);
    match folder {
        "" => Ok(Some("config.json".into())),
        _ if folder.split('/').all(plain) => Ok(Some(format!("{folder}/config.json"))),
        _ => {
            let reason = format!("a folder within the model's was expected, found {folder:?}");
            Err(ValidationError::new(format!("{MODULES_FILE}[{i}].path"), reason))
        }
    }
}

/// The last word of a module's type: `Pooling` of `sentence_transformers.models.Pooling`.
fn module_type(entry: &Value) -> &str {
    entry["type"].as_str().and_then(|kind| kind.rsplit('.').next()).unwrap_or_default()
}

/// How texts become vectors, by `modules.json` and by the file that [`pooling_file`] names, if they are there. As
/// `sentence-transformers` does: a mean of all tokens where nothing is said, made of length 1 only where it is.
///
/// # Errors
/// A module, or a way of pooling, that Kiln doesn't implement.
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
        return Err(ValidationError::new(MODULES_FILE, format!("a list of modules was expected, found {modules}")));
    };
    for (i, entry) in entries.iter().enumerate() {
        match module_type(entry) {
            "Transformer" | "Pooling" => {}
            "Normalize" => head.normalize = true,
            other => {
                let reason = format!("Kiln doesn't implement the module `{other}`");
                let instead = "Transformer, Pooling and Normalize alone";
                return Err(ValidationError::new(format!("{MODULES_FILE}[{i}].type"), reason).with_suggestion(instead));
            }
        }
    }
    Ok(head)
}

/// Ways of pooling by their names: as a flag, as a word.
const POOLING_MODES: &[(&str, &str, Pooling)] = &[
    ("pooling_mode_cls_token", "cls", Pooling::First),
    ("pooling_mode_mean_tokens", "mean", Pooling::Mean),
    ("pooling_mode_max_tokens", "max", Pooling::Max),
    ("pooling_mode_lasttoken", "lasttoken", Pooling::Last),
];

fn read_pooling(json: &Value) -> Result<Pooling, ValidationError> {
    let fields = ConfigReader::new("pooling", json)?;
    fields.ignore(&["word_embedding_dimension", "embedding_dimension", "include_prompt"]);
    let mut on = Vec::new();
    if let Some(mode) = fields.get("pooling_mode") {
        let Some(known) = POOLING_MODES.iter().find(|(_, word, _)| mode.as_str() == Some(word)) else {
            let known: Vec<&str> = POOLING_MODES.iter().map(|(_, word, _)| *word).collect();
            let reason = format!("Kiln doesn't implement {mode}");
            return Err(
                ValidationError::new("pooling_mode", reason).with_suggestion(format!("one of {}", known.join(", ")))
            );
        };
        on.push(("pooling_mode", known.2));
    }
    for (flag, _, pooling) in POOLING_MODES {
        if fields.flag(flag, false)? {
            on.push((*flag, *pooling));
        }
    }
    fields.finish()?;
    match on[..] {
        [] => Ok(Pooling::Mean),
        [(_, pooling)] => Ok(pooling),
        [(first, _), (second, _), ..] => {
            let reason = format!("Kiln doesn't join several ways of pooling, and `{first}` is on as well");
            Err(ValidationError::new(second, reason).with_suggestion("one of them alone"))
        }
    }
}

/// The files that say the same as `head`, by their paths beside `config.json`.
///
/// # Errors
/// If it has a projection, which is a module with weights of its own.
pub fn config_files(head: &EmbeddingHeadConfig, hidden: usize) -> Result<Vec<(String, Value)>, ValidationError> {
    if head.projection_dim.is_some() {
        return Err(ValidationError::new("model.head.embedding.projection", "Kiln doesn't write the module `Dense`"));
    }
    let module = |i: usize, path: &str, kind: &str| json!({ "idx": i, "name": i.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}") });
    let mut modules = vec![module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling")];
    if head.normalize {
        modules.push(module(2, "2_Normalize", "Normalize"));
    }
    let mut pooling = json!({ "word_embedding_dimension": hidden });
    for (flag, _, pool) in POOLING_MODES {
        pooling[*flag] = (*pool == head.pooling).into();
    }
    Ok(vec![(MODULES_FILE.into(), modules.into()), ("1_Pooling/config.json".into(), pooling)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(kinds: &[&str]) -> Value {
        let entry = |kind: &&str| json!({ "path": format!("1_{kind}"), "type": format!("sentence_transformers.models.{kind}") });
        kinds.iter().map(entry).collect()
    }

    #[test]
    fn what_is_not_said_is_a_plain_mean() {
        let mean = EmbeddingHeadConfig { pooling: Pooling::Mean, projection_dim: None, normalize: false };
        assert_eq!(embedding_head(None, None).unwrap(), mean);
        let listed = modules(&["Transformer", "Pooling", "Normalize"]);
        assert_eq!(pooling_file(Some(&listed)).unwrap().unwrap(), "1_Pooling/config.json");
        assert_eq!(pooling_file(None).unwrap(), None);
        // The listed folder is missing.
        assert_eq!(embedding_head(Some(&listed), None).unwrap(), EmbeddingHeadConfig { normalize: true, ..mean });
    }

    #[test]
    fn ways_of_pooling_have_their_names() {
        for (flag, word, pool) in POOLING_MODES {
            let flagged = json!({ "word_embedding_dimension": 8, "pooling_mode_mean_tokens": false, *flag: true });
            assert_eq!(embedding_head(None, Some(&flagged)).unwrap().pooling, *pool);
            assert_eq!(embedding_head(None, Some(&json!({ "pooling_mode": word }))).unwrap().pooling, *pool);
        }
    }

    #[test]
    fn what_kiln_does_not_implement_is_refused_by_name() {
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
    fn what_is_written_is_read_again() {
        for (normalise, pool) in [(true, Pooling::Max), (false, Pooling::First)] {
            let config = EmbeddingHeadConfig { pooling: pool, projection_dim: None, normalize: normalise };
            let files = config_files(&config, 8).unwrap();
            assert_eq!(pooling_file(Some(&files[0].1)).unwrap().as_deref(), Some(files[1].0.as_str()));
            assert_eq!(embedding_head(Some(&files[0].1), Some(&files[1].1)).unwrap(), config);
        }
    }
}
