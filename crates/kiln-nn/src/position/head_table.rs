//! Options of position encodings with a table of one head's width, which all attentions of the stack share.

use super::PositionNeeds;
use crate::variant::{BuildContext, invalid};
use kiln_kernels::attention::reference::MAX_LENGTH;
use kiln_spec::ValidationError;

/// Options of an encoding that multiplies queries with a table `[…, D]`, D the width of a head. Only the reference kernel
/// computes it.
pub(super) trait HeadTable {
    /// Name of the encoding.
    const NAME: &str;

    /// D, if it is known.
    fn head_dim(&self) -> Option<usize>;

    /// D, to be set by the first attention.
    fn head_dim_mut(&mut self) -> &mut Option<usize>;

    /// Whether a table of this width is added to the values.
    fn adds_to_values(&self) -> bool {
        false
    }

    /// D: hidden / heads if no attention has set it.
    fn width(&self, build: &BuildContext) -> usize {
        self.head_dim().unwrap_or(build.hidden / build.heads.max(1))
    }

    /// Checks that the stack has heads, of a width above 0.
    fn check_width(&self, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        if build.heads == 0 {
            let reason = format!("position.{} needs an attention layer, but the stack has none", Self::NAME);
            return invalid(path, "head_dim", reason);
        }
        match self.width(build) {
            0 => invalid(path, "head_dim", "expected at least 1, found 0"),
            _ => Ok(()),
        }
    }
}

impl<T: HeadTable> PositionNeeds for T {
    fn max_positions(&self) -> Option<usize> {
        Some(MAX_LENGTH)
    }

    fn fit_heads(&mut self, _heads: usize, width: Option<usize>) {
        let head_dim = self.head_dim_mut();
        *head_dim = head_dim.or(width);
    }

    fn check_heads(&self, _heads: usize, width: usize) -> Result<(), String> {
        match self.head_dim() {
            Some(table) if table != width => Err(format!(
                "the {} positions have a table of width {table}, the heads of the attention {width}",
                Self::NAME
            )),
            _ => Ok(()),
        }
    }

    fn reads_queries(&self) -> bool {
        true
    }

    fn adds_to_values(&self) -> bool {
        HeadTable::adds_to_values(self)
    }

    fn has_attention_parameters(&self) -> bool {
        true
    }
}
