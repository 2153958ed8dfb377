//! Random numbers: named, reproducible streams on the host.
//!
//! Every random choice in Kiln comes from a stream that is named by `(seed, name, step, index)`:
//!
//! * `seed`: the seed of the run;
//! * `name`: what the numbers are for, such as `"order"` (row order of an epoch) or `"dropout"`;
//! * `step`: the training step, epoch or other counter;
//! * `index`: distinguishes several streams of the same name and step, such as a layer or a row.
//!
//! Streams are independent. Therefore a new layer, another number of threads or a resumed run changes no other numbers,
//! and nothing has to be saved in a checkpoint. The generator is ChaCha8 with the 256-bit key `seed ‖ FNV-1a(name) ‖ step ‖
//! index`, each 64-bit little-endian. Its output is the same on all platforms and must never change.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// Stream of random numbers that is a function of its name only.
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
    /// Creates the stream `(seed, name, step, index)`, positioned at its start.
    pub fn new(seed: u64, name: &str, step: u64, index: u64) -> Self {
        let mut key = [0u8; 32];
        for (chunk, word) in key.chunks_exact_mut(8).zip([seed, fnv1a_64(name), step, index]) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Returns 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Moves to the 32-bit number `index` of the stream, counted from 0: what [`next_u32`](Self::next_u32) then returns does not
    /// depend on the numbers that were read before. ChaCha is a function of (key, index), so this takes constant time.
    pub fn seek(&mut self, index: u64) {
        self.0.set_word_pos(u128::from(index));
    }

    /// Fills `out` with the next 32-bit numbers, the same that as many calls of [`next_u32`](Self::next_u32) return.
    pub fn fill_u32(&mut self, out: &mut [u32]) {
        let mut bytes = [0; 4 * 256];
        for chunk in out.chunks_mut(256) {
            let bytes = &mut bytes[..4 * chunk.len()];
            self.0.fill_bytes(bytes);
            let (words, _) = bytes.as_chunks::<4>();
            chunk.iter_mut().zip(words).for_each(|(out, word)| *out = u32::from_le_bytes(*word));
        }
    }

    /// Returns 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Returns a number that is uniformly distributed in `[0, 1)`: a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns an integer that is uniformly distributed in `0..n`, without bias (rejection sampling). Panics if `n` is 0.
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

    /// Returns a normally distributed number with mean 0 and variance 1 (Box–Muller; the second number is discarded).
    ///
    /// Consumes two draws, so that the position in the stream does not depend on the values.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Returns a uniformly distributed permutation of `0..n` (Fisher–Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.uniform_int(i + 1));
        }
        order
    }
}

/// Returns the 64-bit FNV-1a hash of a text. It is stable across platforms and releases, unlike the hasher of `std`.
pub fn fnv1a_64(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_of_a_stream_never_change() {
        let mut random = Random::new(1, "init", 0, 0);
        let numbers: Vec<u32> = (0..4).map(|_| random.next_u32()).collect();
        assert_eq!(numbers, EXPECTED);
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let mut random = Random::new(2, "normal", 0, 0);
        let n = 200_000;
        let (sum, square) = (0..n).map(|_| random.normal()).fold((0.0, 0.0), |(s, q), x| (s + x, q + x * x));
        assert!((sum / n as f64).abs() < 0.01);
        assert!((square / n as f64 - 1.0).abs() < 0.02);
    }

    #[test]
    fn a_permutation_contains_every_number_once() {
        let mut order = Random::new(3, "order", 0, 0).permutation(100);
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_number_is_a_function_of_its_index() {
        let mut random = Random::new(4, "dropout", 1, 2);
        let numbers: Vec<u32> = (0..1000).map(|_| random.next_u32()).collect();
        for (first, count) in [(0, 1000), (1, 3), (17, 300), (63, 2), (64, 700), (999, 1)] {
            let mut found = vec![0; count];
            random.seek(first as u64);
            random.fill_u32(&mut found);
            assert_eq!(found, numbers[first..first + count], "{first}");
        }
        // What follows a filled slice is the next number.
        random.seek(5);
        random.fill_u32(&mut [0; 7]);
        assert_eq!(random.next_u32(), numbers[12]);
    }

    const EXPECTED: [u32; 4] = [1_538_167_277, 1_204_016_560, 34_709_640, 3_114_400_940];
}
