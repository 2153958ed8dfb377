//! The loss of a head without its logits, against the loss composed of Burn's operations.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_kernels::{
    linear_cross_entropy::{
        CHUNK_VALUES, Chunking, LinearCrossEntropyCall, VocabularyMatrix,
        fused::{linear_cross_entropy, linear_cross_entropy_in},
        linear_cross_entropy as planned, reference,
    },
    packed::{GGML_TYPES, PackedMatrix},
    testing::{assert_close, max_abs_diff},
};
use kiln_spec::Random;
use proptest::prelude::*;

fn leaf<const D: usize>(random: &mut Random, shape: [usize; D], scale: f64) -> Tensor<D> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| (random.normal() * scale) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff()).require_grad()
}

fn ids(ids: Vec<i32>) -> Tensor<1, Int> {
    let count = ids.len();
    Tensor::from_data(TensorData::new(ids, [count]), &Device::flex())
}

/// Shape and options of a head.
#[derive(Clone, Debug)]
struct Head {
    /// N, M, V.
    size: [usize; 3],
    is_tied: bool,
    has_bias: bool,
    scale: Option<f64>,
    softcap: Option<f64>,
}

/// Leaves of a head: hidden states, matrix, bias; and weights of the positions.
struct Leaves {
    hidden: Tensor<2>,
    matrix: Tensor<2>,
    bias: Option<Tensor<1>>,
    weights: Tensor<1>,
}

impl Head {
    fn leaves(&self, random: &mut Random, scale: f64) -> Leaves {
        let [n, m, v] = self.size;
        let weights: Vec<f32> = (0..n).map(|i| if i % 3 == 1 { 0.0 } else { random.normal() as f32 }).collect();
        Leaves {
            hidden: leaf(random, [n, m], scale),
            matrix: leaf(random, if self.is_tied { [v, m] } else { [m, v] }, 1.0),
            bias: self.has_bias.then(|| leaf(random, [v], 1.0)),
            weights: Tensor::from_data(TensorData::new(weights, [n]), &Device::flex()),
        }
    }

    fn call(&self, leaves: &Leaves) -> LinearCrossEntropyCall {
        let matrix = leaves.matrix.clone();
        LinearCrossEntropyCall {
            hidden: leaves.hidden.clone(),
            matrix: if self.is_tied { VocabularyMatrix::Rows(matrix) } else { VocabularyMatrix::Columns(matrix) },
            bias: leaves.bias.clone(),
            scale: self.scale,
            softcap: self.softcap,
        }
    }

    /// Losses, then the gradients of hidden states, matrix and bias.
    fn run(&self, leaves: &Leaves, loss: impl Fn(LinearCrossEntropyCall) -> Tensor<1>) -> Vec<Tensor<1>> {
        let nats = loss(self.call(leaves));
        let gradients = (nats.clone() * leaves.weights.clone()).sum().backward();
        let flat = |tensor: &Tensor<2>| tensor.grad(&gradients).expect("a gradient").flatten(0, 1);
        let mut found = vec![nats.inner(), flat(&leaves.hidden), flat(&leaves.matrix)];
        found.extend(leaves.bias.as_ref().map(|bias| bias.grad(&gradients).expect("a gradient")));
        found
    }
}

fn heads() -> impl Strategy<Value = Head> {
    let size = (prop_oneof![Just(1usize), 2usize..40], 1usize..30, prop_oneof![Just(1usize), 2usize..300]);
    let options = (proptest::option::of(0.2..2.0f64), proptest::option::of(1.0..30.0f64));
    (size, any::<bool>(), any::<bool>(), options).prop_map(|((n, m, v), is_tied, has_bias, (scale, softcap))| Head {
        size: [n, m, v],
        is_tied,
        has_bias,
        scale,
        softcap,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Chunks of one token, of some and of all; blocks of one position and of all; targets anywhere, most at borders of chunks.
    #[test]
    fn linear_cross_entropy_is_its_reference(
        seed in 0u64..1000, head in heads(), block_rows in 1usize..50, chunk in prop_oneof![Just(1usize), 2usize..80, Just(400)],
        scale in 0.1..20.0f64,
    ) {
        let mut random = Random::new(seed, "head", 0, 0);
        let [n, m, v] = head.size;
        let leaves = head.leaves(&mut random, scale / (m as f64).sqrt());
        let border = |random: &mut Random| (random.uniform_int(v / chunk + 1) * chunk + random.uniform_int(2)).saturating_sub(1);
        let targets = (0..n).map(|_| border(&mut random).min(v - 1) as i32).collect();
        let targets = ids(targets);
        let chunking = Chunking { block_rows, chunk_values: chunk * n.min(block_rows) };
        let fused = head.run(&leaves, |call| linear_cross_entropy_in(chunking, call, targets.clone()));
        let composed = head.run(&leaves, |call| reference::linear_cross_entropy(call, targets.clone()));
        for (fused, composed) in fused.iter().zip(&composed) {
            let apart = max_abs_diff(fused, composed);
            prop_assert!(apart < 1e-4 * scale.max(1.0), "{apart}");
        }
    }
}

/// A chunk whose logits are far below those of another must neither overflow nor vanish into NaN.
#[test]
fn huge_logits_give_finite_losses_and_gradients() {
    let head = Head { size: [3, 2, 7], is_tied: true, has_bias: false, scale: None, softcap: None };
    let mut leaves = head.leaves(&mut Random::new(1, "huge", 0, 0), 1e6);
    leaves.hidden = Tensor::from_inner(leaves.hidden.inner() * 1e6).require_grad();
    let targets = ids(vec![0, 3, 6]);
    for chunk in [1, 2, 7] {
        let chunking = Chunking { block_rows: 3, chunk_values: 3 * chunk };
        let found = head.run(&leaves, |call| linear_cross_entropy_in(chunking, call, targets.clone()));
        let composed = head.run(&leaves, |call| reference::linear_cross_entropy(call, targets.clone()));
        let size = composed[0].clone().abs().max().into_scalar::<f32>();
        assert!(size > 1e6 && size.is_finite());
        // Losses of 1e12: equal to rounding.
        assert_close(&(found[0].clone() / size), &(composed[0].clone() / size), 1e-6);
        assert!(found.iter().all(|tensor| tensor.clone().into_data().iter::<f32>().all(f32::is_finite)));
    }
}

/// Logits of more than a block and more than a chunk of the default sizes, through the function that models call.
#[test]
fn chunks_of_the_default_size_are_the_reference() {
    let head = Head { size: [2500, 3, 2100], is_tied: true, has_bias: true, scale: None, softcap: None };
    assert!(head.size[0] * head.size[2] > CHUNK_VALUES);
    let mut random = Random::new(2, "default", 0, 0);
    let leaves = head.leaves(&mut random, 1.0);
    let targets = ids((0..2500).map(|_| random.uniform_int(2100) as i32).collect());
    let fused = head.run(&leaves, |call| planned(call, targets.clone()));
    let composed = head.run(&leaves, |call| reference::linear_cross_entropy(call, targets.clone()));
    for (fused, composed) in fused.iter().zip(&composed) {
        assert_close(fused, composed, 1e-3);
    }
    // Without autodiff the reference works in chunks, too.
    let plain = |tensor: &Tensor<2>| tensor.clone().inner();
    let call = LinearCrossEntropyCall {
        hidden: plain(&leaves.hidden),
        matrix: VocabularyMatrix::Rows(plain(&leaves.matrix)),
        bias: leaves.bias.as_ref().map(|bias| bias.clone().inner()),
        ..head.call(&leaves)
    };
    assert_close(&reference::linear_cross_entropy(call, targets), &composed[0], 1e-4);
}

/// A packed matrix of 32-bit floats is the matrix; its gradient isn't computed. Nor is that of a frozen matrix.
#[test]
fn packed_and_frozen_matrices_give_the_same_losses_and_gradients() {
    let head = Head { size: [9, 8, 50], is_tied: true, has_bias: true, scale: None, softcap: None };
    let leaves = head.leaves(&mut Random::new(3, "packed", 0, 0), 1.0);
    let targets = ids(vec![0, 1, 49, 12, 13, 48, 5, 25, 26]);
    let chunking = Chunking { block_rows: 4, chunk_values: 52 };
    let run = |matrix: VocabularyMatrix| {
        let call = LinearCrossEntropyCall { matrix, ..head.call(&leaves) };
        let nats = linear_cross_entropy_in(chunking, call, targets.clone());
        let gradients = (nats.clone() * leaves.weights.clone()).sum().backward();
        let bias = leaves.bias.as_ref().expect("a bias");
        assert!(leaves.matrix.grad(&gradients).is_none());
        (nats.inner(), leaves.hidden.grad(&gradients).expect("a gradient"), bias.grad(&gradients).expect("a gradient"))
    };
    let f32_type = GGML_TYPES.iter().find(|packing| packing.name == "F32").expect("a type");
    let values: Vec<f32> = leaves.matrix.clone().inner().into_data().iter().collect();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let packed = run(VocabularyMatrix::Packed(PackedMatrix::new(f32_type, [50, 8], bytes.into()).expect("rows")));
    let frozen = run(VocabularyMatrix::Rows(leaves.matrix.clone().inner()));
    let trained = head.run(&leaves, |call| linear_cross_entropy_in(chunking, call, targets.clone()));
    for (nats, hidden, bias) in [packed, frozen] {
        assert_close(&nats, &trained[0], 0.0);
        assert_close(&hidden.flatten(0, 1), &trained[1], 0.0);
        assert_close(&bias, &trained[3], 0.0);
    }
}

#[test]
fn threads_change_no_bit() {
    let head = Head { size: [300, 65, 700], is_tied: true, has_bias: true, scale: None, softcap: Some(5.0) };
    let untied = Head { is_tied: false, ..head.clone() };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            let mut random = Random::new(7, "threads", 0, 0);
            let targets = ids((0..300).map(|_| random.uniform_int(700) as i32).collect());
            let chunking = Chunking { block_rows: 200, chunk_values: 200 * 256 };
            [&head, &untied].map(|head| {
                let leaves = head.leaves(&mut random, 1.0);
                let found = head.run(&leaves, |call| linear_cross_entropy_in(chunking, call, targets.clone()));
                found.into_iter().map(Tensor::into_data).collect::<Vec<_>>()
            })
        })
    };
    let one = run(1);
    assert!([2, 3, 7].into_iter().all(|threads| run(threads) == one));
}

#[test]
#[should_panic(expected = "is not below the vocabulary of 7")]
fn a_target_outside_the_vocabulary_is_refused() {
    let head = Head { size: [2, 3, 7], is_tied: true, has_bias: false, scale: None, softcap: None };
    let leaves = head.leaves(&mut Random::new(1, "refused", 0, 0), 1.0);
    linear_cross_entropy(head.call(&leaves), ids(vec![0, 7]));
}
