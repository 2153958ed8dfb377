//! Products of queries with the keys of a page.
//!
//! The vector code has loops instead of closures: a closure that isn't inlined would be compiled without its instruction set.

use super::{
    chunk::{Chunk, ChunkPage, HeadSlice, PageScores},
    line::{F32Line, LANES, PageLine},
    queries::query_tiles,
};
use crate::packed::f32x16::F32x16;
use kiln_spec::pages::PAGE_SIZE;

/// Keys that all queries are multiplied with before the next ones.
pub const KEYS: usize = 16;

/// Keys of a page.
struct PageKeys<'a, E> {
    parts: &'a [HeadSlice],
    /// Slice of the values, which may be a part of the keys.
    value: HeadSlice,
    lines: &'a [E],
    /// The next page, which is fetched meanwhile.
    next: &'a [E],
    /// Whether it is: one tile of queries does it for all.
    fetches: bool,
}

/// Products q · k of all queries with all slots of a page, `[R]`. Meanwhile the keys of the page `next` are fetched, but for half
/// of those that are values too: [`super::values`] fetches these.
#[inline(always)]
pub fn page_products<E: PageLine, S: F32x16>(
    chunk: &Chunk<E>,
    page: &ChunkPage<E>,
    next: &[E],
    scores: &mut [PageScores],
) {
    let widest = chunk.keys.iter().map(|part| part.stride).max().unwrap_or(0);
    let mut scratch = vec![F32Line::ZERO; if E::IS_F32 { 0 } else { KEYS * widest }];
    let (queries, lines) = (chunk.queries.as_chunks::<LANES>().0, chunk.width / LANES);
    for slot in (0..PAGE_SIZE).step_by(KEYS) {
        for tile in query_tiles(chunk.num_queries) {
            let fetches = tile.first == 0;
            let keys = PageKeys { parts: &chunk.keys, value: chunk.value, lines: page.lines, next, fetches };
            let queries = &queries[tile.start * lines..][..tile.padded() * lines];
            let scores = &mut scores[tile.first..][..tile.count];
            match (tile.quads, S::SUMS >= LANES) {
                (2, true) => all_quads::<E, S, 2, 2, 8>(&keys, slot, queries, &mut scratch, scores),
                (2, false) => all_quads::<E, S, 2, 1, 4>(&keys, slot, queries, &mut scratch, scores),
                (1, true) => all_quads::<E, S, 1, 1, 16>(&keys, slot, queries, &mut scratch, scores),
                (1, false) => all_quads::<E, S, 1, 1, 4>(&keys, slot, queries, &mut scratch, scores),
                _ => single_query::<E, S>(&keys, slot, queries, &mut scores[0]),
            }
        }
    }
}

/// Products of T quads with [`KEYS`] keys from `slot` on, Q quads with M keys at a time.
#[inline(always)]
fn all_quads<E: PageLine, S: F32x16, const T: usize, const Q: usize, const M: usize>(
    keys: &PageKeys<E>,
    slot: usize,
    queries: &[[f32; LANES]],
    scratch: &mut [F32Line],
    scores: &mut [PageScores],
) {
    let queries = queries.as_chunks::<T>().0;
    for quad in (0..T).step_by(Q) {
        for slot in (slot..slot + KEYS).step_by(M) {
            let sums = quad_products::<E, S, T, Q, M>(keys, [quad, slot], queries, scratch);
            for q in 0..Q {
                for k in (0..M).step_by(4) {
                    let mut products = [0.0; LANES];
                    S::sum_quads([sums[q][k], sums[q][k + 1], sums[q][k + 2], sums[q][k + 3]]).store(&mut products);
                    let scores = scores.iter_mut().skip(4 * (quad + q));
                    for (scores, products) in scores.zip(products.as_chunks::<4>().0) {
                        scores[slot + k..slot + k + 4].copy_from_slice(products);
                    }
                }
            }
        }
    }
}

/// Lanes of the products of Q quads, of T, with M keys over all parts of the keys. A 16-bit key is converted once for all queries
/// of the tile.
#[inline(always)]
fn quad_products<E: PageLine, S: F32x16, const T: usize, const Q: usize, const M: usize>(
    keys: &PageKeys<E>,
    [quad, slot]: [usize; 2],
    mut queries: &[[[f32; LANES]; T]],
    scratch: &mut [F32Line],
) -> [[S; M]; Q] {
    let mut sums = [[S::splat(0.0); M]; Q];
    for part in keys.parts {
        let (of_part, rest) = queries.split_at(4 * part.stride);
        queries = rest;
        let start = part.start + slot * part.stride;
        let rows = E::to_f32::<S>(&keys.lines[start..start + M * part.stride], scratch);
        let mut row = [&rows[..0]; M];
        for k in 0..M {
            row[k] = &rows[k * part.stride..(k + 1) * part.stride];
        }
        // Of keys that are values too, the first half of each KEYS rows.
        let (first_row, rows_ahead) =
            if part.start == keys.value.start { (slot - slot % KEYS / 2, M / 2) } else { (slot, M) };
        let lines_ahead = if keys.fetches && quad == 0 { rows_ahead } else { 0 };
        let next = &keys.next[part.start + first_row * part.stride..];
        for (i, queries) in of_part.as_chunks::<4>().0.iter().enumerate() {
            E::fetch(next, i * lines_ahead, lines_ahead);
            for quarter in 0..4 {
                let mut query = [S::splat(0.0); Q];
                for q in 0..Q {
                    query[q] = S::load(&queries[quarter][quad + q]);
                }
                for k in 0..M {
                    let key = S::load_quad(row[k][i].quad(quarter));
                    for q in 0..Q {
                        sums[q][k] = key.mul_add(query[q], sums[q][k]);
                    }
                }
            }
        }
    }
    sums
}

/// Products of one query with [`KEYS`] keys from `slot` on, four at a time.
#[inline(always)]
fn single_query<E: PageLine, S: F32x16>(
    keys: &PageKeys<E>,
    slot: usize,
    queries: &[[f32; LANES]],
    scores: &mut PageScores,
) {
    let mut sums = [S::splat(0.0); KEYS];
    for first in (0..KEYS).step_by(4) {
        let mut queries = queries;
        let mut of_keys = [S::splat(0.0); 4];
        for part in keys.parts {
            let (query, rest) = queries.split_at(part.stride);
            queries = rest;
            let start = part.start + (slot + first) * part.stride;
            let (rows, next) = (&keys.lines[start..][..4 * part.stride], &keys.next[start..][..4 * part.stride]);
            let lines_ahead = if keys.fetches { 4 } else { 0 };
            for (i, query) in query.iter().enumerate() {
                E::fetch(next, i * lines_ahead, lines_ahead);
                let query = S::load(query);
                for k in 0..4 {
                    of_keys[k] = rows[k * part.stride + i].load::<S>().mul_add(query, of_keys[k]);
                }
            }
        }
        sums[first..first + 4].copy_from_slice(&of_keys);
    }
    let mut products = [0.0; KEYS];
    S::sum16(sums).store(&mut products);
    scores[slot..slot + KEYS].copy_from_slice(&products);
}
