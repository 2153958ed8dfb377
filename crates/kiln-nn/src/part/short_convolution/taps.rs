//! Which tokens a short convolution reads, found on the device from the token marks.

use crate::context::Context;
use burn::tensor::{Int, Tensor};
use kiln_spec::formula::MarkField;

/// Document number that no token has.
const NO_DOCUMENT: i32 = -1;

/// Tokens that each token of a call reads, for all convolutions of a layer.
pub struct ConvolutionTaps {
    /// Rows of the inputs, earlier ones first, `[B, T, W]`; −1 for none.
    taps: Tensor<3, Int>,
    /// Rows of the inputs that the next call reads, oldest first, `[B, W − 1]`; −1 for none. Absent without decode state.
    kept: Option<Tensor<2, Int>>,
}

/// For each token in a row, earlier ones included, the token before it. Tokens count from 1; 0 is none.
struct Predecessors {
    /// Latest valid token up to each token, `[B, S]`.
    latest: Tensor<2, Int>,
    /// Valid token before token i, `[B, S + 1]`; none for i = 0.
    before: Tensor<2, Int>,
    /// Document of token i, `[B, S + 1]`.
    documents: Tensor<2, Int>,
}

impl Predecessors {
    /// `live` and `documents` are `[B, S]`.
    fn new(live: Tensor<2, Int>, documents: Tensor<2, Int>) -> Self {
        let ([b, s], device) = (live.dims(), live.device());
        let index = Tensor::<1, Int>::arange(1..s as i64 + 1, &device).reshape([1, s]).expand([b, s]);
        let latest = (index * live).cummax(1);
        let zero = Tensor::<2, Int>::zeros([b, 1], &device);
        let before = Tensor::cat(vec![zero.clone(), zero.clone(), latest.clone()], 1).narrow(1, 0, s + 1);
        let documents = Tensor::cat(vec![zero + NO_DOCUMENT, documents], 1);
        Self { latest, before, documents }
    }

    /// The tokens before `tokens [B, ·]`.
    fn step(&self, tokens: Tensor<2, Int>) -> Tensor<2, Int> {
        self.before.clone().gather(1, tokens)
    }
}

impl ConvolutionTaps {
    /// Returns the taps of filters of `width` rows for the tokens of this call. Takes the documents of earlier tokens out of
    /// the state and stores those of the next call.
    pub fn new(width: usize, cx: &mut Context) -> Self {
        // Documents of the last W − 1 valid tokens, `[B, W − 1]`.
        let stored: Option<Option<Tensor<2, Int>>> = if width > 1 { cx.take_recurrent("documents") } else { None };
        let tokens = &cx.stream.tokens;
        let ([b, t], document) = (tokens.dims(), tokens.field(MarkField::Document).clone());
        let (live, device) = (tokens.field(MarkField::Valid).clone(), document.device());
        let earlier = if stored.is_some() { width - 1 } else { 0 };
        let (all_live, documents) = match &stored {
            Some(stored) => {
                let none = || Tensor::full([b, earlier], NO_DOCUMENT, &device);
                let before = stored.clone().unwrap_or_else(none);
                let ones = Tensor::<2, Int>::ones([b, earlier], &device);
                (Tensor::cat(vec![ones, live], 1), Tensor::cat(vec![before, document.clone()], 1))
            }
            None => (live, document.clone()),
        };
        let rows = Predecessors::new(all_live, documents);
        let own = Tensor::<1, Int>::arange(earlier as i64 + 1..(earlier + t) as i64 + 1, &device);
        let mut at = own.reshape([1, t]).expand([b, t]);
        let mut taps = vec![at.clone() - 1];
        for _ in 1..width {
            let next = rows.step(at);
            let same = rows.documents.clone().gather(1, next.clone()).equal(document.clone()).int();
            at = next * same;
            taps.push(at.clone() - 1);
        }
        taps.reverse();
        let kept = stored.map(|_| Self::keep(&rows, earlier, cx));
        Self { taps: Tensor::stack(taps, 2), kept }
    }

    /// The last `count` valid tokens of each row; stores their documents.
    fn keep(rows: &Predecessors, count: usize, cx: &mut Context) -> Tensor<2, Int> {
        let s = rows.latest.dims()[1];
        let mut last = rows.latest.clone().narrow(1, s - 1, 1);
        let mut kept = vec![last.clone()];
        for _ in 1..count {
            last = rows.step(last);
            kept.push(last.clone());
        }
        kept.reverse();
        let kept = Tensor::cat(kept, 1);
        cx.put_recurrent("documents", rows.documents.clone().gather(1, kept.clone()));
        kept - 1
    }

    /// Returns the rows that each token reads, `[B, T, W]`; −1 for none.
    pub(super) fn taps(&self) -> Tensor<3, Int> {
        self.taps.clone()
    }

    /// Returns the rows that the next call reads, `[B, W − 1]`; `None` without decode state.
    pub(super) fn kept_rows(&self) -> Option<Tensor<2, Int>> {
        self.kept.clone()
    }
}
