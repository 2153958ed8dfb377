//! Model configurations: they survive TOML and JSON, and illegal values are refused with their path.

use kiln_laws::{device, parameters, strategies};
use kiln_models::{Model, ModelConfig, named_parameters};
use kiln_nn::{part::PartConfig, part::attention::ProjectionConfig};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_models_are_legal_and_survive_toml_and_json(config in strategies::model()) {
        prop_assert_eq!(config.check("model"), Ok(()));
        let toml = kiln_spec::config::to_toml(&config);
        let read: ModelConfig = kiln_spec::config::parse(&toml, None).expect("its own text");
        prop_assert_eq!(&read, &config);
        let json = serde_json::to_string(&config).expect("plain data");
        prop_assert_eq!(&serde_json::from_str::<ModelConfig>(&json).expect("its own text"), &config);
        let mut again = config.clone();
        again.resolve();
        prop_assert_eq!(&again, &config);
        let all = [&config, &read].map(|c| named_parameters(&Model::init(c, 0, &device())));
        prop_assert!(all[0].iter().zip(&all[1]).all(|(a, b)| a.path == b.path && a.shape == b.shape));
    }

    /// What is left to the surroundings is what stands there when it is written down.
    #[test]
    fn resolving_changes_no_weight(config in strategies::model()) {
        let mut open = config.clone();
        for part in open.blocks.iter_mut().flat_map(|b| &mut b.sublayers).flat_map(|s| &mut s.parts) {
            match part {
                PartConfig::Mlp(plain) => plain.intermediate = None,
                PartConfig::GatedMlp(gated) => gated.intermediate = None,
                PartConfig::Experts(experts) if experts.top_k > 1 => experts.norm_topk_prob = None,
                PartConfig::Mamba2(mamba) => mamba.norm_groups = None,
                PartConfig::GatedDeltaNet(delta) if delta.key_heads == Some(delta.heads) => delta.key_heads = None,
                PartConfig::Experts(_) | PartConfig::Gla(_) | PartConfig::GatedDeltaNet(_) | PartConfig::GatedConvolution(_) => {}
                PartConfig::Attention(attention) => {
                    if let ProjectionConfig::Heads(heads) = &mut attention.projection {
                        heads.kv_heads = None;
                    }
                }
            }
        }
        let mut closed = open.clone();
        closed.resolve();
        let [a, b] = [&open, &closed].map(|c| parameters::values(&Model::init(c, 0, &device())));
        prop_assert!(a.iter().all(|(path, data)| data.as_bytes() == b[path].as_bytes()));
    }
}

/// A configuration, the key that it is refused at, and a word of the reason.
const REFUSED: &[(&str, &str, &str)] = &[
    ("hidden = 0", "hidden", "from 1"),
    ("hidden = 2000000", "hidden", "from 1"),
    ("vocab = 300000000", "vocab", "at most"),
    ("dropout = 1.0", "dropout", "below 1"),
    ("dropout = -0.1", "dropout", "at least 0"),
    ("dropout = nan", "dropout", "NaN"),
    ("blocks = []", "blocks", "at least one block"),
    ("blocks = [{ repeat = 5000, sublayers = [{ parts = ['gated_mlp'] }] }]", "blocks", "4096"),
    ("blocks = [{ repeat = 0, sublayers = [{ parts = ['gated_mlp'] }] }]", "blocks[0].repeat", "found 0"),
    ("blocks = [{ sublayers = [] }]", "blocks[0].sublayers", "at least one sublayer"),
    ("blocks = [{ sublayers = [{ parts = [] }] }]", "blocks[0].sublayers[0].parts", "at least one part"),
    (
        "position = { learned = { max_position_embeddings = 0 } }",
        "position.learned.max_position_embeddings",
        "at least 1 position",
    ),
    ("position = { rotary = { theta = 1.0 } }", "position.rotary.theta", "above 1"),
    ("position = { rotary = { theta = nan } }", "position.rotary.theta", "above 1"),
    ("position = { rotary = { partial_factor = 0.0 } }", "position.rotary.partial_factor", "above 0"),
    (
        "position = { rotary = { scaling = { linear = { factor = 0.5 } } } }",
        "position.rotary.scaling.linear.factor",
        "at least 1",
    ),
    (
        "position = { rotary = { scaling = { yarn = { factor = 2.0, original_max_position_embeddings = 0 } } } }",
        "position.rotary.scaling.yarn.original_max_position_embeddings",
        "at least 1 token",
    ),
    (
        "position = { rotary = { scaling = { dynamic = { factor = 0.0, original_max_position_embeddings = 8 } } } }",
        "position.rotary.scaling.dynamic.factor",
        "at least 1",
    ),
    (
        "position = { rotary = { scaling = { longrope = { factor = 2.0, original_max_position_embeddings = 1, short_factor = [1.0], \
         long_factor = [1.0] } } } }",
        "position.rotary.scaling.longrope.original_max_position_embeddings",
        "at least 2 tokens",
    ),
    (
        "position = { rotary = { scaling = { longrope = { factor = 2.0, original_max_position_embeddings = 8, short_factor = [1.0], \
         long_factor = [0.0] } } } }",
        "position.rotary.scaling.longrope.long_factor",
        "above 0",
    ),
    ("position = { xpos = { theta = 1.0 } }", "position.xpos.theta", "above 1"),
    ("position = { xpos = { scale_base = -1.0 } }", "position.xpos.scale_base", "above 0"),
    ("position = { xpos = { scale_base = 1e-3 } }", "position.xpos.scale_base", "32-bit"),
    ("position = { cope = { npos_max = 1 } }", "position.cope.npos_max", "2 to 65536"),
    ("position = { self_extend = { group_size = 0 } }", "position.self_extend.group_size", "1 to 8192"),
    ("position = { self_extend = { rotary = { theta = 1.0 } } }", "position.self_extend.rotary.theta", "above 1"),
    (
        "position = { self_extend = { rotary = { scaling = { dynamic = { factor = 2.0, original_max_position_embeddings = 8 } } } } }",
        "position.self_extend.rotary.scaling.dynamic",
        "other frequencies",
    ),
    ("position = { shaw = { max_relative_position = 0 } }", "position.shaw.max_relative_position", "1 to 8192"),
    (
        "residual_streams = { manifold_hyper_connections = { sinkhorn_iterations = 0 } }",
        "residual_streams.manifold_hyper_connections.sinkhorn_iterations",
        "1 to 100",
    ),
    (
        "residual_streams = { manifold_hyper_connections = { norm_eps = 0.0 } }",
        "residual_streams.manifold_hyper_connections.norm_eps",
        "above 0",
    ),
    (
        "position = 'cope'\nblocks = [{ sublayers = [{ parts = [{ attention = { position = 'none' } }] }] }]",
        "position.cope",
        "no attention part uses",
    ),
    ("hidden = 7\nposition = 'sinusoidal'", "position.sinusoidal", "even"),
    ("position = { sinusoidal = { theta = 0.0 } }", "position.sinusoidal.theta", "above 1"),
    ("stack = 'encoder'\nvisibility = 'prefix'", "visibility", "must be `bidirectional`"),
    ("stack = 'encoder'\nencoder = {}", "encoder", "no separate encoder"),
    ("encoder = {}", "encoder", "no separate encoder"),
    ("stack = 'encoder-decoder'", "blocks", "cross-attention to the encoder"),
    ("stack = 'encoder-decoder'\nvisibility = 'bidirectional'", "visibility", "must be `prefix`"),
    ("head = { class = { num_classes = 1 } }", "head.class.num_classes", "from 2"),
    ("head = { embedding = { projection_dim = 0 } }", "head.embedding.projection_dim", "from 1"),
    ("norm = { rms = { eps = 0.0 } }", "norm.rms.eps", "above 0"),
    ("norm = { layer = { eps = -1e-5 } }", "norm.layer.eps", "above 0"),
    ("norm = { layer = { eps = inf } }", "norm.layer.eps", "above 0"),
    (
        "blocks = [{ depth = { layer_drop = { rate = 1.0 } }, sublayers = [{ parts = ['gated_mlp'] }] }]",
        "blocks[0].depth.layer_drop.rate",
        "below 1",
    ),
    (
        "blocks = [{ depth = { mixture_of_depths = { capacity = 0.0 } }, sublayers = [{ parts = ['gated_mlp'] }] }]",
        "blocks[0].depth.mixture_of_depths.capacity",
        "above 0",
    ),
    (
        "blocks = [{ depth = { mixture_of_depths = { predictor_loss_coef = nan } }, sublayers = [{ parts = ['gated_mlp'] }] }]",
        "blocks[0].depth.mixture_of_depths.predictor_loss_coef",
        "at least 0",
    ),
    (
        "blocks = [{ sublayers = [{ junction = { rezero = { alpha_init = inf } }, parts = ['gated_mlp'] }] }]",
        "blocks[0].sublayers[0].junction.rezero.alpha_init",
        "finite",
    ),
    ("embedding = { factorized = { width = 0 } }", "embedding.factorized.width", "from 1"),
    (
        "embedding = { factorized = { width = 6 } }\nhead = { language = { width = 8 } }",
        "head.language.width",
        "token embeddings of width 6",
    ),
    ("hidden = 8\nembedding = { factorized = { width = 5 } }\nposition = 'sinusoidal'", "position.sinusoidal", "even"),
    ("head = { language = { tied = false, width = 0 } }", "head.language.width", "from 1"),
    ("head = { language = { softcap = 0.0 } }", "head.language.softcap", "above 0"),
    (
        "blocks = [{ sublayers = [{ junction = { pre = { residual_multiplier = 0.0 } }, parts = ['gated_mlp'] }] }]",
        "blocks[0].sublayers[0].junction.pre.residual_multiplier",
        "other than 0",
    ),
    (
        "blocks = [{ sublayers = [{ part_norm = 'layer', parts = ['gated_mlp'] }] }]",
        "blocks[0].sublayers[0].part_norm",
        "junction has one too",
    ),
    (
        "blocks = [{ sublayers = [{ junction = 'rezero', part_norm = { rms = { eps = 0.0 } }, parts = ['gated_mlp'] }] }]",
        "blocks[0].sublayers[0].part_norm.rms.eps",
        "above 0",
    ),
    (
        "blocks = [{ sublayers = [{ junction = { sandwich = { norm = { rms = { eps = 0.0 } } } }, parts = ['gated_mlp'] }] }]",
        "blocks[0].sublayers[0].junction.sandwich.norm.rms.eps",
        "above 0",
    ),
];

/// The same for one part.
const PARTS: &[(&str, &str, &str)] = &[
    ("{ gla = { heads = 0 } }", "gla.heads", "at least 1 head"),
    ("{ gla = { heads = 3 } }", "gla.heads", "divide"),
    ("{ gla = { heads = 128 } }", "gla.heads", "hidden / 2"),
    ("{ gla = { head_dim = 0 } }", "gla.head_dim", "at least 1, found 0"),
    ("{ gla = { value_dim = 9000000000000 } }", "gla.value_dim", "at most"),
    ("{ gla = { rank = 0 } }", "gla.rank", "from 1"),
    ("{ gla = { temperature = 0.0 } }", "gla.temperature", "above 0"),
    ("{ gla = { norm = { rms = { eps = 0.0 } } } }", "gla.norm.rms.eps", "above 0"),
    ("{ mamba2 = { heads = 0 } }", "mamba2.heads", "at least 1 head"),
    ("{ mamba2 = { heads = 3 } }", "mamba2.heads", "divide"),
    ("{ mamba2 = { groups = 3 } }", "mamba2.groups", "divisor of heads"),
    ("{ mamba2 = { head_dim = 0 } }", "mamba2.head_dim", "at least 1, found 0"),
    ("{ mamba2 = { state_size = 9000000000000 } }", "mamba2.state_size", "at most"),
    ("{ mamba2 = { norm_groups = 7 } }", "mamba2.norm_groups", "divisor"),
    ("{ mamba2 = { conv_width = 0 } }", "mamba2.conv_width", "from 1"),
    ("{ mamba2 = { norm_eps = 0.0 } }", "mamba2.norm_eps", "above 0"),
    ("{ mamba2 = { time_step_range = [0.1, 0.01] } }", "mamba2.time_step_range", "ascending"),
    ("{ mamba2 = { time_step_floor = 0.0 } }", "mamba2.time_step_floor", "above 0"),
    ("{ mamba2 = { time_step_limit = [0.5, 0.1] } }", "mamba2.time_step_limit", "ascending"),
    ("{ gated_delta_net = { heads = 0 } }", "gated_delta_net.heads", "at least 1 head"),
    ("{ gated_delta_net = { key_heads = 3 } }", "gated_delta_net.key_heads", "divisor of heads"),
    ("{ gated_delta_net = { heads = 3 } }", "gated_delta_net.heads", "divide"),
    ("{ gated_delta_net = { value_dim = 0 } }", "gated_delta_net.value_dim", "at least 1, found 0"),
    ("{ gated_delta_net = { conv_width = 65 } }", "gated_delta_net.conv_width", "from 1"),
    ("{ gated_convolution = { conv_width = 0 } }", "gated_convolution.conv_width", "from 1"),
    ("{ experts = { num_experts = 0 } }", "experts.num_experts", "from 1"),
    ("{ experts = { num_experts = 100000 } }", "experts.num_experts", "from 1"),
    ("{ experts = { num_experts = 4, top_k = 5 } }", "experts.top_k", "all 4"),
    ("{ experts = { top_k = 0 } }", "experts.top_k", "found 0"),
    ("{ experts = { top_k = 1, norm_topk_prob = true } }", "experts.norm_topk_prob", "learn nothing"),
    ("{ experts = { router_aux_loss_coef = -1.0 } }", "experts.router_aux_loss_coef", "at least 0"),
    ("{ experts = { router_z_loss_coef = nan } }", "experts.router_z_loss_coef", "at least 0"),
    ("{ experts = { routed_scaling_factor = 0.0 } }", "experts.routed_scaling_factor", "other than 0"),
    ("{ experts = { selection_bias = { update_rate = -0.1 } } }", "experts.selection_bias.update_rate", "at least 0"),
    ("{ experts = { shared_expert_gate = true } }", "experts.shared_expert_gate", "no shared expert"),
    ("{ experts = { num_experts = 8, groups = { n_group = 3 } } }", "experts.groups.n_group", "does not divide"),
    (
        "{ experts = { num_experts = 8, groups = { n_group = 4, topk_group = 5 } } }",
        "experts.groups.topk_group",
        "all 4",
    ),
    (
        "{ experts = { num_experts = 8, top_k = 3, groups = { n_group = 4, topk_group = 1 } } }",
        "experts.groups.topk_group",
        "fewer than top_k = 3",
    ),
    (
        "{ experts = { num_experts = 4, groups = { n_group = 4, topk_group = 2, score = 'top_two_sum' } } }",
        "experts.groups.score",
        "at least 2 experts",
    ),
    (
        "{ attention = { projection = { heads = { clip_qkv = 0.0 } } } }",
        "attention.projection.heads.clip_qkv",
        "above 0",
    ),
    (
        "{ attention = { projection = { heads = { qk_norm = { norm = { rms = { eps = 0.0 } } } } } } }",
        "attention.projection.heads.qk_norm.norm.rms.eps",
        "above 0",
    ),
    ("{ attention = { projection = { latent = { scale = 0.0 } } } }", "attention.projection.latent.scale", "above 0"),
    (
        "{ experts = { expert = { gated_mlp = { intermediate = 0 } } } }",
        "experts.expert.gated_mlp.intermediate",
        "at least 1, found 0",
    ),
    (
        "{ experts = { shared_expert = { mlp = { intermediate = 0 } } } }",
        "experts.shared_expert.mlp.intermediate",
        "at least 1, found 0",
    ),
    ("{ mlp = { intermediate = 0 } }", "mlp.intermediate", "at least 1, found 0"),
    ("{ gated_mlp = { intermediate = 0 } }", "gated_mlp.intermediate", "at least 1, found 0"),
    ("{ gated_mlp = { intermediate = 9000000000000 } }", "gated_mlp.intermediate", "at most"),
    (
        "{ attention = { projection = { heads = { heads = 0 } } } }",
        "attention.projection.heads.heads",
        "at least 1 head",
    ),
    (
        "{ attention = { projection = { heads = { kv_heads = 0 } } } }",
        "attention.projection.heads.kv_heads",
        "at least 1 head",
    ),
    (
        "{ attention = { projection = { heads = { kv_heads = 3 } } } }",
        "attention.projection.heads.kv_heads",
        "does not divide",
    ),
    (
        "{ attention = { projection = { heads = { heads = 7 } } } }",
        "attention.projection.heads.heads",
        "does not divide",
    ),
    (
        "{ attention = { projection = { heads = { head_dim = 0 } } } }",
        "attention.projection.heads.head_dim",
        "at least 1, found 0",
    ),
    ("{ attention = { projection = { heads = { head_dim = 5 } } } }", "attention.projection.heads.head_dim", "pairs"),
    (
        "{ attention = { projection = { heads = { head_dim = 4611686018427387904 } } } }",
        "attention.projection.heads.head_dim",
        "at most",
    ),
    ("{ attention = { source = 'cross' } }", "attention.source", "the stack `decoder` has none"),
    (
        "{ attention = { position = { learned = { max_position_embeddings = 9 } } } }",
        "attention.position",
        "added to the embeddings",
    ),
    ("{ attention = { position = { rotary = { theta = 0.5 } } } }", "attention.position.rotary.theta", "above 1"),
    ("{ attention = { score = { softmax = { softcap = 0.0 } } } }", "attention.score.softmax.softcap", "above 0"),
    ("{ attention = { score = { softmax = { softcap = nan } } } }", "attention.score.softmax.softcap", "above 0"),
    (
        "{ attention = { score = { softmax = { temperature = 0.0 } } } }",
        "attention.score.softmax.temperature",
        "above 0",
    ),
    ("{ attention = { score = { sigmoid = { bias = inf } } } }", "attention.score.sigmoid.bias", "number"),
    (
        "{ attention = { source = { segments = { prefix_length = 0 } } } }",
        "attention.source.segments.prefix_length",
        "prefix of 1",
    ),
    ("{ attention = { position = 'sinusoidal' } }", "attention.position", "added to the embeddings"),
    ("{ attention = { score = { top_k = { k = 0 } } } }", "attention.score.top_k.k", "at least 1 key"),
    ("{ attention = { score = 'talking_heads', source = 'segments' } }", "attention.score", "compare all keys"),
    ("{ attention = { score = 'differential', source = 'segments' } }", "attention.score", "compare all keys"),
    (
        "{ attention = { score = { differential = { lambda_init = 1.0 } } } }",
        "attention.score.differential.lambda_init",
        "below 1",
    ),
    ("{ attention = { score = { differential = { eps = 0.0 } } } }", "attention.score.differential.eps", "above 0"),
    (
        "{ attention = { score = { differential = { head_dim = 3 } } } }",
        "attention.score.differential",
        "head_dim must be",
    ),
    (
        "{ attention = { score = 'differential', projection = 'latent' } }",
        "attention.score.differential",
        "projection `heads`",
    ),
    (
        "{ attention = { score = 'differential', projection = { heads = { heads = 4, kv_heads = 1 } } } }",
        "attention.score.differential",
        "key-value heads in pairs",
    ),
    (
        "{ attention = { score = 'differential', position = 'shaw' } }",
        "attention.score.differential",
        "values of one head",
    ),
    ("{ attention = { position = { cope = { head_dim = 3 } } } }", "attention.projection.heads.head_dim", "width 3"),
    (
        "{ attention = { position = { rotary = { scaling = { longrope = { factor = 2.0, original_max_position_embeddings = 8, \
         short_factor = [1.0], long_factor = [1.0] } } } } } }",
        "attention.projection.heads.head_dim",
        "for each of the",
    ),
    (
        "{ attention = { position = { alibi = { alibi_bias_max = -1.0 } } } }",
        "attention.position.alibi.alibi_bias_max",
        "at least 0",
    ),
    ("{ attention = { position = { t5 = { num_buckets = 1 } } } }", "attention.position.t5.num_buckets", "even number"),
    ("{ attention = { position = { t5 = { max_distance = 3 } } } }", "attention.position.t5.max_distance", "above"),
    ("{ attention = { position = { t5 = { heads = 3 } } } }", "attention.projection.heads.head_dim", "3 heads"),
    (
        "{ attention = { projection = { latent = { kv_lora_rank = 0 } } } }",
        "attention.projection.latent.kv_lora_rank",
        "from 1",
    ),
    (
        "{ attention = { projection = { latent = { qk_rope_head_dim = 3 } } } }",
        "attention.projection.latent.qk_rope_head_dim",
        "pairs",
    ),
];

fn check_refused(text: &str, path: &str, reason: &str) {
    let config: ModelConfig = kiln_spec::config::parse(text, None).expect("well formed");
    let refusal = config.check("model").expect_err(text);
    assert_eq!(refusal.path, format!("model.{path}"), "{text}: {refusal}");
    assert!(refusal.reason.contains(reason), "{text}: {refusal}");
}

#[test]
fn illegal_values_are_refused_at_their_path() {
    for (text, path, reason) in REFUSED {
        check_refused(text, path, reason);
    }
    for (part, path, reason) in PARTS {
        let text = format!("blocks = [{{ sublayers = [{{ parts = ['gated_mlp', {part}] }}] }}]");
        check_refused(&text, &format!("blocks[0].sublayers[0].parts[1].{path}"), reason);
    }
}

/// The same for an encoder–decoder that is legal without these.
const REFUSED_TOGETHER: &[(&str, &str, &str)] = &[
    ("encoder = { blocks = [] }", "encoder.blocks", "at least one block"),
    ("encoder = { position = { rotary = { theta = 1.0 } } }", "encoder.position.rotary.theta", "above 1"),
    ("encoder = { norm = { rms = { eps = 0.0 } } }", "encoder.norm.rms.eps", "above 0"),
    (
        "encoder = { blocks = [{ sublayers = [{ parts = [{ attention = { source = 'cross' } }] }] }] }",
        "encoder.blocks[0].sublayers[0].parts[0].attention.source",
        "the stack `encoder` has none",
    ),
    ("blocks = [{ sublayers = [{ parts = ['attention'] }] }]", "blocks", "cross-attention to the encoder"),
    (
        "blocks = [{ sublayers = [{ parts = [{ attention = { source = 'cross', position = 'rotary' } }] }] }]",
        "blocks[0].sublayers[0].parts[0].attention.position",
        "another stream",
    ),
];

#[test]
fn two_stacks_must_fit_together() {
    let cross = "{ parts = [{ attention = { source = 'cross' } }] }";
    let blocks =
        format!("blocks = [{{ sublayers = [{{ parts = ['attention'] }}, {cross}, {{ parts = ['gated_mlp'] }}] }}]");
    let stack = "stack = 'encoder-decoder'";
    let read = |text: &str| kiln_spec::config::parse::<ModelConfig>(text, None).expect("well formed");
    let legal = read(&format!("{stack}\n{blocks}"));
    assert_eq!(legal.check("model"), Ok(()));
    for (text, path, reason) in REFUSED_TOGETHER {
        let rest = if text.starts_with("blocks") { "" } else { &blocks };
        check_refused(&format!("{stack}\n{text}\n{rest}"), path, reason);
    }
    let mut resolved = legal;
    resolved.resolve();
    let encoder = resolved.encoder_model_config().expect("an encoder");
    assert_eq!(encoder.blocks[0].sublayers.len(), 2, "the cross attention is the decoder's");
    assert_eq!(resolved.encoder.as_ref().and_then(|e| e.blocks.clone()), Some(encoder.blocks));
}

/// What only works from left to right is refused elsewhere.
#[test]
fn a_visibility_that_a_part_cannot_have_is_refused() {
    for visibility in ["bidirectional", "prefix"] {
        let text =
            format!("visibility = '{visibility}'\nblocks = [{{ sublayers = [{{ parts = ['attention', 'gla'] }}] }}]");
        check_refused(&text, "blocks[0].sublayers[0].parts[1]", "left to right");
    }
}

#[test]
fn a_typo_names_the_key_that_was_meant() {
    let error = kiln_spec::config::parse::<ModelConfig>("hiden = 64", Some("tiny.toml")).expect_err("unknown key");
    assert_eq!(error.to_string(), "tiny.toml:1: hiden: unknown key `hiden`");
    assert!(error.help().expect("help").contains("`hidden`"));
    let error = kiln_spec::config::parse::<ModelConfig>("position = 'rotery'", None).expect_err("unknown choice");
    assert!(error.help().expect("help").contains("`rotary`"));
}

#[test]
fn the_default_is_legal() {
    assert_eq!(ModelConfig { vocab: 11, ..ModelConfig::default() }.check("model"), Ok(()));
}
