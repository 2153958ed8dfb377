//! Order of the queries in memory, as [`super::scores`] multiplies them with keys.
//!
//! Queries of one key-value head are divided into tiles: eight queries while there are as many, then four, then single ones. Three
//! that are left are a tile of four with a query of zeros.
//!
//! In a tile of four or eight, a register holds four values of each of four queries, a *quad*. Its product with four values of a
//! key, repeated four times, adds to the sums of four queries. In the end 4 lanes of a sum are added instead of 16, which takes as
//! long as the products of a narrow head. A single query has 16 of its values in a register.

use super::line::LANES;

/// Queries that are multiplied with a key together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryTile {
    /// Index of the first query.
    pub first: usize,
    /// Number of queries.
    pub count: usize,
    /// Number of quads: 2, 1, or 0 for a single query.
    pub quads: usize,
    /// Number of queries, those of zeros included, in the tiles before this one.
    pub start: usize,
}

impl QueryTile {
    /// Number of queries, those of zeros included.
    pub fn padded(self) -> usize {
        (4 * self.quads).max(1)
    }
}

/// Returns the tiles of a number of queries.
pub fn query_tiles(num_queries: usize) -> impl Iterator<Item = QueryTile> {
    let (mut first, mut start) = (0, 0);
    std::iter::from_fn(move || {
        let (count, quads) = match num_queries - first {
            0 => return None,
            8.. => (8, 2),
            left @ 3.. => (left.min(4), 1),
            _ => (1, 0),
        };
        let tile = QueryTile { first, count, quads, start };
        (first, start) = (first + count, start + tile.padded());
        Some(tile)
    })
}

/// Returns how many queries tiles hold, those of zeros included.
pub fn padded_count(num_queries: usize) -> usize {
    query_tiles(num_queries).map(QueryTile::padded).sum()
}

/// Appends queries of one key-value head, `[R, width]`, to `out`: tile by tile, `[width / 4, quads, 4, 4]` or `[width]`. `width`
/// is a multiple of [`LANES`].
pub fn pack_queries(queries: &[f32], width: usize, out: &mut Vec<f32>) {
    debug_assert!(width.is_multiple_of(LANES), "padded queries");
    for tile in query_tiles(queries.len() / width.max(1)) {
        let queries = &queries[tile.first * width..][..tile.count * width];
        if tile.quads == 0 {
            out.extend_from_slice(queries);
            continue;
        }
        for first in (0..width).step_by(4) {
            for query in 0..tile.padded() {
                let values = queries.get(query * width + first..).and_then(|values| values.first_chunk::<4>());
                out.extend_from_slice(values.unwrap_or(&[0.0; 4]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each value of each query is at its place once; everything else is 0.
    #[test]
    fn packed_queries_are_all_queries() {
        for (r, width) in (1..20).flat_map(|r| [(r, 16), (r, 48)]) {
            let queries: Vec<f32> = (0..r * width).map(|i| i as f32 + 1.0).collect();
            let mut packed = Vec::new();
            pack_queries(&queries, width, &mut packed);
            assert_eq!(packed.len(), padded_count(r) * width);
            let mut seen = vec![0.0; r * width];
            for tile in query_tiles(r) {
                let of_tile = &packed[tile.start * width..][..tile.padded() * width];
                for (i, value) in of_tile.iter().enumerate() {
                    // [width / 4, quads · 4, 4] or [width].
                    let (query, at) = match tile.quads {
                        0 => (0, i),
                        quads => (i / 4 % (4 * quads), i / (16 * quads) * 4 + i % 4),
                    };
                    if query < tile.count {
                        seen[(tile.first + query) * width + at] = *value;
                    } else {
                        assert_eq!(*value, 0.0);
                    }
                }
            }
            assert_eq!(seen, queries, "{r} queries of {width}");
        }
    }
}
