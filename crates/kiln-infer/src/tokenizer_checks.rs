//! What must come back of texts and conversations, as functions: each counts what doesn't.
//!
//! They hold for any tokenizer. One that changes text (lower case, accents, control characters) is held to what it makes
//! of it, not to the text.

use kiln_data::{
    DataError, Encoding, StreamDecoder, Tokenizer,
    chat::{ChatTemplate, ChatTemplateOptions, chat_message},
    tokenizer::EncodeOptions,
};

/// Who turns text into tokens and back: a tokenizer, or whatever stands around one.
pub trait TokenText {
    /// The tokenizer.
    fn tokenizer(&self) -> &Tokenizer;

    /// Ids of a text.
    fn encode(&self, text: &str) -> Vec<u32> {
        self.tokenizer().encode(text)
    }

    /// The same with the place of each token.
    fn encode_with_offsets(&self, text: &str) -> Encoding {
        self.tokenizer().encode_with_offsets(text)
    }

    /// The text of tokens.
    ///
    /// # Errors
    /// An id that is none.
    fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        self.tokenizer().decode(ids)
    }

    /// The same, token by token.
    ///
    /// # Errors
    /// An id that is none.
    fn decode_streaming(&self, ids: &[u32]) -> Result<String, DataError> {
        let mut decoder = StreamDecoder::new(self.tokenizer());
        let text = ids.iter().map(|id| decoder.push(*id)).collect::<Result<String, _>>()?;
        Ok(text + &decoder.finish())
    }

    /// What it is saved as.
    fn to_json(&self) -> String {
        self.tokenizer().to_json().into()
    }
}

impl TokenText for Tokenizer {
    fn tokenizer(&self) -> &Tokenizer {
        self
    }
}

/// Texts whose tokens don't stand for them: what they are decoded to has other tokens. Nothing is asked of a text with a
/// special token, which has no text, or one for what is unknown, which is lost; nor of space alone, which some tokenizers
/// add and take away again.
pub fn roundtrip_mismatch(spell: &impl TokenText, texts: &[&str]) -> usize {
    let unknown = spell.tokenizer().token_roles().unk;
    let stays = |text: &&&str| {
        let ids = spell.encode(text);
        let silent = |id: &u32| Some(*id) == unknown || spell.tokenizer().is_special(*id);
        let lossy = text.trim().is_empty() || ids.iter().any(silent);
        lossy || spell.decode(&ids).is_ok_and(|back| back == **text || spell.encode(&back) == ids)
    };
    texts.len() - texts.iter().filter(stays).count()
}

/// Texts that have other tokens once the tokenizer was saved and opened again.
pub fn reload_mismatch(spell: &impl TokenText, texts: &[&str]) -> usize {
    let Ok(again) = Tokenizer::from_json(&spell.to_json()) else { return texts.len() };
    let whole =
        |tokenizer: &Tokenizer, text: &str| tokenizer.encode_for_model(text, None, &EncodeOptions::default()).ok();
    let same = |text: &&&str| {
        again.encode(text) == spell.encode(text) && whole(&again, text) == whole(spell.tokenizer(), text)
    };
    texts.len() - texts.iter().filter(same).count()
}

/// Texts that come otherwise token by token than at once.
pub fn streaming_mismatch(spell: &impl TokenText, texts: &[&str]) -> usize {
    let same = |text: &&&str| {
        let ids = spell.encode(text);
        matches!((spell.decode_streaming(&ids), spell.decode(&ids)), (Ok(streamed), Ok(whole)) if streamed == whole)
    };
    texts.len() - texts.iter().filter(same).count()
}

/// Texts whose tokens have wrong places: outside of the text, before that of the token before, or with characters in no
/// token's place that the tokens are of all the same: left out, they are others. Space may lie between them.
pub fn bad_offsets(spell: &impl TokenText, texts: &[&str]) -> usize {
    let right = |text: &&&str| {
        let Encoding { ids, offsets, .. } = spell.encode_with_offsets(text);
        let inside = offsets.iter().all(|place| place.start <= place.end && place.end <= text.len());
        // Of a token that is trimmed to nothing, the place may be anywhere around.
        let full: Vec<_> = offsets.iter().filter(|place| !place.is_empty()).collect();
        let ordered = full.windows(2).all(|pair| pair[0].start <= pair[1].start);
        inside && ordered && ids == spell.encode(text) && {
            let covered = covered_text(text, &offsets);
            covered == **text || spell.encode(&covered) == ids
        }
    };
    texts.len() - texts.iter().filter(right).count()
}

/// The text without the characters, other than space, that lie in no place.
fn covered_text(text: &str, places: &[std::ops::Range<usize>]) -> String {
    let mut there = vec![false; text.len()];
    places.iter().for_each(|place| there[place.clone()].fill(true));
    // An accent may have been joined to the letter before, whose place then stands for both.
    let accent = |c: char| matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}');
    let stays =
        |(at, c): &(usize, char)| c.is_whitespace() || accent(*c) || there[*at..*at + c.len_utf8()].contains(&true);
    text.char_indices().filter(stays).map(|(_, c)| c).collect()
}

/// What a conversation is, as a template gets it: roles and texts.
pub type ChatTurns<'a> = [(&'a str, &'a str)];

fn render(chat: &ChatTemplate, turns: &ChatTurns, options: &ChatTemplateOptions) -> Result<String, DataError> {
    let messages: Vec<_> = turns.iter().map(|(role, text)| chat_message(role, text)).collect();
    chat.render(&messages, options)
}

/// Special tokens in a rendered conversation that aren't single tokens, so that the model doesn't see what the template
/// means: those that the template's files name, and all of the form `<|…|>`.
///
/// # Errors
/// If the template renders no such conversation.
pub fn split_special_tokens(
    spell: &impl TokenText,
    chat: &ChatTemplate,
    turns: &ChatTurns,
    options: &ChatTemplateOptions,
) -> Result<Vec<String>, DataError> {
    let text = render(chat, turns, options)?;
    let named = chat.special_tokens().values().filter_map(|token| token.as_str()).filter(|token| text.contains(token));
    let bars = [("<|", "|>"), ("<｜", "｜>")].into_iter().flat_map(|(open, close)| {
        let token = move |rest: &str| Some(format!("{open}{}{close}", &rest[..rest.find(close)?]));
        text.split(open).skip(1).filter_map(token).collect::<Vec<_>>()
    });
    let mut split: Vec<String> = named.map(str::to_string).chain(bars).collect();
    split.sort_unstable();
    split.dedup();
    split.retain(|token| spell.encode(token).len() != 1);
    Ok(split)
}

/// Texts of a conversation that its tokens don't hold.
///
/// # Errors
/// If the template renders no such conversation.
pub fn lost_in_template(
    spell: &impl TokenText,
    chat: &ChatTemplate,
    turns: &ChatTurns,
    options: &ChatTemplateOptions,
) -> Result<usize, DataError> {
    let back = |text: &str| {
        let text = spell.decode(&spell.encode(text)).unwrap_or_default();
        // Where words begin is another matter in the middle of a text.
        text.split_whitespace().collect::<String>()
    };
    let whole = back(&render(chat, turns, options)?);
    Ok(turns.iter().filter(|(_, text)| !whole.contains(&back(text))).count())
}

/// Whether a conversation goes on from the tokens of its beginning, up to where an answer is asked for: only then can a
/// model go on from what it has read, and needn't read all of it anew for each answer.
///
/// # Errors
/// If the template renders no such conversation.
pub fn is_prefix_stable(
    spell: &impl TokenText,
    chat: &ChatTemplate,
    turns: &ChatTurns,
    options: &ChatTemplateOptions,
) -> Result<bool, DataError> {
    let asked = ChatTemplateOptions { add_generation_prompt: true, ..options.clone() };
    let answers = (0..turns.len()).filter(|turn| turns[*turn].0 == "assistant");
    let asked = answers.map(|turn| Ok(spell.encode(&render(chat, &turns[..turn], &asked)?)));
    let asked = asked.collect::<Result<Vec<_>, DataError>>()?;
    let whole = spell.encode(&render(chat, turns, options)?);
    Ok(asked.iter().all(|ids| whole.starts_with(ids)))
}
