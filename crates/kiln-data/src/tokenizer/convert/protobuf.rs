//! As much of protocol buffers as a SentencePiece model needs: fields by number.

use crate::{DataError, tokenizer::train::broken};

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Content<'a> {
    /// A number of varying length.
    Number(u64),
    /// Four bytes.
    Four([u8; 4]),
    /// Text, bytes, or a message.
    Bytes(&'a [u8]),
}

/// The fields of a message in their order, each with its number.
pub(super) fn fields(mut bytes: &[u8]) -> Result<Vec<(u64, Content<'_>)>, DataError> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        fields.extend(field(&mut bytes).ok_or_else(|| broken("not a SentencePiece model, or a damaged one"))?);
    }
    Ok(fields)
}

/// The next field; one of eight bytes, of which a model has none, is passed over.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<Option<(u64, Content<'a>)>> {
    let tag = number(bytes)?;
    let content = match tag & 7 {
        0 => Content::Number(number(bytes)?),
        1 => {
            take(bytes, 8)?;
            return Some(None);
        }
        2 => {
            let length = usize::try_from(number(bytes)?).ok()?;
            Content::Bytes(take(bytes, length)?)
        }
        5 => Content::Four(take(bytes, 4)?.try_into().ok()?),
        _ => return None,
    };
    Some(Some((tag >> 3, content)))
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let byte = take(bytes, 1)?[0];
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
        let found = fields(&bytes).unwrap();
        assert_eq!(found[0], (1, Content::Number(150)));
        assert_eq!(found[1..], [(2, Content::Bytes(b"hi")), (3, Content::Four(1f32.to_le_bytes()))]);
        for end in [1, 2, 4, 6, 8] {
            assert!(fields(&bytes[..end]).is_err(), "{end}");
        }
        assert!(fields(&[0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]).is_err());
    }
}
