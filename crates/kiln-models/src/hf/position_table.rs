//! Learned positions of encoders: `max_position_embeddings`, and the row of the first token.

use super::{config_reader::ConfigReader, keys::Convert, template::Holes};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

/// `max_position_embeddings`: rows of the position table, those before the first token's included. Holes: `length`, the number of
/// positions, and `offset`, the row of the first token.
pub(super) enum PositionTable {
    /// The first token has the first row.
    FromZero,
    /// The first token has the row after that of the padding token (`pad_token_id`).
    AfterPadding,
}

impl PositionTable {
    fn offset(&self, fields: &ConfigReader) -> Result<usize, ValidationError> {
        Ok(match self {
            Self::FromZero => 0,
            Self::AfterPadding => fields.integer("pad_token_id")?.unwrap_or(1).saturating_add(1),
        })
    }
}

impl Convert for PositionTable {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let (rows, offset) = (fields.size("max_position_embeddings", 512)?, self.offset(fields)?);
        let length = rows.checked_sub(offset).filter(|length| *length > 0).ok_or_else(|| {
            let reason = format!(
                "expected more than {offset}, because positions of this family start at {offset}, found {rows}"
            );
            ValidationError::new("max_position_embeddings", reason)
        })?;
        holes.set("length", length);
        holes.set("offset", offset);
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let offset = holes.integer("offset");
        json.insert("max_position_embeddings".into(), (holes.integer("length") + offset).into());
        if matches!(self, Self::AfterPadding) {
            json.insert("pad_token_id".into(), offset.saturating_sub(1).into());
        }
        Ok(())
    }

    /// Files have no rows before the first token's.
    fn gguf_holes(&self) -> &'static [&'static str] {
        &["length"]
    }
}
