//! The picture of the expert loads: one row per mixture-of-experts layer, one cell per expert.
//!
//! The background of a cell is the accent color with an opacity proportional to its share: 35 % at perfect balance, at most
//! 100 %. A layer of up to 16 experts also shows the shares as numbers.

use serde::Serialize;

use super::data::ExpertLoad;
use super::number_format::format_percent;

/// Number of experts up to which shares are written into the cells.
const MAX_LABELED_EXPERTS: usize = 16;

/// Opacity of the share 1 / number of experts, in percent.
const BALANCED_OPACITY: f64 = 35.0;

/// A row of the picture.
#[derive(Serialize)]
pub struct ExpertLoadRow<'a> {
    layer: &'a str,
    cells: Vec<LoadCell>,
    has_labels: bool,
}

/// An expert.
#[derive(Serialize)]
struct LoadCell {
    /// Opacity in percent.
    opacity: f64,
    share: String,
}

/// The rows of the picture. Layers without experts are left out; non-finite shares count as 0.
pub fn view(loads: &[ExpertLoad]) -> Vec<ExpertLoadRow<'_>> {
    let layers = loads.iter().filter(|layer| !layer.shares.is_empty());
    layers.map(load_row).collect()
}

/// The row of a layer.
fn load_row(layer: &ExpertLoad) -> ExpertLoadRow<'_> {
    let num_experts = layer.shares.len();
    let cells = layer.shares.iter().map(|share| {
        let share = if share.is_finite() { *share } else { 0.0 };
        let opacity = (BALANCED_OPACITY * share * num_experts as f64).clamp(0.0, 100.0).round();
        LoadCell { opacity, share: format_percent(share) }
    });
    ExpertLoadRow { layer: &layer.layer, cells: cells.collect(), has_labels: num_experts <= MAX_LABELED_EXPERTS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balance_is_pale_and_overload_is_dark() {
        let loads = [
            ExpertLoad { layer: "blocks.0.feed_forward".into(), shares: vec![0.25, 0.75, 0.0, f64::NAN] },
            ExpertLoad::default(),
        ];
        let rows = view(&loads);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].cells.iter().map(|cell| cell.opacity).collect::<Vec<_>>(), [35.0, 100.0, 0.0, 0.0]);
        assert_eq!(rows[0].cells[1].share, "75 %");
    }
}
