//! Finds the blocks of a model among its layers, and which of them repeat.

use super::data::LayerSummary;

/// Layers with the same `blocks.N.` in their paths, or one layer outside of the blocks.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    /// The path up to `blocks`, and N.
    pub location: Option<(&'a str, usize)>,
    /// Its layers, in order.
    pub layers: &'a [LayerSummary],
}

/// Consecutive blocks: `period` of them, then the same again, `times` in all.
#[derive(Clone, Debug)]
pub struct RepeatedBlocks<'a> {
    /// All the blocks, `period × times`.
    pub blocks: Vec<Block<'a>>,
    /// How many blocks make the pattern that repeats.
    pub period: usize,
    /// How often it stands there.
    pub count: usize,
}

/// What stands before the number of the block, the number, and what follows.
pub fn split_block_path(path: &str) -> Option<(&str, usize, &str)> {
    let start = path.find("blocks.").filter(|at| *at == 0 || path[..*at].ends_with('.'))?;
    let (number, rest) = path[start + 7..].split_once('.')?;
    Some((&path[..start + 6], number.parse().ok()?, rest))
}

/// The name of a layer within its block.
pub fn layer_role(path: &str) -> &str {
    split_block_path(path).map_or(path, |(_, _, rest)| rest)
}

/// The layers as blocks, and equal ones together.
pub fn find_repeats(layers: &[LayerSummary]) -> Vec<RepeatedBlocks<'_>> {
    let place = |layer: &LayerSummary| split_block_path(&layer.path).map(|(stem, number, _)| (stem.len(), number));
    let runs = layers.chunk_by(|a, b| place(a).is_some() && place(a) == place(b));
    let blocks: Vec<_> = runs.map(|layers| Block { location: block_location(layers), layers }).collect();
    let mut found = Vec::new();
    let mut rest = &blocks[..];
    while !rest.is_empty() {
        let (period, times) = longest_repeat(rest);
        let (first, after) = rest.split_at(period * times);
        found.push(RepeatedBlocks { blocks: first.to_vec(), period, count: times });
        rest = after;
    }
    found
}

fn block_location(layers: &[LayerSummary]) -> Option<(&str, usize)> {
    let (stem, number, _) = split_block_path(&layers.first()?.path)?;
    Some((stem, number))
}

/// The period, of at most eight blocks, whose repetition from the first block on covers most.
fn longest_repeat(blocks: &[Block]) -> (usize, usize) {
    let times = |period: usize| {
        let (first, rest) = blocks.split_at(period);
        1 + rest
            .chunks_exact(period)
            .take_while(|next| first.iter().zip(*next).all(|(a, b)| is_same_block(a, b)))
            .count()
    };
    let covered = |period: &usize| if times(*period) > 1 { period * times(*period) } else { 1 };
    let period = (1..=blocks.len().min(8)).rev().max_by_key(covered).unwrap_or(1);
    if times(period) > 1 { (period, times(period)) } else { (1, 1) }
}

fn is_same_block(a: &Block, b: &Block) -> bool {
    let stem = |block: &Block| block.location.map(|(stem, _)| stem.to_string());
    let same = |(a, b): (&LayerSummary, &LayerSummary)| {
        let renamed = LayerSummary { path: b.path.clone(), ..a.clone() };
        layer_role(&a.path) == layer_role(&b.path) && renamed == *b
    };
    a.location.is_some()
        && stem(a) == stem(b)
        && a.layers.len() == b.layers.len()
        && a.layers.iter().zip(b.layers).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(path: &str, title: &str) -> LayerSummary {
        LayerSummary { path: path.into(), title: title.into(), ..LayerSummary::default() }
    }

    fn found(layers: &[LayerSummary]) -> Vec<(usize, usize)> {
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
        assert_eq!(found(&layers), [(1, 1), (1, 6), (1, 1)]);
        assert_eq!(find_repeats(&layers)[1].blocks[5].layers.len(), 2);
    }

    #[test]
    fn alternating_blocks_are_one_pattern() {
        let kind = |n: usize| if n % 3 == 2 { "global" } else { "window" };
        let layers: Vec<_> = (0..9).map(|n| layer(&format!("decoder.blocks.{n}.attention"), kind(n))).collect();
        assert_eq!(found(&layers), [(3, 3)]);
        assert_eq!(found(&layers[..4]), [(1, 2), (1, 1), (1, 1)]);
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
