//! Test cases of encoders and encoder-decoders: a folder with a model of the reference code and its results.

use crate::families::{bert, gradients::gradients_by_name, t5};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_laws::{device, fixture::Fixture, max_abs_diff, values};
use kiln_models::{
    Model, ModelTensors, hf,
    tensors::{InMemoryTensors, TensorSource},
};
use kiln_nn::{Context, Probe};
use kiln_pretrained::{
    PretrainedModel,
    files::{ModelFolder, SaveOptions as Laid, load, save},
};
use kiln_spec::{Direction, Layout, TokenMark};
use serde_json::Value;
use std::path::PathBuf;

/// Tolerance relative to the largest output. Both sides compute in f32; measured differences are a few 1e-6.
pub const TOLERANCE: f64 = 1e-4;

/// Names of the test cases of encoders and encoder-decoders.
pub fn case_names() -> impl Iterator<Item = &'static str> {
    bert::CASES.into_iter().chain(t5::CASES)
}

pub struct Case {
    pub name: &'static str,
    pub folder: PathBuf,
    pub reference: Fixture,
}

/// Side of the padding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    Left,
    Right,
}

impl Case {
    pub fn open(name: &'static str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/hf-encoders").join(name);
        Self { name, folder, reference: Fixture::open(&format!("hf-encoders/{name}/expected")) }
    }

    pub fn load(&self, device: &Device) -> PretrainedModel {
        load(&self.folder, device).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The model with some options of `config.json` changed.
    pub fn control_model(&self) -> Model {
        let text = std::fs::read(self.folder.join("control.json")).unwrap();
        let (family, config) = hf::read_config(&serde_json::from_slice::<Value>(&text).unwrap()).unwrap();
        hf::load_model(&config, family, ModelFolder::open(&self.folder).unwrap().tensors(), &device()).unwrap()
    }

    pub fn ids(&self, name: &str) -> Vec<u32> {
        self.reference.values(name).1.into_iter().map(|id| id as u32).collect()
    }

    pub fn lengths(&self) -> Vec<usize> {
        self.ids("lengths").into_iter().map(|length| length as usize).collect()
    }

    /// A tensor `[rows, width]` of integers.
    pub fn tokens(&self, name: &str, device: &Device) -> Tensor<2, Int> {
        let (shape, ids) = self.reference.values(name);
        Tensor::from_data(TensorData::new(ids.into_iter().map(|id| id as i32).collect::<Vec<_>>(), shape), device)
    }

    /// Layout of the texts.
    pub fn layout(&self, padding: Padding) -> Layout {
        let (lengths, width) = (self.lengths(), self.reference.values("ids").0[1]);
        let row = |length: &usize| {
            let live = (0..*length).map(|i| TokenMark::new(i, 0, Direction::Bidirectional));
            let dead = std::iter::repeat_n(TokenMark::default(), width - length);
            match padding {
                Padding::Left => dead.chain(live).collect::<Vec<_>>(),
                Padding::Right => live.chain(dead).collect(),
            }
        };
        Layout::from_marks(lengths.iter().flat_map(row).collect(), width).unwrap()
    }

    /// Values at tokens of texts, of a tensor `[rows, width, n]`.
    pub fn unpadded_values(&self, (shape, values): (Vec<usize>, Vec<f64>), padding: Padding) -> Vec<f64> {
        let (width, each) = (shape[1], shape[2]);
        let row = |(row, length): (usize, &usize)| {
            let from = row * width + if padding == Padding::Left { width - length } else { 0 };
            values[from * each..][..length * each].to_vec()
        };
        self.lengths().iter().enumerate().flat_map(row).collect()
    }

    /// Largest difference from the expected values, relative to the largest of these.
    pub fn relative_difference(&self, found: &[f64], expected: &[f64]) -> f64 {
        assert_eq!(found.len(), expected.len(), "{}", self.name);
        max_abs_diff(found, expected) / expected.iter().fold(0.0, |most: f64, x| most.max(x.abs()))
    }
}

/// A context for this layout with a probe.
pub fn context(layout: &Layout, probe: Option<Box<dyn Probe>>, device: &Device) -> Context {
    let mut cx = Context::new(layout, device);
    cx.probe = probe;
    cx
}

pub fn shape_and_values<const D: usize>(tensor: Tensor<D>) -> (Vec<usize>, Vec<f64>) {
    (tensor.dims().to_vec(), tensor.into_data().iter::<f64>().collect())
}

/// Asserts that the gradients of Σ output · cotangent equal those of the reference, weight by weight.
pub fn check_gradients(case: &Case, outputs: impl Fn(&Model, &Device) -> Tensor<2>) {
    let device = device().autodiff();
    let loaded = case.load(&device);
    let out = outputs(&loaded.model, &device);
    let cotangent: Vec<f32> = case.reference.values("cotangent").1.into_iter().map(|x| x as f32).collect();
    let cotangent = Tensor::<2>::from_data(TensorData::new(cotangent, out.dims()), &device);
    let gradients = gradients_by_name(&loaded.model, &(out * cotangent).sum().backward());
    let gradients = InMemoryTensors::from(gradients);
    let gradients = hf::export_tensors(loaded.model.config(), loaded.family, &gradients).unwrap().read_all().unwrap();
    // The bare class names nothing before the weights.
    let bare = loaded.config_json["architectures"][0].as_str().is_some_and(|class| class.ends_with("Model"));
    for (name, found) in gradients {
        let name = if bare { name.trim_start_matches(loaded.family.prefix).to_string() } else { name };
        let (shape, want) = case.reference.values(&format!("gradient.{name}"));
        assert_eq!(found.shape().to_vec(), shape, "{}: {name}", case.name);
        // A bias of keys alone moves all scores of a query alike: its gradient is rounding.
        if want.iter().any(|x| x.abs() >= 1e-3) {
            let gap = case.relative_difference(&found.iter::<f64>().collect::<Vec<_>>(), &want);
            assert!(gap <= 1e-3, "{}: {name}: {gap:.1e}", case.name);
        }
    }
}

/// Asserts that a loaded model is saved unchanged, with an equivalent `config.json`. With `KILN_KEEP=DIR` the saved
/// models stay in DIR, for `tools/fixtures_hf_encoders.py --check`.
pub fn check_saving(case: &Case) {
    let temporary = tempfile::tempdir().unwrap();
    let home = std::env::var_os("KILN_KEEP").map_or(temporary.path().to_owned(), PathBuf::from);
    let loaded = case.load(&device());
    let folder = home.join(case.name);
    let laid = Laid { config_json: Some(&loaded.config_json), ..Laid::default() };
    let family = save(&folder, loaded.model.config(), &ModelTensors::new(&loaded.model), laid).unwrap();
    assert_eq!(family.name, loaded.family.name);
    let again = load(&folder, &device()).unwrap();
    assert_eq!(again.model.config(), loaded.model.config(), "{}", case.name);
    assert_eq!(values(&again.model), values(&loaded.model), "{}", case.name);
    // The head of the next sentence isn't kept.
    let class = |json: &Value| json["architectures"][0].as_str().unwrap().replace("ForPreTraining", "ForMaskedLM");
    assert_eq!(class(&again.config_json), class(&loaded.config_json));
    // With a head of its own mT5 is T5, and with an embedding of the hidden size ELECTRA without a head is BERT.
    let (matching, _) = hf::find_family(loaded.model.config()).unwrap();
    let alike = [("t5", "mt5"), ("bert", "electra")].contains(&(matching.name, loaded.family.name));
    assert!(matching.name == loaded.family.name || alike, "{}: {}", case.name, matching.name);
}
