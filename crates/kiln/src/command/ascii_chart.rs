//! Line charts in the terminal.
//!
//! The y axis is logarithmic, because a loss falls by orders of magnitude more at the start of a training than at its end.

use kiln_train::metrics::MetricsRow;

/// A curve.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Character that draws it.
    pub symbol: char,
    /// Points (x, y). Non-finite points are left out.
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// The points that can be drawn.
    fn finite_points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite())
    }
}

/// Loss over training steps: `·` training, `●` validation, `–` floor. `None` with fewer than two different steps.
///
/// `width` and `height` are those of the frame, in characters; labels and legend come on top. The loss of a step is
/// drawn as it is, without smoothing. `unit` is that of the loss, such as `nats per token`.
pub fn loss_chart(rows: &[MetricsRow], unit: &str, (width, height): (usize, usize)) -> Option<String> {
    let [mut training, mut floor, mut validation] = ['·', '–', '●'].map(|symbol| Curve { symbol, points: Vec::new() });
    for row in rows {
        match row {
            MetricsRow::Step(row) => training.points.push((row.step as f64, row.loss)),
            MetricsRow::Validation(row) => {
                floor.points.extend(row.reference_loss.map(|loss| (row.step as f64, loss)));
                validation.points.push((row.step as f64, row.loss));
            }
            _ => {}
        }
    }
    let floor_legend = if floor.points.is_empty() { "" } else { "  – floor" };
    let chart = draw_curves(&[training, floor, validation], width, height)?;
    Some(format!("{chart}\n{:>9}· training  ● validation{floor_legend}; {unit} over steps", ""))
}

/// Draws curves into `width × height` characters with a logarithmic y axis; later curves cover earlier ones. `None`
/// unless there are two different x values and all y values are positive.
pub fn draw_curves(curves: &[Curve], width: usize, height: usize) -> Option<String> {
    let points = || curves.iter().flat_map(Curve::finite_points);
    let (left, right) = value_range(points().map(|point| point.0))?;
    let (low, high) = value_range(points().map(|point| point.1))?;
    if low <= 0.0 || left >= right {
        return None;
    }
    let log_low = low.ln();
    let log_span = (high / low).ln().max(1e-9);
    let mut cells = vec![vec![' '; width]; height];
    for curve in curves {
        for (x, y) in curve.finite_points() {
            let column = ((x - left) / (right - left) * (width - 1) as f64).round() as usize;
            let row = ((y.ln() - log_low) / log_span * (height - 1) as f64).round() as usize;
            cells[height - 1 - row.min(height - 1)][column.min(width - 1)] = curve.symbol;
        }
    }
    let mut lines: Vec<String> = Vec::new();
    for (index, row) in cells.iter().enumerate() {
        let value = (log_low + log_span * (height - 1 - index) as f64 / (height - 1) as f64).exp();
        let line = format!("{value:7.3} ┤{}", row.iter().collect::<String>());
        lines.push(line.trim_end().to_string());
    }
    let left = left.to_string();
    let space = width.saturating_sub(left.len());
    lines.push(format!("{:9}{left}{right:>space$}", ""));
    Some(lines.join("\n"))
}

/// Smallest and largest value; `None` without values.
fn value_range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range: Option<(f64, f64)>, value| {
        Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_loss_is_drawn_falling() {
        let points = vec![(1.0, 8.0), (2.0, 4.0), (3.0, 2.0), (4.0, 1.0), (4.0, f64::NAN)];
        let drawn = draw_curves(&[Curve { symbol: 'x', points }], 4, 4).unwrap();
        assert_eq!(drawn, "  8.000 ┤x\n  4.000 ┤ x\n  2.000 ┤  x\n  1.000 ┤   x\n         1  4");
    }

    #[test]
    fn charts_need_two_steps_and_positive_values() {
        for points in [vec![], vec![(1.0, 2.0)], vec![(1.0, 0.0), (2.0, 1.0)], vec![(1.0, f64::NAN), (2.0, f64::NAN)]] {
            assert_eq!(draw_curves(&[Curve { symbol: 'x', points }], 4, 4), None);
        }
        let flat = vec![(1.0, 2.0), (2.0, 2.0)];
        assert!(draw_curves(&[Curve { symbol: 'x', points: flat }], 4, 4).is_some());
    }
}
