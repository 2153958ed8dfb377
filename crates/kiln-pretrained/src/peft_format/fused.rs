//! One adapter for a fused module from the adapters of its parts: q, k and v of GPT-2's `c_attn`, gate and up of Phi-3's
//! `gate_up_proj`.
//!
//! Parts that have the same values of what the module has once (such as A, as read from a fused module's LoRA) keep them.
//! LoRAs with different A are stacked: A = [A₁; A₂; …], and B has the blocks s₁/s₁ B₁, s₂/s₁ B₂, … on its diagonal, so that
//! one scale s₁ fits all.

use super::{
    base_modules::{Part, Target},
    method::{AdapterData, Described, Method, Stacked},
    rank_masks::kept_count,
};
use burn::tensor::TensorData;
use kiln_nn::adapter::AdapterSpec;
use kiln_spec::ValidationError;

/// The adapter of one part, with Kiln's parameters by the names of the table.
pub(super) struct PartAdapter<'a> {
    pub part: &'a Part,
    pub spec: AdapterSpec,
    pub values: AdapterData,
    /// The indices of the rank that the file gets; `None`: all.
    pub mask: Option<Vec<bool>>,
}

impl PartAdapter<'_> {
    /// How the adapter is written.
    pub fn described(&self, method: &Method, target: &Target) -> Described {
        let described = (method.describe)(&self.spec, target.kind()).expect("the method of the parts");
        Described { rank: self.mask.as_deref().map_or(described.rank, kept_count), ..described }
    }
}

/// The parts of a module with one set of hyperparameters, and the same values of what the module has once.
///
/// # Errors
/// If the parts differ and the method has no adapter that computes what they do.
pub(super) fn fuse<'a>(
    method: &Method,
    target: &Target,
    parts: Vec<PartAdapter<'a>>,
) -> Result<Vec<PartAdapter<'a>>, ValidationError> {
    let kind = target.kind();
    let describe = |spec: &AdapterSpec| (method.describe)(spec, kind).expect("the method of the parts");
    let first = &parts[0];
    let shared = describe(&first.spec).tensors.iter().filter(|row| !row.axes.has('o')).map(|row| row.name);
    let shared: Vec<&str> = shared.collect();
    let is_same = |part: &PartAdapter| {
        part.spec == first.spec && shared.iter().all(|name| part.values[*name] == first.values[*name])
    };
    if parts.iter().all(is_same) {
        return Ok(parts);
    }
    let specs: Vec<&AdapterSpec> = parts.iter().map(|part| &part.spec).collect();
    let Some(stacked) = method.stack.and_then(|stack| stack(&specs)) else {
        let names = parts.iter().map(|part| part.part.path.as_str()).collect::<Vec<_>>().join(", ");
        let reason = format!(
            "`{}` has one adapter in PEFT's format, and these adapters differ in what it has once: {names}",
            target.name
        );
        let suggestion = "merge the adapters and export with --format hf";
        return Err(ValidationError::new(parts[0].part.path.as_str(), reason).with_suggestion(suggestion));
    };
    Ok(stack(target, parts, &stacked, &describe(&stacked.spec)))
}

/// The parts with the hyperparameters of the stacked adapter: the ranks of the parts follow each other.
fn stack<'a>(
    target: &Target,
    mut parts: Vec<PartAdapter<'a>>,
    stacked: &Stacked,
    described: &Described,
) -> Vec<PartAdapter<'a>> {
    let lengths = target.lengths(described.rank);
    let mut start = 0;
    let mut sums = AdapterData::new();
    for ((part, factor), rank) in parts.iter_mut().zip(&stacked.factors).zip(&stacked.ranks) {
        for row in described.tensors {
            let is_shared = !row.axes.has('o');
            let factor = if is_shared { 1.0 } else { *factor };
            let window = part.part.window();
            let range = (start, start + rank);
            let padded = row.axes.pad_rank(&part.values[row.name], range, factor, &lengths, &window);
            if is_shared {
                // The parts' own rows are disjoint.
                let sum = sums.remove(row.name).map_or_else(|| padded.clone(), |sum| add(&sum, &padded));
                sums.insert(row.name, sum);
            } else {
                part.values.insert(row.name, padded);
            }
        }
        part.spec = stacked.spec.clone();
        start += rank;
    }
    for part in &mut parts {
        part.values.extend(sums.iter().map(|(name, sum)| (*name, sum.clone())));
    }
    parts
}

/// The sum of two tensors of f32.
fn add(a: &TensorData, b: &TensorData) -> TensorData {
    let sum = a.iter::<f32>().zip(b.iter::<f32>()).map(|(a, b)| a + b).collect();
    TensorData::new(sum, a.shape().to_vec())
}

#[cfg(test)]
mod tests {
    use super::{super::method, *};
    use kiln_models::hf::binding::Slice;
    use kiln_nn::adapter::{Ia3Spec, LoraInit, LoraSpec, Site};

    /// A module of six outputs: the first two and the last two are parts.
    fn target() -> Target {
        let part = |path: &str, start| Part {
            path: path.into(),
            site: Site::Linear([3, 2]),
            outputs: Some(Slice::contiguous(0, start, 2, 6)),
        };
        Target { name: "m.qkv".into(), module: None, parts: vec![part("q", 0), part("v", 4)] }
    }

    fn lora(part: &Part, rank: usize, alpha: f64, seed: f32) -> PartAdapter<'_> {
        let matrix = |rows: usize, columns: usize| {
            let values = (0..rows * columns).map(|i| ((i * 7 + 3) % 11) as f32 * 0.25 - seed).collect::<Vec<_>>();
            TensorData::new(values, [rows, columns])
        };
        let spec = LoraSpec { rank, alpha, rslora: false, dropout: 0.0, init: LoraInit::Uniform };
        let values = AdapterData::from([("lora_A", matrix(3, rank)), ("lora_B", matrix(rank, 2))]);
        PartAdapter { part, spec: AdapterSpec::Lora(spec), values, mask: None }
    }

    /// s A B, `[in, out]`.
    fn product(adapter: &PartAdapter) -> Vec<f64> {
        let AdapterSpec::Lora(spec) = &adapter.spec else { panic!("a LoRA") };
        let [a, b] = ["lora_A", "lora_B"].map(|name| adapter.values[name].iter::<f64>().collect::<Vec<_>>());
        let cell = |i: usize, o: usize| (0..spec.rank).map(|r| a[i * spec.rank + r] * b[r * 2 + o]).sum::<f64>();
        (0..6).map(|index| spec.scale() * cell(index / 2, index % 2)).collect()
    }

    #[test]
    fn stacked_adapters_compute_what_the_parts_compute() {
        let target = target();
        let parts = || vec![lora(&target.parts[0], 2, 3.0, 0.5), lora(&target.parts[1], 1, 5.0, 0.25)];
        let stacked = fuse(method::find("LORA").unwrap(), &target, parts()).unwrap();
        assert_eq!(stacked[0].values["lora_A"], stacked[1].values["lora_A"]);
        assert_eq!(stacked[0].values["lora_A"].shape().to_vec(), [3, 3]);
        for (own, part) in stacked.iter().zip(&parts()) {
            let (found, expected) = (product(own), product(part));
            assert!(expected.iter().any(|value| value.abs() > 0.5));
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}, {expected:?}");
        }
    }

    #[test]
    fn parts_with_the_same_matrix_a_keep_their_rank() {
        let target = target();
        let parts = target.parts.iter().map(|part| lora(part, 2, 3.0, 0.5)).collect();
        let fused = fuse(method::find("LORA").unwrap(), &target, parts).unwrap();
        assert_eq!(fused[1].values["lora_A"].shape().to_vec(), [3, 2]);
    }

    #[test]
    fn parts_that_differ_in_what_a_method_has_once_are_refused() {
        let target = target();
        let parts = target.parts.iter().zip([1.0f32, 2.0]).map(|(part, factor)| PartAdapter {
            part,
            spec: AdapterSpec::Ia3(Ia3Spec { feedforward: true }),
            values: AdapterData::from([("ia3_l", TensorData::new(vec![factor; 3], [3]))]),
            mask: None,
        });
        let error = fuse(method::find("IA3").unwrap(), &target, parts.collect()).err().expect("other factors");
        assert!(error.path == "q" && error.reason.contains("q, v"), "{error}");
    }
}
