//! SentencePiece models (1808.06226): parser of `.model` files.
//!
//! A `.model` is a protocol buffer message (`sentencepiece_model.proto`). The fields that matter here:
//!
//! | message | field | contents |
//! |---|---|---|
//! | `ModelProto` | 1 `pieces` | repeated `SentencePiece`, in the order of their ids |
//! | | 2 `trainer_spec`, 3 `normalizer_spec` | settings |
//! | `SentencePiece` | 1 `piece`, 2 `score`, 3 `type` | text, `f32`, 1 normal (default), 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte |
//! | `TrainerSpec` | 3 `model_type` | 1 Unigram (default), 2 BPE, 3 word, 4 char |
//! | | 24 `treat_whitespace_as_suffix` | whether `▁` ends words (default: false) |
//! | | 41 `bos_id`, 42 `eos_id`, 43 `pad_id` | ids (defaults: 1, 2, none); negative: none |
//! | `NormalizerSpec` | 2 `precompiled_charsmap` | normalization table: see [`charsmap`](super::super::charsmap) |
//! | | 3 `add_dummy_prefix` | whether a text gets a space in front (default: true) |
//! | | 4 `remove_extra_whitespaces` | whether runs of spaces become one (default: true) |
//! | | 5 `escape_whitespaces` | whether spaces become `▁` (default: true) |

use super::{
    GgufTokenizer,
    gguf::token_type::{NORMAL, UNKNOWN},
};
use crate::{DataError, tokenizer::TokenRoles};

/// Parses a SentencePiece `.model`. The result has the fields of GGUF metadata, which describe the same tokenizers.
///
/// The model does not say whether `<s>` and `</s>` are added to texts: `add_bos` and `add_eos` are `false`, and callers
/// change them.
///
/// # Errors
/// [`DataError::Tokenizer`] for an invalid file, a word or character model, or unsupported settings of spaces.
pub fn parse_sentencepiece(bytes: &[u8]) -> Result<GgufTokenizer, DataError> {
    // The defaults of the format, for fields that the file lacks.
    let mut model = GgufTokenizer {
        model: "t5".into(),
        add_bos: Some(false),
        add_eos: Some(false),
        add_space_prefix: Some(true),
        remove_extra_whitespaces: Some(true),
        roles: TokenRoles { bos: Some(1), eos: Some(2), ..TokenRoles::default() },
        ..GgufTokenizer::default()
    };
    for field in parse_fields(bytes)? {
        match field {
            (1, FieldValue::Bytes(piece)) => push_piece(&mut model, piece)?,
            (2, FieldValue::Bytes(spec)) => apply_trainer_spec(&mut model, spec)?,
            (3, FieldValue::Bytes(spec)) => apply_normalizer_spec(&mut model, spec)?,
            _ => {}
        }
    }
    model.roles.unk = model.token_types.iter().position(|token_type| *token_type == UNKNOWN).map(|id| id as u32);
    let num_tokens = model.tokens.len();
    model.roles.slots_mut().into_iter().for_each(|slot| *slot = slot.filter(|id| (*id as usize) < num_tokens));
    Ok(model)
}

/// Appends a piece (message `SentencePiece`).
fn push_piece(model: &mut GgufTokenizer, piece: &[u8]) -> Result<(), DataError> {
    let mut text = String::new();
    let mut score = 0.0;
    let mut token_type = NORMAL;
    for field in parse_fields(piece)? {
        match field {
            (1, FieldValue::Bytes(bytes)) => text = String::from_utf8(bytes.to_vec()).map_err(DataError::tokenizer)?,
            (2, FieldValue::Fixed32(bytes)) => score = f32::from_le_bytes(bytes),
            (3, FieldValue::Varint(number)) => token_type = number as i32,
            _ => {}
        }
    }
    model.tokens.push(text);
    model.scores.push(score);
    model.token_types.push(token_type);
    Ok(())
}

/// Applies the kind of the model and its roles (message `TrainerSpec`).
fn apply_trainer_spec(model: &mut GgufTokenizer, spec: &[u8]) -> Result<(), DataError> {
    for field in parse_fields(spec)? {
        match field {
            (3, FieldValue::Varint(1)) => model.model = "t5".into(),
            (3, FieldValue::Varint(2)) => model.model = "llama".into(),
            (3, FieldValue::Varint(kind)) => {
                let reason = format!("unsupported `trainer_spec.model_type` {kind}; supported: 1 (Unigram), 2 (BPE)");
                return Err(DataError::tokenizer(reason));
            }
            (24, FieldValue::Varint(1)) => {
                return Err(DataError::tokenizer("`trainer_spec.treat_whitespace_as_suffix` is not supported"));
            }
            (41, FieldValue::Varint(id)) => model.roles.bos = token_id(id),
            (42, FieldValue::Varint(id)) => model.roles.eos = token_id(id),
            (43, FieldValue::Varint(id)) => model.roles.pad = token_id(id),
            _ => {}
        }
    }
    Ok(())
}

/// An id; `None` for a negative one, which is a large unsigned number here and means that there is no such token.
fn token_id(id: u64) -> Option<u32> {
    u32::try_from(id).ok()
}

/// Applies the normalization table and the flags of spaces (message `NormalizerSpec`).
fn apply_normalizer_spec(model: &mut GgufTokenizer, spec: &[u8]) -> Result<(), DataError> {
    for field in parse_fields(spec)? {
        match field {
            (2, FieldValue::Bytes(table)) => model.precompiled_charsmap = table.to_vec(),
            (3, FieldValue::Varint(flag)) => model.add_space_prefix = Some(flag != 0),
            (4, FieldValue::Varint(flag)) => model.remove_extra_whitespaces = Some(flag != 0),
            (5, FieldValue::Varint(0)) => {
                return Err(DataError::tokenizer("`normalizer_spec.escape_whitespaces` = false is not supported"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Value of a protocol buffer field, by wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
enum FieldValue<'a> {
    /// Wire type 0: an integer of 1 to 10 bytes, 7 bits each, the least significant first.
    Varint(u64),
    /// Wire type 5: four bytes.
    Fixed32([u8; 4]),
    /// Wire type 2: text, bytes or a message, behind its length.
    Bytes(&'a [u8]),
}

/// Fields of a protocol buffer message in file order, each with its number.
///
/// # Errors
/// [`DataError::Tokenizer`] if the message is cut off or has an unknown wire type.
fn parse_fields(mut bytes: &[u8]) -> Result<Vec<(u64, FieldValue<'_>)>, DataError> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        match parse_field(&mut bytes) {
            Some(field) => fields.extend(field),
            None => return Err(DataError::tokenizer("not a SentencePiece model: invalid protocol buffer")),
        }
    }
    Ok(fields)
}

/// Takes the next field. `None` if it is invalid; `Some(None)` for wire type 1 (eight bytes), which a SentencePiece
/// model does not use.
fn parse_field<'a>(bytes: &mut &'a [u8]) -> Option<Option<(u64, FieldValue<'a>)>> {
    let tag = read_varint(bytes)?;
    let value = match tag & 7 {
        0 => FieldValue::Varint(read_varint(bytes)?),
        1 => {
            take_bytes(bytes, 8)?;
            return Some(None);
        }
        2 => {
            let length = usize::try_from(read_varint(bytes)?).ok()?;
            FieldValue::Bytes(take_bytes(bytes, length)?)
        }
        5 => FieldValue::Fixed32(take_bytes(bytes, 4)?.try_into().ok()?),
        _ => return None,
    };
    Some(Some((tag >> 3, value)))
}

/// Takes `length` bytes from the front.
fn take_bytes<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// Takes an integer of varying length.
fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for i in 0..10 {
        let byte = take_bytes(bytes, 1)?[0];
        value |= u64::from(byte & 0x7F) << (7 * i);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_a_number_and_a_value() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1D, 0, 0, 0x80, 0x3F];
        let fields = parse_fields(&bytes).unwrap();
        assert_eq!(fields[0], (1, FieldValue::Varint(150)));
        assert_eq!(fields[1..], [(2, FieldValue::Bytes(b"hi")), (3, FieldValue::Fixed32(1f32.to_le_bytes()))]);
        for end in [1, 2, 4, 6, 8] {
            assert!(parse_fields(&bytes[..end]).is_err(), "{end}");
        }
        assert!(parse_fields(&[0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]).is_err());
    }
}
