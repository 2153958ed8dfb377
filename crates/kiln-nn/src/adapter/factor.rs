//! Factor of an adapter: what its output is multiplied by before it is added, base + Σ wᵢ · adapterᵢ.
//!
//! A factor is a number w of the model ([`AttachedAdapter::weight`](super::AttachedAdapter::weight)), which a method multiplies its
//! output by itself ([`LinearCall::weight`](super::LinearCall::weight) and so on). In a call with [`TokenFactors`] there is a further
//! one for each token, as X-LoRA computes them (2402.07148, eq. 3): the site multiplies what the method returns by it, so that no
//! method needs to know of it. This file is the only place that does.

use burn::tensor::Tensor;
use std::{collections::BTreeMap, sync::Arc};

/// Factors of adapters for each token of one call, carried by its [`Context`](crate::Context).
///
/// Gradients flow to the values. Adapters without a column have the factor 1.
#[derive(Clone, Debug)]
pub struct TokenFactors {
    /// `[B, T, n]`.
    values: Tensor<3>,
    /// The column of each adapter, by its site and its name.
    columns: Arc<BTreeMap<(String, String), usize>>,
}

impl TokenFactors {
    /// Returns factors `values [B, T, n]`. Column i belongs to the adapter `columns[i]`, given by the path of its site and its
    /// name; of an adapter that is listed twice, to the last.
    ///
    /// `kiln_models::Model::token_factors` checks that a model has the adapters.
    pub fn new(values: Tensor<3>, columns: impl IntoIterator<Item = (String, String)>) -> Self {
        let columns = columns.into_iter().enumerate().map(|(column, adapter)| (adapter, column)).collect();
        Self { values, columns: Arc::new(columns) }
    }

    /// The values, `[B, T, n]`.
    pub fn values(&self) -> &Tensor<3> {
        &self.values
    }

    /// The same adapters with a function of the values.
    pub(crate) fn map_values(&self, f: impl FnOnce(Tensor<3>) -> Tensor<3>) -> Self {
        Self { values: f(self.values.clone()), columns: self.columns.clone() }
    }

    /// The factors of an adapter for `rows` rows of its site, `[rows, 1]`; `None` if it has no column. The rows are the tokens in
    /// their order, each k ≥ 1 times: an expert layer has k rows for each token.
    fn of(&self, site: &str, name: &str, rows: usize) -> Option<Tensor<2>> {
        let column = *self.columns.get(&(site.to_owned(), name.to_owned()))?;
        let [b, t, _] = self.values.dims();
        let copies = rows / (b * t).max(1);
        assert!(
            copies > 0 && copies * b * t == rows,
            "`{site}` has {rows} rows, which are not those of {b} × {t} tokens"
        );
        let factors = self.values.clone().narrow(2, column, 1).reshape([b * t, 1]);
        Some(if copies == 1 { factors } else { factors.expand([b * t, copies]).reshape([rows, 1]) })
    }
}

/// The factor of an adapter in one call of its site.
pub(super) struct Factor {
    /// The number w. A method applies it.
    pub number: f64,
    /// A further factor of each row of the site, `[rows, 1]`. The site applies it.
    rows: Option<Tensor<2>>,
}

impl Factor {
    /// The factor of the adapter `name` of `site`, which has `rows` rows in this call.
    pub fn new(number: f64, factors: Option<&TokenFactors>, site: &str, name: &str, rows: usize) -> Self {
        Self { number, rows: factors.and_then(|factors| factors.of(site, name, rows)) }
    }

    /// What a method returned for the number alone, `[…, out]`, times the factors of its rows.
    pub fn apply_to_rows<const D: usize>(&self, change: Tensor<D>) -> Tensor<D> {
        match &self.rows {
            None => change,
            Some(rows) => {
                let mut shape = change.dims();
                shape[D - 1] = 1;
                change * rows.clone().reshape(shape)
            }
        }
    }

    /// Whether rows have factors of their own.
    pub fn has_rows(&self) -> bool {
        self.rows.is_some()
    }

    /// Whether it is 1 for all rows.
    pub fn is_one(&self) -> bool {
        self.number == 1.0 && self.rows.is_none()
    }
}
