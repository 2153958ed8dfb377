//! Greatest rates of the machine: multiply–adds and reads of memory, on all threads. Benchmarks compare kernels with them
//! (roofline model, Williams et al. 2009, doi:10.1145/1498765.1498785).
//!
//! The functions do the work; the caller takes the time.

use crate::packed::f32x16::{F32x16, dispatch_simd};
use rayon::prelude::*;

/// Sums in registers: enough to hide the latency of a multiply–add at two a cycle.
const SUMS: usize = 8;

/// Floating-point operations of [`multiply_adds`] on one thread.
pub const fn multiply_add_flops(rounds: usize) -> usize {
    rounds * SUMS * 16 * 2
}

/// Computes `rounds` multiply–adds on each lane of eight registers, on every thread of the pool. Nothing is read. Returns a number
/// that depends on all of them.
pub fn multiply_adds(rounds: usize) -> f32 {
    rayon::broadcast(|_| {
        let mut sum = 0.0;
        multiply_adds_on_thread(rounds, &mut sum);
        sum
    })
    .into_iter()
    .sum()
}

fn multiply_adds_on_thread(rounds: usize, sum: &mut f32) {
    dispatch_simd!(multiply_add_loop::<SUMS>(rounds: usize, sum: &mut f32))
}

#[inline(always)]
fn multiply_add_loop<const N: usize, S: F32x16>(rounds: usize, sum: &mut f32) {
    // As many at a time as fit the registers, the others after them.
    let at_once = if S::SUMS >= N { N } else { S::SUMS };
    let factor = S::splat(std::hint::black_box(0.5));
    for _ in (0..N).step_by(at_once) {
        *sum += if at_once == N { registers::<N, S>(rounds, factor) } else { registers::<4, S>(rounds, factor) };
    }
}

#[inline(always)]
fn registers<const N: usize, S: F32x16>(rounds: usize, factor: S) -> f32 {
    let mut sums = [factor; N];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = sum.mul_add(factor, factor);
        }
    }
    sums.into_iter().map(S::sum).sum()
}

/// Reads all values once, in as many parts as there are threads. Returns their sum.
pub fn read(values: &[f32]) -> f32 {
    let part = values.len().div_ceil(rayon::current_num_threads()).next_multiple_of(SUMS * 16);
    let parts = values.par_chunks(part.max(1)).map(|values| {
        let mut sum = 0.0;
        read_on_thread(values, &mut sum);
        sum
    });
    parts.sum()
}

fn read_on_thread(values: &[f32], sum: &mut f32) {
    dispatch_simd!(read_loop::<SUMS>(values: &[f32], sum: &mut f32))
}

#[inline(always)]
fn read_loop<const N: usize, S: F32x16>(values: &[f32], sum: &mut f32) {
    let one = S::splat(1.0);
    let (lines, rest) = values.as_chunks::<16>();
    let (blocks, last) = lines.as_chunks::<N>();
    let mut sums = [S::splat(0.0); N];
    for block in blocks {
        for (sum, line) in sums.iter_mut().zip(block) {
            *sum = S::load(line).mul_add(one, *sum);
        }
    }
    for line in last {
        sums[0] = S::load(line).mul_add(one, sums[0]);
    }
    *sum = sums.into_iter().map(S::sum).sum::<f32>() + rest.iter().sum::<f32>();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_read_and_computed() {
        for count in [0, 5, 16, 1000, 4096] {
            let values: Vec<f32> = (0..count).map(|i| (i % 7) as f32).collect();
            assert_eq!(read(&values), values.iter().sum::<f32>(), "{count}");
        }
        // x ← x / 2 + 1 / 2 from 1 / 2: 1 − 2^−(n + 1), in all lanes of all threads.
        let lanes = (rayon::current_num_threads() * SUMS * 16) as f32;
        assert_eq!([0, 1, 3].map(multiply_adds), [0.5, 0.75, 0.9375].map(|lane| lane * lanes));
        assert_eq!(multiply_add_flops(10), 10 * 8 * 16 * 2);
    }
}
