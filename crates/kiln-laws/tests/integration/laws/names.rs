//! Parameter names: their form, and that initial weights depend on seed and name only.

use burn::tensor::TensorData;
use kiln_laws::{device, strategies, values};
use kiln_models::{BlockConfig, Model, ModelConfig, StateDict, named_parameters};
use kiln_nn::{
    junction::{JunctionConfig, NormPlacementConfig},
    norm::{LayerNormConfig, NormConfig},
    part::PartConfig,
};
use kiln_spec::Random;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn paths(config: &ModelConfig) -> Vec<String> {
    named_parameters(&Model::init(config, 0, &device())).into_iter().map(|name| name.path).collect()
}

fn config(text: &str) -> ModelConfig {
    let mut config: ModelConfig = kiln_spec::config::parse(text, None).expect("legal");
    config.resolve();
    config.check("model").expect("legal");
    config
}

#[test]
fn names_tell_location_and_role() {
    let config = config(
        r#"
        vocab = 11
        hidden = 8
        position = { learned = { max_position_embeddings = 4 } }
        head = { language = { tied = false } }
        blocks = [
            { repeat = 2, sublayers = [
                { parts = ["attention"] },
                { junction = { post = { norm = "layer" } }, parts = [{ mlp = { intermediate = 4 } }] },
            ] },
            { sublayers = [{ parts = ["attention", "gated_mlp"] }, { parts = ["attention"] }] },
            { sublayers = [
                { junction = "sandwich", parts = ["attention", "gated_mlp"] }, { junction = "rezero", parts = ["gated_mlp"] },
            ] },
        ]
        "#,
    );
    let attention = |name: &str| ["q", "k", "v", "o"].map(|matrix| format!("{name}.{matrix}.weight"));
    let mut want: Vec<String> = ["embedding", "position.weight", "norm.weight", "head.weight"].map(String::from).into();
    for block in ["blocks.0", "blocks.1"] {
        want.extend(attention(&format!("{block}.attention")));
        let rest = ["attention_norm.weight", "feed_forward_norm.weight", "feed_forward_norm.bias"];
        let matrices = ["up.weight", "up.bias", "down.weight", "down.bias"].map(|m| format!("feed_forward.{m}"));
        want.extend(rest.map(String::from).iter().chain(&matrices).map(|name| format!("{block}.{name}")));
    }
    want.extend(attention("blocks.2.attention"));
    want.extend(attention("blocks.2.attention_2"));
    let gated = ["gate.weight", "up.weight", "down.weight"].map(|m| format!("blocks.2.feed_forward.{m}"));
    want.extend(gated);
    want.extend(["attention_norm.weight", "attention_2_norm.weight"].map(|name| format!("blocks.2.{name}")));
    want.extend(attention("blocks.3.attention"));
    want.extend(["before", "after"].map(|side| format!("blocks.3.attention_norm.{side}.weight")));
    let matrices = |part: &str| ["gate", "up", "down"].map(|m| format!("blocks.3.{part}.{m}.weight"));
    want.extend(matrices("feed_forward").into_iter().chain(matrices("feed_forward_2")));
    want.push("blocks.3.feed_forward_2_norm.scale".into());
    let have: BTreeSet<String> = paths(&config).into_iter().collect();
    assert_eq!(have, want.into_iter().collect());
}

#[test]
fn another_variant_has_the_same_names() {
    let plain = config("vocab = 11\nhidden = 8");
    let mut other = plain.clone();
    let norm = NormConfig::Layer(LayerNormConfig { bias: false, ..LayerNormConfig::default() });
    for sublayer in &mut other.blocks[0].sublayers {
        sublayer.junction = JunctionConfig::Post(NormPlacementConfig::new(norm.clone()));
    }
    other.norm = norm;
    assert_eq!(paths(&plain), paths(&other));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn names_are_distinct_and_contain_no_variant(config in strategies::model()) {
        let all = paths(&config);
        prop_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        for name in &all {
            let fits = |field: &str| field.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            prop_assert!(name.split('.').all(fits), "{}", name);
            for variant in ["heads", "projection", "sublayers", "parts", "junction", "pre", "post", "gated", "gated_mlp", "plain", "mlp", "rms"] {
                prop_assert!(name.split('.').all(|field| field != variant), "{}", name);
            }
        }
    }

    /// Each weight is drawn from the stream that its name in the walk names, up to a factor. Filters of short convolutions,
    /// time steps and decay rates are increasing functions of uniform numbers.
    #[test]
    fn weights_are_drawn_by_their_names(config in strategies::model(), seed in 0u64..5) {
        let model = Model::init(&config, seed, &device());
        for (name, data) in values(&model) {
            let have: Vec<f64> = data.iter::<f64>().collect();
            // Constants, the identity of talking heads, and factors of streams and values.
            let fixed = ["score.logits", "score.weights"].iter().any(|end| name.ends_with(end))
                || [".value_residual.", "_streams."].iter().any(|field| name.contains(field));
            if fixed || have.iter().all(|x| *x == have[0]) && [0.0, 1.0].contains(&have[0]) {
                continue;
            }
            let mut random = Random::new(seed, &format!("init.{name}"), 0, 0);
            if ["conv.weight", ".dt_bias", ".a_log"].iter().any(|end| name.ends_with(end)) {
                let mut pairs: Vec<(f64, f64)> = have.iter().map(|have| (random.uniform(), *have)).collect();
                pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
                prop_assert!(pairs.is_sorted_by(|a, b| a.1 <= b.1), "{}", name);
                continue;
            }
            let drawn: Vec<f64> = have.iter().map(|_| random.normal()).collect();
            let factor = have[0] / drawn[0];
            prop_assert!(factor > 0.0, "{}", name);
            let apart = |(have, drawn): (&f64, &f64)| (have - factor * drawn).abs() > 1e-5 * drawn.abs() * factor + 1e-9;
            prop_assert!(!have.iter().zip(&drawn).any(apart), "{}", name);
        }
    }

    #[test]
    fn adding_a_block_changes_no_other_weight(config in strategies::model(), more in strategies::block()) {
        let mut longer = config.clone();
        longer.blocks.push(more);
        longer.resolve();
        let before = values(&Model::init(&config, 1, &device()));
        let after = values(&Model::init(&longer, 1, &device()));
        prop_assert!(before.len() < after.len());
        assert_unchanged(&before, &after)?;
    }

    #[test]
    fn adding_a_part_changes_no_other_weight(config in strategies::model(), at in 0usize..3) {
        let mut wider = config.clone();
        let sublayers = &mut wider.blocks[0].sublayers;
        let at = at % sublayers.len();
        sublayers[at].parts.push(PartConfig::Mlp(Default::default()));
        // The name of a part counts those of its kind before it: it must be the last of them.
        prop_assume!(sublayers[at + 1..].iter().flat_map(|s| &s.parts).all(|p| p.card().role != "feed_forward"));
        wider.resolve();
        let before = values(&Model::init(&config, 1, &device()));
        let after = values(&Model::init(&wider, 1, &device()));
        prop_assert!(before.len() < after.len());
        for (name, data) in &before {
            prop_assert_eq!(data.as_bytes(), after[name].as_bytes(), "{}", name);
        }
    }

    #[test]
    fn another_seed_draws_other_weights(config in strategies::model()) {
        let [a, b, again] = [1, 2, 1].map(|seed| values(&Model::init(&config, seed, &device()))["embedding"].clone());
        prop_assert_eq!(a.as_bytes(), again.as_bytes());
        prop_assert_ne!(a.as_bytes(), b.as_bytes());
    }
}

/// Equal, save that the last matrix of a branch is scaled by the number of branches.
fn assert_unchanged(before: &StateDict, after: &StateDict) -> Result<(), TestCaseError> {
    for (name, data) in before {
        let (a, b): (Vec<f64>, Vec<f64>) = (data.iter::<f64>().collect(), after[name].iter::<f64>().collect());
        let scaled = !name.starts_with("encoder.") && !name.contains(".depth.");
        if scaled && [".o.weight", ".down.weight", ".out.weight"].iter().any(|end| name.ends_with(end)) {
            let factor = b[0] / a[0];
            prop_assert!(factor < 1.0 && a.iter().zip(&b).all(|(a, b)| (a * factor - b).abs() < 1e-6), "{}", name);
        } else {
            prop_assert_eq!(a, b, "{}", name);
        }
    }
    Ok(())
}

#[test]
fn values_are_saved_and_loaded_by_name() {
    let config = config("vocab = 11\nhidden = 8");
    let [one, two] = [1, 2].map(|seed| Model::init(&config, seed, &device()));
    let wanted = values(&two);
    let filled = kiln_models::load_state_dict(one, wanted.clone()).expect("the same names");
    for (name, data) in values(&filled) {
        assert_eq!(data.as_bytes(), wanted[&name].as_bytes(), "{name}");
    }
}

#[test]
fn mismatched_values_are_listed() {
    let config = config("vocab = 11\nhidden = 8");
    let model = || Model::init(&config, 1, &device());
    let mut wrong = values(&model());
    wrong.remove("blocks.1.attention.q.weight");
    wrong.insert("blocks.9.attention.q.weight".into(), TensorData::new(vec![0f32], [1]));
    wrong.insert("norm.weight".into(), TensorData::new(vec![0f32; 3], [3]));
    let mismatch = kiln_models::load_state_dict(model(), wrong).expect_err("refused").to_string();
    for line in
        ["- blocks.1.attention.q.weight", "+ blocks.9.attention.q.weight", "~ norm.weight: expected [8], found [3]"]
    {
        assert!(mismatch.contains(line), "{mismatch}");
    }
}

#[test]
fn a_repeated_block_equals_one_written_twice() {
    let repeated = config("vocab = 11\nhidden = 8");
    let mut written = repeated.clone();
    written.blocks = vec![BlockConfig { repeat: 1, ..repeated.blocks[0].clone() }; 4];
    let [a, b] = [&repeated, &written].map(|config| values(&Model::init(config, 1, &device())));
    assert!(a.keys().eq(b.keys()));
    assert!(a.iter().all(|(name, data)| data.as_bytes() == b[name].as_bytes()));
}
