//! Loaded models: generation, attention, patches, variants.

use crate::page::{Page, RECIPE};
use kiln_infer::block_on;
use kiln_web::{Array, Call};
use serde_json::{Value, json};

const TEXT: &str = "Mia had a red kite.";

/// A page with a trained model, and its id.
fn page_with_model() -> (Page, Value) {
    let page = Page::new();
    let run = page.train();
    let model = page.call("load", json!({ "run": run, "checkpoint": "last" }));
    assert_eq!((&model["name"], &model["generates"], &model["chat"]), (&json!("tiny@12"), &json!(true), &json!(false)));
    let id = model["model"].clone();
    (page, id)
}

#[test]
fn a_text_is_generated_token_by_token() {
    let (page, model) = page_with_model();
    let options = json!({ "max_new_tokens": 12, "temperature": 0.8, "top_k": 20, "seed": 5 });
    let arguments = json!({ "model": model, "prompt": "Mia", "options": options, "alternatives": 3 });
    let call = Call { id: 77, ..Call::new("generate", arguments.clone()) };
    let answer = block_on(page.session.call(call)).unwrap().value;
    let tokens = page.events("token");
    assert!(tokens.iter().all(|event| event["request"] == 77));
    let text: String = tokens.iter().map(|event| event["token"]["text"].as_str().unwrap()).collect();
    assert_eq!(answer["text"], text);
    assert_eq!(page.call("generate", arguments)["ids"], answer["ids"]);
    assert_eq!(answer["prompt_tokens"], 4);
    let new: Vec<&Value> = tokens.iter().map(|event| &event["token"]).filter(|token| !token["id"].is_null()).collect();
    assert_eq!(new.iter().map(|token| token["id"].clone()).collect::<Vec<_>>(), *answer["ids"].as_array().unwrap());
    for token in new {
        let probabilities: Vec<f64> = token["alternatives"]
            .as_array()
            .unwrap()
            .iter()
            .map(|other| other["probability"].as_f64().unwrap())
            .collect();
        assert!(probabilities.len() == 3 && probabilities.is_sorted_by(|a, b| a >= b), "{token}");
        let probability = token["probability"].as_f64().unwrap();
        assert!(probability > 0.0 && probability <= probabilities[0] + 1e-9, "{token}");
    }
    let other = json!({ "max_new_tokens": 12, "temperature": 0.8, "seed": 6 });
    assert_ne!(
        page.call("generate", json!({ "model": model, "prompt": "Mia", "options": other }))["ids"],
        answer["ids"]
    );
}

#[test]
fn options_are_checked() {
    let (page, model) = page_with_model();
    for (options, place) in [
        (json!({ "temperature": -1 }), "options.temperature"),
        (json!({ "temperature": "hot" }), "options.temperature"),
        (json!({ "seed": -3 }), "options.seed"),
        (json!({ "num_beams": 4 }), "options"),
    ] {
        let error = page.refusal("generate", json!({ "model": model, "prompt": "a", "options": options }));
        assert_eq!((error.kind, error.location.as_deref()), ("usage", Some(place)), "{error:?}");
    }
    let messages = json!([{ "role": "user", "content": "Hello" }]);
    assert_eq!(
        page.refusal("generate", json!({ "model": model, "messages": messages })).location.as_deref(),
        Some("messages")
    );
}

#[test]
fn models_are_listed_and_unloaded() {
    let (page, model) = page_with_model();
    assert_eq!(page.call("models", json!({}))["models"][0]["model"], model);
    page.call("unload", json!({ "model": model }));
    assert_eq!(page.call("models", json!({})), json!({ "models": [] }));
    assert_eq!(page.refusal("inspect", json!({ "model": model, "text": "a" })).kind, "not-loaded");
}

#[test]
fn attention_and_logit_lens_of_a_text() {
    let (page, model) = page_with_model();
    let inside = page.call("inspect", json!({ "model": model, "text": TEXT }));
    let count = inside["tokens"].as_array().unwrap().len();
    assert_eq!(count, TEXT.len() + 1);
    let layer = json!({ "layer": "blocks.0.attention", "heads": 2, "queries": count, "keys": count });
    assert_eq!(inside["attention"][0], layer);
    assert_eq!(inside["lens"].as_array().unwrap().len(), 3);
    assert_eq!(inside["lens"][2]["top"].as_array().unwrap().len(), count);
    let probes = inside["probes"].as_array().unwrap();
    for path in ["embedding", "blocks.1.residual", "blocks.0.attention.out", "blocks.1.feed_forward.out"] {
        assert!(probes.contains(&json!(path)), "{path} is not in {probes:?}");
    }
    for head in 0..2 {
        let arguments = json!({ "model": model, "text": TEXT, "layer": "blocks.1.attention", "head": head });
        let answer = page.answer("attention", arguments);
        let (_, Array::Floats(weights)) = &answer.arrays[0] else { panic!("{answer:?}") };
        for (query, row) in weights.chunks(count).enumerate() {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            assert!(row[query + 1..].iter().all(|weight| *weight == 0.0));
        }
    }
    let arguments = json!({ "model": model, "text": TEXT, "layer": "blocks.1.attention", "head": 2 });
    assert_eq!(page.refusal("attention", arguments).location.as_deref(), Some("layer"));
    let long = "word ".repeat(40);
    assert_eq!(page.refusal("inspect", json!({ "model": model, "text": long })).location.as_deref(), Some("text"));
}

#[test]
fn a_patch_of_all_that_the_last_token_reads_gives_the_other_text() {
    let (page, model) = page_with_model();
    let source = "Tom had a big kite!";
    let texts = json!({ "model": model, "text": TEXT, "source_text": source });
    let with = |path: &str, position: usize| {
        let mut arguments = texts.clone();
        arguments["path"] = path.into();
        arguments["position"] = position.into();
        page.call("patch", arguments)
    };
    // The last block's stream at the last token decides alone.
    let last = TEXT.len();
    let patched = with("blocks.1.residual", last);
    let itself = page.call(
        "patch",
        json!({ "model": model, "text": source, "source_text": source, "path": "embedding", "position": 0 }),
    );
    assert_eq!(patched["after"], itself["before"]);
    assert_eq!(itself["kl"].as_f64(), Some(0.0));
    assert!(patched["kl"].as_f64().unwrap() > 0.0);
    // Positions after the last block's attention that the last token does not read change nothing.
    assert_eq!(with("blocks.1.residual", 3)["kl"].as_f64(), Some(0.0));

    // A patch with a small effect: a letter is listed before and after it.
    let small = with("blocks.0.residual", 3);
    let listed = |list: &str| small[list].as_array().unwrap().clone();
    let probability = |token: &Value| token["probability"].as_f64().unwrap();
    let is_letter = |token: &Value| token["text"].as_str().is_some_and(|text| text.len() == 1);
    let (before, after) = listed("before")
        .into_iter()
        .filter(is_letter)
        .find_map(|token| Some((token.clone(), listed("after").into_iter().find(|other| other["id"] == token["id"])?)))
        .unwrap();
    let mut arguments = texts.clone();
    arguments["answer"] = before["text"].clone();
    let map = page.answer("patch_map", arguments);
    let (_, Array::Floats(values)) = &map.arrays[0] else { panic!("{map:?}") };
    assert_eq!(map.value["paths"], json!(["embedding", "blocks.0.residual", "blocks.1.residual"]));
    assert_eq!(map.value["answer"]["id"], before["id"]);
    let count = last + 1;
    assert_eq!(values.len(), 3 * count);
    assert!(values[2 * count..3 * count - 1].iter().all(|value| value.abs() < 1e-6), "{values:?}");
    let change = probability(&after).ln() - probability(&before).ln();
    assert!((f64::from(values[count + 3]) - change).abs() < 1e-5, "{change} {values:?}");
    // The same token is the same activation of the embedding: nothing changes where the texts agree.
    assert!(values[TEXT.find("had").unwrap() + 1].abs() < 1e-6);
}

#[test]
fn texts_of_other_lengths_and_unknown_paths_are_refused() {
    let (page, model) = page_with_model();
    let refusal = |source: &str, path: &str, position: usize| {
        let arguments =
            json!({ "model": model, "text": TEXT, "source_text": source, "path": path, "position": position });
        page.refusal("patch", arguments).location.unwrap_or_default()
    };
    assert_eq!(refusal("short", "embedding", 0), "source_text");
    assert_eq!(refusal(TEXT, "blocks.9.residual", 0), "path");
    assert_eq!(refusal(TEXT, "embedding", 20), "position");
}

#[test]
fn a_variant_keeps_the_weights_that_fit() {
    let (page, model) = page_with_model();
    let window = "model.blocks.*.sublayers.0.parts.0.attention.pattern={ window = { before = 1, after = 0 } }";
    let variant = page.call("variant", json!({ "model": model, "set": [window], "name": "window" }));
    assert_eq!((&variant["name"], &variant["new"]), (&json!("window"), &json!([])));
    let arguments = json!({ "model": variant["model"], "text": TEXT, "layer": "blocks.0.attention", "head": 0 });
    let (_, Array::Floats(weights)) = &page.answer("attention", arguments).arrays[0].clone() else { panic!() };
    assert!(weights[5 * 20..5 * 20 + 4].iter().all(|weight| *weight == 0.0));

    let wider = page.call("variant", json!({ "model": model, "set": ["model.position=\"learned\""], "name": "" }));
    let new = wider["new"].as_array().unwrap();
    assert!(!new.is_empty() && new.iter().all(|name| name.as_str().unwrap().starts_with("position")), "{new:?}");
    assert!(wider["kept"].as_u64() > Some(10));
    let text =
        page.call("generate", json!({ "model": wider["model"], "prompt": "a", "options": { "max_new_tokens": 2 } }));
    assert!(!text["ids"].as_array().unwrap().is_empty());

    let error = page.refusal("variant", json!({ "model": model, "set": ["model.hiden=9"] }));
    assert!(error.message.contains("hiden") && error.help.is_some(), "{error:?}");
    let vocab = page.refusal("variant", json!({ "model": model, "set": ["model.vocab=9"] }));
    assert_eq!(vocab.location.as_deref(), Some("model.vocab"));
}

#[test]
fn a_masked_model_fills_in_blanks() {
    let page = Page::new();
    let run = page.call("train", json!({ "toml": RECIPE, "set": ["stages.0.objective=masked", "stages.0.steps=2"] }));
    let model = page.call("load", json!({ "run": run["run"] }));
    assert_eq!((&model["generates"], &model["infills"]), (&json!(false), &json!(true)));
    let filled = page.call("generate", json!({ "model": model["model"], "prompt": "Mia had a ___ kite." }));
    assert_eq!(filled["blanks"].as_array().unwrap().len(), 1);
    assert_eq!(filled["finish_reason"], "blanks");
}
