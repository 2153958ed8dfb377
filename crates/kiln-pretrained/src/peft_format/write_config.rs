//! `adapter_config.json` of a model's adapters, written.

use super::{
    axes::AxisLengths,
    base_modules::{BaseModules, Target},
    fused::PartAdapter,
    keys::write_keys,
    method::{Described, Method},
    rank_masks,
};
use kiln_nn::adapter::SiteKind;
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

/// Keys that have patterns for the modules whose value differs, and the keys of the patterns.
const PATTERNS: [(&str, &str); 2] = [("r", "rank_pattern"), ("lora_alpha", "alpha_pattern")];

/// An adapter of the folder.
pub(super) struct WrittenAdapter<'a> {
    target: &'a Target,
    described: Described,
    /// The rank of its parameters, and the indices of it that are in the file.
    rank: usize,
    mask: Option<Vec<bool>>,
}

impl<'a> WrittenAdapter<'a> {
    /// The adapter of a module.
    pub fn new(method: &Method, target: &'a Target, part: &PartAdapter) -> Self {
        let (described, mask) = (part.described(method, target), part.mask.clone());
        let rank = mask.as_ref().map_or(described.rank, Vec::len);
        Self { target, described, rank, mask }
    }

    /// The lengths of the axes of its tensors.
    pub fn lengths(&self) -> AxisLengths {
        self.target.lengths(self.described.rank)
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.described.keys.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

/// Returns the `adapter_config.json` of these adapters. `task`, `base_name` and `saved` are values of `task_type`,
/// `base_model_name_or_path` and `modules_to_save`.
///
/// # Errors
/// If the adapters differ in what the file can state only once, such as dropout.
pub(super) fn to_json(
    method: &Method,
    adapters: &[WrittenAdapter],
    base: &BaseModules,
    (task, base_name, saved): (Option<&str>, Option<&str>, Vec<String>),
) -> Result<Value, ValidationError> {
    let Some(first) = adapters.first() else {
        return Err(ValidationError::new("adapter", "the model has no adapters").with_suggestion("attach them first"));
    };
    let mut values = first.described.keys.clone();
    // The first adapter gives the defaults; the others are patterns where they differ.
    for (key, value) in &first.described.keys {
        let differing = adapters.iter().filter(|adapter| adapter.value(key) != Some(value));
        match PATTERNS.iter().find(|(name, pattern)| name == key && method.has_key(pattern)) {
            Some((_, pattern)) => {
                let entries = differing.map(|adapter| (adapter.target.name.clone(), adapter.value(key).cloned()));
                let entries = entries.filter_map(|(name, value)| Some((name, value?)));
                values.push((*pattern, Value::Object(entries.collect::<Map<_, _>>())));
            }
            None => check_equal(key, first, differing)?,
        }
    }
    let masks = adapters.iter().map(|item| (item.target.name.as_str(), item.rank, item.mask.as_deref()));
    values.extend(rank_masks::to_json(method, masks));
    values.extend(module_lists(method, adapters, base));
    if !saved.is_empty() {
        values.push(("modules_to_save", saved.into()));
    }
    let mut json = Map::from_iter([("peft_type".to_owned(), method.peft_type.into())]);
    json.insert("base_model_name_or_path".into(), base_name.into());
    json.insert("task_type".into(), task.into());
    json.insert("inference_mode".into(), true.into());
    json.extend(write_keys(method, &values));
    Ok(Value::Object(json))
}

/// The lists of names of modules and parameters.
fn module_lists(method: &Method, adapters: &[WrittenAdapter], base: &BaseModules) -> Vec<(&'static str, Value)> {
    let targets = |is_listed: &dyn Fn(&WrittenAdapter) -> bool| -> Vec<&Target> {
        adapters.iter().filter(|item| is_listed(item)).map(|item| item.target).collect()
    };
    let full_names = |targets: &[&Target]| targets.iter().map(|target| target.name.clone()).collect::<Vec<_>>();
    let modules = targets(&|item| item.target.module.is_none() && item.target.kind() != SiteKind::Tokens);
    let mut names = base.shortest_targets(&modules);
    let mut lists = Vec::new();
    for key in method.module_lists {
        let listed = targets(&|item| item.described.module_lists.contains(key));
        let mut short = base.shortest_targets(&listed);
        // PEFT asks that they are names of `target_modules`.
        if short.iter().any(|name| !names.contains(name)) {
            (short, names) = (full_names(&listed), full_names(&modules));
        }
        lists.push((*key, short.into()));
    }
    if method.has_key("target_modules") {
        lists.push(("target_modules", names.into()));
    }
    let parameters = targets(&|item| item.target.module.is_some());
    if !parameters.is_empty() {
        lists.push(("target_parameters", base.shortest_targets(&parameters).into()));
    }
    lists
}

/// Refuses adapters that differ in what the file can state only once.
fn check_equal<'a>(
    key: &str,
    first: &WrittenAdapter,
    mut differing: impl Iterator<Item = &'a WrittenAdapter<'a>>,
) -> Result<(), ValidationError> {
    let Some(other) = differing.next() else { return Ok(()) };
    let describe = |item: &WrittenAdapter| {
        let value = item.value(key).cloned().unwrap_or_default();
        format!("{value} (`{}`)", item.target.name)
    };
    let reason = format!(
        "PEFT format needs the same `{key}` for all adapters, found {} and {}",
        describe(first),
        describe(other)
    );
    Err(ValidationError::new("adapter", reason))
}
