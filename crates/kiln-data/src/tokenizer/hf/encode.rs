//! Encoding with the `tokenizers` library: ids, truncation, added special tokens, offsets.

use super::{
    super::encoding::{EncodeOptions, Encoding, TextSide},
    HfTokenizer,
};
use crate::DataError;
use std::ops::Range;
use tokenizers::{Encoding as RawEncoding, PostProcessor, TruncationDirection};

impl HfTokenizer {
    /// Ids of a text without added special tokens. Files for which this could fail are rejected when they are loaded.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.pipeline.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default()
    }

    /// [`Tokenizer::encode_for_model`](super::super::Tokenizer::encode_for_model).
    pub fn encode_for_model(
        &self,
        text: &str,
        pair: Option<&str>,
        options: &EncodeOptions,
    ) -> Result<Encoding, DataError> {
        let raw = self.encode_raw(text, pair, options)?;
        let boundaries = [text, pair.unwrap_or_default()].map(char_boundaries);
        let sequence_ids = raw.get_sequence_ids();
        let mut offsets = Vec::with_capacity(raw.len());
        for (i, (start, end)) in raw.get_offsets().iter().enumerate() {
            let bytes = &boundaries[sequence_ids[i].unwrap_or(0).min(1)];
            let last = bytes.len() - 1;
            offsets.push(bytes[(*start).min(last)]..bytes[(*end).min(last)]);
        }
        Ok(Encoding {
            ids: raw.get_ids().to_vec(),
            offsets,
            tokens: raw.get_tokens().to_vec(),
            type_ids: raw.get_type_ids().to_vec(),
            attention_mask: vec![true; raw.len()],
        })
    }

    /// Ids of a text without added special tokens, and the bytes of each.
    pub fn encode_with_ranges(&self, text: &str) -> Result<(Vec<u32>, Vec<Range<usize>>), DataError> {
        let encoding = self.pipeline.encode(text, false).map_err(DataError::tokenizer)?;
        let ranges = encoding.get_offsets().iter().map(|(start, end)| *start..*end).collect();
        Ok((encoding.get_ids().to_vec(), ranges))
    }

    /// The library's encoding, with offsets in characters: the library trims spaces off offsets by counts of
    /// characters, which would split characters in byte offsets.
    pub(super) fn encode_raw(
        &self,
        text: &str,
        pair: Option<&str>,
        options: &EncodeOptions,
    ) -> Result<RawEncoding, DataError> {
        let mut first = self.encode_char_offsets(text)?;
        let mut second = pair.map(|pair| self.encode_char_offsets(pair)).transpose()?;
        if let Some((max, side)) = options.truncation {
            let processor = self.post_processor.as_ref().filter(|_| options.add_special_tokens);
            let num_added = processor.map_or(0, |processor| processor.added_tokens(pair.is_some()));
            truncate(&mut first, second.as_mut(), max.saturating_sub(num_added), side);
        }
        if let Some(processor) = &self.post_processor {
            return processor.process(first, second, options.add_special_tokens).map_err(DataError::tokenizer);
        }
        if let Some(second) = second {
            first.merge_with(second, false);
        }
        Ok(first)
    }

    fn encode_char_offsets(&self, text: &str) -> Result<RawEncoding, DataError> {
        self.pipeline.encode_char_offsets(text, false).map_err(DataError::tokenizer)
    }
}

/// Byte offset of each character, and of the end of the text.
fn char_boundaries(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).chain([text.len()]).collect()
}

/// Truncates a text, or a pair of texts together, to `max` tokens. The longer text of a pair is cut first, until both
/// have half of `max` (the library's strategy `longest_first`).
fn truncate(first: &mut RawEncoding, second: Option<&mut RawEncoding>, max: usize, side: TextSide) {
    let direction = if side == TextSide::Left { TruncationDirection::Left } else { TruncationDirection::Right };
    let first_len = first.len();
    let second_len = second.as_ref().map_or(0, |second| second.len());
    let half = max / 2;
    let (first_len, second_len) = match () {
        () if first_len + second_len <= max => (first_len, second_len),
        () if first_len <= half => (first_len, max - first_len),
        () if second_len <= half => (max - second_len, second_len),
        () if first_len >= second_len => (max - half, half),
        () => (half, max - half),
    };
    // `take_overflowing`: the post-processor would process the parts that were cut off, too.
    first.truncate(first_len, 0, direction);
    first.take_overflowing();
    if let Some(second) = second {
        second.truncate(second_len, 0, direction);
        second.take_overflowing();
    }
}
