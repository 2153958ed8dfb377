//! One group of examples as a row, for the picture of an objective: a conversation, or the two answers of a preference.

use kiln_data::{DataError, PackedSequences, Packer, Sequence};

/// Maximum number of rows among which a group is chosen.
const MAX_ROWS: usize = 32;

/// Tokens before the first trained one that stay in a sequence that is cut.
const CONTEXT_TOKENS: usize = 16;

/// The group with the fewest tokens among the first rows of an epoch, as a row of its own. Groups with a trained token are
/// preferred. Sequences that together have more than `max_tokens` tokens are cut around their first trained tokens.
///
/// # Errors
/// If the corpus cannot be read.
pub fn shortest_group(packer: &Packer, max_tokens: usize) -> Result<Option<PackedSequences>, DataError> {
    let Some(packed) = packer.iter_epoch(MAX_ROWS).next().transpose()? else { return Ok(None) };
    let groups = packed.rows.iter().flat_map(|row| row.chunk_by(|a, b| a.group == b.group));
    let shortest = groups.min_by_key(|group| (!group.iter().any(is_trained), num_tokens(group)));
    Ok(shortest.map(|group| {
        let row = cut_group(group, max_tokens);
        PackedSequences { sequence_length: num_tokens(&row), rows: vec![row], vocabulary: packed.vocabulary.clone() }
    }))
}

fn is_trained(sequence: &Sequence) -> bool {
    sequence.loss_weights.as_ref().is_none_or(|weights| weights.iter().any(|weight| *weight > 0.0))
}

fn num_tokens(group: &[Sequence]) -> usize {
    group.iter().map(|sequence| sequence.tokens.len()).sum()
}

/// The sequences of a group, with equal shares of `max_tokens` tokens if they have more.
fn cut_group(group: &[Sequence], max_tokens: usize) -> Vec<Sequence> {
    if num_tokens(group) <= max_tokens {
        return group.to_vec();
    }
    let share = (max_tokens / group.len()).max(2);
    group.iter().map(|sequence| cut_sequence(sequence, share)).collect()
}

/// At most `max_tokens` tokens of a sequence. The first trained token is among them.
fn cut_sequence(sequence: &Sequence, max_tokens: usize) -> Sequence {
    let length = sequence.tokens.len();
    let first_trained = sequence.loss_weights.as_ref().and_then(|weights| weights.iter().position(|w| *w > 0.0));
    let context = CONTEXT_TOKENS.min(max_tokens / 2);
    let start = first_trained.unwrap_or(0).saturating_sub(context).min(length.saturating_sub(max_tokens));
    // A sequence whose first trained token is near its beginning is shown from there.
    let start = if first_trained.is_some_and(|first| first < max_tokens / 2) { 0 } else { start };
    let range = start..length.min(start + max_tokens);
    Sequence {
        tokens: sequence.tokens[range.clone()].to_vec(),
        loss_weights: sequence.loss_weights.as_ref().map(|weights| weights[range.clone()].to_vec()),
        start: sequence.start + start,
        ends_document: sequence.ends_document && range.end == length,
        ..*sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(length: usize, trained: usize) -> Sequence {
        let weights = (0..length).map(|index| f32::from(index >= trained)).collect();
        Sequence { tokens: (0..length as u32).collect(), loss_weights: Some(weights), ..Sequence::default() }
    }

    #[test]
    fn a_long_sequence_is_cut_around_its_first_trained_token() {
        for (length, trained, expected) in [(10, 4, 0..10), (100, 5, 0..40), (100, 50, 34..74), (100, 95, 60..100)] {
            let cut = cut_group(&[sequence(length, trained)], 40);
            let tokens: Vec<u32> = expected.clone().collect();
            assert_eq!((cut[0].tokens.clone(), cut[0].start), (tokens, expected.start as usize), "{length} {trained}");
            assert_eq!(cut[0].loss_weights.as_ref().unwrap().len(), cut[0].tokens.len());
        }
        let pair = cut_group(&[sequence(100, 90), sequence(30, 3)], 40);
        assert_eq!([pair[0].tokens[0], pair[1].tokens[0]], [80, 0]);
        assert_eq!(num_tokens(&pair), 40);
    }
}
