//! Curves in a terminal.

use kiln_train::metrics::MetricsRow;

/// One curve: its mark and its points.
#[derive(Clone, Debug)]
pub struct Curve {
    /// The character that draws it.
    pub symbol: char,
    /// x and y of each point; those that aren't finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// The losses of a run over its steps: `·` training, `●` held out, `–` the floor. None before the second step.
pub fn loss_chart(rows: &[MetricsRow], width: usize, height: usize) -> Option<String> {
    let mut curves = ['·', '–', '●'].map(|mark| Curve { symbol: mark, points: Vec::new() });
    for row in rows {
        match row {
            MetricsRow::Step(row) => curves[0].points.push((row.step as f64, row.loss)),
            MetricsRow::Validation(row) => {
                curves[1].points.extend(row.reference_loss.map(|floor| (row.step as f64, floor)));
                curves[2].points.push((row.step as f64, row.loss));
            }
            _ => {}
        }
    }
    let legend =
        if curves[1].points.is_empty() { "· training  ● held out" } else { "· training  ● held out  – floor" };
    Some(format!("{}\n{:>9}{legend}, nats a token over steps", draw_curves(&curves, width, height)?, ""))
}

/// Draws curves over each other, later ones on top; the y axis is logarithmic, so that the end of a loss shows too.
/// None unless there are two different x and all y are above 0.
pub fn draw_curves(curves: &[Curve], width: usize, height: usize) -> Option<String> {
    let points = || curves.iter().flat_map(|curve| &curve.points).filter(|(x, y)| x.is_finite() && y.is_finite());
    let (left, right) = value_range(points().map(|point| point.0))?;
    let (low, high) = value_range(points().map(|point| point.1))?;
    if low <= 0.0 || left >= right {
        return None;
    }
    let (low_log, span) = (low.ln(), (high / low).ln().max(1e-9));
    let mut cells = vec![vec![' '; width]; height];
    for curve in curves {
        for (x, y) in curve.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite()) {
            let column = ((x - left) / (right - left) * (width - 1) as f64).round() as usize;
            let row = ((y.ln() - low_log) / span * (height - 1) as f64).round() as usize;
            cells[height - 1 - row.min(height - 1)][column.min(width - 1)] = curve.symbol;
        }
    }
    let value = |row: usize| (low_log + span * (height - 1 - row) as f64 / (height - 1) as f64).exp();
    let line = |(row, cells): (usize, &Vec<char>)| {
        let text = format!("{:7.3} ┤{}", value(row), cells.iter().collect::<String>());
        text.trim_end().to_string()
    };
    let mut lines: Vec<String> = cells.iter().enumerate().map(line).collect();
    let (left, right) = (left.to_string(), right.to_string());
    lines.push(format!("{:9}{left}{right:>space$}", "", space = width.saturating_sub(left.len())));
    Some(lines.join("\n"))
}

fn value_range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range: Option<(f64, f64)>, value| {
        Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_loss_falls() {
        let points = vec![(1.0, 8.0), (2.0, 4.0), (3.0, 2.0), (4.0, 1.0), (4.0, f64::NAN)];
        let drawn = draw_curves(&[Curve { symbol: 'x', points }], 4, 4).unwrap();
        assert_eq!(drawn, "  8.000 ┤x\n  4.000 ┤ x\n  2.000 ┤  x\n  1.000 ┤   x\n         1  4");
    }

    #[test]
    fn what_makes_no_curve_makes_none() {
        for points in [vec![], vec![(1.0, 2.0)], vec![(1.0, 0.0), (2.0, 1.0)], vec![(1.0, f64::NAN), (2.0, f64::NAN)]] {
            assert_eq!(draw_curves(&[Curve { symbol: 'x', points }], 4, 4), None);
        }
        let flat = vec![(1.0, 2.0), (2.0, 2.0)];
        assert!(draw_curves(&[Curve { symbol: 'x', points: flat }], 4, 4).is_some());
    }
}
