//! Recipe keys of earlier versions of Kiln, and their new names.
//!
//! A recipe with an old name is refused with the new one. The `recipe.toml` of an old run is translated, so that
//! `generate`, `eval`, `inspect`, `compare`, `export` and `chat` still read the run.

use toml::{Table, Value};

/// A renamed key, or a renamed name of a choice.
struct Rename {
    /// The keys or names of choices directly above it, of which one must match. Indexes of lists are skipped.
    under: &'static [&'static str],
    old: &'static str,
    new: &'static str,
    kind: RenameKind,
}

/// What is renamed, and how its value changes.
#[derive(Clone, Copy, PartialEq)]
enum RenameKind {
    /// A key with the same value.
    Key,
    /// The name of an alternative, as a table key (`gated = {…}`) or a string (`"gated"`).
    Choice,
    /// A number of events n becomes an interval: the fraction 1/n of the stage, or 0.
    CountToInterval,
    /// `"half"` and `"interleaved"` become false and true.
    PairsToBool,
}

/// A renamed key with the same value.
const fn key(under: &'static [&'static str], old: &'static str, new: &'static str) -> Rename {
    Rename { under, old, new, kind: RenameKind::Key }
}

/// A renamed name of a choice.
const fn choice(under: &'static [&'static str], old: &'static str, new: &'static str) -> Rename {
    Rename { under, old, new, kind: RenameKind::Choice }
}

const STAGE: &[&str] = &["stages"];
const SCHEDULE: &[&str] = &["cosine", "linear", "wsd", "constant"];
const OPTIMIZER: &[&str] = &["adamw", "muon"];
const LORA: &[&str] = &["lora"];
const FEED_FORWARD: &[&str] = &["parts", "expert", "shared", "shared_expert"];
const EXPERTS: &[&str] = &["experts"];
const LATENT: &[&str] = &["latent"];
const ROPE_SCALING: &[&str] = &["yarn", "llama3"];

/// All renamed keys and names. None of them may follow its `under` in a valid recipe today.
const RENAMED: &[Rename] = &[
    key(STAGE, "rows", "batch_size"),
    key(STAGE, "length", "sequence_length"),
    key(STAGE, "accumulate", "gradient_accumulation"),
    key(STAGE, "clip", "max_grad_norm"),
    key(STAGE, "trains", "trainable"),
    key(STAGE, "optimiser", "optimizer"),
    key(STAGE, "ema", "ema_decay"),
    Rename { kind: RenameKind::CountToInterval, ..key(STAGE, "validations", "eval_every") },
    key(STAGE, "validation_tokens", "eval_tokens"),
    key(STAGE, "samples", "num_samples"),
    Rename { kind: RenameKind::CountToInterval, ..key(STAGE, "checkpoints", "checkpoint_every") },
    key(STAGE, "keep", "keep_checkpoints"),
    key(STAGE, "recompute", "gradient_checkpointing"),
    choice(&["recompute", "gradient_checkpointing"], "blocks", "block"),
    key(SCHEDULE, "peak", "learning_rate"),
    key(SCHEDULE, "floor", "min_lr_ratio"),
    key(OPTIMIZER, "decay", "weight_decay"),
    key(OPTIMIZER, "no_decay", "no_weight_decay"),
    key(OPTIMIZER, "iterations", "ns_steps"),
    key(OPTIMIZER, "others", "adamw_params"),
    key(LORA, "rs", "rslora"),
    key(LORA, "targets", "target_modules"),
    key(LORA, "start", "init"),
    key(&["masked"], "mask", "mask_replace_prob"),
    key(&["masked"], "random", "random_replace_prob"),
    key(&["span"], "longest", "max_length"),
    key(&["random"], "least", "min"),
    key(&["random"], "most", "max"),
    choice(FEED_FORWARD, "plain", "mlp"),
    choice(FEED_FORWARD, "gated", "gated_mlp"),
    key(&["plain", "gated", "mlp", "gated_mlp"], "inner", "intermediate"),
    key(EXPERTS, "experts", "num_experts"),
    key(EXPERTS, "normalize", "norm_topk_prob"),
    key(EXPERTS, "balance", "router_aux_loss_coef"),
    key(EXPERTS, "z", "router_z_loss_coef"),
    key(EXPERTS, "shared", "shared_expert"),
    choice(&["norm"], "dyt", "dynamic_tanh"),
    key(&["dyt", "dynamic_tanh"], "alpha", "alpha_init"),
    key(&["rezero"], "start", "alpha_init"),
    Rename { kind: RenameKind::PairsToBool, ..key(&["rotary", "sinusoidal"], "pairs", "interleaved") },
    key(&["rotary"], "fraction", "partial_factor"),
    key(&["alibi"], "most", "alibi_bias_max"),
    key(&["learned"], "length", "max_position_embeddings"),
    key(&["t5"], "buckets", "num_buckets"),
    key(&["t5"], "both_sides", "bidirectional"),
    key(ROPE_SCALING, "original", "original_max_position_embeddings"),
    key(&["yarn"], "attention", "attention_factor"),
    key(&["llama3"], "low", "low_freq_factor"),
    key(&["llama3"], "high", "high_freq_factor"),
    key(LATENT, "rank", "kv_lora_rank"),
    key(LATENT, "query_rank", "q_lora_rank"),
    key(LATENT, "head_dim", "qk_nope_head_dim"),
    key(LATENT, "rope_dim", "qk_rope_head_dim"),
    key(LATENT, "value_dim", "v_head_dim"),
    key(&["segments"], "prefix", "prefix_length"),
    key(&["mixture_of_depths"], "predictor_loss", "predictor_loss_coef"),
    key(&["embedding"], "types", "type_vocab_size"),
    key(&["embedding", "class"], "pool", "pooling"),
    key(&["embedding"], "projection", "projection_dim"),
    key(&["embedding"], "normalise", "normalize"),
    key(&["class"], "classes", "num_classes"),
];

/// An old name in a recipe or an assignment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OldKey {
    /// Its path, such as `stages[0].rows`.
    pub path: String,
    /// The old key, with its value where that changes too: `rows`, `validations = 4`.
    pub old: String,
    /// The new key, with its value where that changes: `batch_size`, `eval_every = 0.25`.
    pub new: String,
}

/// The old names in a table, in the order of its keys.
pub(super) fn find_in_table(table: &Table) -> Vec<OldKey> {
    let mut old_keys = Vec::new();
    rename_keys("", &mut table.clone(), "", &mut old_keys);
    old_keys
}

/// The old names in a `--set` assignment, in its path and in its value.
pub(super) fn find_in_assignment(assignment: &str) -> Vec<OldKey> {
    let Some((path, value)) = assignment.split_once('=') else { return Vec::new() };
    let mut value: Value = value.trim().parse().unwrap_or_else(|_| value.trim().into());
    let segments = path.split(['.', '[', ']']).map(str::trim).filter(|segment| !segment.is_empty());
    let names: Vec<&str> = segments.filter(|segment| *segment != "*" && segment.parse::<usize>().is_err()).collect();
    let mut old_keys = Vec::new();
    let mut under = "";
    for (i, name) in names.iter().enumerate() {
        if let Some(rename) = find_rename(under, name) {
            let assigned = (i + 1 == names.len()).then_some(&value);
            old_keys.push(rename.old_key(path.trim().to_owned(), assigned));
        }
        under = name;
    }
    rename_value(under, &mut value, path.trim(), &mut old_keys);
    old_keys
}

/// The text of a recipe with all old names replaced; none if it has no old name or is not TOML.
pub(super) fn translate(text: &str) -> Option<String> {
    let mut table: Table = text.parse().ok()?;
    let mut old_keys = Vec::new();
    rename_keys("", &mut table, "", &mut old_keys);
    (!old_keys.is_empty()).then(|| table.to_string())
}

/// The rename of `old` below `under`.
fn find_rename(under: &str, old: &str) -> Option<&'static Rename> {
    RENAMED.iter().find(|rename| rename.old == old && rename.under.contains(&under))
}

/// Renames everything in `value`; `under` is the key or name above it, `path` its path in the old names.
fn rename_value(under: &str, value: &mut Value, path: &str, old_keys: &mut Vec<OldKey>) {
    match value {
        Value::String(word) => {
            if let Some(rename) = find_rename(under, word).filter(|rename| rename.kind == RenameKind::Choice) {
                old_keys.push(rename.old_key(path.to_owned(), None));
                rename.new.clone_into(word);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                rename_value(under, item, &format!("{path}[{i}]"), old_keys);
            }
        }
        Value::Table(table) => rename_keys(under, table, path, old_keys),
        _ => {}
    }
}

/// Renames the keys of `table`, and everything in their values.
fn rename_keys(under: &str, table: &mut Table, path: &str, old_keys: &mut Vec<OldKey>) {
    for (key, mut value) in std::mem::take(table) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let rename = find_rename(under, &key);
        if let Some(rename) = rename {
            old_keys.push(rename.old_key(path.clone(), Some(&value)));
        }
        rename_value(&key, &mut value, &path, old_keys);
        match rename {
            Some(rename) => table.insert(rename.new.to_owned(), rename.convert(&value)),
            None => table.insert(key, value),
        };
    }
}

impl Rename {
    /// The value under the new name. A value of the wrong type stays: reading the recipe refuses it.
    fn convert(&self, value: &Value) -> Value {
        match (self.kind, value) {
            (RenameKind::CountToInterval, Value::Integer(0)) => Value::Integer(0),
            (RenameKind::CountToInterval, Value::Integer(count)) => Value::Float(1.0 / *count as f64),
            (RenameKind::PairsToBool, Value::String(pairs)) if pairs == "half" => Value::Boolean(false),
            (RenameKind::PairsToBool, Value::String(pairs)) if pairs == "interleaved" => Value::Boolean(true),
            _ => value.clone(),
        }
    }

    /// The description of this rename at `path`, with the value if the rename changes it.
    fn old_key(&self, path: String, value: Option<&Value>) -> OldKey {
        let is_converted = matches!(self.kind, RenameKind::CountToInterval | RenameKind::PairsToBool);
        match value.filter(|_| is_converted) {
            Some(value) => OldKey {
                path,
                old: format!("{} = {value}", self.old),
                new: format!("{} = {}", self.new, self.convert(value)),
            },
            None => OldKey { path, old: self.old.to_owned(), new: self.new.to_owned() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str) -> String {
        translate(text).unwrap_or_else(|| panic!("no old name in {text}"))
    }

    #[test]
    fn every_old_name_is_translated_under_each_of_its_parents() {
        for rename in RENAMED {
            for under in rename.under {
                let (old, new) = match rename.kind {
                    RenameKind::Key | RenameKind::Choice => ("7", "7"),
                    RenameKind::CountToInterval => ("4", "0.25"),
                    RenameKind::PairsToBool => ("\"half\"", "false"),
                };
                let table: Table = translated(&format!("{under} = [{{ {} = {old} }}]", rename.old)).parse().unwrap();
                let expected: Table = format!("{} = {new}", rename.new).parse().unwrap();
                let items = table.values().next().unwrap();
                assert_eq!(items[0], Value::Table(expected), "{under}.{}", rename.old);
            }
        }
    }

    #[test]
    fn names_of_choices_are_translated_as_bare_words_too() {
        assert_eq!(translated("parts = [\"plain\", \"attention\"]").trim(), "parts = [\"mlp\", \"attention\"]");
        assert_eq!(translated("norm = \"dyt\"").trim(), "norm = \"dynamic_tanh\"");
        assert_eq!(translate("trainable = [\"plain\"]"), None);
    }

    #[test]
    fn counts_become_intervals() {
        let interval = |count: &str| translated(&format!("[[stages]]\nvalidations = {count}"));
        assert!(interval("0").contains("eval_every = 0\n"));
        assert!(interval("1").contains("eval_every = 1.0\n"));
        assert!(interval("3").contains("eval_every = 0.3333333333333333\n"));
    }

    #[test]
    fn no_old_name_follows_its_parent_in_a_valid_recipe() {
        for known in kiln_spec::config::explain(&crate::Recipe::schema()) {
            let path = known.path.replace("[]", "");
            let names: Vec<&str> = path.split('.').collect();
            for pair in names.windows(2) {
                assert!(find_rename(pair[0], pair[1]).is_none(), "{path}");
            }
        }
    }

    #[test]
    fn an_assignment_is_searched_in_its_path_and_in_its_value() {
        let found = |assignment: &str| {
            let keys = find_in_assignment(assignment);
            keys.into_iter().map(|key| format!("{} → {}", key.old, key.new)).collect::<Vec<_>>()
        };
        assert_eq!(found("stages.0.validations=4"), ["validations = 4 → eval_every = 0.25"]);
        assert_eq!(found("stages[*].schedule.cosine.peak=1e-3"), ["peak → learning_rate"]);
        assert_eq!(found("model.blocks.*.sublayers.0.parts.*.plain.inner=8"), ["plain → mlp", "inner → intermediate"]);
        assert_eq!(found("model.blocks.*.sublayers.1.parts=[{ gated = { inner = 8 } }]").len(), 2);
        assert_eq!(found("model.position={ rotary = { pairs = 'half' } }"), ["pairs = \"half\" → interleaved = false"]);
        assert!(found("stages.0.batch_size=4").is_empty());
    }
}
