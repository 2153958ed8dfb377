//! The geometry of a batch: rows of marks, the only truth about positions, documents, prefixes and padding.

use crate::formula::MarkField;

/// All that visibility may ask of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct TokenMark {
    /// Place within its document, in tokens, from 0: what positions and windows count.
    pub position: i32,
    /// Place in the order of seeing: a key is seen by queries of the same or a later order. Left to right it
    /// equals the position, right to left its negative.
    pub order: i32,
    /// Number of its document within the row.
    pub document: i32,
    /// Seen by every token of its document, whatever the order.
    pub prefix: bool,
    /// Whether anything stands here: padding and empty slots are not live and are seen by nobody.
    pub valid: bool,
}

/// Who sees whom within one document, before the layers' own geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Each token sees itself and what came before.
    #[default]
    Causal,
    /// Each token sees the whole document.
    Bidirectional,
    /// The first `n` tokens are seen by all, the rest causally.
    Prefix(usize),
    /// Each token sees itself and what comes after.
    Reversed,
}

impl TokenMark {
    /// The mark of token `position` of document `document`.
    pub fn new(position: usize, document: usize, direction: Direction) -> Self {
        let (position, document) = (position as i32, document as i32);
        let order = if direction == Direction::Reversed { -position } else { position };
        let prefix = match direction {
            Direction::Bidirectional => true,
            Direction::Prefix(n) => (position as usize) < n,
            Direction::Causal | Direction::Reversed => false,
        };
        Self { position, order, document, prefix, valid: true }
    }

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

/// Least and greatest value of each field over some marks.
#[derive(Clone, Copy, Debug)]
pub struct MarkRange {
    min: TokenMark,
    max: TokenMark,
}

impl MarkRange {
    /// The span of `marks`; of none, the span of one dead mark.
    pub fn from_marks(marks: &[TokenMark]) -> Self {
        let first = marks.first().copied().unwrap_or_default();
        marks.iter().fold(Self { min: first, max: first }, |span, mark| Self {
            min: combine_marks(&span.min, mark, i32::min, |a, b| a & b),
            max: combine_marks(&span.max, mark, i32::max, |a, b| a | b),
        })
    }

    pub(crate) fn field(&self, field: MarkField) -> (i32, i32) {
        (self.min.field(field), self.max.field(field))
    }
}

fn combine_marks(a: &TokenMark, b: &TokenMark, int: fn(i32, i32) -> i32, bit: fn(bool, bool) -> bool) -> TokenMark {
    TokenMark {
        position: int(a.position, b.position),
        order: int(a.order, b.order),
        document: int(a.document, b.document),
        prefix: bit(a.prefix, b.prefix),
        valid: bit(a.valid, b.valid),
    }
}

/// Marks of a batch: `rows` sequences of one width; what a row doesn't fill is not live.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    sequence_length: usize,
    marks: Vec<TokenMark>,
}

fn reset_positions(piece: &mut [TokenMark], limit: usize) {
    let first = piece[0].position;
    if !piece.iter().any(|mark| mark.valid && mark.position as usize >= limit) {
        return;
    }
    for mark in piece {
        mark.order += if mark.order < 0 { first } else { -first };
        mark.position -= first;
    }
}

/// A document's place in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DocumentSpan {
    /// Number of tokens here.
    pub length: usize,
    /// Position of the first one: not 0 when the document goes on from elsewhere.
    pub start: usize,
    /// Who sees whom in it.
    pub direction: Direction,
}

impl Layout {
    /// Rows of packed documents, each row filled up with dead marks to `width`.
    ///
    /// A row longer than `width` is cut.
    pub fn packed(rows: &[Vec<DocumentSpan>], width: usize) -> Self {
        let mut marks = Vec::with_capacity(rows.len() * width);
        for (r, row) in rows.iter().enumerate() {
            let pieces = row.iter().enumerate();
            let live =
                pieces.flat_map(|(d, p)| (p.start..p.start + p.length).map(move |i| TokenMark::new(i, d, p.direction)));
            marks.extend(live.take(width));
            marks.resize((r + 1) * width, TokenMark::default());
        }
        Self { sequence_length: width, marks }
    }

    /// One document a row, row `i` going on at position `start[i]` with `length[i]` of `width` tokens.
    pub fn from_offsets(start: &[usize], length: &[usize], width: usize, direction: Direction) -> Self {
        let row = |(&start, &length): (&usize, &usize)| vec![DocumentSpan { length, start, direction }];
        Self::packed(&start.iter().zip(length).map(row).collect::<Vec<_>>(), width)
    }

    /// From marks, row after row; `None` unless they fill whole rows.
    pub fn from_marks(marks: Vec<TokenMark>, width: usize) -> Option<Self> {
        (width > 0 && marks.len().is_multiple_of(width)).then_some(Self { sequence_length: width, marks })
    }

    /// Number of rows.
    pub fn batch_size(&self) -> usize {
        self.marks.len().checked_div(self.sequence_length).unwrap_or(0)
    }

    /// Tokens a row, live or not.
    pub fn sequence_length(&self) -> usize {
        self.sequence_length
    }

    /// Marks of one row.
    pub fn row(&self, row: usize) -> &[TokenMark] {
        &self.marks[row * self.sequence_length..(row + 1) * self.sequence_length]
    }

    /// All marks, row after row.
    pub fn marks(&self) -> &[TokenMark] {
        &self.marks
    }

    /// The rows of `range` alone.
    pub fn slice_rows(&self, range: std::ops::Range<usize>) -> Self {
        Self {
            sequence_length: self.sequence_length,
            marks: self.marks[range.start * self.sequence_length..range.end * self.sequence_length].to_vec(),
        }
    }

    /// The same with positions below `limit`: a piece of a document that reaches beyond starts at 0, as if the document
    /// began there.
    pub fn reset_positions_beyond(&self, limit: usize) -> Self {
        let mut marks = self.marks.clone();
        for row in marks.chunks_mut(self.sequence_length.max(1)) {
            for piece in row.chunk_by_mut(|a, b| (a.document, a.valid) == (b.document, b.valid)) {
                reset_positions(piece, limit);
            }
        }
        Self { sequence_length: self.sequence_length, marks }
    }

    /// The same with the first token of each piece that is read from right to left first in the order of seeing: all
    /// of its document see it, and it sees nothing but itself.
    pub fn with_visible_first_token(&self) -> Self {
        let mut marks = self.marks.clone();
        for row in marks.chunks_mut(self.sequence_length.max(1)) {
            for piece in row.chunk_by_mut(|a, b| (a.document, a.valid) == (b.document, b.valid)) {
                if let [first, .., last] = piece
                    && last.order < first.order
                {
                    first.order = last.order - 1;
                }
            }
        }
        Self { sequence_length: self.sequence_length, marks }
    }

    /// Number of live tokens.
    pub fn num_valid(&self) -> usize {
        self.marks.iter().filter(|m| m.valid).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_token_is_seen_by_its_document_and_sees_itself() {
        let row = [(3, 0, Direction::Causal), (4, 7, Direction::Reversed), (2, 0, Direction::Bidirectional)]
            .map(|(length, start, direction)| DocumentSpan { length, start, direction });
        let before = Layout::packed(&[row.to_vec()], 10);
        for layout in [before.with_visible_first_token(), before.with_visible_first_token().reset_positions_beyond(8)] {
            let sees = |layout: &Layout, i: usize, j: usize| {
                crate::Pattern::default().is_visible(&layout.row(0)[i], &layout.row(0)[j])
            };
            for (i, j) in (0..10).flat_map(|i| (0..10).map(move |j| (i, j))) {
                let wanted = match (i, j) {
                    (3, _) => j == 3,
                    (4..7, 3) => true,
                    _ => sees(&before, i, j),
                };
                assert_eq!(sees(&layout, i, j), wanted, "{i} {j}");
            }
        }
    }

    #[test]
    fn a_piece_beyond_the_limit_starts_again_and_sees_what_it_saw() {
        for direction in [Direction::Causal, Direction::Reversed, Direction::Prefix(12)] {
            let row = [(3, 0), (3, 10), (2, 5)].map(|(length, start)| DocumentSpan { length, start, direction });
            let before = Layout::packed(&[row.to_vec()], 10);
            let after = before.reset_positions_beyond(8);
            let positions: Vec<i32> = after.row(0).iter().map(|mark| mark.position).collect();
            assert_eq!(positions, [0, 1, 2, 0, 1, 2, 5, 6, 0, 0]);
            let seen = |layout: &Layout| {
                crate::plan::dense_mask(
                    &crate::Pattern::window(1, 1).visibility_formula(),
                    layout.row(0),
                    layout.row(0),
                )
            };
            assert_eq!(seen(&after), seen(&before), "{direction:?}");
        }
    }
}
