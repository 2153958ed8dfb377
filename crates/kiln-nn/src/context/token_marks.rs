//! Token marks on the device, and the evaluation of visibility formulas on them.
//!
//! A token's marks are its position, order, document, prefix flag and validity ([`TokenMark`]). A [`Formula`] over the marks
//! of a query and a key says whether the query sees the key. It is evaluated in three ways: pair by pair on the host
//! (`Formula::evaluate`), by tiles on the host (`TilePlan`), and here as a tensor on the device.

use super::{ContextLengths, rows::select_rows};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use kiln_spec::{
    Formula, Layout, TokenMark,
    formula::{MarkField, Term, TokenSide},
};
use std::sync::Arc;

/// Marks of a batch of tokens: a tensor `[B, T]` for each field, and the layout on the host if the host knows it.
///
/// The host loses the layout when tokens are selected on the device (mixture of depths). Kernels then have no tile plans. Only the
/// functions of this crate select tokens, within a block: the marks that a call starts with have their layout.
#[derive(Clone, Debug)]
pub struct TokenMarks {
    fields: [Tensor<2, Int>; 5],
    layout: Option<Arc<Layout>>,
    contiguous: bool,
    context_lengths: ContextLengths,
    /// The layout before tokens were left out on the device: the tokens that take up room in a cache.
    columns: Option<Arc<Layout>>,
}

/// Fields in the order of `TokenMarks::fields`: that of the enum.
const FIELDS: [MarkField; 5] =
    [MarkField::Position, MarkField::Order, MarkField::Document, MarkField::Prefix, MarkField::Valid];

impl TokenMarks {
    /// Uploads a layout: 5 × 4 bytes per token.
    pub fn new(layout: &Layout, device: &Device) -> Self {
        let shape = [layout.batch_size(), layout.sequence_length()];
        let upload = |field| {
            let values: Vec<i32> = layout.marks().iter().map(|mark| field_value(mark, field)).collect();
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        let layout = Arc::new(layout.clone());
        let contiguous = layout.marks().iter().all(|mark| mark.valid);
        let context_lengths = ContextLengths::of_documents(&layout, device);
        let columns = Some(layout.clone());
        Self { fields: FIELDS.map(upload), layout: Some(layout), columns, contiguous, context_lengths }
    }

    /// Returns the same tokens with the context length of their row: that of a state, fixed when the row began.
    pub fn with_row_lengths(self, lengths: &[usize]) -> Self {
        let ([_, columns], device) = (self.dims(), self.fields[0].device());
        Self { context_lengths: ContextLengths::of_rows(lengths, columns, &device), ..self }
    }

    /// Returns the context length of each token. Cached keys have none.
    pub fn context_lengths(&self) -> &ContextLengths {
        &self.context_lengths
    }

    /// Returns one field of all marks, `[B, T]`. Flags are 0 or 1.
    pub fn field(&self, field: MarkField) -> &Tensor<2, Int> {
        &self.fields[field as usize]
    }

    /// Returns the layout, if the host knows it.
    pub fn layout(&self) -> Option<&Layout> {
        self.layout.as_deref()
    }

    /// Returns the layout of the tokens that take up room in a cache, if the host knows it. Under mixture of depths these are
    /// all tokens of the call, also those that a block leaves out.
    pub fn columns_layout(&self) -> Option<&Layout> {
        self.columns.as_deref()
    }

    /// Returns the number of tokens of each row that take up room in a cache: all up to the last valid one.
    pub fn row_lengths(&self) -> Option<Vec<usize>> {
        let layout = self.columns.as_deref()?;
        let length = |row: usize| layout.row(row).iter().rposition(|mark| mark.valid).map_or(0, |last| last + 1);
        Some((0..layout.batch_size()).map(length).collect())
    }

    /// Returns the layout to share, if the host knows it.
    pub fn shared_layout(&self) -> Option<Arc<Layout>> {
        self.layout.clone()
    }

    /// Returns the number of rows and of tokens in a row, `[B, T]`.
    pub fn dims(&self) -> [usize; 2] {
        self.fields[0].dims()
    }

    /// Returns rows by index, of cached keys.
    pub fn select(&self, rows: &[usize]) -> Self {
        let select = |layout: &Arc<Layout>| {
            let marks = rows.iter().flat_map(|row| layout.row(*row).to_vec()).collect();
            Layout::from_marks(marks, layout.sequence_length()).map(Arc::new)
        };
        Self {
            fields: FIELDS.map(|field| select_rows(self.field(field), rows)),
            layout: self.layout.as_ref().and_then(select),
            columns: self.columns.as_ref().and_then(select),
            contiguous: self.contiguous,
            context_lengths: ContextLengths::default(),
        }
    }

    /// Returns these rows followed by those of `other`; shorter rows are padded at their end. `None` if the host doesn't know the
    /// layouts.
    pub fn append(&self, other: &Self) -> Option<Self> {
        let layouts = [self.layout()?, other.layout()?];
        let length = layouts.iter().map(|layout| layout.sequence_length()).max()?;
        let rows = layouts.iter().flat_map(|layout| (0..layout.batch_size()).map(|row| layout.row(row)));
        let marks = rows.flat_map(|row| {
            let padding = std::iter::repeat_n(TokenMark::default(), length - row.len());
            row.iter().copied().chain(padding)
        });
        Some(Self::new(&Layout::from_marks(marks.collect(), length)?, &self.fields[0].device()))
    }

    /// Returns the marks at `indices [B, k]` of each row, a selection on the device. The host's layout is lost.
    pub(crate) fn gather(&self, indices: &Tensor<2, Int>) -> Self {
        let gather = |field| self.field(field).clone().gather(1, indices.clone());
        let context_lengths = self.context_lengths.gather(indices);
        Self { fields: FIELDS.map(gather), layout: None, columns: None, contiguous: false, context_lengths }
    }

    /// Returns the same tokens, of which only those with 1 in `members [B, T]` stay valid. The host's layout is lost.
    pub(crate) fn mask_live(&self, members: Tensor<2, Int>) -> Self {
        let mut fields = self.fields.clone();
        fields[MarkField::Valid as usize] = members * self.field(MarkField::Valid).clone();
        let (columns, context_lengths) = (self.columns.clone(), self.context_lengths.clone());
        Self { fields, layout: None, columns, contiguous: self.contiguous, context_lengths }
    }

    /// Returns the bytes on the device.
    pub fn bytes(&self) -> usize {
        self.fields.iter().map(|field| field.shape().num_elements() * field.dtype().size()).sum()
    }
}

/// The value of one field as an integer.
fn field_value(mark: &TokenMark, field: MarkField) -> i32 {
    match field {
        MarkField::Position => mark.position,
        MarkField::Order => mark.order,
        MarkField::Document => mark.document,
        MarkField::Prefix => i32::from(mark.prefix),
        MarkField::Valid => i32::from(mark.valid),
    }
}

/// Evaluates a visibility formula on the device: `[B, T, S]`, true where the query sees the key. Equal to
/// `Formula::evaluate` for each pair (law `formulas`). Memory: B T S booleans for each comparison.
pub fn evaluate_formula(formula: &Formula, query: &TokenMarks, key: &TokenMarks) -> Tensor<3, Bool> {
    let ([b, t], [_, s]) = (query.dims(), key.dims());
    let term = |term: &Term| evaluate_term(term, query, key).expand([b, t, s]);
    match formula {
        Formula::LessOrEqual(left, right) => term(left).lower_equal(term(right)),
        Formula::Equal(left, right) => term(left).equal(term(right)),
        Formula::And(formulas) => formulas
            .iter()
            .map(|formula| evaluate_formula(formula, query, key))
            .reduce(|a, b| a.bool_and(b))
            .unwrap_or_else(|| constant_mask(true, [b, t, s], query)),
        Formula::Or(formulas) => formulas
            .iter()
            .map(|formula| evaluate_formula(formula, query, key))
            .reduce(|a, b| a.bool_or(b))
            .unwrap_or_else(|| constant_mask(false, [b, t, s], query)),
    }
}

/// A tensor of one truth value on the device of the marks.
fn constant_mask(value: bool, shape: [usize; 3], marks: &TokenMarks) -> Tensor<3, Bool> {
    Tensor::<3, Int>::zeros(shape, &marks.fields[0].device()).equal_elem(i32::from(!value))
}

/// Evaluates a term: `[B, T, 1]` for a field of the query, `[B, 1, S]` of the key, `[1, 1, 1]` for a constant, or their
/// broadcast.
fn evaluate_term(term: &Term, query: &TokenMarks, key: &TokenMarks) -> Tensor<3, Int> {
    match term {
        Term::Field(TokenSide::Query, field) => query.field(*field).clone().unsqueeze_dim(2),
        Term::Field(TokenSide::Key, field) => key.field(*field).clone().unsqueeze_dim(1),
        Term::Constant(n) => Tensor::from_data(TensorData::new(vec![*n], [1, 1, 1]), &query.fields[0].device()),
        Term::Minus(a, b) => {
            let ([batch, t], [_, s]) = (query.dims(), key.dims());
            let [a, b] = [a, b].map(|term| evaluate_term(term, query, key).expand([batch, t, s]));
            a - b
        }
        Term::FloorDiv(a, n) => {
            let a = evaluate_term(a, query, key);
            (a.clone() - floor_remainder(a, *n)) / *n
        }
        Term::Modulo(a, n) => floor_remainder(evaluate_term(a, query, key), *n),
    }
}

/// Remainder in 0..n. Backends differ in the sign of their own remainder of a negative number.
fn floor_remainder(a: Tensor<3, Int>, n: i32) -> Tensor<3, Int> {
    ((a % n) + n) % n
}
