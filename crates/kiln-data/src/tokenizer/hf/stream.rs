//! Streaming decoding where the text of a token depends on its neighbors: byte fallback, WordPiece's spaces before
//! punctuation, CTC's merged repetitions.
//!
//! The `tokenizers` library only decodes whole sequences. [`StreamState`] keeps a window of recent tokens, decodes it
//! after each token, and returns the text that no *probe token* after the window changes. Each token costs up to six
//! decodes of the window, which holds at most 256 tokens outside of runs of byte fallback tokens: the time is linear in
//! the length of the text.

use super::{
    super::{byte_encoding::from_byte_fallback, pretrained::clean_up},
    HfTokenizer,
};
use crate::DataError;

/// Next tokens that would change the end of a text if any token did: an ordinary token, and bytes that complete no
/// character, as byte fallback (`<0xFF>`) and in the byte-level alphabet (U+0122 is the byte 0x80).
const PROBE_TOKENS: [&str; 3] = ["x", "<0xFF>", "\u{122}"];

/// Number of tokens before the window's new ones that are kept as context.
pub(crate) const CONTEXT_TOKENS: usize = 64;

/// Whether text that no probe token changes stays unchanged. A `Replace` behind `Fuse` matches across tokens, so that
/// any later token may change the text; the text is then returned only at the end.
pub(super) fn can_stream(decoder_types: &[String]) -> bool {
    let fuse = decoder_types.iter().position(|kind| kind == "Fuse").unwrap_or(decoder_types.len());
    decoder_types[fuse..].iter().all(|kind| kind != "Replace")
}

/// State of a streaming decoder: the recent tokens, and how much of their text has been returned.
#[derive(Debug, Default)]
pub(crate) struct StreamState {
    /// Names of recent tokens. The text of the first `context_len` has been returned completely; they only influence
    /// the text of the others.
    window: Vec<String>,
    context_len: usize,
    /// Bytes of the window's text that have been returned.
    emitted_bytes: usize,
}

impl StreamState {
    /// The state behind tokens whose text has been returned. If the last of them leave a character incomplete
    /// (`is_incomplete`), that character has not been returned.
    pub fn after(hf: &HfTokenizer, tokens: Vec<String>, is_incomplete: bool) -> Result<Self, DataError> {
        let text = hf.decode(tokens.clone())?;
        // Byte fallback gives one replacement character for each byte of an incomplete character.
        let returned = if is_incomplete { text.trim_end_matches(char::REPLACEMENT_CHARACTER) } else { &text };
        Ok(Self { context_len: tokens.len(), emitted_bytes: returned.len(), window: tokens })
    }

    /// Adds a token and returns the text that has become final.
    pub fn push(&mut self, hf: &HfTokenizer, name: &str) -> Result<String, DataError> {
        self.window.push(name.to_string());
        // Byte fallback decodes a run of bytes as one: a later byte can make all of them invalid.
        if !hf.can_stream || hf.has_byte_fallback && from_byte_fallback(name).is_some() {
            return Ok(String::new());
        }
        let text = hf.decode_uncleaned(self.window.clone())?;
        let stable = self.stable_len(hf, &text)?;
        let settled = hf.clean(text[..stable].to_string());
        let new_text = settled.get(self.emitted_bytes..).unwrap_or_default().to_string();
        self.emitted_bytes += new_text.len();
        let is_settled = stable == text.len() || !hf.cleans_up;
        let text = hf.clean(text);
        if is_settled && self.emitted_bytes == text.len() && !text.is_empty() {
            self.reset_window(hf)?;
        }
        if self.window.len() > self.context_len + 2 * CONTEXT_TOKENS {
            self.shrink_window(hf, &text)?;
        }
        Ok(new_text)
    }

    /// Number of bytes at the beginning of the window's text that no further token changes.
    fn stable_len(&self, hf: &HfTokenizer, text: &str) -> Result<usize, DataError> {
        // The bytes of an incomplete character are decoded as one replacement character.
        let mut stable = text.strip_suffix(char::REPLACEMENT_CHARACTER).unwrap_or(text).len();
        for probe in PROBE_TOKENS {
            let with_probe = [self.window.clone(), vec![probe.to_string()]].concat();
            stable = stable.min(common_prefix_len(text, &hf.decode_uncleaned(with_probe)?));
        }
        Ok(if hf.cleans_up { clean_up::settled_len(&text[..stable]) } else { stable })
    }

    /// After all text of the window has been returned: its new tokens become the context of the next ones.
    fn reset_window(&mut self, hf: &HfTokenizer) -> Result<(), DataError> {
        let text = hf.decode(self.window[self.context_len..].to_vec())?;
        if !text.is_empty() {
            self.window.drain(..self.context_len);
            self.context_len = self.window.len();
            self.emitted_bytes = text.len();
        }
        Ok(())
    }

    /// For a long run of tokens without final text, such as bytes that complete no character: keeps only the last
    /// [`CONTEXT_TOKENS`] of them, if the pending text comes out the same. Otherwise the cost would be quadratic.
    fn shrink_window(&mut self, hf: &HfTokenizer, text: &str) -> Result<(), DataError> {
        let recent = &self.window[self.window.len() - CONTEXT_TOKENS..];
        let short_window = [&self.window[..self.context_len], recent].concat();
        let short_text = hf.decode(short_window.clone())?;
        let pending = text.get(self.emitted_bytes..).unwrap_or_default();
        if short_text.ends_with(pending) {
            self.emitted_bytes = short_text.len() - pending.len();
            self.window = short_window;
        }
        Ok(())
    }

    /// Number of tokens in the window.
    #[cfg(test)]
    pub fn window_len(&self) -> usize {
        self.window.len()
    }

    /// The remaining text.
    pub fn finish(&self, hf: &HfTokenizer) -> Result<String, DataError> {
        let text = hf.decode(self.window.clone())?;
        Ok(text.get(self.emitted_bytes..).unwrap_or_default().to_string())
    }
}

/// Length in bytes of the longest common prefix of two texts, at a character boundary.
fn common_prefix_len(a: &str, b: &str) -> usize {
    let mismatch = a.char_indices().zip(b.chars()).find(|((_, a), b)| a != b);
    mismatch.map_or(a.len().min(b.len()), |((at, _), _)| at)
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            StreamDecoder, Tokenizer, byte_encoding,
            fixtures::{ALL, find, load},
        },
        *,
    };
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn streamed_text_equals_the_decoded_text(draws in prop::collection::vec(any::<u32>(), 0..60)) {
            for (name, tokenizer) in ALL.iter() {
                let ids: Vec<u32> = draws.iter().map(|draw| draw % tokenizer.vocab_size() as u32).collect();
                let mut stream = StreamDecoder::new(tokenizer);
                let pushed: String = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
                prop_assert_eq!(pushed + &stream.finish(), tokenizer.decode(&ids).unwrap(), "{}", name);
            }
        }
    }

    /// Id of a token by its name.
    fn id_of(tokenizer: &Tokenizer, name: &str) -> u32 {
        tokenizer.as_hf().unwrap().token_names.iter().position(|known| known.as_deref() == Some(name)).unwrap() as u32
    }

    /// Long sequences of tokens without final text: incomplete bytes, byte fallback tokens, repetitions of CTC.
    fn pending_sequences() -> Vec<(&'static str, Tokenizer, Vec<u32>)> {
        let ctc = serde_json::json!({
            "version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null,
            "decoder": { "type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": true },
            "model": { "type": "WordLevel", "vocab": { "<pad>": 0, "<unk>": 1, "|": 2, "a": 3, "b": 4 }, "unk_token": "<unk>" },
        });
        let byte_level = find("byte_level").clone();
        let spm = find("spm_bpe").clone();
        let incomplete =
            [0xE4u8, 0xBD, 0xFF, 0xF0, 0x9F].map(|byte| id_of(&byte_level, &byte_encoding::to_char(byte).to_string()));
        let fallback = [0xE4u8, 0xBD, 0xA0].map(|byte| id_of(&spm, &byte_encoding::to_byte_fallback(byte)));
        let byte_level_ids = [
            byte_level.encode(" the fox"),
            vec![incomplete[2]; 700],
            byte_level.encode("é!"),
            vec![incomplete[0]; 500],
            incomplete.repeat(99),
            vec![incomplete[1]; 300],
            byte_level.encode(" end"),
        ];
        let fallback_ids = [
            spm.encode("ab"),
            fallback.repeat(300),
            spm.encode("c"),
            fallback.repeat(300),
            vec![fallback[0]; 2],
            spm.encode("d"),
        ];
        let ctc_ids = [vec![3, 3, 0, 3], vec![0; 900], vec![3, 4, 2], vec![2; 400], vec![0, 4]];
        vec![
            ("byte level", byte_level, byte_level_ids.concat()),
            ("byte fallback", spm, fallback_ids.concat()),
            ("ctc", load(&ctc), ctc_ids.concat()),
        ]
    }

    #[test]
    fn the_window_of_a_stream_stays_short() {
        for (name, tokenizer, ids) in pending_sequences() {
            let hf = tokenizer.as_hf().unwrap();
            let (mut stream, mut text) = (StreamState::default(), String::new());
            for id in &ids {
                let token = hf.token_name(*id).unwrap();
                text += &stream.push(hf, token).unwrap();
                // A run of byte fallback tokens is decoded at its end.
                assert!(name == "byte fallback" || stream.window_len() <= 256, "{name}: {}", stream.window_len());
            }
            text += &stream.finish(hf).unwrap();
            assert_eq!(text, tokenizer.decode(&ids).unwrap(), "{name}");
        }
    }

    #[test]
    fn a_stream_returns_text_early() {
        for (name, tokenizer) in ALL.iter().filter(|(name, _)| *name != "characters") {
            let ids = tokenizer.encode("the quick brown fox jumps over the lazy dog");
            let mut stream = StreamDecoder::new(tokenizer);
            let texts: Vec<String> = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
            assert!(texts.iter().filter(|text| !text.is_empty()).count() * 2 > ids.len(), "{name}: {texts:?}");
        }
    }
}
