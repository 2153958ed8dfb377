//! As much of protocol buffers as a SentencePiece model needs: fields by number.

use crate::{DataError, tokenizer::train::tokenizer_error};

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum FieldValue<'a> {
    /// A number of varying length.
    Varint(u64),
    /// Four bytes.
    Fixed32([u8; 4]),
    /// Text, bytes, or a message.
    Bytes(&'a [u8]),
}

/// The fields of a message in their order, each with its number.
pub(super) fn parse_fields(mut bytes: &[u8]) -> Result<Vec<(u64, FieldValue<'_>)>, DataError> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        fields.extend(
            parse_field(&mut bytes).ok_or_else(|| tokenizer_error("not a SentencePiece model, or a damaged one"))?,
        );
    }
    Ok(fields)
}

/// The next field; one of eight bytes, of which a model has none, is passed over.
fn parse_field<'a>(bytes: &mut &'a [u8]) -> Option<Option<(u64, FieldValue<'a>)>> {
    let tag = read_varint(bytes)?;
    let content = match tag & 7 {
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
    Some(Some((tag >> 3, content)))
}

fn take_bytes<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let byte = take_bytes(bytes, 1)?[0];
        value |= u64::from(byte & 0x7F) << (7 * place);
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
    fn fields_are_read_by_number_and_kind() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1D, 0, 0, 0x80, 0x3F];
        let found = parse_fields(&bytes).unwrap();
        assert_eq!(found[0], (1, FieldValue::Varint(150)));
        assert_eq!(found[1..], [(2, FieldValue::Bytes(b"hi")), (3, FieldValue::Fixed32(1f32.to_le_bytes()))]);
        for end in [1, 2, 4, 6, 8] {
            assert!(parse_fields(&bytes[..end]).is_err(), "{end}");
        }
        assert!(parse_fields(&[0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]).is_err());
    }
}
