//! What every tokenizer promises.

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

/// The same file, read by the library whose format it is; special tokens are plain text to it, too.
fn peers() -> &'static [tokenizers::Tokenizer] {
    static PEERS: LazyLock<Vec<tokenizers::Tokenizer>> = LazyLock::new(|| {
        let read = |tokenizer: &Tokenizer| {
            let mut peer = tokenizers::Tokenizer::from_str(tokenizer.to_json()).unwrap();
            peer.set_encode_special_tokens(true);
            peer
        };
        all().iter().map(read).collect()
    });
    &PEERS
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
    fn every_text_comes_back_unchanged_and_holds_no_special_token(text in any_text()) {
        for tokenizer in all() {
            let ids = tokenizer.encode(&text);
            prop_assert!(ids.iter().all(|id| !tokenizer.is_special(*id)));
            prop_assert_eq!(tokenizer.decode(&ids).unwrap(), text.as_str());
        }
    }

    #[test]
    fn the_tokenizers_library_reads_the_same_from_the_file(text in any_text()) {
        for (tokenizer, peer) in all().iter().zip(peers()) {
            let ids = tokenizer.encode(&text);
            let theirs = peer.encode(text.as_str(), false).unwrap();
            prop_assert_eq!(&ids[..], theirs.get_ids());
            prop_assert_eq!(peer.decode(&ids, true).unwrap(), text.as_str());
        }
    }

    #[test]
    fn offsets_cover_the_text_in_order(text in any_text()) {
        for tokenizer in all() {
            let encoding = tokenizer.encode_with_offsets(&text);
            let mut end = 0;
            for (id, offset) in encoding.ids.iter().zip(&encoding.offsets) {
                prop_assert_eq!(offset.start, end);
                prop_assert_eq!(&text.as_bytes()[offset.clone()], tokenizer.token_bytes(*id).unwrap());
                end = offset.end;
            }
            prop_assert_eq!(end, text.len());
        }
    }

    #[test]
    fn decoding_token_by_token_is_decoding_at_once(draws in prop::collection::vec(any::<u32>(), 0..60)) {
        for tokenizer in all() {
            let ids: Vec<u32> = draws.iter().map(|draw| draw % tokenizer.vocab_size() as u32).collect();
            let mut stream = StreamDecoder::new(tokenizer);
            let pushed: String = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
            prop_assert_eq!(pushed + &stream.finish(), tokenizer.decode(&ids).unwrap());
        }
    }

    #[test]
    fn a_stream_shows_whole_characters_as_soon_as_they_are_there(text in any_text()) {
        for tokenizer in all() {
            let (mut stream, mut bytes, mut shown) = (StreamDecoder::new(tokenizer), 0, String::new());
            for id in tokenizer.encode(&text) {
                bytes += tokenizer.token_bytes(id).unwrap().len();
                shown += &stream.push(id).unwrap();
                prop_assert_eq!(shown.as_str(), &text[..text.floor_char_boundary(bytes)]);
            }
        }
    }
}

#[test]
fn training_again_gives_the_same_file_and_reading_it_the_same_tokenizer() {
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
fn words_begin_where_the_tokenizer_cuts_them() {
    for tokenizer in all() {
        let bos = tokenizer.special_tokens().bos;
        for text in ["The cat's 42 hats—\n\n  naïve 猫が!", "x", "  y", "é"] {
            let ids = [vec![bos], tokenizer.encode(text), vec![bos]].concat();
            let starts = tokenizer.vocabulary().word_starts(&ids);
            let mut found: Vec<Vec<u8>> = Vec::new();
            for (id, start) in ids.iter().zip(&starts).filter(|(id, _)| !tokenizer.is_special(**id)) {
                if *start {
                    found.push(Vec::new());
                }
                found.last_mut().unwrap().extend_from_slice(tokenizer.token_bytes(*id).unwrap());
            }
            assert_eq!(
                found,
                pre_tokenizer::split_words(text).map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>()
            );
            assert!(starts[0] && starts[starts.len() - 1]);
        }
    }
}

#[test]
fn a_piece_that_begins_and_ends_within_a_character_has_words() {
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
fn all_reserve_the_same_first_ids() {
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
fn a_learned_vocabulary_spells_shorter_and_characters_are_one_token() {
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
fn damaged_files_are_refused_and_never_panic() {
    let whole = all()[2].to_json();
    let merge = serde_json::from_str::<serde_json::Value>(whole).unwrap()["model"]["merges"][0][0].to_string();
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
        assert!(whole.contains(from), "{from}");
        assert_eq!(Tokenizer::from_json(&whole.replace(from, to)).unwrap_err().kind(), kind, "{from}");
    }
    for end in (0..whole.len()).step_by(97) {
        assert!(Tokenizer::from_json(&whole[..whole.floor_char_boundary(end)]).is_err());
    }
}

#[test]
fn wrong_numbers_are_refused() {
    for vocab in [0, 296, usize::MAX] {
        let config = TokenizerConfig::Bpe(VocabConfig { vocab });
        assert_eq!(Tokenizer::train(&config, [Ok("text")]).unwrap_err().kind(), "config");
    }
    let tokenizer = &all()[0];
    assert_eq!(tokenizer.decode(&[297]).unwrap_err(), DataError::TokenId { token_id: 297, vocab_size: 297 });
    assert_eq!(tokenizer.id_to_token(297), "<297>");
}
