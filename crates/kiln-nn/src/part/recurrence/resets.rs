//! Resets of a recurrent state: the first token of each document, found on the device.

use crate::context::TokenMarks;
use burn::tensor::{Int, Tensor};
use kiln_spec::formula::MarkField;

/// Document number that no token has.
const NO_DOCUMENT: i32 = -1;

/// Returns the initial `last_document` for [`document_starts`], `[B, 1]`: −1 in every row, because no token has been read yet.
pub fn no_document(tokens: &TokenMarks) -> Tensor<2, Int> {
    Tensor::full([tokens.dims()[0], 1], NO_DOCUMENT, &tokens.field(MarkField::Document).device())
}

/// Returns 1 for each valid token whose document differs from that of the valid token before it, otherwise 0, `[B, T]`; and the
/// document of the last valid token, `[B, 1]`. `last_document` is the document that the previous call returned.
///
/// Invalid tokens are skipped: the index of the latest valid token is a running maximum over the row.
pub fn document_starts(tokens: &TokenMarks, last_document: Tensor<2, Int>) -> (Tensor<2, Int>, Tensor<2, Int>) {
    let [b, t] = tokens.dims();
    let document = tokens.field(MarkField::Document).clone();
    let live = tokens.field(MarkField::Valid).clone();
    // Indices count from 1; index 0 is `last_document`.
    let index = Tensor::<1, Int>::arange(1..t as i64 + 1, &document.device()).reshape([1, t]).expand([b, t]);
    let latest = (index * live.clone()).cummax(1);
    let zero = latest.zeros_like().narrow(1, 0, 1);
    let before = Tensor::cat(vec![zero, latest.clone()], 1).narrow(1, 0, t);
    let documents = Tensor::cat(vec![last_document, document.clone()], 1);
    let starts = document.not_equal(documents.clone().gather(1, before)).int() * live;
    (starts, documents.gather(1, latest.narrow(1, t - 1, 1)))
}
