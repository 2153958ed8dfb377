use super::*;
use serde_json::json;

const TEMPLATE: &str = r#"{
    "hidden": "$hidden",
    "norm": { "rms": { "eps": "$eps" } },
    "blocks": { "$each": "$layers", "block": { "sublayers": [
        { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
          "parts": [{ "attention": { "projection": { "heads": { "heads": "$heads", "head_dim": "$head_dim" } }, "pattern": "$pattern[]" } }] },
        { "parts": [{ "$case": "$kind[]",
            "gated": { "gated_mlp": { "intermediate": "$intermediate" } },
            "plain": { "mlp": { "intermediate": "$intermediate" } } }] }
    ] } }
}"#;

fn holes() -> Holes {
    let mut holes = Holes::default();
    holes.set("hidden", 32);
    holes.set("eps", 1e-5);
    holes.set("layers", 3);
    holes.set("heads", 4);
    holes.set("head_dim", 8);
    holes.set("intermediate", 48);
    holes.set("pattern", json!(["global", "global", { "window": { "before": 7, "after": 0 } }]));
    holes.set("kind", json!(["plain", "plain", "gated"]));
    holes
}

fn expanded(config: &ModelConfig) -> Value {
    super::super::family::normalized_json(config)
}

#[test]
fn a_filled_template_gives_its_values_back() {
    let template = Template::parse(TEMPLATE);
    let config = template.fill(&holes()).unwrap();
    assert_eq!(config.blocks.iter().map(|block| block.repeat).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(template.match_model(&expanded(&config)).unwrap(), holes());
}

#[test]
fn a_null_leaves_the_key_out() {
    let mut holes = holes();
    holes.set("head_dim", Value::Null);
    let config = Template::parse(TEMPLATE).fill(&holes).unwrap();
    assert_eq!(serde_json::to_value(&config).unwrap()["blocks"][0]["sublayers"][0]["parts"][0]["attention"]["projection"]["heads"].get("head_dim"), None);
}

#[test]
fn other_structures_and_other_values_are_named_by_their_place() {
    let template = Template::parse(TEMPLATE);
    let mut model = expanded(&template.fill(&holes()).unwrap());
    model["norm"] = json!({ "layer": { "eps": 1e-5, "bias": true } });
    model["blocks"][1]["sublayers"][0]["junction"]["pre"]["norm"]["rms"]["eps"] = 0.5.into();
    let mut found = template.match_model(&model).unwrap_err();
    // The order of keys depends on a feature of serde_json.
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let places: Vec<&str> = found.iter().map(|mismatch| mismatch.path.as_str()).collect();
    assert_eq!(places, ["model.blocks[1].sublayers[0].junction.pre.norm.rms.eps", "model.norm"]);
    assert_eq!((found[1].found.as_str(), found[1].expected.as_str()), ("`layer`", "`rms`"));
}

#[test]
fn a_hole_without_a_value_is_an_error() {
    assert_eq!(Template::parse(TEMPLATE).fill(&Holes::default()).unwrap_err().path, "hidden");
}
