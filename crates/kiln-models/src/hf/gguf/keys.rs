//! Entries of a family's table, read from and written to metadata of GGUF.

use super::metadata::{GgufFields, GgufMetadata};
use crate::hf::{activation, keys::Key, template::Holes};
use kiln_nn::part::feed_forward::activation::Activation;
use kiln_spec::ValidationError;
use serde_json::Value;

impl Key {
    /// Sets the hole of the entry.
    pub(super) fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        if let Some((hole, constant)) = self.fixed_hole(fields.gguf.fixed) {
            holes.set(hole, constant);
            return Ok(());
        }
        let (hole, value) = match *self {
            Self::Size(_, hole, absent) | Self::Integer(_, hole, absent) => {
                (hole, fields.hole(hole, absent.value(holes).into(), holes)?)
            }
            Self::Layers(_, hole, default) => (hole, fields.hole(hole, default.into(), holes)?),
            Self::Float(_, hole, default) => (hole, fields.hole(hole, default.into(), holes)?),
            Self::OptionalFloat(_, hole, default) => (hole, fields.hole(hole, default.into(), holes)?),
            Self::Flag(_, hole, default) => (hole, fields.hole(hole, default.into(), holes)?),
            Self::Activation(key, hole, default) => {
                let (key, name) = match fields.gguf.renamed_key(hole) {
                    None => (key, default),
                    Some(stated) => (stated, fields.string(stated)?.unwrap_or(default)),
                };
                let activation = activation::from_name(key, name).map_err(|error| fields.error(key, error.reason))?;
                (hole, serde_json::to_value(activation).unwrap_or_default())
            }
            Self::Dropout(_, hole, default) => (hole, default.into()),
            Self::Fixed(hole, constant) => {
                fields.require_hole(hole, &constant.value())?;
                (hole, constant.value())
            }
            Self::All(keys) => return keys.iter().try_for_each(|key| key.read_gguf(fields, holes)),
            Self::Converted(convert) => return convert.read_gguf(fields, holes),
            Self::NoDropout(_) | Self::Equal(..) | Self::Only(..) | Self::Ignored(_) | Self::Written(..) => {
                return Ok(());
            }
        };
        holes.set(hole, value);
        Ok(())
    }

    /// Writes the metadata of the entry's hole.
    pub(super) fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        match *self {
            Self::Float(_, hole, default) => {
                // A factor of 1 is left out of a configuration.
                out.set_hole(hole, holes.get(hole).as_f64().unwrap_or(default).into());
            }
            Self::Size(_, hole, _)
            | Self::Layers(_, hole, _)
            | Self::Integer(_, hole, _)
            | Self::OptionalFloat(_, hole, _)
            | Self::Flag(_, hole, _) => out.set_hole(hole, holes.get(hole).clone()),
            Self::Activation(_, hole, _) => write_activation(hole, holes, out),
            Self::Fixed(hole, constant) => out.set_hole(hole, constant.value()),
            Self::All(keys) => keys.iter().try_for_each(|key| key.write_gguf(holes, out))?,
            Self::Converted(convert) => convert.write_gguf(holes, out)?,
            Self::Dropout(..)
            | Self::NoDropout(_)
            | Self::Equal(..)
            | Self::Only(..)
            | Self::Ignored(_)
            | Self::Written(..) => {}
        }
        Ok(())
    }

    /// The hole of the entry with its value, if it has the same in all models of an architecture.
    fn fixed_hole(&self, fixed: &[(&'static str, super::Constant)]) -> Option<(&'static str, Value)> {
        let (Self::Size(_, hole, _)
        | Self::Layers(_, hole, _)
        | Self::Integer(_, hole, _)
        | Self::Float(_, hole, _)
        | Self::OptionalFloat(_, hole, _)
        | Self::Flag(_, hole, _)) = *self
        else {
            return None;
        };
        let fixed = fixed.iter().find(|(name, _)| *name == hole);
        fixed.map(|(_, constant)| (hole, constant.value()))
    }
}

/// Writes the name of an activation, if the architecture states it. llama.cpp computes a name that it does not know as GELU; its
/// `relu` has no gate, so that it is left out, and refused when the file is read back.
fn write_activation(hole: &str, holes: &Holes, out: &mut GgufMetadata) {
    let activation = serde_json::from_value(holes.get(hole).clone()).unwrap_or(Activation::Relu);
    if let Some(key) = out.gguf.renamed_key(hole).filter(|_| activation != Activation::Relu) {
        out.set(key, activation::name(activation));
    }
}
