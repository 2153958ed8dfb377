//! Downsampling and smoothing of curves, so that the page of a long run stays small and readable.
//!
//! Both work on points (x, y) sorted by x and keep their order. A point with a non-finite y is a gap in the curve.

use super::scale::Scale;

/// The smoothing window reaches n / 160 points to each side, for a curve of n points.
const SMOOTHING_FRACTION: usize = 160;

/// Min-max downsampling: at most five points for each of `columns` equally wide columns of the x axis.
///
/// A column keeps its first, lowest, highest and last finite point, so that no outlier is lost, and one non-finite point
/// if it has a gap. On a logarithmic axis the columns are equally wide on the screen. Curves of at most 2 · `columns`
/// points are returned unchanged. x must be sorted. Takes O(n).
pub fn downsample(points: &[(f64, f64)], x: &Scale, columns: usize) -> Vec<(f64, f64)> {
    if points.len() <= 2 * columns {
        return points.to_vec();
    }
    points
        .chunk_by(|a, b| column_index(a.0, x, columns) == column_index(b.0, x, columns))
        .flat_map(extreme_points)
        .collect()
}

/// Column ⌊p · columns⌋ of a value at position p of the axis.
fn column_index(value: f64, x: &Scale, columns: usize) -> i64 {
    (x.position(value) * columns as f64).floor() as i64
}

/// First, lowest, highest, last finite and first non-finite point, without duplicates, in order.
fn extreme_points(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite = (0..points.len()).filter(|index| points[*index].1.is_finite());
    let mut selected: Vec<usize> = [
        finite.clone().next(),
        finite.clone().min_by(|a, b| points[*a].1.total_cmp(&points[*b].1)),
        finite.clone().max_by(|a, b| points[*a].1.total_cmp(&points[*b].1)),
        finite.clone().next_back(),
        points.iter().position(|point| !point.1.is_finite()),
    ]
    .into_iter()
    .flatten()
    .collect();
    selected.sort_unstable();
    selected.dedup();
    selected.into_iter().map(|index| points[index]).collect()
}

/// The points with y ≤ 1.1 · q, where q is the 99.5th percentile of the finite y.
///
/// The range of a y axis is that of the remaining points, so that a single spike does not flatten the rest of the curve.
/// Non-finite points are removed. Curves of fewer than 200 points keep every finite positive point, because their
/// percentile is the maximum. Takes O(n log n).
pub fn without_outliers(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut values: Vec<f64> = points.iter().map(|point| point.1).filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    let Some(limit) = values.get(values.len() * 199 / 200) else { return Vec::new() };
    points.iter().copied().filter(|point| point.1 <= limit * 1.1).collect()
}

/// Moving average over 2r + 1 points, r = ⌊n / 160⌋, applied twice: a triangular window of about n / 40 points.
///
/// At index i < r the window shrinks to 2i + 1 points, so that the steep fall at the start of a training stays; at the
/// end the window is cut off. Non-finite values are left out of the averages; an average without a finite value is NaN.
/// Curves of fewer than 160 points are returned unchanged, except for gaps.
pub fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let radius = points.len() / SMOOTHING_FRACTION;
    moving_average(&moving_average(points, radius), radius)
}

/// Average over `radius` points on each side, in O(n) by prefix sums.
fn moving_average(points: &[(f64, f64)], radius: usize) -> Vec<(f64, f64)> {
    // Sum and count of the finite values before each point.
    let mut prefix = vec![(0.0, 0.0)];
    for (_, value) in points {
        let (sum, count) = prefix[prefix.len() - 1];
        prefix.push(if value.is_finite() { (sum + value, count + 1.0) } else { (sum, count) });
    }
    let averages = points.iter().enumerate().map(|(index, (x, _))| {
        let radius = radius.min(index);
        let start = prefix[index - radius];
        let end = prefix[(index + radius + 1).min(points.len())];
        (*x, (end.0 - start.0) / (end.1 - start.1))
    });
    averages.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downsampling_keeps_outliers_ends_and_order() {
        let mut points: Vec<_> = (0..100_000).map(|n| (n as f64, (n % 7) as f64)).collect();
        points[54_321].1 = 1000.0;
        points[70_000].1 = f64::NAN;
        let sampled = downsample(&points, &Scale { low: 0.0, high: 99_999.0, is_log: false }, 300);
        assert!(sampled.len() <= 4 * 301 + 1, "{}", sampled.len());
        assert!(sampled.contains(&(54_321.0, 1000.0)));
        assert!(sampled.iter().any(|p| p.1.is_nan()));
        assert_eq!((sampled[0], sampled[sampled.len() - 1]), (points[0], points[99_999]));
        assert!(sampled.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn a_smooth_line_is_the_mean_of_its_window() {
        let points: Vec<_> = (0..800).map(|n| (n as f64, if n % 2 == 0 { 1.0 } else { 3.0 })).collect();
        let smoothed = smooth(&points);
        assert_eq!((smoothed[0].1, smoothed.len()), (1.0, 800));
        assert!(smoothed[100..].iter().all(|p| (p.1 - 2.0).abs() < 0.1));
    }

    #[test]
    fn one_bad_value_does_not_spoil_the_mean() {
        let points: Vec<_> = (0..800).map(|n| (n as f64, if n == 400 { f64::INFINITY } else { 2.0 })).collect();
        assert!(smooth(&points).iter().all(|p| p.1 == 2.0));
        assert!(smooth(&[(1.0, f64::NAN)])[0].1.is_nan());
    }

    #[test]
    fn one_spike_does_not_set_the_frame() {
        let mut points: Vec<_> = (0..1000).map(|n| (n as f64, 2.0)).collect();
        points[10].1 = 1e6;
        assert_eq!(without_outliers(&points).len(), 999);
        assert_eq!(without_outliers(&points[..10]).len(), 10);
        assert!(without_outliers(&[]).is_empty());
    }
}
