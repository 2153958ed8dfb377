//! Tokenizer checks on tokenizers of every kind, and on tokenizers with deliberate faults.

use kiln_data::{ChatTemplate, ChatTemplateOptions, DataError, Encoding, Tokenizer, TokenizerConfig};
use kiln_infer::tokenizer_checks::{
    TokenText, bad_offsets, is_prefix_stable, lost_in_template, reload_mismatch, roundtrip_mismatch,
    split_special_tokens, streaming_mismatch,
};
use serde_json::Value;
use std::path::Path;

fn fixture(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kiln-data/fixtures");
    serde_json::from_slice(&std::fs::read(folder.join(name)).expect("a fixture")).expect("JSON")
}

/// Hugging Face tokenizers, some of which normalize texts.
const HF_TOKENIZERS: [&str; 8] =
    ["byte_level", "llama3", "roberta", "wordpiece_cased", "wordpiece_uncased", "unigram", "clip", "characters"];

fn hf_tokenizer(name: &str) -> Tokenizer {
    let json = fixture(&format!("tokenizers/{name}.cases.json"))["tokenizer"].to_string();
    Tokenizer::from_json(&json).expect(name)
}

fn kiln_tokenizer() -> Tokenizer {
    Tokenizer::train(&TokenizerConfig::default(), ["Anna sah öfter Bäume. 🌳 hello hello"].map(Ok))
        .expect("a tokenizer")
}

#[test]
fn every_tokenizer_passes_all_checks() {
    let file = fixture("tokenizers/texts.json");
    let hard: Vec<&str> = file.as_array().expect("texts").iter().filter_map(Value::as_str).collect();
    assert!(hard.len() >= 40);
    let all = HF_TOKENIZERS.iter().map(|name| (*name, hf_tokenizer(name))).chain([("own", kiln_tokenizer())]);
    let mut wrong = Vec::new();
    for (name, tokenizer) in all {
        for text in &hard {
            let text = std::slice::from_ref(text);
            let found = [
                roundtrip_mismatch(&tokenizer, text),
                reload_mismatch(&tokenizer, text),
                streaming_mismatch(&tokenizer, text),
                bad_offsets(&tokenizer, text),
            ];
            if found != [0; 4] {
                wrong.push(format!("{name}: {text:?} {found:?} {:?}", tokenizer.encode_with_offsets(text[0]).tokens));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Tokenizer with a deliberate fault.
struct BrokenTokenizer(Tokenizer, Fault);

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    DecodeSkipsToken,
    SaveOther,
    StreamTokensAlone,
    ShiftOffset,
    EmptyOffset,
    OffsetPastEnd,
}

impl TokenText for BrokenTokenizer {
    fn tokenizer(&self) -> &Tokenizer {
        &self.0
    }

    fn encode_with_offsets(&self, text: &str) -> Encoding {
        let mut found = self.0.encode_with_offsets(text);
        let last = found.offsets.len() - 1;
        match self.1 {
            Fault::ShiftOffset => found.offsets[last] = 0..1,
            Fault::EmptyOffset => found.offsets[last] = text.len()..text.len(),
            Fault::OffsetPastEnd => found.offsets[last].end += 1,
            _ => {}
        }
        found
    }

    fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        self.0.decode(&ids[usize::from(self.1 == Fault::DecodeSkipsToken)..])
    }

    fn decode_streaming(&self, ids: &[u32]) -> Result<String, DataError> {
        // Decodes every token separately.
        let one = |id: &u32| self.0.decode(std::slice::from_ref(id));
        match self.1 {
            Fault::StreamTokensAlone => ids.iter().map(one).collect(),
            _ => self.0.decode_streaming(ids),
        }
    }

    fn to_json(&self) -> String {
        if self.1 == Fault::SaveOther {
            hf_tokenizer("wordpiece_cased").to_json().into()
        } else {
            self.0.to_json().into()
        }
    }
}

#[test]
fn every_fault_is_counted() {
    let texts = ["Hello there, Ann", "🌳 and Bäume öfter"];
    for (fault, found) in [
        (Fault::DecodeSkipsToken, [2, 0, 2, 0]),
        (Fault::SaveOther, [0, 2, 0, 0]),
        (Fault::StreamTokensAlone, [0, 0, 1, 0]),
        (Fault::ShiftOffset, [0, 0, 0, 2]),
        (Fault::EmptyOffset, [0, 0, 0, 2]),
        (Fault::OffsetPastEnd, [0, 0, 0, 2]),
    ] {
        let broken = BrokenTokenizer(hf_tokenizer("byte_level"), fault);
        let counted = [
            roundtrip_mismatch(&broken, &texts),
            reload_mismatch(&broken, &texts),
            streaming_mismatch(&broken, &texts),
            bad_offsets(&broken, &texts),
        ];
        assert_eq!(counted, found, "{}", fault as u8);
    }
}

const TURNS: [(&str, &str); 4] =
    [("user", "Hello there"), ("assistant", "Good day, Ann"), ("user", "What is 2 + 3?"), ("assistant", "It is 5.")];

fn chat(template: &str) -> ChatTemplate {
    let config = serde_json::json!({ "chat_template": template, "eos_token": "</s>" });
    ChatTemplate::from_config(&config, false).expect("a template").expect("one")
}

#[test]
fn conversations_round_trip_and_are_prefix_stable() {
    let options = ChatTemplateOptions::default();
    let plain = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
    for name in HF_TOKENIZERS {
        let (tokenizer, chat) = (hf_tokenizer(name), chat(plain));
        assert_eq!(split_special_tokens(&tokenizer, &chat, &TURNS, &options).expect("rendered"), [""; 0]);
        assert_eq!(lost_in_template(&tokenizer, &chat, &TURNS, &options).expect("rendered"), 0, "{name}");
    }
    let tokenizer = hf_tokenizer("byte_level");
    let lines = plain.replace("assistant: ", "assistant:");
    assert!(is_prefix_stable(&tokenizer, &chat(&lines), &TURNS, &options).expect("rendered"));
    // A template that renders the number of messages changes earlier text with each turn.
    let counted = lines.replace("{% for", "{{ messages | length }}{% for");
    assert!(!is_prefix_stable(&tokenizer, &chat(&counted), &TURNS, &options).expect("rendered"));
}

#[test]
fn texts_lost_in_a_template_are_counted() {
    let (tokenizer, options) = (hf_tokenizer("byte_level"), ChatTemplateOptions::default());
    let lost = |template: &str| lost_in_template(&tokenizer, &chat(template), &TURNS, &options);
    assert_eq!(lost("{{ messages[0].content }} {{ messages[1].content | upper }}").expect("rendered"), 3);
    assert!(lost("{{ raise_exception('no') }}").expect_err("refused").to_string().contains("no"));
    // Special tokens that the tokenizer does not know are text to the model.
    let marks = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}";
    let found = split_special_tokens(&tokenizer, &chat(marks), &TURNS, &options).expect("rendered");
    assert_eq!(found, ["</s>", "<|assistant|>", "<|user|>"]);
    let mut known = fixture("tokenizers/byte_level.cases.json")["tokenizer"].take();
    for (mark, id) in ["</s>", "<|assistant|>", "<|user|>"].into_iter().zip(90_000..) {
        let token = serde_json::json!({ "id": id, "content": mark, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false });
        known["added_tokens"].as_array_mut().expect("a list").push(token);
    }
    let ids = known["model"]["vocab"].as_object().expect("tokens").len();
    for (token, id) in known["added_tokens"].as_array_mut().expect("a list").iter_mut().rev().take(3).rev().zip(ids..) {
        token["id"] = id.into();
    }
    let known = Tokenizer::from_json(&known.to_string()).expect("a tokenizer");
    assert_eq!(split_special_tokens(&known, &chat(marks), &TURNS, &options).expect("rendered"), [""; 0]);
}
