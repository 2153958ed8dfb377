//! Keys of `config.json` and the holes of a family's template that they fill, in both directions.
//!
//! A family's table is a list of [`Key`]s, read in order. Most keys are the value of one hole. What is not is a [`Convert`]:
//! a function in each direction, shared by the families that have the same keys.

use super::{
    activation,
    config_reader::ConfigReader,
    gguf::{GgufFields, GgufMetadata},
    template::Holes,
};
use kiln_nn::part::feed_forward::activation::Activation;
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

/// An entry of a family's table.
#[derive(Clone, Copy)]
pub(super) enum Key {
    /// A size: a whole number from 1 to 2²⁸.
    Size(&'static str, &'static str, Absent),
    /// A number of layers: a whole number from 1 to 4096.
    Layers(&'static str, &'static str, usize),
    /// A whole number; `null` leaves the choice to the model.
    Integer(&'static str, &'static str, Absent),
    /// A number.
    Float(&'static str, &'static str, f64),
    /// A number; `null` means none.
    OptionalFloat(&'static str, &'static str, Option<f64>),
    /// `true` or `false`.
    Flag(&'static str, &'static str, bool),
    /// The name of an activation function.
    Activation(&'static str, &'static str, &'static str),
    /// The dropout probability: the first of the keys; another value of the others is a warning.
    Dropout(&'static [&'static str], &'static str, f64),
    /// A dropout probability that Kiln does not have. A value above 0 is a warning.
    NoDropout(&'static str),
    /// A whole number that must equal the value of a hole, which an entry further up fills.
    Equal(&'static str, &'static str),
    /// An option of which Kiln implements one value only.
    Only(&'static str, Constant),
    /// Keys that change nothing that Kiln computes.
    Ignored(&'static [&'static str]),
    /// A hole that no key fills: the families that share a template differ in it.
    Fixed(&'static str, Constant),
    /// A key that is written and never read.
    Written(&'static str, Constant),
    /// A table that families share.
    All(&'static [Key]),
    /// Keys that are no plain value of one hole.
    Converted(&'static dyn Convert),
}

/// The value of a hole whose key is absent: the default of the reference's class.
#[derive(Clone, Copy)]
pub(super) enum Absent {
    /// A number.
    Is(usize),
    /// As many as another hole has.
    Same(&'static str),
    /// A multiple of another hole.
    Times(usize, &'static str),
    /// A number under the family's name as `model_type`, and another under its aliases, whose classes have another default.
    ByName(usize, usize),
    /// No value: the model decides.
    Null,
}

/// A constant of a table.
#[derive(Clone, Copy)]
pub(super) enum Constant {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Whole(u64),
    /// A number.
    Real(f64),
    /// A string.
    Text(&'static str),
    /// No value: the key is left out.
    Nothing,
}

/// Keys that are no plain value of one hole, in both directions.
pub(super) trait Convert: Sync {
    /// Reads the keys and sets holes. Holes of entries further up in the table are set.
    ///
    /// # Errors
    /// An invalid or unsupported value, with its key.
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError>;

    /// Writes the keys from the holes.
    ///
    /// # Errors
    /// A value that the keys cannot say, with its path in the model.
    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError>;

    /// Holes that GGUF stores as those of plain keys (`gguf/holes.rs`).
    fn gguf_holes(&self) -> &'static [&'static str] {
        &[]
    }

    /// Sets the holes from the metadata of a GGUF file. Default: [`gguf_holes`](Self::gguf_holes) from their metadata, the others
    /// as those of the reference's class, as without a key.
    ///
    /// # Errors
    /// An invalid or unsupported value, with its key.
    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        self.read(&fields.defaults()?, holes)?;
        for hole in self.gguf_holes() {
            holes.set(hole, fields.hole(hole, holes.get(hole).clone(), holes)?);
        }
        Ok(())
    }

    /// Writes the metadata of a GGUF file from the holes. Default: those of [`gguf_holes`](Self::gguf_holes).
    ///
    /// # Errors
    /// A value that GGUF cannot store, with its path in the model.
    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        self.gguf_holes().iter().for_each(|hole| out.set_hole(hole, holes.get(hole).clone()));
        Ok(())
    }
}

impl Constant {
    pub(super) fn value(self) -> Value {
        match self {
            Self::Bool(value) => value.into(),
            Self::Whole(value) => value.into(),
            Self::Real(value) => value.into(),
            Self::Text(value) => value.into(),
            Self::Nothing => Value::Null,
        }
    }
}

impl Absent {
    /// The value in a `config.json`.
    fn value_in(self, fields: &ConfigReader, holes: &Holes) -> Option<usize> {
        match self {
            Self::ByName(_, alias) if fields.has_alias() => Some(alias),
            _ => self.value(holes),
        }
    }

    /// The value in a file of the family's own name.
    pub(super) fn value(self, holes: &Holes) -> Option<usize> {
        match self {
            Self::Is(number) | Self::ByName(number, _) => Some(number),
            Self::Same(hole) => Some(holes.integer(hole)),
            Self::Times(factor, hole) => Some(factor * holes.integer(hole)),
            Self::Null => None,
        }
    }
}

/// Reads all keys of a table.
///
/// # Errors
/// The first invalid value, with its key.
pub(super) fn read_keys(keys: &[Key], fields: &ConfigReader) -> Result<Holes, ValidationError> {
    let mut holes = Holes::default();
    keys.iter().try_for_each(|key| key.read(fields, &mut holes))?;
    Ok(holes)
}

/// Writes all keys of a table.
///
/// # Errors
/// The first value that the keys cannot say.
pub(super) fn write_keys(keys: &[Key], holes: &Holes) -> Result<Map<String, Value>, ValidationError> {
    let mut json = Map::new();
    keys.iter().try_for_each(|key| key.write(holes, &mut json))?;
    Ok(json)
}

/// Checks a value that another key gives already.
fn check_equal(key: &str, found: Option<usize>, expected: usize) -> Result<(), ValidationError> {
    match found {
        Some(found) if found != expected => {
            Err(ValidationError::new(key, format!("expected {expected}, as other keys say, found {found}")))
        }
        _ => Ok(()),
    }
}

impl Key {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        match *self {
            Self::Size(key, hole, absent) => {
                let default = absent.value_in(fields, holes).unwrap_or_default();
                holes.set(hole, fields.size(key, default)?);
            }
            Self::Layers(key, hole, default) => holes.set(hole, fields.layer_count(key, default)?),
            Self::Integer(key, hole, absent) => {
                // `null` means no value, also where an absent key has a default.
                let default = if fields.is_null(key) { None } else { absent.value_in(fields, holes) };
                holes.set(hole, fields.integer(key)?.or(default));
            }
            Self::Float(key, hole, default) => holes.set(hole, fields.float(key)?.unwrap_or(default)),
            Self::OptionalFloat(key, hole, default) => {
                let default = if fields.is_null(key) { None } else { default };
                holes.set(hole, fields.float(key)?.or(default));
            }
            Self::Flag(key, hole, default) => holes.set(hole, fields.flag(key, default)?),
            Self::Activation(key, hole, default) => {
                let activation = activation::read(fields, key, default)?;
                holes.set(hole, serde_json::to_value(activation).unwrap_or_default());
            }
            Self::Dropout(keys, hole, default) => holes.set(hole, fields.dropout(keys, default)?),
            Self::NoDropout(key) => fields.ignore_dropout(key)?,
            Self::Equal(key, hole) => check_equal(key, fields.integer(key)?, holes.integer(hole))?,
            Self::Only(key, constant) => fields.require(key, constant.value())?,
            Self::Ignored(keys) => fields.ignore(keys),
            Self::Fixed(hole, constant) => holes.set(hole, constant.value()),
            Self::Written(..) => {}
            Self::All(keys) => keys.iter().try_for_each(|key| key.read(fields, holes))?,
            Self::Converted(convert) => convert.read(fields, holes)?,
        }
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let mut put = |key: &str, value: Value| {
            json.insert(key.to_owned(), value);
        };
        match *self {
            // A hole in an alternative that the model does not have has no value: the key has no effect.
            Self::Size(_, hole, _)
            | Self::Layers(_, hole, _)
            | Self::Integer(_, hole, _)
            | Self::OptionalFloat(_, hole, _)
            | Self::Flag(_, hole, _)
            | Self::Activation(_, hole, _)
            | Self::Equal(_, hole)
                if !holes.contains(hole) => {}
            Self::Size(key, hole, _)
            | Self::Layers(key, hole, _)
            | Self::Integer(key, hole, _)
            | Self::OptionalFloat(key, hole, _)
            | Self::Equal(key, hole) => put(key, holes.get(hole).clone()),
            // A configuration leaves out a flag that is off.
            Self::Flag(key, hole, _) => put(key, holes.get(hole).as_bool().unwrap_or(false).into()),
            // A configuration leaves out a factor of 1.
            Self::Float(key, hole, default) => {
                let absent = if holes.contains(hole) { 1.0 } else { default };
                put(key, holes.get(hole).as_f64().unwrap_or(absent).into());
            }
            Self::Activation(key, hole, default) => {
                let activation = serde_json::from_value(holes.get(hole).clone()).unwrap_or(Activation::Silu);
                // Of several names for a function, the family's own.
                let is_default = activation::from_name(key, default).is_ok_and(|own| own == activation);
                put(key, if is_default { default } else { activation::name(activation) }.into());
            }
            Self::Dropout(keys, hole, _) => keys.iter().for_each(|key| put(key, holes.get(hole).clone())),
            Self::NoDropout(key) => put(key, 0.0.into()),
            Self::Only(..) | Self::Ignored(_) | Self::Fixed(..) => {}
            Self::Written(key, constant) => put(key, constant.value()),
            Self::All(keys) => keys.iter().try_for_each(|key| key.write(holes, json))?,
            Self::Converted(convert) => convert.write(holes, json)?,
        }
        Ok(())
    }
}
