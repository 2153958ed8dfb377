//! The one generator of random numbers: counter-based, on the host, keyed by what it is for.
//!
//! Every random choice in Kiln is drawn from a stream named by `(seed, use, step, index)`. Two uses never share
//! a stream, so adding a part, a thread or a restart changes no other draw.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// A stream of random numbers that depends on nothing but its key.
///
/// ```
/// use kiln_spec::Random;
/// let mut a = Random::new(7, "dropout", 100, 3);
/// let mut b = Random::new(7, "dropout", 100, 3);
/// assert_eq!(a.next_u64(), b.next_u64());
/// assert_ne!(a.next_u64(), Random::new(7, "dropout", 101, 3).next_u64());
/// ```
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream for `name` at `step`, the `index`-th of its kind.
    pub fn new(seed: u64, name: &str, step: u64, index: u64) -> Self {
        let mut key = [0u8; 32];
        for (chunk, word) in key.chunks_exact_mut(8).zip([seed, fnv1a_64(name), step, index]) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `[0, 1)`, with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `0..n`, without bias. `n` must not be 0.
    pub fn uniform_int(&mut self, n: usize) -> usize {
        let n = n as u64;
        let limit = u64::MAX - u64::MAX % n;
        loop {
            let draw = self.next_u64();
            if draw < limit {
                return (draw % n) as usize;
            }
        }
    }

    /// Standard normal (Box–Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// A random order of `0..n` (Fisher–Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.uniform_int(i + 1));
        }
        order
    }
}

/// FNV-1a, 64 bits: stable across platforms and releases, which `std`'s hasher does not promise.
pub fn fnv1a_64(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_fixed_for_good() {
        let mut random = Random::new(1, "init", 0, 0);
        let drawn: Vec<u32> = (0..4).map(|_| random.next_u32()).collect();
        assert_eq!(drawn, FIXED);
    }

    #[test]
    fn moments_of_the_normal() {
        let mut random = Random::new(2, "normal", 0, 0);
        let n = 200_000;
        let (sum, square) = (0..n).map(|_| random.normal()).fold((0.0, 0.0), |(s, q), x| (s + x, q + x * x));
        assert!((sum / n as f64).abs() < 0.01);
        assert!((square / n as f64 - 1.0).abs() < 0.02);
    }

    #[test]
    fn a_permutation_holds_every_number_once() {
        let mut order = Random::new(3, "order", 0, 0).permutation(100);
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }

    const FIXED: [u32; 4] = [1_538_167_277, 1_204_016_560, 34_709_640, 3_114_400_940];
}
