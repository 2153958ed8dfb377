//! Marks on the device, and the device's reading of a formula.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData, kind::Basic};
use kiln_spec::{
    Formula, Layout, Mark,
    formula::{Field, Side, Term},
};
use std::sync::Arc;

/// Marks of a batch: `[B, T]` a field, and the same on the host as long as the host knows them.
#[derive(Clone, Debug)]
pub struct Marks {
    fields: [Tensor<2, Int>; 5],
    host: Option<Arc<Layout>>,
    full: bool,
}

const FIELDS: [Field; 5] = [Field::Position, Field::Order, Field::Document, Field::Prefix, Field::Live];

impl Marks {
    /// Uploads a layout.
    pub fn new(layout: &Layout, device: &Device) -> Self {
        let shape = [layout.rows(), layout.width()];
        let upload = |field| {
            let values: Vec<i32> = layout.marks().iter().map(|m| value(m, field)).collect();
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        let full = layout.marks().iter().all(|mark| mark.live);
        Self { fields: FIELDS.map(upload), host: Some(Arc::new(layout.clone())), full }
    }

    /// A field of every mark, `[B, T]`.
    pub fn field(&self, field: Field) -> &Tensor<2, Int> {
        &self.fields[field as usize]
    }

    /// The layout, if the host knows it.
    pub fn host(&self) -> Option<&Layout> {
        self.host.as_deref()
    }

    /// Whether every place holds a token of its sequence, one after the other, so that keys can be counted from the
    /// end.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The layout to keep, if the host knows it.
    pub fn shared(&self) -> Option<Arc<Layout>> {
        self.host.clone()
    }

    /// Rows and tokens a row.
    pub fn dims(&self) -> [usize; 2] {
        self.fields[0].dims()
    }

    /// These marks and then those.
    pub fn then(&self, now: &Self) -> Self {
        let join = |f| Tensor::cat(vec![self.field(f).clone(), now.field(f).clone()], 1);
        let host = self.host.as_ref().zip(now.host.as_ref()).and_then(|(a, b)| beside(a, b));
        Self { fields: FIELDS.map(join), host: host.map(Arc::new), full: self.full && now.full }
    }

    /// The first and last so many marks of each row.
    pub fn within(&self, [first, last]: [usize; 2]) -> Self {
        let host = self.host.as_ref().and_then(|h| {
            let row = |r: usize| [&h.row(r)[..first], &h.row(r)[h.width() - last..]].concat();
            Layout::from_marks((0..h.rows()).flat_map(row).collect(), first + last)
        });
        let fields = FIELDS.map(|f| within(self.field(f).clone(), 1, [first, last]));
        Self { fields, host: host.map(Arc::new), full: self.full }
    }

    /// The marks at `places [B, k]` of each row, which the device alone knows.
    pub fn gather(&self, places: &Tensor<2, Int>) -> Self {
        let gather = |f| self.field(f).clone().gather(1, places.clone());
        Self { fields: FIELDS.map(gather), host: None, full: false }
    }

    /// The same tokens, of which only those live whose `members [B, T]` is 1; the device alone knows which.
    pub fn only(&self, members: Tensor<2, Int>) -> Self {
        let mut fields = self.fields.clone();
        fields[Field::Live as usize] = members * self.field(Field::Live).clone();
        Self { fields, host: None, full: self.full }
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> usize {
        self.fields.iter().map(|field| field.shape().num_elements() * field.dtype().size()).sum()
    }
}

/// The first and last so many places of `x` along a dimension.
pub fn within<const D: usize, K: Basic>(x: Tensor<D, K>, along: usize, [first, last]: [usize; 2]) -> Tensor<D, K> {
    let length = x.dims()[along];
    let part = |from, length| x.clone().narrow(along, from, length);
    match [first, last] {
        _ if first + last == length => x,
        [0, last] => part(length - last, last),
        [first, 0] => part(0, first),
        [first, last] => Tensor::cat(vec![part(0, first), part(length - last, last)], along),
    }
}

fn beside(a: &Layout, b: &Layout) -> Option<Layout> {
    let row = |r: usize| a.row(r).iter().chain(b.row(r)).copied();
    Layout::from_marks((0..a.rows()).flat_map(row).collect(), a.width() + b.width())
}

fn value(mark: &Mark, field: Field) -> i32 {
    match field {
        Field::Position => mark.position,
        Field::Order => mark.order,
        Field::Document => mark.document,
        Field::Prefix => i32::from(mark.prefix),
        Field::Live => i32::from(mark.live),
    }
}

/// The third reading of a formula: `[B, T, S]`, true where the query sees the key.
pub fn evaluate(formula: &Formula, query: &Marks, key: &Marks) -> Tensor<3, Bool> {
    let ([b, t], [_, s]) = (query.dims(), key.dims());
    let all = |on: bool| Tensor::<3, Int>::zeros([b, t, s], &query.fields[0].device()).equal_elem(i32::from(!on));
    match formula {
        Formula::AtMost(left, right) => {
            term(left, query, key).expand([b, t, s]).lower_equal(term(right, query, key).expand([b, t, s]))
        }
        Formula::Equal(left, right) => {
            term(left, query, key).expand([b, t, s]).equal(term(right, query, key).expand([b, t, s]))
        }
        Formula::And(every) => {
            every.iter().map(|f| evaluate(f, query, key)).reduce(|a, b| a.bool_and(b)).unwrap_or_else(|| all(true))
        }
        Formula::Or(any) => {
            any.iter().map(|f| evaluate(f, query, key)).reduce(|a, b| a.bool_or(b)).unwrap_or_else(|| all(false))
        }
    }
}

/// `[B, T, 1]`, `[B, 1, S]`, `[1, 1, 1]` or their broadcast.
fn term(term: &Term, query: &Marks, key: &Marks) -> Tensor<3, Int> {
    let of = self::term;
    match term {
        Term::Of(Side::Query, field) => query.field(*field).clone().unsqueeze_dim(2),
        Term::Of(Side::Key, field) => key.field(*field).clone().unsqueeze_dim(1),
        Term::Constant(n) => Tensor::from_data(TensorData::new(vec![*n], [1, 1, 1]), &query.fields[0].device()),
        Term::Minus(a, b) => {
            let ([b1, t], [_, s]) = (query.dims(), key.dims());
            of(a, query, key).expand([b1, t, s]) - of(b, query, key).expand([b1, t, s])
        }
        Term::Over(a, n) => {
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
