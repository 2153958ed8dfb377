//! Whether two tokenizers say the same.

use crate::tokenizer::{EncodeOptions, Tokenizer};

/// Texts in which tokenizers are apart that differ at all: spaces of every kind, digits, capitals, accents in both
/// forms, signs, scripts without spaces, what is joined of several characters, control characters.
const PROBE_TEXTS: [&str; 16] = [
    "",
    " ",
    "a",
    "  Hello   World  ",
    "HELLO, World! it's they'RE I'll",
    "3.14159 1234567890 1,000 \u{bd} \u{664}",
    "caf\u{e9} cafe\u{301} na\u{ef}ve Stra\u{df}e \u{fb01}ne \u{212b}",
    "\u{ff26}\u{ff35}\u{ff2c}\u{ff2c} \u{2460} \u{337f}",
    "\u{6771}\u{4eac}\u{306f} \u{732b}\u{3002} \u{d55c}\u{ae00} \u{e44}\u{e17}\u{e22} \u{928}\u{92e}\u{938}",
    "\u{1f469}\u{200d}\u{1f469} \u{1f44d}\u{1f3fd} \u{1f600}\u{1f600}a\u{1f389}b",
    "def f(x):\n    return x**2  # y\n\n\tif x != None && y <= 3: {}[]()",
    "one\r\ntwo\rthree\n\n\nsix\t\ta",
    "zero\u{200b}width\u{200d}join\u{feff} soft\u{ad} \u{a0}nb\u{2003}em\u{3000}wide",
    "nul\u{0} bell\u{7}\u{1b}[0m",
    "$ ^ ` ~ | \\ '\" ...!!!???---___ <0x41> \u{2581} \u{120} ##",
    "supercalifragilisticexpialidocious\u{e9}\u{e9}\u{e9}\u{e9} wwwwwwwwwwwwwwww",
];

/// A text, or a token, of which the two make different things.
pub(super) fn first_difference(one: &Tokenizer, other: &Tokenizer) -> Option<String> {
    let ids = |tokenizer: &Tokenizer, text: &str| match one.is_kiln_trained() {
        // What Kiln trained takes names of special tokens for plain text and adds nothing.
        true => tokenizer.encode(text),
        false => tokenizer.encode_for_model(text, None, &EncodeOptions::default()).unwrap_or_default().ids,
    };
    let every = || 0..one.vocab_size() as u32;
    let differs = |text: &String| ids(one, text) != ids(other, text);
    let spelt = |id: u32| String::from_utf8(one.token_bytes(id).ok()?.to_vec()).ok();
    let mut texts = PROBE_TEXTS.iter().map(|text| (*text).to_owned()).chain(every().filter_map(spelt));
    let apart = texts.find(differs);
    if one.is_kiln_trained() {
        return apart;
    }
    let within =
        || every().filter(|id| one.is_special(*id)).map(|id| format!("x{}y", one.id_to_token(id))).find(differs);
    let named = || every().find(|id| one.id_to_token(*id) != other.id_to_token(*id)).map(|id| one.id_to_token(id));
    apart.or_else(within).or_else(named)
}
