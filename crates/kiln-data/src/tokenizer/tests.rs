//! Properties of the tokenizers that Kiln trains.

use super::*;
use kiln_spec::config::NoOptions;
use proptest::prelude::*;
use std::str::FromStr;
use std::sync::LazyLock;

const TEXT: &str = "The cat sat on the mat. The hat was on the cat, and the cat's hat sat there; naïve cafés — 猫が好き。\n\n\
    Then the other cat, 42 years old, said: \"that is the hat that I had!\"  <pad> <pad> <pad> <eos>";

fn all() -> &'static [Tokenizer; 3] {
    static ALL: LazyLock<[Tokenizer; 3]> = LazyLock::new(|| {
        let size = VocabConfig { vocab: 330 };
        let configs =
            [TokenizerConfig::Byte(NoOptions {}), TokenizerConfig::Character(size.clone()), TokenizerConfig::Bpe(size)];
        configs.map(|config| Tokenizer::train(&config, [TEXT; 4].map(Ok)).unwrap())
    });
    &ALL
}

/// The same files in the `tokenizers` library, with special tokens as plain text.
fn references() -> &'static [tokenizers::Tokenizer] {
    static REFERENCES: LazyLock<Vec<tokenizers::Tokenizer>> = LazyLock::new(|| {
        let mut references = Vec::new();
        for tokenizer in all() {
            let mut reference = tokenizers::Tokenizer::from_str(tokenizer.to_json()).unwrap();
            reference.set_encode_special_tokens(true);
            references.push(reference);
        }
        references
    });
    &REFERENCES
}

fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[a-zA-Z' .,]{0,20}",
        "\\PC{0,10}",
        "[ \n\t\r]{0,5}",
        "<(pad|eos|0x41|mask|sentinel_3)>",
        any::<String>()
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn encoding_is_lossless_and_gives_no_special_tokens(text in any_text()) {
        for tokenizer in all() {
            let ids = tokenizer.encode(&text);
            prop_assert!(ids.iter().all(|id| !tokenizer.is_special(*id)));
            prop_assert_eq!(tokenizer.decode(&ids).unwrap(), text.as_str());
        }
    }

    #[test]
    fn ids_equal_those_of_the_tokenizers_library(text in any_text()) {
        for (tokenizer, reference) in all().iter().zip(references()) {
            let ids = tokenizer.encode(&text);
            let encoding = reference.encode(text.as_str(), false).unwrap();
            prop_assert_eq!(&ids[..], encoding.get_ids());
            prop_assert_eq!(reference.decode(&ids, true).unwrap(), text.as_str());
        }
    }

    #[test]
    fn offsets_cover_the_text_in_order(text in any_text()) {
        for tokenizer in all() {
            let encoding = tokenizer.encode_with_offsets(&text);
            let mut end = 0;
            for (id, offset) in encoding.ids.iter().zip(&encoding.offsets) {
                prop_assert_eq!(offset.start, end);
                prop_assert_eq!(&text.as_bytes()[offset.clone()], tokenizer.token_bytes(*id));
                end = offset.end;
            }
            prop_assert_eq!(end, text.len());
        }
    }

    #[test]
    fn streamed_text_equals_the_decoded_text(draws in prop::collection::vec(any::<u32>(), 0..60)) {
        for tokenizer in all() {
            let ids: Vec<u32> = draws.iter().map(|draw| draw % tokenizer.vocab_size() as u32).collect();
            let mut stream = StreamDecoder::new(tokenizer);
            let pushed: String = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
            prop_assert_eq!(pushed + &stream.finish(), tokenizer.decode(&ids).unwrap());
        }
    }

    #[test]
    fn a_stream_returns_characters_once_they_are_complete(text in any_text()) {
        for tokenizer in all() {
            let mut stream = StreamDecoder::new(tokenizer);
            let mut num_bytes = 0;
            let mut streamed = String::new();
            for id in tokenizer.encode(&text) {
                num_bytes += tokenizer.token_bytes(id).len();
                streamed += &stream.push(id).unwrap();
                prop_assert_eq!(streamed.as_str(), &text[..text.floor_char_boundary(num_bytes)]);
            }
        }
    }
}

#[test]
fn training_and_loading_are_deterministic() {
    let config = TokenizerConfig::Bpe(VocabConfig { vocab: 330 });
    for _ in 0..5 {
        assert_eq!(Tokenizer::train(&config, [TEXT; 4].map(Ok)).unwrap().fingerprint(), all()[2].fingerprint());
    }
    for tokenizer in all() {
        let again = Tokenizer::from_json(tokenizer.to_json()).unwrap();
        assert_eq!((again.encode(TEXT), again.fingerprint()), (tokenizer.encode(TEXT), tokenizer.fingerprint()));
        let written = tokenizers::Tokenizer::from_str(tokenizer.to_json()).unwrap().to_string(true).unwrap();
        assert_eq!(written, tokenizer.to_json());
    }
}

#[test]
fn word_starts_are_those_of_the_pre_tokenizer() {
    for tokenizer in all() {
        let bos = tokenizer.special_tokens().bos;
        for text in ["The cat's 42 hats—\n\n  naïve 猫が!", "x", "  y", "é"] {
            let ids = [vec![bos], tokenizer.encode(text), vec![bos]].concat();
            let starts = tokenizer.vocabulary().word_starts(&ids);
            let mut words: Vec<Vec<u8>> = Vec::new();
            for (id, start) in ids.iter().zip(&starts).filter(|(id, _)| !tokenizer.is_special(**id)) {
                if *start {
                    words.push(Vec::new());
                }
                words.last_mut().unwrap().extend_from_slice(tokenizer.token_bytes(*id));
            }
            let expected: Vec<Vec<u8>> =
                pre_tokenizer::split_words(text).map(|word| word.as_bytes().to_vec()).collect();
            assert_eq!(words, expected);
            assert!(starts[0] && starts[starts.len() - 1]);
        }
    }
}

#[test]
fn word_starts_accept_ids_that_split_characters() {
    let byte = &all()[0];
    let ids = byte.encode("né 猫 ok");
    for (from, to) in [(2, ids.len()), (0, 5), (1, 6)] {
        let starts = byte.vocabulary().word_starts(&ids[from..to]);
        assert_eq!(starts.len(), to - from);
        assert!(starts[0]);
    }
    assert_eq!(all().each_ref().map(|tokenizer| tokenizer.vocabulary().has_leading_spaces()), [false, false, true]);
}

#[test]
fn special_tokens_have_the_same_ids_everywhere() {
    for tokenizer in all() {
        assert_eq!(tokenizer.special_tokens(), all()[0].special_tokens());
        assert_eq!((tokenizer.special_tokens().pad, tokenizer.special_tokens().mask), (0, 3));
        let names: Vec<String> = (0..SpecialTokens::count() as u32).map(|id| tokenizer.id_to_token(id)).collect();
        assert_eq!(names, SpecialTokens::names());
        assert!(!tokenizer.is_special(SpecialTokens::count() as u32));
    }
    assert_eq!(all().each_ref().map(Tokenizer::vocab_size), [297, 330, 330]);
}

#[test]
fn bpe_is_shorter_than_bytes_and_characters_are_one_token() {
    let [byte, character, bpe] = all();
    assert_eq!(byte.encode(TEXT).len(), TEXT.len());
    assert!(bpe.encode(TEXT).len() < TEXT.len() * 2 / 3);
    assert_eq!(character.encode("cat the hat").len(), 11);
    assert_eq!(character.encode("\u{1F600}").len(), 4);
    assert_eq!(bpe.id_to_token(bpe.encode(" the")[0]), " the");
    assert_eq!(byte.id_to_token(byte.encode("é")[0]), "<0xC3>");
    assert_eq!(byte.id_to_token(byte.encode("\n")[0]), "\\n");
}

#[test]
fn damaged_files_are_rejected_and_never_panic() {
    let json = all()[2].to_json();
    let merge = serde_json::from_str::<serde_json::Value>(json).unwrap()["model"]["merges"][0][0].to_string();
    let damage: [(&str, &str, &str); 7] = [
        ("\"<eos>\"", "\"<end>\"", "special-tokens"),
        ("\"version\"", "\"version", "tokenizer"),
        ("\"type\": \"BPE\"", "\"type\": \"WordPiece\"", "tokenizer"),
        ("\"dropout\": null", "\"dropout\": 0.5", "tokenizer"),
        ("\"normalizer\": null", "\"normalizer\": {\"type\": \"Lowercase\"}", "tokenizer"),
        (&format!("{merge},"), "\"never seen\",", "tokenizer"),
        ("\"!\": 74", "\"!\": 73", "tokenizer"),
    ];
    for (from, to, kind) in damage {
        assert!(json.contains(from), "{from}");
        assert_eq!(Tokenizer::from_json(&json.replace(from, to)).unwrap_err().kind(), kind, "{from}");
    }
    for end in (0..json.len()).step_by(97) {
        assert!(Tokenizer::from_json(&json[..json.floor_char_boundary(end)]).is_err());
    }
}

#[test]
fn numbers_out_of_range_are_rejected() {
    for vocab in [0, 296, usize::MAX] {
        let config = TokenizerConfig::Bpe(VocabConfig { vocab });
        assert_eq!(Tokenizer::train(&config, [Ok("text")]).unwrap_err().kind(), "config");
    }
    let tokenizer = &all()[0];
    assert_eq!(tokenizer.decode(&[297, u32::MAX]).unwrap(), "", "an id without a token has no text");
    assert!(tokenizer.has_token(296) && !tokenizer.has_token(297));
    assert_eq!(tokenizer.id_to_token(297), "<297>");
}

/// A text that writes the token that begins a text, as `<s>`, gets no second one. Other texts are encoded as before.
#[test]
fn a_text_that_begins_with_bos_gets_no_second_one() {
    for (name, bos) in [("roberta", "<s>"), ("wordpiece_cased", "[CLS]"), ("llama3", "<|endoftext|>")] {
        let tokenizer = fixtures::find(name);
        let special = tokenizer.special_tokens();
        let ids = |text: &str, truncation| {
            let options = EncodeOptions { truncation, ..EncodeOptions::default() };
            tokenizer.encode_input(text, &options).unwrap()
        };
        let without = ids("the fox", None);
        let written = ids(&format!("{bos}the fox"), None);
        assert_eq!(written.ids[0], special.bos, "{name}");
        assert_eq!(written.ids.iter().filter(|id| **id == special.bos).count(), 1, "{name}: {:?}", written.tokens);
        assert_eq!(written.offsets[0], 0..bos.len(), "{name}");
        assert_eq!(tokenizer.encode_input("the fox", &EncodeOptions::default()).unwrap(), without);
        assert_eq!(without.ids, fixtures::encode(tokenizer, "the fox").ids);
        // A second token that the text itself repeats stays.
        let twice = ids(&format!("{bos}{bos}x"), None);
        assert_eq!(twice.ids.iter().filter(|id| **id == special.bos).count(), 2, "{name}");
        let cut = ids(&format!("{bos}the quick brown fox"), Some((5, TextSide::Right)));
        assert_eq!((cut.ids.len(), cut.attention_mask.len()), (5, 5), "{name}");
        assert_eq!(tokenizer.encode_prompt(7, &format!("{bos}the"))[..1], [special.bos], "{name}");
        assert_ne!(tokenizer.encode_prompt(7, &format!("{bos}the"))[1], special.bos, "{name}");
    }
}

/// `▁fox` is `fox` at the beginning of a text, and ` fox` behind another word.
#[test]
fn a_continuation_keeps_its_space() {
    for name in ["spm_bpe", "spm_unigram", "unigram", "wordpiece_cased"] {
        let tokenizer = fixtures::find(name);
        let [prompt, whole] = ["the quick", "the quick fox"].map(|text| tokenizer.encode(text));
        let rest = whole.strip_prefix(&prompt[..]).unwrap();
        assert_eq!(tokenizer.decode_continuation(&prompt, rest).unwrap(), " fox", "{name}");
        assert_eq!(tokenizer.decode(rest).unwrap(), "fox", "{name}");
        let unassigned = [rest, &[1_000_000]].concat();
        assert_eq!(tokenizer.decode_continuation(&prompt, &unassigned).unwrap(), " fox", "{name}");
        assert_eq!(tokenizer.decode_continuation(&[], &whole).unwrap(), "the quick fox", "{name}");
    }
    // A character that the first part leaves incomplete is returned whole.
    let byte = &all()[0];
    let ids = byte.encode("é!");
    assert_eq!(byte.decode_continuation(&ids[..1], &ids[1..]).unwrap(), "é!");
    let spm = fixtures::find("spm_bpe");
    let ids = spm.encode("a龘b");
    let at = ids.len() - 2;
    assert_eq!(spm.decode_continuation(&ids[..at], &ids[at..]).unwrap(), "龘b");
}

/// Training and evaluation read a document as `generate` and `embed` read a text.
#[test]
fn documents_of_a_corpus_begin_with_one_bos() {
    let tokenizer = fixtures::find("roberta");
    let document =
        |i: usize| format!("{}fox {i} jumps over the lazy dog", if i.is_multiple_of(2) { "<s>" } else { "" });
    let source: Vec<String> = (0..40).map(document).collect();
    let split = crate::ValidationSplit::unsplit(crate::Subset::Validation);
    let space = crate::DiskSpace::in_memory();
    let corpus = crate::Corpus::build(&source, &split, tokenizer, &space, |_, _| ()).unwrap();
    let mut documents: Vec<Vec<u32>> = (0..40).map(|i| corpus.validation.document_tokens(i).unwrap()).collect();
    let mut expected: Vec<Vec<u32>> =
        source.iter().map(|text| tokenizer.encode_input(text, &EncodeOptions::default()).unwrap().ids).collect();
    assert!(documents.iter().all(|ids| ids[0] != ids[1] && ids[0] == tokenizer.special_tokens().bos));
    documents.sort();
    expected.sort();
    assert_eq!(documents, expected);
}
