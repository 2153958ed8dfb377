//! Bindings of every family over the tensors of its test models: each element of a file is read exactly once, and each
//! element of a parameter is read from one place. Wrong bindings fail there or in the logits.

use crate::families::{
    case::{Case, DECODERS, logits, relative_difference, to_vec, unpadded_values},
    encoders,
};
use burn::tensor::TensorData;
use kiln_laws::device;
use kiln_models::{
    Model, ModelConfig, StateDict,
    hf::{self, Binding, Family, ValueMap, binding::Slice},
    load_state_dict, named_parameters,
    tensors::{InMemoryTensors, TensorSource},
};
use kiln_pretrained::files::ModelFolder;
use std::collections::{BTreeMap, BTreeSet};

/// Tolerance of logits relative to the largest.
const TOLERANCE: f64 = 1e-4;

/// What is wrong with bindings over a file: elements that are read twice or not at all, and parameters with another number
/// of places than one. Several tensors with a whole parameter are alternatives, and so are whole tensors and elements.
fn tiling_faults(bindings: &[Binding], family: &Family, config: &ModelConfig, file: &dyn TensorSource) -> Vec<String> {
    let mut reads: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let mut faults = Vec::new();
    for (name, entry) in file.entries() {
        let is_bound = bindings.iter().any(|binding| binding.tensor == *name);
        if is_bound || !family.ignored_suffixes.iter().any(|end| name.ends_with(end)) {
            reads.insert(name, vec![0; entry.shape.iter().product()]);
        }
    }
    let present: Vec<&Binding> = bindings.iter().filter(|binding| reads.contains_key(&*binding.tensor)).collect();
    let shapes: BTreeMap<String, Vec<usize>> =
        named_parameters(&Model::outline(config, &device())).into_iter().map(|p| (p.path, p.shape)).collect();
    for binding in &present {
        let (shape, Some(parameter)) = (&file.entries()[&binding.tensor].shape, shapes.get(&binding.parameter)) else {
            faults.push(format!("`{}` is no parameter", binding.parameter));
            continue;
        };
        let expected = binding.file_shape(parameter);
        if *shape != expected {
            faults
                .push(format!("`{}` is {shape:?}, `{}` is read from {expected:?}", binding.tensor, binding.parameter));
            continue;
        }
        let counts = reads.get_mut(&*binding.tensor).unwrap();
        for element in binding.layout.element_ranges(shape).into_iter().flatten() {
            match counts.get_mut(element) {
                Some(count) => *count += 1,
                None => faults.push(format!("`{}` ends before element {element}", binding.tensor)),
            }
        }
    }
    for (name, counts) in &reads {
        if let Some(element) = counts.iter().position(|count| *count != 1) {
            faults.push(format!("`{name}`: element {element} is read {} times", counts[element]));
        }
    }
    for (parameter, shape) in &shapes {
        let own: Vec<_> = present.iter().filter(|binding| binding.parameter == *parameter).collect();
        // The elements of a vector over all heads are its heads.
        let count = own.iter().find_map(|binding| binding.rows).unwrap_or(shape[0]);
        let elements: Vec<_> = own.iter().map(|binding| binding.element).collect();
        let each: BTreeSet<_> = elements.iter().flatten().map(|(index, _)| *index).collect();
        let is_stack = each.len() == count && elements.iter().flatten().count() == count;
        if !(elements.contains(&None) || is_stack) {
            faults.push(format!("`{parameter}`: elements {elements:?} of {count}"));
        }
    }
    faults
}

/// The model of a case as its bindings read it.
struct Bound {
    family: &'static Family,
    config: ModelConfig,
    bindings: Vec<Binding>,
    file: ModelFolder<'static>,
}

impl Bound {
    fn open(folder: &std::path::Path) -> Self {
        let file = ModelFolder::open(folder).unwrap();
        let (family, config) = file.config().unwrap();
        Self { family, bindings: hf::file_bindings(&config, family, file.tensors()), config, file }
    }

    fn faults(&self) -> Vec<String> {
        tiling_faults(&self.bindings, self.family, &self.config, self.file.tensors())
    }

    /// The binding of a parameter (its first element of a stack).
    fn binding(&mut self, parameter: &str) -> &mut Binding {
        self.bindings.iter_mut().find(|binding| binding.parameter == parameter).unwrap_or_else(|| panic!("{parameter}"))
    }

    /// Difference of the logits from the reference with parameters read as the bindings say, whatever they say.
    fn logits_gap(&self, case: &Case, file: &dyn TensorSource) -> f64 {
        let mut values = StateDict::new();
        for parameter in named_parameters(&Model::outline(&self.config, &device())) {
            let own = self
                .bindings
                .iter()
                .filter(|binding| binding.parameter == parameter.path && file.entries().contains_key(&binding.tensor));
            let mut own: Vec<&Binding> = own.collect();
            own.sort_by_key(|binding| binding.element);
            let count = if own[0].element.is_some() { own.len() } else { 1 };
            let parts = own[..count].iter().map(|b| b.layout.extract(file.read(&b.tensor).unwrap()));
            let elements: Vec<f32> = parts.flat_map(|part| part.iter::<f32>().collect::<Vec<_>>()).collect();
            values.insert(parameter.path, TensorData::new(elements, parameter.shape));
        }
        let model = load_state_dict(Model::init(&self.config, 0, &device()), values).unwrap();
        let (out, lengths) = (logits(&model, &case.ids("ids"), &case.lengths(), None), case.lengths());
        let [_, width, vocab] = out.dims();
        let found = unpadded_values(&to_vec(out), width, vocab, &lengths, false);
        relative_difference(&found, &case.unpadded_values("logits", false))
    }
}

#[test]
fn bindings_tile_every_file() {
    let folders = DECODERS.map(|name| Case::open(name).folder).into_iter();
    let encoders = encoders::case_names().map(|name| encoders::Case::open(name).folder);
    let mut families = BTreeSet::new();
    for folder in folders.chain(encoders) {
        let bound = Bound::open(&folder);
        families.insert(bound.family.name);
        assert_eq!(bound.faults(), Vec::<String>::new(), "{}", folder.display());
    }
    let all: BTreeSet<_> = hf::FAMILIES.iter().map(|family| family.name).collect();
    assert_eq!(families, all, "every family has a test model");
}

/// Asserts that bindings changed by `fault` no longer tile their file.
fn assert_no_tiling(case: &'static str, fault: impl FnOnce(&mut Bound)) {
    let mut bound = Bound::open(&Case::open(case).folder);
    assert_eq!(bound.faults(), Vec::<String>::new(), "a control");
    fault(&mut bound);
    assert_ne!(bound.faults(), Vec::<String>::new(), "{case}");
}

/// Asserts that bindings changed by `fault`, which may tile their file, give other logits.
fn assert_other_logits(case: &'static str, fault: impl FnOnce(&mut Bound)) {
    let case = Case::open(case);
    let mut bound = Bound::open(&case.folder);
    assert!(bound.logits_gap(&case, bound.file.tensors()) <= TOLERANCE, "a control");
    fault(&mut bound);
    let gap = bound.logits_gap(&case, bound.file.tensors());
    assert!(gap > 50.0 * TOLERANCE, "{}: {gap:.1e}", case.name);
}

/// Exchanges the places of two parameters in the file.
fn exchange(bound: &mut Bound, a: &str, b: &str) {
    let [first, second] = [a, b].map(|name| bound.binding(name).clone());
    *bound.binding(a) = Binding { parameter: a.into(), ..second };
    *bound.binding(b) = Binding { parameter: b.into(), ..first };
}

#[test]
fn a_slice_that_is_off_by_one_is_found() {
    let slice = |bound: &mut Bound, parameter: &str, change: fn(&mut Slice)| {
        change(bound.binding(parameter).layout.slice.as_mut().expect("a slice"));
    };
    for (case, parameter) in [
        ("phi3-tied", "blocks.0.attention.k.weight"),
        ("gpt2-tied", "blocks.0.attention.k.bias"),
        ("gpt_neox-serial", "blocks.0.attention.v.weight"),
        ("bloom-tied", "blocks.0.attention.q.bias"),
        ("gpt_oss-tied", "blocks.0.feed_forward.experts.up.weight"),
        ("gpt_oss-tied", "blocks.0.feed_forward.experts.gate.bias"),
    ] {
        assert_no_tiling(case, |bound| slice(bound, parameter, |slice| slice.start += 1));
        assert_no_tiling(case, |bound| slice(bound, parameter, |slice| slice.width -= 1));
    }
    for case in ["gpt_neox-serial", "bloom-tied"] {
        // A group fewer or more, of the same total.
        let whole = |slice: &mut Slice| {
            (slice.groups, slice.width, slice.group_size) =
                (1, slice.width * slice.groups, slice.group_size * slice.groups);
        };
        assert_no_tiling(case, |bound| slice(bound, "blocks.0.attention.k.weight", whole));
        assert_no_tiling(case, |bound| slice(bound, "blocks.0.attention.k.weight", |slice| slice.groups -= 1));
    }
}

#[test]
fn outputs_that_alternate_are_not_those_that_follow_each_other() {
    for end in ["weight", "bias"] {
        assert_other_logits("gpt_oss-windows", |bound| {
            let names = ["gate", "up"].map(|map| format!("blocks.0.feed_forward.experts.{map}.{end}"));
            for (i, name) in names.iter().enumerate() {
                let slice = bound.binding(name).layout.slice.as_mut().expect("a slice");
                assert_eq!((slice.groups, slice.start, slice.width, slice.group_size), (20, i, 1, 2));
                *slice = Slice::contiguous(slice.axis, 20 * i, 20, 40);
            }
            assert_eq!(bound.faults(), Vec::<String>::new(), "they still tile the file");
        });
    }
}

#[test]
fn exchanged_keys_and_values_change_the_logits() {
    for case in ["phi3-tied", "gpt2-tied", "gpt_neox-serial", "bloom-untied", "llama-llama3"] {
        assert_other_logits(case, |bound| {
            exchange(bound, "blocks.0.attention.k.weight", "blocks.0.attention.v.weight");
            assert_eq!(bound.faults(), Vec::<String>::new(), "they still tile the file");
        });
    }
}

#[test]
fn exchanged_experts_change_the_logits_and_a_repeated_one_is_found() {
    let experts = |bound: &mut Bound, change: fn(&mut usize)| {
        let up = |binding: &&mut Binding| binding.parameter == "blocks.0.feed_forward.experts.up.weight";
        bound.bindings.iter_mut().filter(up).for_each(|binding| {
            if let Some((index, _)) = binding.element.as_mut() {
                change(index);
            }
        });
    };
    assert_other_logits("mixtral-experts", |bound| {
        experts(bound, |index| *index ^= usize::from(*index < 2));
        assert_eq!(bound.faults(), Vec::<String>::new(), "they still tile the file");
    });
    assert_no_tiling("mixtral-experts", |bound| experts(bound, |index| *index -= usize::from(*index == 1)));
    assert_no_tiling("mixtral-experts", |bound| {
        let last = bound.bindings.iter().rposition(|binding| binding.element.is_some()).unwrap();
        bound.bindings.remove(last);
    });
}

#[test]
fn a_forgotten_value_map_changes_the_logits() {
    let case = Case::open("llama-llama3");
    let mut bound = Bound::open(&case.folder);
    // The same model in a file that stores w − 1 of the last norm.
    let mut values = bound.file.tensors().read_all().unwrap();
    let norm = bound.binding("norm.weight");
    let weight = values.get_mut(&norm.tensor).unwrap();
    *weight = TensorData::new(weight.iter::<f32>().map(|w| w - 1.0).collect::<Vec<_>>(), weight.shape().clone());
    norm.layout.map = Some(ValueMap::AddOne);
    let file = InMemoryTensors::from(values);
    assert!(bound.logits_gap(&case, &file) <= TOLERANCE, "a control");
    bound.binding("norm.weight").layout.map = None;
    assert!(bound.logits_gap(&case, &file) > 50.0 * TOLERANCE);
}
