//! Products of queries with the keys of a page.
//!
//! The vector code has loops instead of closures: a closure that isn't inlined would be compiled without its instruction set.

use super::{
    chunk::{Chunk, ChunkPage, PageScores},
    line::{LANES, PageLine, prefetch},
    queries::query_tiles,
};
use crate::packed::f32x16::F32x16;
use kiln_spec::pages::PAGE_SIZE;

/// Keys of a page, and the next page, which is fetched meanwhile.
struct PageKeys<'a, 'c, E> {
    chunk: &'a Chunk<'c, E>,
    lines: &'a [E],
    next: &'a [E],
}

/// Products q · k of all queries with all slots of a page, `[R]`. Meanwhile the keys of the page `next` are fetched.
///
/// Sixteen products at a time: of eight queries with two keys, of four with four, of two with eight or of one with sixteen.
#[inline(always)]
pub fn page_products<E: PageLine, S: F32x16>(
    chunk: &Chunk<E>,
    page: &ChunkPage<E>,
    next: &[E],
    scores: &mut [PageScores],
) {
    let keys = PageKeys { chunk, lines: page.lines, next };
    let (queries, lines) = (chunk.queries.as_chunks::<LANES>().0, chunk.width / LANES);
    for tile in query_tiles(chunk.num_queries) {
        let queries = &queries[tile.first * lines..][..tile.count * lines];
        let scores = &mut scores[tile.first..][..tile.count];
        match tile.count {
            8 => tile_scores::<E, S, 8, 2>(&keys, queries, scores),
            4 => tile_scores::<E, S, 4, 4>(&keys, queries, scores),
            2 => tile_scores::<E, S, 2, 8>(&keys, queries, scores),
            _ => tile_scores::<E, S, 1, 16>(&keys, queries, scores),
        }
    }
}

/// Products of N queries with all slots, M at a time, N · M = 16.
#[inline(always)]
fn tile_scores<E: PageLine, S: F32x16, const N: usize, const M: usize>(
    keys: &PageKeys<E>,
    queries: &[[f32; LANES]],
    scores: &mut [PageScores],
) {
    let queries = queries.as_chunks::<N>().0;
    for slot in (0..PAGE_SIZE).step_by(M) {
        let mut sums = [S::splat(0.0); LANES];
        if S::SUMS < LANES && N > 1 {
            for n in (0..N).step_by(2) {
                for k in (0..M).step_by(2) {
                    let of_tile = key_products::<E, S, N, 2, 2>(keys, queries, [n, slot + k]);
                    for i in 0..4 {
                        sums[(n + i / 2) * M + k + i % 2] = of_tile[i / 2][i % 2];
                    }
                }
            }
        } else if M == 2 {
            let of_tile = key_products::<E, S, N, N, 2>(keys, queries, [0, slot]);
            for i in 0..LANES {
                sums[i] = of_tile[i / M][i % M];
            }
        } else {
            for k in (0..M).step_by(4) {
                let of_tile = key_products::<E, S, N, N, 4>(keys, queries, [0, slot + k]);
                for i in 0..4 * N {
                    sums[i / 4 * M + k + i % 4] = of_tile[i / 4][i % 4];
                }
            }
        }
        let mut products = [0.0; LANES];
        S::sum16(sums).store(&mut products);
        for n in 0..N {
            for m in 0..M {
                scores[n][slot + m] = products[n * M + m];
            }
        }
    }
}

/// Lanes of the products of N queries, of T, with M keys over all parts of the keys.
#[inline(always)]
fn key_products<E: PageLine, S: F32x16, const T: usize, const N: usize, const M: usize>(
    page: &PageKeys<E>,
    mut queries: &[[[f32; LANES]; T]],
    [query, slot]: [usize; 2],
) -> [[S; M]; N] {
    let mut sums = [[S::splat(0.0); M]; N];
    for part in &page.chunk.keys {
        let (of_part, rest) = queries.split_at(part.stride);
        queries = rest;
        let mut keys = [&page.lines[..0]; M];
        let mut ahead = [&page.next[..0]; M];
        for k in 0..M {
            let start = part.start + (slot + k) * part.stride;
            keys[k] = &page.lines[start..start + part.stride];
            ahead[k] = &page.next[start..];
        }
        for (i, queries) in of_part.iter().enumerate() {
            let mut key = [S::splat(0.0); M];
            for k in 0..M {
                key[k] = keys[k][i].load();
                prefetch(ahead[k], i);
            }
            for n in 0..N {
                let query = S::load(&queries[query + n]);
                for k in 0..M {
                    sums[n][k] = key[k].mul_add(query, sums[n][k]);
                }
            }
        }
    }
    sums
}
