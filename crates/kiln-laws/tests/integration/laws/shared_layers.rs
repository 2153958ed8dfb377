//! Layers that read what earlier ones publish: value residuals, shared keys and values.

use burn::tensor::Tensor;
use kiln_laws::{device, loss::DocumentRows, parameters::perturbed, values};
use kiln_models::{Model, ModelConfig, hf, load_state_dict, named_parameters};
use kiln_nn::{Context, State};
use kiln_spec::Direction;

fn read(text: &str) -> ModelConfig {
    kiln_spec::config::parse(&format!("vocab = 11\nhidden = 8\n{text}"), None).expect("well formed")
}

fn config(text: &str) -> ModelConfig {
    let mut config = read(text);
    for _ in 0..2 {
        config.check("model").expect(text);
        config.resolve();
    }
    config
}

/// Hidden states of five tokens.
fn hidden(model: &Model) -> Vec<f64> {
    let rows = DocumentRows::packed(&[vec![1, 2, 3, 4, 5]], Direction::Causal, 0);
    let tokens = Tensor::from_ints([[1, 2, 3, 4, 5]], &device());
    let hidden = model.forward(tokens, &mut Context::new(&rows.layout(), &device()));
    hidden.into_data().iter::<f64>().collect()
}

/// Two layers in a block, of which the second reads the keys and values of the first.
const PAIRS: &str = "blocks = [{ repeat = 2, sublayers = [{ parts = ['attention'] }, { parts = [{ attention = { source = 'shared' } }] }] }]";
/// The same with keys and values of its own in each layer.
const FOUR: &str = "blocks = [{ repeat = 2, sublayers = [{ parts = ['attention'] }, { parts = ['attention'] }] }]";

#[test]
fn a_layer_with_shared_keys_has_no_weights_and_no_cache_for_them() {
    let [pairs, four] = [PAIRS, FOUR].map(|text| Model::init(&config(text), 1, &device()));
    let names = |model: &Model| named_parameters(model).into_iter().map(|name| name.path).collect::<Vec<_>>();
    let missing: Vec<String> = names(&four).into_iter().filter(|name| !names(&pairs).contains(name)).collect();
    let of_block = |i: usize| ["k", "v"].map(|map| format!("blocks.{i}.attention_2.{map}.weight"));
    assert_eq!(missing, [of_block(0), of_block(1)].concat());
    let cached = |model: &Model| {
        let (_, state) = model.step(&[1, 2, 3, 4, 5, 6], &[6], Direction::Causal, State::new(1));
        let (_, state) = model.step(&[7], &[1], Direction::Causal, state);
        state.bytes()
    };
    // Seven tokens, keys and values of 8 numbers of 4 bytes at least, in four layers or in two.
    assert!(cached(&four) >= 4 * 7 * 2 * 8 * 4);
    assert_eq!(cached(&pairs), cached(&four) / 2);
    let costs = |model: &Model| -> f64 {
        model.blocks().iter().flat_map(|block| block.parts()).map(|(_, part)| part.cost(7).state_bytes).sum()
    };
    assert_eq!(2.0 * costs(&pairs), costs(&four));
}

#[test]
fn the_second_layer_of_a_pair_reads_the_first_ones_keys_and_values() {
    let text = "blocks = [{ sublayers = [{ parts = ['attention'] }] }, { sublayers = [{ parts = [{ attention = { source = 'shared' } }] }] }]";
    let model = perturbed(Model::init(&config(text), 1, &device()));
    let before = hidden(&model);
    for (name, moves) in [("blocks.0.attention.v.weight", true), ("blocks.0.attention.k.weight", true)] {
        let mut all = values(&model);
        let changed: Vec<f64> = all[name].iter::<f64>().map(|x| x + 0.5).collect();
        all.insert(name.into(), burn::tensor::TensorData::new(changed, [8, 8]));
        let after = hidden(&load_state_dict(model.clone(), all).expect("its own weights"));
        assert_eq!(before != after, moves, "{name}");
    }
}

/// λ₁ = 0 and λ₂ = 1 leave every value as it is, to the bit.
#[test]
fn a_value_residual_without_the_first_values_changes_nothing() {
    let blocks = |options: &str| {
        format!("blocks = [{{ repeat = 3, sublayers = [{{ parts = [{{ attention = {options} }}] }}] }}]")
    };
    let off = "{ value_residual = { lambda_first = 0.0, lambda_own = 1.0, learnable = LEARNABLE } }";
    let plain = hidden(&Model::init(&config(&blocks("{}")), 4, &device()));
    for learnable in ["true", "false"] {
        let model = Model::init(&config(&blocks(&off.replace("LEARNABLE", learnable))), 4, &device());
        assert_eq!(hidden(&model), plain);
        let names: Vec<String> = named_parameters(&model).into_iter().map(|name| name.path).collect();
        let factors: Vec<&String> = names.iter().filter(|name| name.contains("value_residual")).collect();
        assert_eq!(factors.len(), if learnable == "true" { 4 } else { 0 }, "{factors:?}");
        assert!(!names.iter().any(|name| name.starts_with("blocks.0.attention.value_residual")));
    }
    let model = Model::init(&config(&blocks("{ value_residual = {} }")), 4, &device());
    assert_ne!(hidden(&model), plain);
}

const SHARED: &str = "{ sublayers = [{ parts = [{ attention = { source = 'shared' } }] }] }";
const RESIDUAL: &str = "{ sublayers = [{ parts = [{ attention = { value_residual = {} } }] }] }";

/// Blocks, where they are refused, and a word of the reason.
const REFUSED: &[(&str, &str, &str)] = &[
    (SHARED, "blocks[0].sublayers[0].parts[0].attention.source.shared", "no earlier attention layer"),
    (
        "{ sublayers = [{ parts = [{ attention = { source = { shared = { block = 1 } } } }] }] }, { sublayers = [{ parts = ['attention'] }] }",
        "blocks[0].sublayers[0].parts[0].attention.source.shared.block",
        "block 1 comes after this layer, which is in block 0",
    ),
    (
        "{ sublayers = [{ parts = ['gated_mlp'] }] }, { sublayers = [{ parts = ['attention', { attention = { source = { shared = { block = 0 } } } }] }] }",
        "blocks[1].sublayers[0].parts[1].attention.source.shared.block",
        "block 0 has no attention",
    ),
    (
        "{ sublayers = [{ parts = ['attention'] }] }, { sublayers = [{ parts = [{ attention = { source = 'shared', projection = { heads = { heads = 2 } } } }] }] }",
        "blocks[1].sublayers[0].parts[0].attention.source.shared",
        "blocks.0.attention has 4 key-value heads of 2, this layer 2 key-value heads of 4",
    ),
    (
        "{ sublayers = [{ parts = [{ attention = { projection = 'latent' } }] }] }, SHARED",
        "blocks[1].sublayers[0].parts[0].attention.source.shared",
        "latent keys and values",
    ),
    (
        "{ sublayers = [{ parts = ['attention', { attention = { source = 'shared', projection = 'latent' } }] }] }",
        "blocks[0].sublayers[0].parts[1].attention.source.shared",
        "projection `heads`",
    ),
    (
        "{ sublayers = [{ parts = [{ attention = { position = { rotary = { theta = 100.0 } } } }] }] }, SHARED",
        "blocks[1].sublayers[0].parts[0].attention.source.shared",
        "positions of `rotary`",
    ),
    (
        "{ sublayers = [{ parts = [{ attention = { pattern = { window = { before = 3 } } } }] }] }, SHARED",
        "blocks[1].sublayers[0].parts[0].attention.source.shared",
        "this layer sees more of them",
    ),
    (
        "{ depth = 'layer_drop', sublayers = [{ parts = ['attention'] }] }, SHARED",
        "blocks[0].depth.layer_drop",
        "blocks.1.attention reads keys or values of blocks.0.attention, which this rule may skip",
    ),
    (
        "{ depth = 'mixture_of_depths', sublayers = [{ parts = ['attention'] }] }, SHARED",
        "blocks[0].depth.mixture_of_depths",
        "some tokens only",
    ),
    (
        "{ sublayers = [{ parts = ['attention'] }] }, { depth = 'mixture_of_depths', sublayers = [{ parts = [{ attention = { source = 'shared' } }] }] }",
        "blocks[1].depth.mixture_of_depths",
        "has all tokens",
    ),
    (RESIDUAL, "blocks[0].sublayers[0].parts[0].attention.value_residual", "first attention layer"),
    (
        "{ sublayers = [{ parts = ['attention', { attention = { projection = 'latent', value_residual = {} } }] }] }",
        "blocks[0].sublayers[0].parts[1].attention.value_residual",
        "projection `heads`",
    ),
    (
        "{ sublayers = [{ parts = ['attention', { attention = { source = 'shared', value_residual = {} } }] }] }",
        "blocks[0].sublayers[0].parts[1].attention.value_residual",
        "no values to add others to",
    ),
    (
        "{ sublayers = [{ parts = ['attention', { attention = { value_residual = { lambda_own = nan } } }] }] }",
        "blocks[0].sublayers[0].parts[1].attention.value_residual.lambda_own",
        "NaN",
    ),
    (
        "{ depth = 'layer_drop', repeat = 2, sublayers = [{ parts = [{ attention = { value_residual = {} } }] }] }",
        "blocks[0].depth.layer_drop",
        "may skip",
    ),
    (
        "{ sublayers = [{ parts = [{ attention = { projection = 'latent' } }] }] }, RESIDUAL",
        "blocks[1].sublayers[0].parts[0].attention.value_residual",
        "latent",
    ),
];

#[test]
fn layers_that_cannot_read_another_are_refused_at_their_path() {
    for (blocks, path, reason) in REFUSED {
        let blocks = blocks.replace("SHARED", SHARED).replace("RESIDUAL", RESIDUAL);
        let refusal = read(&format!("blocks = [{blocks}]")).check("model").expect_err(&blocks);
        assert_eq!(refusal.path, format!("model.{path}"), "{blocks}: {refusal}");
        assert!(refusal.reason.contains(reason), "{blocks}: {refusal}");
    }
}

/// What is next to the refusals above is legal.
#[test]
fn layers_that_can_read_another_are_legal() {
    for blocks in [
        "{ sublayers = [{ parts = ['attention'] }] }, { depth = 'layer_drop', sublayers = [{ parts = [{ attention = { source = 'shared' } }] }] }",
        "{ sublayers = [{ parts = ['attention'] }] }, { sublayers = [{ parts = [{ attention = { source = 'shared', pattern = { window = { before = 3 } } } }] }] }",
        "{ sublayers = [{ parts = [{ attention = { position = 'none' } }] }] }, { sublayers = [{ parts = [{ attention = { source = 'shared', position = 'alibi' } }] }] }",
        "{ repeat = 2, sublayers = [{ parts = [{ attention = { value_residual = {} } }] }] }",
        "{ sublayers = [{ parts = [{ attention = { source = { segments = { prefix_length = 2 } } } }] }] }, SHARED",
    ] {
        config(&format!("blocks = [{}]", blocks.replace("SHARED", SHARED)));
    }
}

/// No family of Hugging Face describes such layers: the refusal names them.
#[test]
fn shared_layers_are_not_exported() {
    for option in ["source = 'shared'", "value_residual = {}"] {
        let own = "{ parts = ['attention'] }, { parts = ['gated_mlp'] }";
        let reader = format!("{{ parts = [{{ attention = {{ {option} }} }}] }}, {{ parts = ['gated_mlp'] }}");
        let text = format!("blocks = [{{ sublayers = [{own}] }}, {{ sublayers = [{reader}] }}]");
        let refusal = hf::find_family(&config(&text)).expect_err(option).to_string();
        assert!(refusal.contains("attention"), "{refusal}");
        println!("{refusal}");
    }
}
