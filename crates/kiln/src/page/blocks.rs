//! Grouping of layers into blocks, and of equal consecutive blocks into repeats.
//!
//! A model of twelve equal blocks is shown as one block "× 12"; one that alternates two kinds of blocks as two blocks
//! "× 6".

use super::data::LayerSummary;

/// The longest pattern of different blocks that is recognized as a repeat.
const MAX_PERIOD: usize = 8;

/// Layers that share a `blocks.N.` prefix, or one layer outside the blocks.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    /// Path up to and including `blocks`, and N. `None` outside the blocks.
    pub location: Option<(&'a str, usize)>,
    /// Layers of the block, in order.
    pub layers: &'a [LayerSummary],
}

/// Consecutive blocks that consist of `period` blocks, repeated `count` times.
#[derive(Clone, Debug)]
pub struct RepeatedBlocks<'a> {
    /// All blocks, `period × count`.
    pub blocks: Vec<Block<'a>>,
    /// Number of blocks in the repeated pattern.
    pub period: usize,
    /// Number of repetitions; 1 if nothing repeats.
    pub count: usize,
}

/// Splits `decoder.blocks.3.attention` into `decoder.blocks`, 3 and `attention`. `None` for paths outside the blocks.
pub fn split_block_path(path: &str) -> Option<(&str, usize, &str)> {
    let start = path.find("blocks.").filter(|at| *at == 0 || path[..*at].ends_with('.'))?;
    let (number, rest) = path[start + "blocks.".len()..].split_once('.')?;
    Some((&path[..start + "blocks".len()], number.parse().ok()?, rest))
}

/// The name of a layer within its block: `attention` for `blocks.3.attention`.
pub fn layer_role(path: &str) -> &str {
    split_block_path(path).map_or(path, |(_, _, rest)| rest)
}

/// Groups layers into blocks and equal consecutive blocks into repeats, in order.
pub fn find_repeats(layers: &[LayerSummary]) -> Vec<RepeatedBlocks<'_>> {
    let same_block =
        |a: &LayerSummary, b: &LayerSummary| layer_location(a).is_some() && layer_location(a) == layer_location(b);
    let blocks: Vec<Block> = layers
        .chunk_by(same_block)
        .map(|layers| Block { location: layers.first().and_then(layer_location), layers })
        .collect();
    let mut repeats = Vec::new();
    let mut rest = &blocks[..];
    while !rest.is_empty() {
        let (period, count) = longest_repeat(rest);
        let (first, after) = rest.split_at(period * count);
        repeats.push(RepeatedBlocks { blocks: first.to_vec(), period, count });
        rest = after;
    }
    repeats
}

/// The block that a layer belongs to.
fn layer_location(layer: &LayerSummary) -> Option<(&str, usize)> {
    split_block_path(&layer.path).map(|(stem, number, _)| (stem, number))
}

/// Period and count of the repeat at the start of `blocks` that covers the most blocks. Of two that cover equally many,
/// the shorter period wins.
fn longest_repeat(blocks: &[Block]) -> (usize, usize) {
    (1..=blocks.len().min(MAX_PERIOD))
        .map(|period| (period, count_repeats(blocks, period)))
        .filter(|(_, count)| *count > 1)
        .rev()
        .max_by_key(|(period, count)| period * count)
        .unwrap_or((1, 1))
}

/// How many times the first `period` blocks occur in a row.
fn count_repeats(blocks: &[Block], period: usize) -> usize {
    let (first, rest) = blocks.split_at(period);
    let equal = rest.chunks_exact(period).take_while(|next| first.iter().zip(*next).all(|(a, b)| is_same_block(a, b)));
    1 + equal.count()
}

/// Whether two blocks of one stack differ only in their number.
fn is_same_block(a: &Block, b: &Block) -> bool {
    let Some((stem, _)) = a.location else { return false };
    b.location.is_some_and(|(other, _)| other == stem)
        && a.layers.len() == b.layers.len()
        && a.layers.iter().zip(b.layers).all(|(a, b)| is_same_layer(a, b))
}

/// Whether two layers are equal except for the number of their block.
fn is_same_layer(a: &LayerSummary, b: &LayerSummary) -> bool {
    let renamed = LayerSummary { path: b.path.clone(), ..a.clone() };
    layer_role(&a.path) == layer_role(&b.path) && renamed == *b
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(path: &str, title: &str) -> LayerSummary {
        LayerSummary { path: path.into(), title: title.into(), ..LayerSummary::default() }
    }

    /// Period and count of each repeat.
    fn periods(layers: &[LayerSummary]) -> Vec<(usize, usize)> {
        find_repeats(layers).iter().map(|r| (r.period, r.count)).collect()
    }

    #[test]
    fn equal_blocks_are_found_once() {
        let mut layers = vec![layer("embed", "embedding")];
        layers.extend((0..6).flat_map(|n| {
            [
                layer(&format!("blocks.{n}.attention"), "attention"),
                layer(&format!("blocks.{n}.feed_forward"), "gated_mlp"),
            ]
        }));
        layers.push(layer("head", "head"));
        assert_eq!(periods(&layers), [(1, 1), (1, 6), (1, 1)]);
        assert_eq!(find_repeats(&layers)[1].blocks[5].layers.len(), 2);
    }

    #[test]
    fn alternating_blocks_are_one_pattern() {
        let kind = |n: usize| if n % 3 == 2 { "global" } else { "window" };
        let layers: Vec<_> = (0..9).map(|n| layer(&format!("decoder.blocks.{n}.attention"), kind(n))).collect();
        assert_eq!(periods(&layers), [(3, 3)]);
        assert_eq!(periods(&layers[..4]), [(1, 2), (1, 1), (1, 1)]);
    }

    #[test]
    fn paths_are_split_at_whole_names() {
        assert_eq!(split_block_path("decoder.blocks.12.attention.q"), Some(("decoder.blocks", 12, "attention.q")));
        assert_eq!(
            [
                split_block_path("subblocks.1.a"),
                split_block_path("blocks.x.a"),
                split_block_path("blocks.1"),
                split_block_path("")
            ],
            [None; 4]
        );
        assert!(find_repeats(&[]).is_empty());
    }
}
