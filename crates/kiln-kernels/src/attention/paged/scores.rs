//! Products of queries with the keys of a page.
//!
//! The vector code has loops instead of closures: a closure that isn't inlined would be compiled without its instruction set.

use super::{
    chunk::{Chunk, ChunkPage, PageScores},
    line::{HeadSlice, LANES, NextPage, NextRows, PageLine},
    queries::query_tiles,
};
use crate::packed::f32x16::F32x16;
use kiln_spec::pages::PAGE_SIZE;

/// Keys of a page.
struct PageKeys<'a, E> {
    /// Parts that a key is made of.
    parts: &'a [HeadSlice],
    /// The part that is the value too.
    latent: Option<HeadSlice>,
    lines: &'a [E],
    /// The page that is fetched meanwhile; none if other queries fetched it already.
    next: Option<NextPage<'a, E>>,
}

/// One part of some keys of a page, those after another.
struct KeyRows<'a, E> {
    /// M rows.
    lines: &'a [E],
    stride: usize,
    /// The rows of the next page that are fetched meanwhile, from their first line up to line `fetched`.
    next: Option<NextRows<E>>,
    fetched: usize,
}

/// Products q · k of all queries with all slots of a page, `[R]`. Meanwhile the keys of the page `next` are fetched; of latents,
/// which are values too, the first half of each row.
///
/// Sixteen products at a time: of eight queries with two keys, of four with four, of two with eight or of one with sixteen.
#[inline(always)]
pub fn page_products<E: PageLine, S: F32x16>(
    chunk: &Chunk<E>,
    page: &ChunkPage<E>,
    next: NextPage<E>,
    scores: &mut [PageScores],
) {
    let (queries, lines) = (chunk.queries.as_chunks::<LANES>().0, chunk.width / LANES);
    for tile in query_tiles(chunk.num_queries) {
        let keys = PageKeys {
            parts: &chunk.keys,
            latent: chunk.latent(),
            lines: page.lines,
            next: (tile.first == 0).then_some(next),
        };
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
    keys: &PageKeys<E>,
    mut queries: &[[[f32; LANES]; T]],
    [query, slot]: [usize; 2],
) -> [[S; M]; N] {
    let mut sums = [[S::splat(0.0); M]; N];
    for part in keys.parts {
        let (of_part, rest) = queries.split_at(part.stride);
        queries = rest;
        let is_latent = keys.latent == Some(*part);
        let rows = KeyRows {
            lines: &keys.lines[part.start + slot * part.stride..][..M * part.stride],
            stride: part.stride,
            // Several tiles of queries read the same keys: the first one fetches.
            next: keys.next.filter(|_| query == 0).map(|next| next.rows(*part).skip(slot * part.stride)),
            fetched: if is_latent { part.stride / 2 } else { part.stride },
        };
        // Heads of 64 and 128: the loop over a row's lines is unrolled.
        match part.stride {
            4 if !is_latent => add_products::<E, S, T, N, M, 4>(rows, of_part, query, &mut sums),
            8 if !is_latent => add_products::<E, S, T, N, M, 8>(rows, of_part, query, &mut sums),
            _ => add_products::<E, S, T, N, M, 0>(rows, of_part, query, &mut sums),
        }
    }
    sums
}

/// [`key_products`] of one part, of W lines (0: any number).
#[inline(always)]
fn add_products<E: PageLine, S: F32x16, const T: usize, const N: usize, const M: usize, const W: usize>(
    part: KeyRows<E>,
    queries: &[[[f32; LANES]; T]],
    query: usize,
    sums: &mut [[S; M]; N],
) {
    let stride = if W > 0 { W } else { part.stride };
    let fetched = if W > 0 { W } else { part.fetched };
    let queries = &queries[..stride];
    let mut rows = [&part.lines[..0]; M];
    for k in 0..M {
        rows[k] = &part.lines[k * stride..][..stride];
    }
    for i in 0..stride {
        let mut key = [S::splat(0.0); M];
        for k in 0..M {
            key[k] = rows[k][i].load();
        }
        if let Some(next) = part.next
            && i < fetched
        {
            for k in 0..M {
                next.skip(k * stride).prefetch(i);
            }
        }
        for n in 0..N {
            let query = S::load(&queries[i][query + n]);
            for k in 0..M {
                sums[n][k] = key[k].mul_add(query, sums[n][k]);
            }
        }
    }
}
