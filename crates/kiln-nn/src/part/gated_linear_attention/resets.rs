//! Where a recurrent state begins again: at the first token of a document.

use crate::context::TokenMarks;
use burn::tensor::{Int, Tensor};
use kiln_spec::formula::MarkField;

/// A document that no token is of.
const NO_DOCUMENT: i32 = -1;

/// Before the first token of `rows` rows: no document, `[B, 1]`.
pub fn no_document(now: &TokenMarks) -> Tensor<2, Int> {
    Tensor::full([now.dims()[0], 1], NO_DOCUMENT, &now.field(MarkField::Document).device())
}

/// 1 for each live token whose document is another than that of the live token before it, else 0, `[B, T]`; and the
/// document of the last live token, `[B, 1]`. `last` is that of the call before.
pub fn document_starts(now: &TokenMarks, last: Tensor<2, Int>) -> (Tensor<2, Int>, Tensor<2, Int>) {
    let [b, t] = now.dims();
    let (document, live) = (now.field(MarkField::Document).clone(), now.field(MarkField::Valid).clone());
    // Places count from 1; 0 is that of `last`.
    let place = Tensor::<1, Int>::arange(1..t as i64 + 1, &document.device()).reshape([1, t]).expand([b, t]);
    let latest = (place * live.clone()).cummax(1);
    let none = latest.zeros_like().narrow(1, 0, 1);
    let before = Tensor::cat(vec![none, latest.clone()], 1).narrow(1, 0, t);
    let all = Tensor::cat(vec![last, document.clone()], 1);
    let begins = document.not_equal(all.clone().gather(1, before)).int() * live;
    (begins, all.gather(1, latest.narrow(1, t - 1, 1)))
}
