//! Products with packed matrices against products with the dequantized ones.

use burn::tensor::{Device, Tensor, TensorData};
use kiln_kernels::{
    packed::{
        GGML_TYPES, PackedMatrix, PackedStack, packed_grouped_linear, packed_grouped_linear_reference, packed_linear,
        packed_linear_reference,
    },
    testing::{max_abs_diff, to_f64_vec},
};
use kiln_spec::Random;
use proptest::prelude::*;

/// Random bytes whose floats are numbers, none of them large.
fn random_matrix(random: &mut Random, packing: usize, [rows, blocks]: [usize; 2]) -> PackedMatrix {
    let packing = &GGML_TYPES[packing];
    let mut bytes: Vec<u8> = (0..rows * blocks * packing.block_bytes).map(|_| random.uniform_int(256) as u8).collect();
    for block in bytes.chunks_exact_mut(packing.block_bytes) {
        let floats = if packing.block_size == 1 { vec![0] } else { vec![0, 2, 80, 82, packing.block_bytes - 2] };
        for at in floats {
            if let Some(byte) = block.get_mut(at + 1) {
                *byte &= 0x37;
            }
        }
        match packing.name {
            "F32" => block[3] &= 0x3d,
            "BF16" => block[1] &= 0x3d,
            "Q8_K" => block[3] &= 0x3d,
            "MXFP4" => block[0] = 0x70 | block[0] & 15,
            _ => {}
        }
    }
    PackedMatrix::new(packing, [rows, blocks * packing.block_size], bytes.into()).unwrap()
}

fn random_tensor<const D: usize>(random: &mut Random, shape: [usize; D], device: &Device) -> Tensor<D> {
    let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| random.normal() as f32).collect();
    Tensor::from_data(TensorData::new(numbers, shape), device)
}

fn max_abs<const D: usize>(tensor: &Tensor<D>) -> f64 {
    to_f64_vec(tensor).into_iter().fold(0.0, |most, value| most.max(value.abs()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn products_and_gradients_are_those_of_the_numbers(
        seed in any::<u64>(), packing in 0..GGML_TYPES.len(), rows in 1usize..300, blocks in 1usize..4,
        (b, t) in prop_oneof![Just((1usize, 1usize)), (1usize..3, 1usize..40)],
    ) {
        let mut random = Random::new(seed, "packed", 0, 0);
        let matrix = random_matrix(&mut random, packing, [rows, blocks]);
        let device = Device::flex().autodiff();
        let x = random_tensor(&mut random, [b, t, matrix.shape()[1]], &device).require_grad();
        let slopes = random_tensor(&mut random, [b, t, rows], &device);
        let (fused, right) = (packed_linear(x.clone(), &matrix), packed_linear_reference(x.clone(), &matrix));
        let size = max_abs(&right).max(1e-3);
        prop_assert!(max_abs_diff(&fused, &right) <= 1e-5 * size, "{} {}", GGML_TYPES[packing].name, max_abs_diff(&fused, &right));
        let slope = |y: Tensor<3>| x.grad(&(y * slopes.clone()).sum().backward()).unwrap();
        let (fused, right) = (slope(fused), slope(right));
        let size = max_abs(&right).max(1e-3);
        prop_assert!(max_abs_diff(&fused, &right) <= 1e-5 * size, "{}", GGML_TYPES[packing].name);
    }
}

#[test]
fn threads_change_no_bit() {
    let mut random = Random::new(3, "packed", 0, 0);
    for packing in 0..GGML_TYPES.len() {
        let matrix = random_matrix(&mut random, packing, [700, 3]);
        for count in [1, 5, 300] {
            let x = random_tensor(&mut random, [count, matrix.shape()[1]], &Device::flex().autodiff()).require_grad();
            let slopes = random_tensor(&mut random, [count, 700], &Device::flex().autodiff());
            let by = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let y = pool.install(|| packed_linear(x.clone(), &matrix));
                let gradient = pool.install(|| x.grad(&(y.clone() * slopes.clone()).sum().backward()).unwrap());
                (to_f64_vec(&y), to_f64_vec(&gradient))
            };
            assert_eq!(by(1), by(3), "{} {count}", GGML_TYPES[packing].name);
        }
    }
}

#[test]
fn nothing_times_anything_is_nothing() {
    let mut random = Random::new(4, "packed", 0, 0);
    for (rows, count) in [(0, 1), (0, 5), (7, 0), (0, 0)] {
        let matrix = random_matrix(&mut random, 3, [rows, 2]);
        let x = random_tensor(&mut random, [count, 64], &Device::flex());
        assert_eq!(packed_linear(x, &matrix).dims(), [count, rows]);
    }
}

#[test]
fn bytes_must_be_those_of_the_rows() {
    let packing = GGML_TYPES.iter().find(|packing| packing.name == "Q4_1").unwrap();
    let made = |size, bytes| PackedMatrix::new(packing, size, vec![0; bytes].into()).is_some();
    assert!(made([3, 64], 120) && made([0, 64], 0));
    assert!(!made([3, 64], 119) && !made([3, 48], 90) && !made([usize::MAX, 64], 0));
}

#[test]
fn rows_keep_their_bytes() {
    let mut random = Random::new(5, "packed", 0, 0);
    let whole = random_matrix(&mut random, 3, [4, 2]);
    let some = whole.select_rows([3, 1, 1]);
    assert_eq!(some.shape(), [3, 64]);
    assert_eq!([some.row(0), some.row(1), some.row(2)], [whole.row(3), whole.row(1), whole.row(1)]);
    assert_eq!(some.dequantize()[..64], whole.dequantize()[3 * 64..]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn grouped_products_and_gradients_are_those_of_the_numbers(
        seed in any::<u64>(), packing in 0..GGML_TYPES.len(), (groups, rows) in (1usize..6, 1usize..150), blocks in 1usize..3,
        count in 1usize..60, by_columns in any::<bool>(),
    ) {
        let mut random = Random::new(seed, "packed stack", 0, 0);
        let stack = PackedStack::new(random_matrix(&mut random, packing, [groups * rows, blocks]), groups, by_columns).unwrap();
        let [_, from, to] = stack.shape();
        let device = Device::flex().autodiff();
        let x = random_tensor(&mut random, [count, from], &device).require_grad();
        let slopes = random_tensor(&mut random, [count, to], &device);
        // Some groups have no row, some one.
        let ids: Vec<i32> = (0..count).map(|_| random.uniform_int(groups) as i32).collect();
        let group = Tensor::from_data(TensorData::new(ids, [count]), &device);
        let fused = packed_grouped_linear(x.clone(), &stack, group.clone());
        let right = packed_grouped_linear_reference(x.clone(), &stack, group);
        let size = max_abs(&right).max(1e-3);
        prop_assert!(max_abs_diff(&fused, &right) <= 1e-5 * size, "{} {}", GGML_TYPES[packing].name, max_abs_diff(&fused, &right));
        let slope = |y: Tensor<2>| x.grad(&(y * slopes.clone()).sum().backward()).unwrap();
        let (fused, right) = (slope(fused), slope(right));
        let size = max_abs(&right).max(1e-3);
        prop_assert!(max_abs_diff(&fused, &right) <= 1e-5 * size, "{}", GGML_TYPES[packing].name);
    }
}

#[test]
fn a_grouped_product_is_the_same_by_any_number_of_threads() {
    let mut random = Random::new(6, "packed stack", 0, 0);
    let stack = PackedStack::new(random_matrix(&mut random, 5, [4 * 200, 3]), 4, true).unwrap();
    let x = random_tensor(&mut random, [300, stack.shape()[1]], &Device::flex());
    let ids: Vec<i32> = (0..300).map(|row| if row == 7 { 3 } else { row % 3 }).collect();
    let group = Tensor::from_data(TensorData::new(ids, [300]), &Device::flex());
    let by = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        to_f64_vec(&pool.install(|| packed_grouped_linear(x.clone(), &stack, group.clone())))
    };
    assert_eq!(by(1), by(3));
    assert!(PackedStack::new(random_matrix(&mut random, 5, [7, 1]), 2, true).is_none(), "7 rows are not 2 matrices");
}

#[test]
fn matrices_are_put_together_by_rows() {
    let mut random = Random::new(8, "packed", 0, 0);
    let [a, b] = [3, 5].map(|rows| random_matrix(&mut random, 3, [rows, 2]));
    let both = PackedMatrix::concat(&[a.clone(), b.clone()]).unwrap();
    assert_eq!((both.shape(), both.bytes()), ([8, 64], &[a.bytes(), b.bytes()].concat()[..]));
    assert!(PackedMatrix::concat(&[]).is_none());
    assert!(PackedMatrix::concat(&[a.clone(), random_matrix(&mut random, 3, [3, 1])]).is_none());
    assert!(PackedMatrix::concat(&[a, random_matrix(&mut random, 4, [3, 2])]).is_none());
}
