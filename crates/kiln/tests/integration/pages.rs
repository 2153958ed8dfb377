//! The pages and the small tables of the command: what a reader finds on them.

use crate::common::{run_kiln, tiny_home, trained_home};
use serde_json::Value;
use std::fs;

#[test]
fn logits_reads_a_text_and_lists_the_most_likely_tokens() {
    let home = trained_home();
    let args = ["logits", "run", "--text", "Ann", "--top", "3"];
    let json = run_kiln(home.path(), &[&args[..], &["--json"]].concat()).expect_success().json_output();
    let ids: Vec<String> = json["ids"].as_array().unwrap().iter().map(Value::to_string).collect();
    let by_ids = run_kiln(home.path(), &["logits", "run", "--ids", &ids.join(","), "--json"]).expect_success();
    assert_eq!(by_ids.json_output()["logits"], json["logits"]);
    let vocab = json["shape"][1].as_u64().unwrap() as usize;
    let logits: Vec<f64> = json["logits"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    for (row, top) in logits.chunks(vocab).zip(json["top"].as_array().unwrap()) {
        let top = top.as_array().unwrap();
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert_eq!((top.len(), top[0]["logit"].as_f64().unwrap()), (3, largest));
        // p = exp(logit) / Σ exp(logit).
        let total: f64 = row.iter().map(|logit| (logit - largest).exp()).sum();
        assert!((top[0]["probability"].as_f64().unwrap() - 1.0 / total).abs() < 1e-6, "{top:?}");
        assert!(top[0]["token"].is_string() && top[1]["logit"].as_f64() <= top[0]["logit"].as_f64());
    }
    let table = run_kiln(home.path(), &args).expect_success().stdout;
    assert!(table.contains("|A|") && table.lines().count() == 1 + 3 * ids.len(), "{table}");
    let error = run_kiln(home.path(), &["logits", "run", "--text", "A", "--ids", "1"]);
    assert!(error.stderr.contains("cannot be used with"), "{}", error.stderr);
}

#[test]
fn a_report_shows_the_command_line_and_a_fine_tuning_run_leads_with_its_base() {
    let home = trained_home();
    fs::write(home.path().join("notes.txt"), "Ann had a red kite. ".repeat(400)).unwrap();
    let args = ["train", "--from", "run", "--data", "notes.txt", "--steps", "2", "--out", "it's"];
    run_kiln(home.path(), &args).expect_success();
    let page = fs::read_to_string(home.path().join("it's/report.html")).unwrap();
    assert!(
        page.contains("kiln train --from run --data notes.txt --steps 2 --out &#x27;it&#x27;\\&#x27;&#x27;s&#x27;")
    );
    assert!(page.contains(&format!("# kiln {}", env!("CARGO_PKG_VERSION"))));
    for told in ["Fine-tuned from run (LoRA, rank ", "nats per token, before → after", "<code>full</code>"] {
        assert!(page.contains(told), "{told}");
    }
    let text = page.split("<script>").next().unwrap();
    assert!(!text.contains('`'), "backticks are markup, not text");
}

#[test]
fn seeds_of_one_setting_are_compared_as_a_group() {
    let home = tiny_home();
    for (seed, hidden) in [("1", "16"), ("2", "16"), ("1", "8")] {
        let set = format!("model.hidden={hidden}");
        let out = format!("s{seed}-{hidden}");
        run_kiln(home.path(), &["train", "tiny.toml", "--seed", seed, "--set", &set, "--out", &out]).expect_success();
    }
    let args = ["compare", "s1-16", "s1-8", "s2-16"];
    let json = run_kiln(home.path(), &[&args[..], &["--json"]].concat()).expect_success().json_output();
    let loss = |run: usize| json["runs"][run]["validation_loss"].as_f64().unwrap();
    let group = &json["seed_groups"][0];
    assert_eq!(group["runs"], serde_json::json!(["s1-16", "s2-16"]));
    assert!((group["mean"].as_f64().unwrap() - (loss(0) + loss(2)) / 2.0).abs() < 1e-12);
    // The sample standard deviation of two values is |a − b| / √2.
    assert!((group["standard_deviation"].as_f64().unwrap() - (loss(0) - loss(2)).abs() / 2_f64.sqrt()).abs() < 1e-12);
    assert!(json["runs"][0]["bits_per_byte"].is_number() && json["runs"][0]["tokens_per_second"].is_number());
    let text = run_kiln(home.path(), &args).expect_success().stdout;
    assert!(text.contains("mean ± standard deviation") && text.contains("wall time"), "{text}");
    let page = fs::read_to_string(home.path().join("compare.html")).unwrap();
    assert!(page.contains("s1-16, s2-16") && page.contains("2 seeds") && page.contains("tokens<br>per second"));
}

#[test]
fn a_report_of_experts_shows_their_loads() {
    let home = tiny_home();
    let experts = "model.blocks.*.sublayers.1.parts.0={ experts = { num_experts = 4 } }";
    run_kiln(home.path(), &["train", "tiny.toml", "--set", experts, "--out", "moe"]).expect_success();
    let page = fs::read_to_string(home.path().join("moe/report.html")).unwrap();
    assert_eq!(page.matches("<b>Auxiliary losses</b>").count(), 1);
    assert!(page.contains("Expert loads") && page.contains("title=\"expert 3: "));
}
