//! Latent attention (MLA): with full rank and without rotation it is multi-head attention; the absorbed form equals the
//! expanded one.

use burn::tensor::TensorData;
use kiln_infer::{block_on, equivalence};
use kiln_laws::{
    device,
    loss::{DocumentRows, loss_value},
    parameters::to_f64,
    values,
};
use kiln_models::{Model, ModelConfig, load_state_dict};
use kiln_spec::Direction;

const HIDDEN: usize = 8;
const HEAD_DIM: usize = 4;
const ROPE_DIM: usize = 2;

fn model(projection: &str) -> Model {
    let text = format!(
        "vocab = 11\nhidden = {HIDDEN}\nposition = 'rotary'\n\
         blocks = [{{ repeat = 2, sublayers = [{{ parts = [{{ attention = {{ projection = {projection} }} }}] }}] }}]"
    );
    let mut config: ModelConfig = kiln_spec::config::parse(&text, None).expect("well formed");
    config.resolve();
    config.check("model").expect("legal");
    to_f64(Model::init(&config, 4, &device()))
}

fn latent() -> Model {
    model(&format!(
        "{{ latent = {{ heads = 2, kv_lora_rank = {HIDDEN}, qk_nope_head_dim = {HEAD_DIM}, qk_rope_head_dim = {ROPE_DIM}, norm = 'none' }} }}"
    ))
}

/// The heads' matrix of queries within the latent's, scaled for its wider looks: 1/√(N + P) for 1/√N.
fn query_matrix(heads: &TensorData) -> TensorData {
    let scale = ((HEAD_DIM + ROPE_DIM) as f64 / HEAD_DIM as f64).sqrt();
    let numbers: Vec<f64> = heads.iter::<f64>().collect();
    let head = |row: &[f64]| row.iter().map(|x| x * scale).chain([0.7; ROPE_DIM]).collect::<Vec<_>>();
    let wide: Vec<f64> = numbers.chunks(HEAD_DIM).flat_map(head).collect();
    TensorData::new(wide, [HIDDEN, 2 * (HEAD_DIM + ROPE_DIM)])
}

fn eye() -> TensorData {
    let cell = |i: usize| f64::from(u8::from(i / HIDDEN == i % HIDDEN));
    TensorData::new((0..HIDDEN * HIDDEN).map(cell).collect::<Vec<_>>(), [HIDDEN, HIDDEN])
}

#[test]
fn full_rank_without_rotation_is_multi_head() {
    // No positions in the one that has nothing but plain parts.
    let plain = model("{ heads = { heads = 2 } }, position = 'none'");
    let (from, wide) = (values(&plain), latent());
    let mut to = values(&wide);
    for (name, data) in &mut to {
        let heads = |end: &str, own: &str| from[&name.replace(end, own)].clone();
        *data = match name {
            _ if name.ends_with("attention.kv_down.weight") => eye(),
            _ if name.ends_with("attention.k_rope.weight") => TensorData::zeros::<f64, _>([HIDDEN, ROPE_DIM]),
            _ if name.ends_with("attention.q.weight") => query_matrix(&from[name]),
            _ if name.ends_with("attention.k") => heads("attention.k", "attention.k.weight"),
            _ if name.ends_with("attention.v") => heads("attention.v", "attention.v.weight"),
            _ => from[name].clone(),
        };
    }
    let rows = DocumentRows::packed(&[vec![1, 2, 3, 4, 5, 6], vec![7, 8, 9]], Direction::Causal, 1);
    let other = loss_value(&wide, &rows);
    let wide = load_state_dict(wide, to).expect("the same names");
    let [a, b] = [&plain, &wide].map(|model| loss_value(model, &rows));
    assert!((a - b).abs() < 1e-12, "{a} {b}");
    assert!((a - other).abs() > 1e-3, "the latents' own weights are others");
}

/// A token at a time is read absorbed, the whole expanded.
#[test]
fn the_absorbed_form_equals_the_expanded_form() {
    let documents = [(0..11).collect::<Vec<u32>>(), vec![3, 1, 4, 1, 5]];
    let model = latent();
    let apart = block_on(equivalence::chunked_difference(&model, &documents, &[1])).expect("numbers");
    assert!(apart < 1e-12, "{apart}");
}
