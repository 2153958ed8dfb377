//! Marks on the device, and the device's reading of a formula.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData, kind::Basic};
use kiln_spec::{
    Formula, Layout, TokenMark,
    formula::{MarkField, Term, TokenSide},
};
use std::sync::Arc;

/// Marks of a batch: `[B, T]` a field, and the same on the host as long as the host knows them.
#[derive(Clone, Debug)]
pub struct TokenMarks {
    fields: [Tensor<2, Int>; 5],
    layout: Option<Arc<Layout>>,
    contiguous: bool,
}

const FIELDS: [MarkField; 5] =
    [MarkField::Position, MarkField::Order, MarkField::Document, MarkField::Prefix, MarkField::Valid];

impl TokenMarks {
    /// Uploads a layout.
    pub fn new(layout: &Layout, device: &Device) -> Self {
        let shape = [layout.batch_size(), layout.sequence_length()];
        let upload = |field| {
            let values: Vec<i32> = layout.marks().iter().map(|m| field_value(m, field)).collect();
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        let full = layout.marks().iter().all(|mark| mark.valid);
        Self { fields: FIELDS.map(upload), layout: Some(Arc::new(layout.clone())), contiguous: full }
    }

    /// A field of every mark, `[B, T]`.
    pub fn field(&self, field: MarkField) -> &Tensor<2, Int> {
        &self.fields[field as usize]
    }

    /// The layout, if the host knows it.
    pub fn layout(&self) -> Option<&Layout> {
        self.layout.as_deref()
    }

    /// Whether every place holds a token of its sequence, one after the other, so that keys can be counted from the
    /// end.
    pub fn is_contiguous(&self) -> bool {
        self.contiguous
    }

    /// The layout to keep, if the host knows it.
    pub fn shared_layout(&self) -> Option<Arc<Layout>> {
        self.layout.clone()
    }

    /// Rows and tokens a row.
    pub fn dims(&self) -> [usize; 2] {
        self.fields[0].dims()
    }

    /// These marks and then those.
    pub fn concat(&self, now: &Self) -> Self {
        let join = |f| Tensor::cat(vec![self.field(f).clone(), now.field(f).clone()], 1);
        let host = self.layout.as_ref().zip(now.layout.as_ref()).and_then(|(a, b)| concat_layouts(a, b));
        Self { fields: FIELDS.map(join), layout: host.map(Arc::new), contiguous: self.contiguous && now.contiguous }
    }

    /// The first and last so many marks of each row.
    pub fn keep_ends(&self, [first, last]: [usize; 2]) -> Self {
        let host = self.layout.as_ref().and_then(|h| {
            let row = |r: usize| [&h.row(r)[..first], &h.row(r)[h.sequence_length() - last..]].concat();
            Layout::from_marks((0..h.batch_size()).flat_map(row).collect(), first + last)
        });
        let fields = FIELDS.map(|f| keep_ends(self.field(f).clone(), 1, [first, last]));
        Self { fields, layout: host.map(Arc::new), contiguous: self.contiguous }
    }

    /// The marks at `places [B, k]` of each row, which the device alone knows.
    pub fn gather(&self, places: &Tensor<2, Int>) -> Self {
        let gather = |f| self.field(f).clone().gather(1, places.clone());
        Self { fields: FIELDS.map(gather), layout: None, contiguous: false }
    }

    /// The same tokens, of which only those live whose `members [B, T]` is 1; the device alone knows which.
    pub fn mask_live(&self, members: Tensor<2, Int>) -> Self {
        let mut fields = self.fields.clone();
        fields[MarkField::Valid as usize] = members * self.field(MarkField::Valid).clone();
        Self { fields, layout: None, contiguous: self.contiguous }
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> usize {
        self.fields.iter().map(|field| field.shape().num_elements() * field.dtype().size()).sum()
    }
}

/// The first and last so many places of `x` along a dimension.
pub fn keep_ends<const D: usize, K: Basic>(x: Tensor<D, K>, along: usize, [first, last]: [usize; 2]) -> Tensor<D, K> {
    let length = x.dims()[along];
    let part = |from, length| x.clone().narrow(along, from, length);
    match [first, last] {
        _ if first + last == length => x,
        [0, last] => part(length - last, last),
        [first, 0] => part(0, first),
        [first, last] => Tensor::cat(vec![part(0, first), part(length - last, last)], along),
    }
}

fn concat_layouts(a: &Layout, b: &Layout) -> Option<Layout> {
    let row = |r: usize| a.row(r).iter().chain(b.row(r)).copied();
    Layout::from_marks((0..a.batch_size()).flat_map(row).collect(), a.sequence_length() + b.sequence_length())
}

fn field_value(mark: &TokenMark, field: MarkField) -> i32 {
    match field {
        MarkField::Position => mark.position,
        MarkField::Order => mark.order,
        MarkField::Document => mark.document,
        MarkField::Prefix => i32::from(mark.prefix),
        MarkField::Valid => i32::from(mark.valid),
    }
}

/// The third reading of a formula: `[B, T, S]`, true where the query sees the key.
pub fn evaluate_formula(formula: &Formula, query: &TokenMarks, key: &TokenMarks) -> Tensor<3, Bool> {
    let ([b, t], [_, s]) = (query.dims(), key.dims());
    let all = |on: bool| Tensor::<3, Int>::zeros([b, t, s], &query.fields[0].device()).equal_elem(i32::from(!on));
    match formula {
        Formula::LessOrEqual(left, right) => evaluate_term(left, query, key)
            .expand([b, t, s])
            .lower_equal(evaluate_term(right, query, key).expand([b, t, s])),
        Formula::Equal(left, right) => {
            evaluate_term(left, query, key).expand([b, t, s]).equal(evaluate_term(right, query, key).expand([b, t, s]))
        }
        Formula::And(every) => every
            .iter()
            .map(|f| evaluate_formula(f, query, key))
            .reduce(|a, b| a.bool_and(b))
            .unwrap_or_else(|| all(true)),
        Formula::Or(any) => any
            .iter()
            .map(|f| evaluate_formula(f, query, key))
            .reduce(|a, b| a.bool_or(b))
            .unwrap_or_else(|| all(false)),
    }
}

/// `[B, T, 1]`, `[B, 1, S]`, `[1, 1, 1]` or their broadcast.
fn evaluate_term(term: &Term, query: &TokenMarks, key: &TokenMarks) -> Tensor<3, Int> {
    let of = self::evaluate_term;
    match term {
        Term::Field(TokenSide::Query, field) => query.field(*field).clone().unsqueeze_dim(2),
        Term::Field(TokenSide::Key, field) => key.field(*field).clone().unsqueeze_dim(1),
        Term::Constant(n) => Tensor::from_data(TensorData::new(vec![*n], [1, 1, 1]), &query.fields[0].device()),
        Term::Minus(a, b) => {
            let ([b1, t], [_, s]) = (query.dims(), key.dims());
            of(a, query, key).expand([b1, t, s]) - of(b, query, key).expand([b1, t, s])
        }
        Term::FloorDiv(a, n) => {
            let a = of(a, query, key);
            (a.clone() - floor_remainder(a, *n)) / *n
        }
        Term::Modulo(a, n) => floor_remainder(of(a, query, key), *n),
    }
}

/// Remainder in `0..n`, whatever sign the backend's own remainder takes.
fn floor_remainder(a: Tensor<3, Int>, n: i32) -> Tensor<3, Int> {
    ((a % n) + n) % n
}
