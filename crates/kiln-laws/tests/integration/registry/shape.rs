//! Laws on shapes, files and determinism.

use crate::registry::Verdict;
use burn::tensor::{Int, Tensor, TensorData};
use kiln_infer::equivalence::ModelRunner;
use kiln_laws::{
    device,
    loss::{DocumentRows, loss},
    parameters::gradients,
    strategies::VOCAB,
    test_case::{TestCase, TestModel},
};
use kiln_models::{Model, ModelConfig, load_state_dict, named_parameters};
use kiln_nn::{Context, context::RngKey};
use kiln_train::{checkpoint::RawTensor, state_dict};
use safetensors::SafeTensors;

/// Three rows of documents of 7, 4 and 1 tokens, with padding.
pub fn rows(subject: &TestCase) -> DocumentRows {
    let document = |length: usize, from: u32| (0..length as u32).map(|i| (from + 3 * i) % VOCAB as u32).collect();
    DocumentRows::padded(&[document(7, 0), document(4, 2), document(1, 5)], subject.direction(), 1)
}

/// Shape and values of the hidden states.
fn hidden(run: &TestModel, rows: &DocumentRows) -> ([usize; 3], Vec<f32>) {
    let (device, shape) = (run.model().device(), [rows.documents.len(), rows.width]);
    let tokens = Tensor::<2, Int>::from_data(TensorData::new(rows.inputs_targets_weights().0, shape), &device);
    let hidden = run.forward(tokens, &mut Context::new(&rows.layout(), &device));
    (hidden.dims(), hidden.into_data().iter::<f32>().collect())
}

fn check(holds: bool, why: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(why.into()) }
}

/// Shapes: `[B, T] → [B, T, M]` with finite values, finite costs, and a row of outputs for each token.
pub fn shape(subject: &TestCase) -> Verdict {
    let (run, rows) = (subject.model(5, &device()), rows(subject));
    let wanted = [rows.documents.len(), rows.width, subject.config.hidden];
    let (dims, numbers) = hidden(&run, &rows);
    check(dims == wanted, format!("hidden states are {dims:?}, not {wanted:?}"))?;
    check(numbers.iter().all(|x| x.is_finite()), "a hidden state is no number")?;
    let logits = run.model().logits(Tensor::zeros([5, wanted[2]], &device())).dims();
    check(logits[0] == 5 && logits[1] > 0, format!("5 places have outputs {logits:?}"))?;
    let costs = run.model().blocks().iter().flat_map(|block| block.parts()).map(|(_, part)| part.cost(16));
    let counts = |cost: kiln_nn::Cost| [cost.flops, cost.state_bytes].iter().all(|x| x.is_finite() && *x >= 0.0);
    check(costs.into_iter().all(counts), "a cost that is no number from 0")
}

/// Round trip: the configuration survives TOML and JSON. Saved weights load by name into a differently initialized
/// model, which then computes the same.
pub fn round_trip(subject: &TestCase) -> Verdict {
    let config = &subject.config;
    config.check("model").map_err(|refusal| format!("refused: {refusal}"))?;
    let text = kiln_spec::config::to_toml(config);
    let read = (subject.parse)(&text).map_err(|error| format!("its own text is refused: {error}"))?;
    check(read == *config, "its text says something else")?;
    let json = serde_json::to_string(config).map_err(|error| error.to_string())?;
    let again: Result<ModelConfig, _> = serde_json::from_str(&json);
    check(again.is_ok_and(|again| again == *config), "its JSON says something else")?;
    let mut resolved = config.clone();
    resolved.resolve();
    check(resolved == *config, "what is written down is not all there is to write down")?;
    let [one, other] = [1, 2].map(|seed| Model::init(&read, seed, &device()));
    let named =
        |model: &Model| named_parameters(model).into_iter().map(|name| (name.path, name.shape)).collect::<Vec<_>>();
    check(named(&one) == named(&Model::init(config, 1, &device())), "names have changed")?;
    let other = load_state_dict(other, load_values(&save_weights(&one)?)?).map_err(|mismatch| mismatch.to_string())?;
    let rows = rows(subject);
    let [(_, a), (_, b)] = [one, other].map(|model| hidden(&subject.wrap(model), &rows));
    check(a == b, "saved and loaded, it computes something else")
}

/// Bytes of a safetensors file of the weights.
pub fn save_weights(model: &Model) -> Result<Vec<u8>, String> {
    let tensors = kiln_infer::block_on(state_dict::model_tensors(model)).map_err(|error| error.to_string())?;
    safetensors::serialize(&tensors, None).map_err(|error| error.to_string())
}

/// Reads the weights of such a file.
pub fn load_values(bytes: &[u8]) -> Result<kiln_models::StateDict, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let raw = |(name, view): (&str, safetensors::tensor::TensorView)| {
        (name.to_string(), RawTensor { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() })
    };
    let tensors = file.iter().map(raw).collect();
    let weights = state_dict::values_from_tensors(tensors).map_err(|name| format!("`{name}` is not f32"))?;
    Ok(weights.values)
}

/// Determinism: two models of the same seed have bit-identical losses and gradients in training.
pub fn deterministic(subject: &TestCase) -> Verdict {
    let once = || {
        let (run, rows) = (subject.model(5, &device().autodiff()), rows(subject));
        let draws = RngKey { seed: 1, step: 2, micro_batch: 0 };
        let mut cx = Context::training(&rows.layout(), draws, &device());
        let loss = loss(&run, &rows, &mut cx);
        let value: Vec<f32> = loss.clone().inner().into_data().iter::<f32>().collect();
        (value, gradients(run.model(), &loss.backward()))
    };
    let [(loss, found), (other, again)] = [once(), once()];
    check(loss.iter().map(|x| x.to_bits()).eq(other.iter().map(|x| x.to_bits())), "another loss")?;
    let bits =
        |all: &kiln_laws::parameters::ByPath<Vec<f64>>| all.values().flatten().map(|x| x.to_bits()).collect::<Vec<_>>();
    check(bits(&found) == bits(&again), "other gradients")
}
