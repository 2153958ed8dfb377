//! Encoders against the reference: outputs, hidden states, gradients, old and new files, sentence vectors.

use crate::families::encoders::{
    Case, Padding, TOLERANCE, check_gradients, check_saving, context, shape_and_values as numbers,
};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_infer::embed;
use kiln_interpret::ActivationRecorder;
use kiln_laws::{device, max_abs_diff, values};
use kiln_models::{
    Model,
    hf::{self, read_config},
    tensors::{TensorError, TensorInfo, TensorSource},
};
use kiln_nn::{
    Probe,
    head::{HeadConfig, Pooling},
};
use kiln_pretrained::files::ModelFolder;
use kiln_spec::{Direction, Layout};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub const CASES: [&str; 17] = [
    "bert-masked",
    "bert-untied",
    "bert-bare",
    "bert-classes",
    "roberta-masked",
    "roberta-classes",
    "distilbert-masked",
    "distilbert-untied",
    "distilbert-classes",
    "electra-masked",
    "electra-untied",
    "electra-bare",
    "electra-classes",
    "modernbert-masked",
    "modernbert-biases",
    "modernbert-bare",
    "modernbert-classes",
];

/// Outputs: a row for each token, or for each text if the head classifies; hidden states if there is no head.
fn run(case: &Case, model: &Model, padding: Padding, probe: Option<Box<dyn Probe>>, device: &Device) -> Tensor<2> {
    let side = if padding == Padding::Left { "left." } else { "" };
    let mut cx = context(&case.layout(padding), probe, device);
    cx.token_types = Some(case.tokens(&format!("{side}types"), device));
    let hidden = model.forward(case.tokens(&format!("{side}ids"), device), &mut cx);
    match &model.config().head {
        HeadConfig::Embedding(_) => hidden.flatten(0, 1),
        _ => model.outputs(hidden, &cx),
    }
}

/// Values at tokens of texts, computed or expected.
fn unpadded_values(case: &Case, (shape, values): (Vec<usize>, Vec<f64>), padding: Padding) -> Vec<f64> {
    let width = case.reference.values("ids").0[1];
    match shape[..] {
        [rows, each] if rows > 3 => case.unpadded_values((vec![3, width, each], values), padding),
        [_, _, _] => case.unpadded_values((shape, values), padding),
        _ => values,
    }
}

#[test]
fn outputs_equal_the_reference_padded_on_either_side() {
    for case in CASES.map(Case::open) {
        let model = case.load(&device()).model;
        let gaps = [(Padding::Right, "outputs"), (Padding::Left, "left.outputs")].map(|(padding, name)| {
            let found = unpadded_values(&case, numbers(run(&case, &model, padding, None, &device())), padding);
            // A text a row stays where it is.
            case.relative_difference(&found, &unpadded_values(&case, case.reference.values(name), padding))
        });
        assert!(gaps.iter().all(|gap| *gap <= TOLERANCE), "{}: {gaps:?}", case.name);
        println!("| {} | {:.1e} | {:.1e} |", case.name, gaps[0], gaps[1]);
    }
}

#[test]
fn a_changed_option_changes_the_same_values() {
    for case in CASES.map(Case::open) {
        let found = unpadded_values(
            &case,
            numbers(run(&case, &case.control_model(), Padding::Right, None, &device())),
            Padding::Right,
        );
        let of = |name| {
            case.relative_difference(&found, &unpadded_values(&case, case.reference.values(name), Padding::Right))
        };
        assert!(of("control") <= TOLERANCE, "{}", case.name);
        assert!(of("outputs") > 50.0 * TOLERANCE, "{}: the option isn't seen", case.name);
    }
}

#[test]
fn hidden_states_are_equal_layer_by_layer() {
    for case in CASES.map(Case::open) {
        let model = case.load(&device()).model;
        let record = ActivationRecorder::new(&["embedding", "blocks.*.residual", "hidden"]);
        run(&case, &model, Padding::Right, Some(Box::new(record.clone())), &device());
        // The last of the reference's is behind the norm, if there is one.
        let blocks = (0..model.config().num_layers() - 1).map(|block| format!("blocks.{block}.residual"));
        let paths = ["embedding".to_string()].into_iter().chain(blocks).chain(["hidden".to_string()]);
        for (i, path) in paths.enumerate() {
            let state = record.get(&path).unwrap_or_else(|| panic!("{path}"));
            let [.., width, hidden] = state.dims();
            let state = numbers(state.reshape([3, width, hidden]));
            let want = case.reference.values(&format!("hidden.{i}"));
            let gap = case.relative_difference(
                &case.unpadded_values(state, Padding::Right),
                &case.unpadded_values(want, Padding::Right),
            );
            assert!(gap <= TOLERANCE, "{}: {path}: {gap:.1e}", case.name);
        }
    }
}

#[test]
fn gradients_equal_the_reference() {
    for case in CASES.map(Case::open) {
        check_gradients(&case, |model, device| run(&case, model, Padding::Right, None, device));
    }
}

#[test]
fn saved_models_load_unchanged() {
    CASES.map(Case::open).iter().for_each(check_saving);
}

/// Renames the tensors of a folder.
struct RenamedTensors<'a>(&'a dyn TensorSource, BTreeMap<String, String>, BTreeMap<String, TensorInfo>);

impl<'a> RenamedTensors<'a> {
    fn new(tensors: &'a dyn TensorSource, rename: impl Fn(&str) -> String) -> Self {
        let named = |(name, entry): (&String, &TensorInfo)| (rename(name), (name.clone(), entry.clone()));
        let all: BTreeMap<_, _> = tensors.entries().iter().map(named).collect();
        let names = all.iter().map(|(new, (old, _))| (new.clone(), old.clone())).collect();
        Self(tensors, names, all.into_iter().map(|(new, (_, entry))| (new, entry)).collect())
    }
}

impl TensorSource for RenamedTensors<'_> {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.2
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        self.0.read(self.1.get(name).ok_or_else(|| TensorError::NotFound(name.into()))?)
    }
}

#[test]
fn old_names_and_names_behind_a_prefix_are_the_same_weights() {
    let assembled = |case: &Case, rename: &dyn Fn(&str) -> String| {
        let folder = ModelFolder::open(&case.folder).unwrap();
        let (family, config) = folder.config().unwrap();
        hf::load_model(&config, family, &RenamedTensors::new(folder.tensors(), rename), &device()).unwrap()
    };
    let masked = Case::open("bert-masked");
    let tensorflow =
        |name: &str| name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
    let old = assembled(&masked, &tensorflow);
    assert_eq!(values(&old), values(&masked.load(&device()).model));
    let bare = Case::open("bert-bare");
    let names = ModelFolder::open(&bare.folder).unwrap().tensors().entries().keys().cloned().collect::<Vec<_>>();
    assert!(names.iter().all(|name| !name.starts_with("bert.")) && names.contains(&"pooler.dense.weight".into()));
    let behind = assembled(&bare, &|name: &str| format!("bert.{name}"));
    assert_eq!(values(&behind), values(&bare.load(&device()).model));
}

#[test]
fn an_option_that_kiln_does_not_implement_is_refused_by_its_name() {
    let config = |family: &str, key: &str, value: Value| {
        let mut json =
            json!({ "model_type": family, "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1 });
        json[key] = value;
        read_config(&json)
    };
    let cases = [
        ("position_embedding_type", json!("relative_key")),
        ("is_decoder", json!(true)),
        ("add_cross_attention", json!(true)),
        ("hidden_act", json!("quick_gelu")),
        ("architectures", json!(["BertForQuestionAnswering"])),
        ("type_vocab_size", json!(0)),
    ];
    for (key, value) in cases {
        let refusal = config("bert", key, value).unwrap_err();
        assert_eq!(refusal.path, key, "{refusal}");
    }
    let refusal = config("electra", "architectures", json!(["ElectraForPreTraining"])).unwrap_err();
    assert_eq!(refusal.path, "architectures", "{refusal}");
    assert!(refusal.to_string().contains("ElectraForPreTraining"), "{refusal}");
    assert!(config("modernbert", "rope_scaling", json!({ "type": "yarn" })).is_err());
    assert!(config("modernbert", "rope_parameters", json!({ "full_attention": { "rope_type": "yarn" } })).is_err());
    assert_eq!(config("roberta", "pad_token_id", json!(511)).unwrap_err().path, "max_position_embeddings");
    assert!(config("xlm-roberta", "architectures", json!(["XLMRobertaModel"])).is_ok());
}

#[test]
fn a_text_has_the_same_vector_in_any_batch() {
    let case = Case::open("bert-bare");
    let model = case.load(&device()).model;
    let (ids, lengths) = (case.ids("ids"), case.lengths());
    let width = ids.len() / lengths.len();
    let texts: Vec<Vec<u32>> = lengths.iter().enumerate().map(|(i, n)| ids[i * width..][..*n].to_vec()).collect();
    for pool in [Pooling::First, Pooling::Mean, Pooling::Max, Pooling::Last] {
        let together = numbers(embed(&model, &texts, pool, true).unwrap()).1;
        let alone =
            texts.iter().flat_map(|text| numbers(embed(&model, std::slice::from_ref(text), pool, true).unwrap()).1);
        assert!(max_abs_diff(&together, &alone.collect::<Vec<_>>()) < 1e-5, "{pool:?}");
        let lengths = together.chunks(10).map(|vector| vector.iter().map(|x| x * x).sum::<f64>());
        assert!(lengths.into_iter().all(|length| (length - 1.0).abs() < 1e-5));
    }
    // By hand, from the hidden states of one text.
    let layout = Layout::from_offsets(&[0], &[lengths[1]], lengths[1], Direction::Bidirectional);
    let text = Tensor::<1, Int>::from_data(&texts[1].iter().map(|id| *id as i32).collect::<Vec<_>>()[..], &device());
    let hidden = numbers(model.forward(text.unsqueeze(), &mut context(&layout, None, &device()))).1;
    let column = |i: usize| hidden.iter().skip(i).step_by(10).copied().collect::<Vec<_>>();
    let by_hand = |of: &dyn Fn(&[f64]) -> f64| (0..10).map(|i| of(&column(i))).collect::<Vec<_>>();
    let same = |pool, of: &dyn Fn(&[f64]) -> f64| {
        let found = numbers(embed(&model, &texts[1..2], pool, false).unwrap()).1;
        assert!(max_abs_diff(&found, &by_hand(of)) < 1e-5, "{pool:?}");
    };
    same(Pooling::First, &|x| x[0]);
    same(Pooling::Last, &|x| x[x.len() - 1]);
    same(Pooling::Mean, &|x| x.iter().sum::<f64>() / x.len() as f64);
    same(Pooling::Max, &|x| x.iter().copied().fold(f64::MIN, f64::max));
    assert!(embed(&model, &[vec![]], Pooling::Mean, true).is_err());
    assert!(embed(&model, &[vec![29]], Pooling::Mean, true).is_err());
    assert!(embed(&model, &[vec![1; 14]], Pooling::Mean, true).is_err());
    assert_eq!(embed(&model, &[], Pooling::Mean, true).unwrap().dims(), [0, 10]);
}
