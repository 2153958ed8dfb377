//! Types of generation settings, read from JSON.

use kiln_spec::ValidationError;
use serde_json::Value;

/// A type of setting.
pub(super) trait Setting: Sized {
    /// What a value has to be, for errors.
    const EXPECTED: &'static str;

    /// Converts a value; `None` if it has another type.
    fn from_value(value: &Value) -> Option<Self>;

    /// Reads the value of a key.
    ///
    /// # Errors
    /// If the value has another type.
    fn read(key: &str, value: &Value) -> Result<Self, ValidationError> {
        Self::from_value(value)
            .ok_or_else(|| ValidationError::new(key, format!("expected {}, found {value}", Self::EXPECTED)))
    }
}

impl Setting for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_value(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl Setting for f64 {
    const EXPECTED: &'static str = "a number";

    fn from_value(value: &Value) -> Option<Self> {
        value.as_f64()
    }
}

impl Setting for usize {
    const EXPECTED: &'static str = "a whole number from 0";

    /// Writers of JSON that have one type of number write 50 as 50.0.
    fn from_value(value: &Value) -> Option<Self> {
        let integer = value.as_u64().or_else(|| {
            let number = value.as_f64().filter(|number| *number >= 0.0 && *number < 1e15)?;
            (number.fract() == 0.0).then_some(number as u64)
        });
        integer?.try_into().ok()
    }
}

impl Setting for u32 {
    const EXPECTED: &'static str = "a token id";

    fn from_value(value: &Value) -> Option<Self> {
        usize::from_value(value)?.try_into().ok()
    }
}

/// One value stands for a list of one.
impl Setting for Vec<u32> {
    const EXPECTED: &'static str = "a token id or a list of token ids";

    fn from_value(value: &Value) -> Option<Self> {
        match value.as_array() {
            Some(ids) => ids.iter().map(u32::from_value).collect(),
            None => Some(vec![u32::from_value(value)?]),
        }
    }
}

/// One value stands for a list of one.
impl Setting for Vec<String> {
    const EXPECTED: &'static str = "a text or a list of texts";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Array(texts) => texts.iter().map(|text| Some(text.as_str()?.into())).collect(),
            text => Some(vec![text.as_str()?.into()]),
        }
    }
}

impl Setting for Vec<Vec<u32>> {
    const EXPECTED: &'static str = "a list of lists of token ids";

    fn from_value(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(|ids| ids.as_array()?.iter().map(u32::from_value).collect()).collect()
    }
}

impl Setting for Vec<(Vec<u32>, f64)> {
    const EXPECTED: &'static str = "a list of pairs [token ids, bias]";

    fn from_value(value: &Value) -> Option<Self> {
        let pair = |pair: &Value| match &pair.as_array()?[..] {
            [ids, bias] if ids.is_array() => Some((Vec::from_value(ids)?, bias.as_f64()?)),
            _ => None,
        };
        value.as_array()?.iter().map(pair).collect()
    }
}

impl Setting for (usize, f64) {
    const EXPECTED: &'static str = "a pair [number of tokens, factor]";

    fn from_value(value: &Value) -> Option<Self> {
        match &value.as_array()?[..] {
            [start, factor] => Some((usize::from_value(start)?, factor.as_f64()?)),
            _ => None,
        }
    }
}
