//! Layout of a batch: position, order, document, prefix and validity of every token.
//!
//! All attention masks and position encodings follow from these marks. A pattern never looks at token ids or tensors.
//!
//! | batch | marks |
//! |---|---|
//! | causal document | order = position |
//! | bidirectional document | all tokens are prefix tokens |
//! | prefix LM | the first n tokens are prefix tokens |
//! | reversed (right to left) | order = −position |
//! | several documents in a row (packing) | numbered documents, each with positions from 0 |
//! | padding, empty cache slots | invalid |
//!
//! A query `q` may attend to a key `k`, before the pattern of the layer is applied, if
//! `k.valid ∧ q.document = k.document ∧ (k.order ≤ q.order ∨ k.prefix)`.

use crate::formula::MarkField;

/// Mark of a token: everything that visibility depends on.
///
/// The default is the mark of padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct TokenMark {
    /// Position within the document, from 0. Position encodings, windows and strides use it.
    pub position: i32,
    /// Rank in the causal order: a query attends to keys of the same or a lower order. Equals the position from left to
    /// right and its negative from right to left.
    pub order: i32,
    /// Index of the document within the row. Tokens of different documents never attend to each other.
    pub document: i32,
    /// Whether all tokens of the document attend to this one, regardless of the order.
    pub prefix: bool,
    /// Whether there is a token: false for padding and empty cache slots, which no query attends to.
    pub valid: bool,
}

/// Attention direction within a document. The pattern of a layer restricts it further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Causal: each token attends to itself and earlier tokens.
    #[default]
    Causal,
    /// Bidirectional: each token attends to the whole document.
    Bidirectional,
    /// Prefix LM: the first `n` tokens of the document are visible to all its tokens, the others are causal (1910.10683).
    Prefix(usize),
    /// Reversed: each token attends to itself and later tokens.
    Reversed,
}

impl TokenMark {
    /// Returns the mark of the token at `position` of the document with index `document`.
    pub fn new(position: usize, document: usize, direction: Direction) -> Self {
        let position = position as i32;
        let order = if direction == Direction::Reversed { -position } else { position };
        let prefix = match direction {
            Direction::Bidirectional => true,
            Direction::Prefix(n) => (position as usize) < n,
            Direction::Causal | Direction::Reversed => false,
        };
        Self { position, order, document: document as i32, prefix, valid: true }
    }

    /// Field as an integer.
    pub(crate) fn field(&self, field: MarkField) -> i32 {
        match field {
            MarkField::Position => self.position,
            MarkField::Order => self.order,
            MarkField::Document => self.document,
            MarkField::Prefix => i32::from(self.prefix),
            MarkField::Valid => i32::from(self.valid),
        }
    }
}

/// Range of each field over a block of marks, for interval arithmetic ([`crate::Formula::tile_coverage`]).
#[derive(Clone, Copy, Debug)]
pub struct MarkRange {
    min: TokenMark,
    max: TokenMark,
}

impl MarkRange {
    /// Returns the range of `marks`; the range of one padding mark if there are none.
    pub fn from_marks(marks: &[TokenMark]) -> Self {
        let first = marks.first().copied().unwrap_or_default();
        marks.iter().fold(Self { min: first, max: first }, |range, mark| Self {
            min: combine_marks(&range.min, mark, i32::min, |a, b| a & b),
            max: combine_marks(&range.max, mark, i32::max, |a, b| a | b),
        })
    }

    /// Returns the range that contains both.
    pub(crate) fn union(&self, other: &Self) -> Self {
        Self {
            min: combine_marks(&self.min, &other.min, i32::min, |a, b| a & b),
            max: combine_marks(&self.max, &other.max, i32::max, |a, b| a | b),
        }
    }

    /// Minimum and maximum of a field.
    pub(crate) fn field(&self, field: MarkField) -> (i32, i32) {
        (self.min.field(field), self.max.field(field))
    }
}

/// Combines two marks field by field.
fn combine_marks(a: &TokenMark, b: &TokenMark, int: fn(i32, i32) -> i32, bit: fn(bool, bool) -> bool) -> TokenMark {
    TokenMark {
        position: int(a.position, b.position),
        order: int(a.order, b.order),
        document: int(a.document, b.document),
        prefix: bit(a.prefix, b.prefix),
        valid: bit(a.valid, b.valid),
    }
}

/// Marks of a batch, `[batch_size, sequence_length]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    sequence_length: usize,
    marks: Vec<TokenMark>,
}

/// Document, or part of a document, in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DocumentSpan {
    /// Number of tokens.
    pub length: usize,
    /// Position of the first token. Not 0 for a later chunk of a document or for cached generation.
    pub start: usize,
    /// Attention direction.
    pub direction: Direction,
}

impl Layout {
    /// Creates a layout of packed documents. Each row is padded to `sequence_length`, or truncated if it is longer.
    ///
    /// Documents of a row are numbered from 0.
    pub fn packed(rows: &[Vec<DocumentSpan>], sequence_length: usize) -> Self {
        let mut marks = Vec::with_capacity(rows.len() * sequence_length);
        for (row_index, row) in rows.iter().enumerate() {
            let tokens = row.iter().enumerate().flat_map(|(document, span)| {
                let positions = span.start..span.start + span.length;
                positions.map(move |position| TokenMark::new(position, document, span.direction))
            });
            marks.extend(tokens.take(sequence_length));
            marks.resize((row_index + 1) * sequence_length, TokenMark::default());
        }
        Self { sequence_length, marks }
    }

    /// Creates a layout with one document per row: row `i` has `lengths[i]` tokens from position `starts[i]` on, padded to
    /// `sequence_length`. Used for the chunks of cached generation.
    pub fn from_offsets(starts: &[usize], lengths: &[usize], sequence_length: usize, direction: Direction) -> Self {
        let rows: Vec<Vec<DocumentSpan>> = starts
            .iter()
            .zip(lengths)
            .map(|(&start, &length)| vec![DocumentSpan { length, start, direction }])
            .collect();
        Self::packed(&rows, sequence_length)
    }

    /// Creates a layout from row-major marks. `None` if `sequence_length` is 0 or does not divide their number.
    pub fn from_marks(marks: Vec<TokenMark>, sequence_length: usize) -> Option<Self> {
        let fills_rows = sequence_length > 0 && marks.len().is_multiple_of(sequence_length);
        fills_rows.then_some(Self { sequence_length, marks })
    }

    /// Returns the number of rows.
    pub fn batch_size(&self) -> usize {
        self.marks.len().checked_div(self.sequence_length).unwrap_or(0)
    }

    /// Returns the length of a row, padding included.
    pub fn sequence_length(&self) -> usize {
        self.sequence_length
    }

    /// Returns the marks of one row. Panics if there is no such row.
    pub fn row(&self, row: usize) -> &[TokenMark] {
        &self.marks[row * self.sequence_length..(row + 1) * self.sequence_length]
    }

    /// Returns all marks, row-major.
    pub fn marks(&self) -> &[TokenMark] {
        &self.marks
    }

    /// Returns the rows `range` as a layout of their own.
    pub fn slice_rows(&self, range: std::ops::Range<usize>) -> Self {
        Self {
            sequence_length: self.sequence_length,
            marks: self.marks[range.start * self.sequence_length..range.end * self.sequence_length].to_vec(),
        }
    }

    /// Returns the layout with positions below `limit`, for models with a table of learned positions.
    ///
    /// A document part that reaches position `limit` or beyond is shifted to start at position 0. Visibility within the
    /// part does not change, because position and order are shifted together.
    pub fn reset_positions_beyond(&self, limit: usize) -> Self {
        self.map_parts(|part| reset_positions(part, limit))
    }

    /// Returns the layout in which the first token of each reversed document part is visible to the whole part.
    ///
    /// The token itself then attends only to itself. It becomes the lowest in the causal order: the start token of
    /// right-to-left generation. Other parts do not change.
    pub fn with_visible_first_token(&self) -> Self {
        self.map_parts(|part| {
            if let [first, .., last] = part
                && last.order < first.order
            {
                first.order = last.order - 1;
            }
        })
    }

    /// Copy in which `change` was applied to each document part: a maximal run of marks of one document of a row.
    fn map_parts(&self, change: impl Fn(&mut [TokenMark])) -> Self {
        let mut marks = self.marks.clone();
        for row in marks.chunks_mut(self.sequence_length.max(1)) {
            row.chunk_by_mut(|a, b| (a.document, a.valid) == (b.document, b.valid)).for_each(&change);
        }
        Self { sequence_length: self.sequence_length, marks }
    }

    /// Returns the layout with `count` tokens before each document part, and where each token of this layout stands in its row:
    /// `columns [batch_size, sequence_length]`, 0 for padding. Rows become longer if they have too little padding.
    ///
    /// The new tokens take over the first positions, and the others move up by `count`. Every token of the part sees the new ones.
    /// They see one another from left to right or, if `bidirectional`, the whole part.
    pub fn with_leading_tokens(&self, count: usize, bidirectional: bool) -> (Self, Vec<usize>) {
        let mut rows = Vec::new();
        let mut columns = Vec::with_capacity(self.marks.len());
        for row in self.marks.chunks(self.sequence_length.max(1)) {
            let mut marks: Vec<TokenMark> = Vec::with_capacity(row.len() + count);
            for part in row.chunk_by(|a, b| (a.document, a.valid) == (b.document, b.valid)) {
                if !part[0].valid {
                    columns.extend(part.iter().map(|_| 0));
                    continue;
                }
                let with_leading = leading_tokens(part, count, bidirectional);
                columns.extend(marks.len() + count..marks.len() + with_leading.len());
                marks.extend(with_leading);
            }
            rows.push(marks);
        }
        let sequence_length = rows.iter().map(Vec::len).fold(self.sequence_length, usize::max);
        rows.iter_mut().for_each(|row| row.resize(sequence_length, TokenMark::default()));
        (Self { sequence_length, marks: rows.concat() }, columns)
    }

    /// Returns the layout with all positions moved up by `count`: the tokens follow others of their documents.
    pub fn shift_positions(&self, count: usize) -> Self {
        self.map_parts(|part| shift(part, count as i32))
    }

    /// Returns the number of tokens without padding.
    pub fn num_valid(&self) -> usize {
        self.marks.iter().filter(|mark| mark.valid).count()
    }
}

/// Whether a document part is ordered from right to left.
fn is_reversed(part: &[TokenMark]) -> bool {
    part.windows(2).any(|pair| pair[1].order < pair[0].order)
}

/// Moves a document part up by `count` positions.
fn shift(part: &mut [TokenMark], count: i32) {
    let order = if is_reversed(part) { -count } else { count };
    for mark in part {
        mark.position += count;
        mark.order += order;
    }
}

/// A document part after `count` new tokens.
fn leading_tokens(part: &[TokenMark], count: usize, bidirectional: bool) -> Vec<TokenMark> {
    let (first, mut moved) = (part[0], part.to_vec());
    shift(&mut moved, count as i32);
    // Lowest in the causal order, whatever the direction, so that all tokens see them.
    let lowest = moved.iter().map(|mark| mark.order).min().unwrap_or_default() - count as i32;
    let new = (0..count as i32).map(|index| TokenMark {
        position: first.position + index,
        order: lowest + index,
        prefix: bidirectional,
        ..first
    });
    new.chain(moved).collect()
}

/// Shifts a document part to start at position 0 if one of its positions is `limit` or more.
fn reset_positions(part: &mut [TokenMark], limit: usize) {
    let first = part[0].position;
    if !part.iter().any(|mark| mark.valid && mark.position as usize >= limit) {
        return;
    }
    for mark in part {
        mark.order += if mark.order < 0 { first } else { -first };
        mark.position -= first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visible_first_token_is_visible_to_its_document_and_attends_to_itself_only() {
        let row = [(3, 0, Direction::Causal), (4, 7, Direction::Reversed), (2, 0, Direction::Bidirectional)]
            .map(|(length, start, direction)| DocumentSpan { length, start, direction });
        let before = Layout::packed(&[row.to_vec()], 10);
        for layout in [before.with_visible_first_token(), before.with_visible_first_token().reset_positions_beyond(8)] {
            let is_visible = |layout: &Layout, i: usize, j: usize| {
                crate::Pattern::default().is_visible(&layout.row(0)[i], &layout.row(0)[j])
            };
            for (i, j) in (0..10).flat_map(|i| (0..10).map(move |j| (i, j))) {
                let expected = match (i, j) {
                    (3, _) => j == 3,
                    (4..7, 3) => true,
                    _ => is_visible(&before, i, j),
                };
                assert_eq!(is_visible(&layout, i, j), expected, "{i} {j}");
            }
        }
    }

    #[test]
    fn reset_positions_start_at_zero_and_leave_the_mask_unchanged() {
        for direction in [Direction::Causal, Direction::Reversed, Direction::Prefix(12)] {
            let row = [(3, 0), (3, 10), (2, 5)].map(|(length, start)| DocumentSpan { length, start, direction });
            let before = Layout::packed(&[row.to_vec()], 10);
            let after = before.reset_positions_beyond(8);
            let positions: Vec<i32> = after.row(0).iter().map(|mark| mark.position).collect();
            assert_eq!(positions, [0, 1, 2, 0, 1, 2, 5, 6, 0, 0]);
            let mask = |layout: &Layout| {
                crate::plan::dense_mask(
                    &crate::Pattern::window(1, 1).visibility_formula(),
                    layout.row(0),
                    layout.row(0),
                )
            };
            assert_eq!(mask(&after), mask(&before), "{direction:?}");
        }
    }

    #[test]
    fn leading_tokens_use_padding_and_move_positions_up() {
        let span = |length, direction| DocumentSpan { length, start: 0, direction };
        let rows = vec![vec![span(2, Direction::Causal), span(3, Direction::Causal)], vec![span(4, Direction::Causal)]];
        let layout = Layout::packed(&rows, 9);
        let (longer, columns) = layout.with_leading_tokens(2, false);
        let all = |spans: &[usize]| spans.iter().map(|length| span(length + 2, Direction::Causal)).collect::<Vec<_>>();
        assert_eq!(longer, Layout::packed(&[all(&[2, 3]), all(&[4])], 9), "as if the documents had them");
        assert_eq!(columns, [2, 3, 6, 7, 8, 0, 0, 0, 0, 2, 3, 4, 5, 0, 0, 0, 0, 0]);
        assert_eq!(layout.with_leading_tokens(4, false).0.sequence_length(), 13, "5 tokens and twice 4");
        assert_eq!(layout.shift_positions(2).row(1)[0].position, 2);
    }

    #[test]
    fn leading_tokens_are_seen_in_every_direction() {
        for direction in [Direction::Causal, Direction::Bidirectional, Direction::Prefix(1), Direction::Reversed] {
            let layout = Layout::packed(&[vec![DocumentSpan { length: 3, start: 5, direction }]], 3);
            let (longer, columns) = layout.with_leading_tokens(2, direction == Direction::Bidirectional);
            let (new, old) = longer.row(0).split_at(2);
            assert_eq!(columns, [2, 3, 4], "{direction:?}");
            let sees = |query: &TokenMark, key: &TokenMark| key.order <= query.order || key.prefix;
            assert!(old.iter().all(|query| new.iter().all(|key| sees(query, key))), "{direction:?}");
            let mutual = new.iter().all(|query| old.iter().all(|key| sees(query, key)));
            assert_eq!(mutual, direction == Direction::Bidirectional, "{direction:?}");
            assert_eq!(longer.row(0).iter().map(|mark| mark.position).collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
            for (a, b) in layout.row(0).iter().zip(old) {
                assert_eq!(sees(a, &layout.row(0)[1]), sees(b, &old[1]), "{direction:?}");
            }
        }
    }
}
