//! Dropout (1207.0580): each element is set to 0 with probability p, otherwise multiplied by 1 / (1 − p), so that the mean stays.
//!
//! Whether element i is dropped is a function of (key, i): number i of a random stream ([`Random`]) is compared with p · (2³² − 1).
//! Any element can be drawn on its own, so threads draw their own elements, and the backward pass draws again what the forward
//! pass drew: ∂x = g ⊙ mask / (1 − p). No mask is stored.
//!
//! Cost: one number of ChaCha8 an element in each direction. The fused kernel equals its reference to the bit
//! (`dropout_is_its_reference`).

pub mod fused;
pub mod reference;

use burn::tensor::Tensor;
use kiln_spec::Random;

/// Dropout of one tensor: the stream of its random numbers, and the rate.
#[derive(Clone, Debug)]
pub struct Dropout {
    random: Random,
    rate: f64,
}

impl Dropout {
    /// Returns dropout with probability `rate`, 0 ≤ rate < 1, by the numbers of `random` from its start on.
    pub fn from_stream(random: Random, rate: f64) -> Self {
        Self { random, rate }
    }

    /// Dropout of `x`, elements in row-major order.
    pub fn apply<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        if crate::cpu::is_cpu_f32(&x) { fused::dropout(x, self) } else { reference::dropout(x, self) }
    }

    /// Factors of elements `first..first + out.len()`: 0 or 1 / (1 − p).
    pub fn fill_factors(&self, first: usize, out: &mut [f32]) {
        let threshold = (self.rate * f64::from(u32::MAX)) as u32;
        let scale = (1.0 / (1.0 - self.rate)) as f32;
        let mut random = self.random.clone();
        random.seek(first as u64);
        let mut numbers = [0; NUMBERS];
        for out in out.chunks_mut(NUMBERS) {
            let numbers = &mut numbers[..out.len()];
            random.fill_u32(numbers);
            out.iter_mut().zip(numbers).for_each(|(out, number)| *out = if *number < threshold { 0.0 } else { scale });
        }
    }
}

/// Numbers drawn at once: 4 KiB, a part of the L1 cache.
const NUMBERS: usize = 1024;
