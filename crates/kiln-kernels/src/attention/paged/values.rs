//! Weighted sums of the values of a page.
//!
//! The vector code has loops instead of closures: a closure that isn't inlined would be compiled without its instruction set.

use super::{
    chunk::{Chunk, ChunkPage, PageScores},
    line::{LANES, NextPage, NextRows, PageLine},
};
use crate::packed::f32x16::F32x16;
use kiln_spec::pages::PAGE_SIZE;

/// The values of a page.
#[derive(Clone, Copy)]
struct ValueRows<'a, E> {
    /// Lines of all rows.
    lines: &'a [E],
    /// Lines of a row.
    stride: usize,
    /// Number of rows.
    count: usize,
    /// The values of the next page, which are fetched meanwhile; none if other queries fetched them already.
    next: Option<NextRows<E>>,
    /// The first line of each row that is fetched: of values that are keys too, the keys' products fetch the first half.
    fetched_from: usize,
}

/// Adds Σ_j p_j v_j over the rows j of a page to the outputs of all queries, `[R, stride]`. Meanwhile the values of the page `next`
/// are fetched; of latents, which are keys too, the second half of each row.
#[inline(always)]
pub fn add_values<E: PageLine, S: F32x16>(
    chunk: &Chunk<E>,
    page: &ChunkPage<E>,
    next: NextPage<E>,
    weights: &[PageScores],
    out: &mut [[f32; LANES]],
) {
    let stride = chunk.value.stride;
    let mut values = ValueRows {
        lines: &page.lines[chunk.value.start..][..PAGE_SIZE * stride],
        stride,
        // Slots behind the last visible key are left out: they may never have been written by this row.
        count: PAGE_SIZE - page.visible.leading_zeros() as usize,
        next: Some(next.rows(chunk.value)),
        fetched_from: if chunk.latent().is_some() { stride / 2 } else { 0 },
    };
    // A tile of sums, of some queries and some lines, stays in registers over all rows.
    let mut query = 0;
    for size in [8, 4, 2, 1] {
        while weights.len() - query >= size && (size < 8 || S::SUMS >= LANES) {
            let (weights, out) = (&weights[query..], &mut out[query * stride..]);
            match (size, S::SUMS >= LANES) {
                (8, _) => add_to_queries::<E, S, 8, 3>(values, weights, out),
                (4, true) => add_to_queries::<E, S, 4, 4>(values, weights, out),
                (4, false) => add_to_queries::<E, S, 4, 1>(values, weights, out),
                (2, true) => add_to_queries::<E, S, 2, 4>(values, weights, out),
                (2, false) => add_to_queries::<E, S, 2, 2>(values, weights, out),
                _ => add_to_queries::<E, S, 1, 4>(values, weights, out),
            }
            query += size;
            values.next = None;
        }
    }
}

/// [`add_values`] for the first N queries, M lines at a time.
#[inline(always)]
fn add_to_queries<E: PageLine, S: F32x16, const N: usize, const M: usize>(
    values: ValueRows<E>,
    weights: &[PageScores],
    out: &mut [[f32; LANES]],
) {
    let mut first = 0;
    while first + M <= values.stride {
        // Heads of 64: addresses are known when this is compiled.
        match values.stride {
            4 => add_to_tile::<E, S, N, M, 4>(values, first, weights, out),
            _ => add_to_tile::<E, S, N, M, 0>(values, first, weights, out),
        }
        first += M;
    }
    if M > 2 && first + 2 <= values.stride {
        add_to_tile::<E, S, N, 2, 0>(values, first, weights, out);
        first += 2;
    }
    while first < values.stride {
        add_to_tile::<E, S, N, 1, 0>(values, first, weights, out);
        first += 1;
    }
}

/// [`add_to_queries`] for M lines from line `first` on, of rows of W lines (0: any number).
#[inline(always)]
fn add_to_tile<E: PageLine, S: F32x16, const N: usize, const M: usize, const W: usize>(
    values: ValueRows<E>,
    first: usize,
    weights: &[PageScores],
    out: &mut [[f32; LANES]],
) {
    let stride = if W > 0 { W } else { values.stride };
    let weights = weights.first_chunk::<N>().expect("the weights of N queries");
    let next = values.next.filter(|_| first + M > values.fetched_from).map(|next| next.skip(first));
    let mut sums = [[S::splat(0.0); M]; N];
    for n in 0..N {
        for m in 0..M {
            sums[n][m] = S::load(&out[n * stride + first + m]);
        }
    }
    for (j, row) in values.lines.chunks_exact(stride).take(values.count.min(PAGE_SIZE)).enumerate() {
        let row = row[first..].first_chunk::<M>().expect("M lines of a row");
        let mut value = [S::splat(0.0); M];
        for m in 0..M {
            value[m] = row[m].load();
            if let Some(next) = next {
                next.skip(j * stride).prefetch(m);
            }
        }
        for n in 0..N {
            let weight = S::splat(weights[n][j]);
            for m in 0..M {
                sums[n][m] = value[m].mul_add(weight, sums[n][m]);
            }
        }
    }
    for n in 0..N {
        for m in 0..M {
            sums[n][m].store(&mut out[n * stride + first + m]);
        }
    }
}
