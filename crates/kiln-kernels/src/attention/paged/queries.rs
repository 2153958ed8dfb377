//! Order of the queries in memory, as [`super::scores`] multiplies them with keys.
//!
//! Queries of one key-value head are divided into tiles: eight queries while there are as many, then four, two and one. The values
//! that a tile multiplies with one line of a key are adjacent: the lines in ascending order, and in each the queries.

use super::line::LANES;

/// Queries that are multiplied with a key together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryTile {
    /// Index of the first query.
    pub first: usize,
    /// Number of queries: 8, 4, 2 or 1.
    pub count: usize,
}

/// Returns the tiles of a number of queries.
pub fn query_tiles(num_queries: usize) -> impl Iterator<Item = QueryTile> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let left = num_queries - first;
        let count = [8, 4, 2, 1].into_iter().find(|count| left >= *count)?;
        let tile = QueryTile { first, count };
        first += count;
        Some(tile)
    })
}

/// Appends queries of one key-value head, `[R, width]`, to `out`: tile by tile, `[width / LANES, count, LANES]`. `width` is a
/// multiple of [`LANES`].
pub fn pack_queries(queries: &[f32], width: usize, out: &mut Vec<f32>) {
    let (lines, _) = queries.as_chunks::<LANES>();
    let stride = width / LANES;
    for tile in query_tiles(lines.len() / stride.max(1)) {
        for line in 0..stride {
            for query in tile.first..tile.first + tile.count {
                out.extend_from_slice(&lines[query * stride + line]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each value of each query is at its place once.
    #[test]
    fn packed_queries_are_all_queries() {
        for (r, width) in (1..20).flat_map(|r| [(r, 16), (r, 48)]) {
            let queries: Vec<f32> = (0..r * width).map(|i| i as f32 + 1.0).collect();
            let mut packed = Vec::new();
            pack_queries(&queries, width, &mut packed);
            assert_eq!(packed.len(), queries.len());
            let mut seen = vec![0.0; r * width];
            for tile in query_tiles(r) {
                let of_tile = &packed[tile.first * width..][..tile.count * width];
                for (i, value) in of_tile.iter().enumerate() {
                    let (line, query, lane) = (i / (tile.count * LANES), i / LANES % tile.count, i % LANES);
                    seen[(tile.first + query) * width + line * LANES + lane] = *value;
                }
            }
            assert_eq!(seen, queries, "{r} queries of {width}");
        }
    }
}
