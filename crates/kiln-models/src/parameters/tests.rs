//! Walks over parameters: order, ids, laziness.

use super::*;
use crate::config::ModelConfig;
use burn::{
    module::Module,
    optim::GradientsParams,
    tensor::{DType, Device},
};

fn config() -> ModelConfig {
    ModelConfig { vocab: 11, hidden: 8, ..ModelConfig::default() }
}

fn values(model: &Model) -> StateDict {
    let mut values = StateDict::new();
    for_each_param(model, |param| {
        values.insert(param.name(), param.value().expect("values"));
    });
    values
}

#[test]
fn a_walk_initializes_no_lazy_parameter() {
    let model = Model::without_weights(&config());
    let mut num_params = 0;
    for_each_param(&model, |param| {
        assert_eq!((param.dtype(), param.packed().is_none()), (None, true), "{}", param.name());
        num_params += param.num_elements();
        param.handle();
    });
    assert_eq!(num_params, model.num_params());
    let model = map_params(model, |param| assert!(!param.name().is_empty()));
    for_each_param(&model, |param| assert_eq!(param.dtype(), None, "{}", param.name()));
    for_each_param(&model, |param| {
        param.value().expect("values");
        assert_eq!(param.dtype(), Some(DType::F32), "{}", param.name());
    });
}

#[test]
fn changed_parameters_keep_their_ids_names_and_order() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let model = Model::init(&config(), 3, &device);
        let (parameters, before) = (named_parameters(&model), values(&model));
        let model = map_params(model, |param| param.map(|value| (value.flatten() + 1.0).into()));
        assert_eq!(named_parameters(&model), parameters);
        for (name, value) in values(&model) {
            let expected: Vec<f32> = before[&name].iter::<f32>().map(|x| x + 1.0).collect();
            assert_eq!(value.iter::<f32>().collect::<Vec<_>>(), expected, "{name}");
        }
        let data = before.clone();
        let model = map_params(model, |param| param.set_value(data[&param.name()].clone(), Some(DType::F64)));
        assert_eq!(named_parameters(&model), parameters);
        let model = map_params(model, |param| param.initialize(before[&param.name()].clone(), &device, DType::F32));
        assert_eq!(named_parameters(&model), parameters);
        assert_eq!(values(&model), before);
    }
}

#[test]
fn changed_parameters_stay_frozen_or_trainable() {
    let model = Model::init(&config(), 3, &Device::flex().autodiff());
    let model = map_params(model, |param| {
        let name = param.name();
        param.set_trainable(name == "embedding");
        param.map(|value| value);
    });
    for_each_param(&model, |param| assert_eq!(param.is_trainable(), param.name() == "embedding", "{}", param.name()));
}

#[test]
fn a_shared_parameter_brings_its_id_and_value() {
    let (from, to) = (Model::init(&config(), 1, &Device::flex()), Model::init(&config(), 2, &Device::flex()));
    let mut handles = BTreeMap::new();
    for_each_param(&from, |param| {
        handles.insert(param.name(), param.handle());
    });
    let embedding = handles.remove("embedding").expect("every model has one");
    let norm = handles.remove("norm.weight").expect("every model has one");
    let mut embedding = Some(embedding);
    let mut norm = Some(norm);
    let to = map_params(to, |param| {
        if param.name() == "embedding" {
            assert!(!param.share(norm.take().expect("once")), "another rank");
            assert!(param.share(embedding.take().expect("once")));
        }
    });
    assert_eq!(named_parameters(&to)[0], named_parameters(&from)[0]);
    assert_eq!(values(&to)["embedding"], values(&from)["embedding"]);
}

#[test]
fn gradients_are_found_by_graph_and_by_id_and_taken_once() {
    let model = Model::init(&config(), 3, &Device::flex().autodiff());
    let mut sum = None;
    for_each_param(&model, |param| {
        if param.name() == "embedding" {
            sum = Some((param.tensor().flatten() * 2.0).sum());
        }
    });
    let graph = sum.expect("an embedding").backward();
    let twos = |gradient: AnyTensor| gradient.into_data().expect("values").iter::<f32>().all(|g| g == 2.0);
    for_each_param(&model, |param| {
        assert_eq!(param.gradient(&graph).map(twos), (param.name() == "embedding").then_some(true));
    });
    let mut gradients = GradientsParams::from_grads(graph, &model);
    for_each_param(&model, |param| {
        if let Some(gradient) = param.gradient(&gradients) {
            assert_eq!(gradient.shape(), param.shape());
            let squares: f32 = gradient.sum_of_squares().into_scalar();
            assert_eq!(squares, 4.0 * param.num_elements() as f32);
        }
    });
    map_params(model, |param| {
        let found = param.take_gradient(&mut gradients).is_some();
        assert_eq!((found, param.take_gradient(&mut gradients).is_some()), (param.name() == "embedding", false));
    });
}

#[test]
fn tensors_of_any_rank_get_their_rank_back() {
    let matrix = Tensor::<2>::from_data([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::flex());
    let any = AnyTensor::from(matrix.clone());
    let Err(any) = any.downcast::<3>() else { panic!("a matrix has rank 2") };
    assert_eq!(any.downcast::<2>().ok().map(|tensor| tensor.dims()), Some([2, 3]));
    assert_eq!(AnyTensor::from(matrix.clone()).flatten().dims(), [6]);
    assert_eq!(AnyTensor::from(matrix.clone()).reshape([3, 1, 2]).dims(), [3, 1, 2]);
    assert_eq!(AnyTensor::from(matrix).sum_of_squares().into_scalar::<f32>(), 91.0);
}
