//! The modules that an `adapter_config.json` selects, by PEFT's rules.
//!
//! | key | list of names | one string |
//! |---|---|---|
//! | `target_modules` | the whole name, or its end after a dot | regular expression of the whole name; `all-linear` |
//! | `exclude_modules` | the same; wins over `target_modules` | regular expression of the whole name |
//! | `modules_to_save` | regular expressions of components in sequence; such modules get no adapter | |
//! | `layers_to_transform` | numbers of layers; not asked for targets that are whole names | |
//! | `layers_pattern` | names before the number of a layer; absent: any | |
//! | `target_parameters` | the whole name of a parameter, or its end after a dot | |
//! | `feedforward_modules` | ends of names: (IA)³ scales the inputs of these modules | regular expression of the whole name |
//!
//! Reference: `check_target_module_exists` in `peft/tuners/tuners_utils.py`.

use super::name_pattern::NamePattern;
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

/// Value of `target_modules` that stands for all linear layers but the output matrix.
const ALL_LINEAR: &str = "all-linear";

/// The rules of one `adapter_config.json`.
#[derive(Clone, Debug)]
pub(super) struct ModuleRules {
    /// `None` if the file has no targets: then the tensors say which modules have adapters.
    targets: Option<Targets>,
    excluded: Option<Targets>,
    /// The names of `modules_to_save`.
    saved_names: Vec<String>,
    /// Their expressions.
    saved: Vec<NamePattern>,
    layers: Option<LayerRule>,
    /// The names of `target_parameters`.
    parameters: Vec<String>,
    feedforward: Option<Targets>,
}

/// Names or an expression.
#[derive(Clone, Debug)]
enum Targets {
    AllLinear,
    Names(Vec<String>),
    Pattern(NamePattern),
}

/// Layers by number.
#[derive(Clone, Debug)]
struct LayerRule {
    indices: Vec<u64>,
    /// Expressions with the group `idx`, tried in order.
    patterns: Vec<NamePattern>,
}

impl ModuleRules {
    /// Reads the rules from the keys of an `adapter_config.json`.
    ///
    /// # Errors
    /// If a value has the wrong type or an expression is invalid; the path is the key.
    pub fn from_json(config: &Map<String, Value>) -> Result<Self, ValidationError> {
        let saved_names = names("modules_to_save", config.get("modules_to_save"))?.unwrap_or_default();
        let saved = saved_names
            .iter()
            .map(|name| NamePattern::new("modules_to_save", name, &format!(r"(^|.*\.){name}($|\..*)")));
        Ok(Self {
            targets: Targets::from_json("target_modules", config.get("target_modules"))?,
            excluded: Targets::from_json("exclude_modules", config.get("exclude_modules"))?
                .filter(|excluded| !matches!(excluded, Targets::Names(names) if names.is_empty())),
            saved: saved.collect::<Result<_, _>>()?,
            layers: LayerRule::from_json(config)?,
            parameters: names("target_parameters", config.get("target_parameters"))?.unwrap_or_default(),
            feedforward: Targets::from_json("feedforward_modules", config.get("feedforward_modules"))?,
            saved_names,
        })
    }

    /// Whether a module of the base model gets an adapter. `is_output`: it is the output matrix over the vocabulary, which
    /// `all-linear` leaves out.
    ///
    /// # Errors
    /// If an expression cannot be matched.
    pub fn selects(&self, module: &str, is_output: bool) -> Result<bool, ValidationError> {
        if any_match(&self.saved, module)? {
            return Ok(false);
        }
        if let Some(excluded) = &self.excluded
            && excluded.matches(module)?
        {
            return Ok(false);
        }
        match &self.targets {
            None => Ok(true),
            Some(Targets::AllLinear) => Ok(!is_output),
            Some(Targets::Names(names)) if names.iter().any(|name| name == module) => Ok(true),
            Some(targets) if targets.matches(module)? => match &self.layers {
                Some(layers) => layers.matches(module),
                None => Ok(true),
            },
            Some(_) => Ok(false),
        }
    }

    /// Whether a parameter of the base model that is no linear layer gets an adapter.
    pub fn selects_parameter(&self, parameter: &str) -> bool {
        self.parameters.iter().any(|name| is_name_or_end(name, parameter))
    }

    /// Whether (IA)³ scales the inputs of a module, and not its outputs.
    ///
    /// # Errors
    /// If an expression cannot be matched.
    pub fn is_feedforward(&self, module: &str) -> Result<bool, ValidationError> {
        match &self.feedforward {
            None | Some(Targets::AllLinear) => Ok(false),
            // Ends of names, within a component too.
            Some(Targets::Names(names)) => Ok(names.iter().any(|name| module.ends_with(name.as_str()))),
            Some(Targets::Pattern(pattern)) => pattern.is_match(module),
        }
    }

    /// Whether a module of the base model is replaced by one of its own for the adapter: if its name ends with one in
    /// `modules_to_save`. Its weight is then no longer tied to another one.
    pub fn is_replaced(&self, module: &str) -> bool {
        self.saved_names.iter().any(|name| module.ends_with(name.as_str()))
    }

    /// The names in `target_modules` and `target_parameters` that are neither one of `modules` nor the end of one.
    pub fn unmatched_names<'a>(&'a self, modules: &[&str]) -> Vec<&'a str> {
        let targets = match &self.targets {
            Some(Targets::Names(names)) => &names[..],
            _ => &[],
        };
        let is_unmatched = |name: &&String| !modules.iter().any(|module| is_name_or_end(name, module));
        targets.iter().chain(&self.parameters).filter(is_unmatched).map(String::as_str).collect()
    }

    /// Whether the file names its targets.
    pub fn has_targets(&self) -> bool {
        self.targets.is_some()
    }
}

impl Targets {
    /// Reads a list of names or an expression; `None` if the key is absent.
    fn from_json(key: &'static str, value: Option<&Value>) -> Result<Option<Self>, ValidationError> {
        match value {
            Some(Value::String(text)) if key == "target_modules" && text.to_lowercase() == ALL_LINEAR => {
                Ok(Some(Self::AllLinear))
            }
            Some(Value::String(text)) if text.is_empty() && key == "exclude_modules" => Ok(None),
            Some(Value::String(text)) => Ok(Some(Self::Pattern(NamePattern::full(key, text)?))),
            value => Ok(names(key, value)?.map(Self::Names)),
        }
    }

    fn matches(&self, module: &str) -> Result<bool, ValidationError> {
        match self {
            Self::AllLinear => Ok(true),
            Self::Names(names) => Ok(names.iter().any(|name| is_name_or_end(name, module))),
            Self::Pattern(pattern) => pattern.is_match(module),
        }
    }
}

impl LayerRule {
    /// Reads `layers_to_transform` and `layers_pattern`; `None` if no layers are listed.
    fn from_json(config: &Map<String, Value>) -> Result<Option<Self>, ValidationError> {
        const KEY: &str = "layers_to_transform";
        let value = config.get(KEY).unwrap_or(&Value::Null);
        let list = match value {
            Value::Null => return Ok(None),
            Value::Array(list) if list.is_empty() => return Ok(None),
            Value::Array(list) => &list[..],
            one => std::slice::from_ref(one),
        };
        let index = |value: &Value| {
            let expected = || ValidationError::new(KEY, format!("expected numbers of layers, found {value}"));
            value.as_u64().ok_or_else(expected)
        };
        let patterns = match config.get("layers_pattern") {
            Some(Value::String(name)) => Some(vec![name.clone()]),
            other => names("layers_pattern", other)?,
        };
        let patterns = patterns.filter(|patterns| patterns.iter().any(|name| !name.is_empty()));
        // Lazy, so that the first number counts: the layer's, and not that of an expert in it.
        let patterns = match patterns {
            None => vec![NamePattern::new("layers_pattern", "", r".*?\.[^.]*\.(?P<idx>\d+)\.")?],
            Some(names) => {
                let expression = |name: &str| format!(r"(?:^|.*?\.){name}\.(?P<idx>\d+)\.");
                let compile = |name: &String| NamePattern::new("layers_pattern", name, &expression(name));
                names.iter().map(compile).collect::<Result<_, _>>()?
            }
        };
        Ok(Some(Self { indices: list.iter().map(index).collect::<Result<_, _>>()?, patterns }))
    }

    fn matches(&self, module: &str) -> Result<bool, ValidationError> {
        for pattern in &self.patterns {
            if let Some(index) = pattern.index(module)? {
                return Ok(self.indices.contains(&index));
            }
        }
        Ok(false)
    }
}

/// Whether `name` is the module's name or its end after a dot.
pub(super) fn is_name_or_end(name: &str, module: &str) -> bool {
    module.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn any_match(patterns: &[NamePattern], module: &str) -> Result<bool, ValidationError> {
    for pattern in patterns {
        if pattern.is_match(module)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The strings of a list; `None` if the key is absent or `null`.
fn names(key: &str, value: Option<&Value>) -> Result<Option<Vec<String>>, ValidationError> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let strings = || value.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
    let error = || ValidationError::new(key, format!("expected a list of module names, found {value}"));
    strings().map(Some).ok_or_else(error)
}

#[cfg(test)]
mod tests;
