//! Options that several methods have.

use super::QuantOptions;
use burn::tensor::DType;
use kiln_spec::ValidationError;
use serde_json::Value;

impl<'a> QuantOptions<'a> {
    /// A number of bits, one of `supported`.
    pub(super) fn bits(&self, supported: &[usize]) -> Result<usize, ValidationError> {
        match self.fields.integer("bits")? {
            Some(bits) if supported.contains(&bits) => Ok(bits),
            found => {
                let found = found.map_or("none".into(), |bits| bits.to_string());
                let supported: Vec<String> = supported.iter().map(ToString::to_string).collect();
                let reason = format!("expected {} bits, found {found}", supported.join(" or "));
                Err(ValidationError::new("bits", reason))
            }
        }
    }

    /// Number of inputs that share a scale, 128 by default; `None` for all inputs, which files say as −1.
    pub(super) fn group_size(&self) -> Result<Option<usize>, ValidationError> {
        match self.fields.get("group_size") {
            None => Ok(Some(128)),
            Some(value) if value.as_i64() == Some(-1) => Ok(None),
            Some(_) => self.fields.size("group_size", 128).map(Some),
        }
    }

    /// The value of the first of several keys for one option, in lower case; it must be one of `supported`.
    pub(super) fn choice(
        &self,
        keys: &[&'a str],
        default: &'a str,
        supported: &[&str],
    ) -> Result<String, ValidationError> {
        let key = keys.iter().find(|key| self.fields.get(key).is_some()).unwrap_or(&keys[0]);
        let found = self.fields.string(key, default)?.to_lowercase();
        self.fields.ignore(keys);
        if supported.contains(&found.as_str()) {
            return Ok(found);
        }
        Err(ValidationError::new(*key, format!("expected {}, found \"{found}\"", quoted(supported))))
    }

    /// The entries of lists of modules that are not quantized, each with its path.
    pub(super) fn excluded_modules(&self, keys: &[&str]) -> Result<Vec<(String, String)>, ValidationError> {
        let mut excluded = Vec::new();
        for key in keys {
            let Some(value) = self.fields.get(key) else { continue };
            let wrong = |path: String, found: &Value| {
                ValidationError::new(path, format!("expected names of modules, found {found}"))
            };
            for (i, entry) in value.as_array().ok_or_else(|| wrong((*key).into(), value))?.iter().enumerate() {
                let name = entry.as_str().filter(|name| !name.is_empty());
                let name = name.ok_or_else(|| wrong(format!("{key}[{i}]"), entry))?;
                excluded.push((name.into(), format!("quantization_config.{key}[{i}]")));
            }
        }
        Ok(excluded)
    }

    /// The float type of the model's weights before their quantization; f32 if `config.json` does not say it.
    pub(super) fn model_dtype(&self) -> DType {
        match self.dtype_name {
            Some("bfloat16") => DType::BF16,
            Some("float16") => DType::F16,
            _ => DType::F32,
        }
    }
}

/// `"a" or "b"`.
fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ")
}
