//! Downsampling and smoothing of curves.

use super::scale::Scale;

/// The smoothing window is this fraction of the curve on each side, applied twice.
const SMOOTHING_FRACTION: usize = 160;

/// At most five points for each of `columns` columns of the x axis: first, lowest, highest and last finite point, so
/// that no outlier is lost, and one non-finite point if there is a gap. Returns short curves unchanged.
///
/// x must be sorted. Takes O(n). The result keeps the order of the points.
pub fn downsample(points: &[(f64, f64)], x: &Scale, columns: usize) -> Vec<(f64, f64)> {
    if points.len() <= 2 * columns {
        return points.to_vec();
    }
    let column = |point: &(f64, f64)| (x.position(point.0) * columns as f64).floor() as i64;
    points.chunk_by(|a, b| column(a) == column(b)).flat_map(extreme_points).collect()
}

/// First, lowest, highest, last finite and first non-finite point, without duplicates, in order.
fn extreme_points(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite = || (0..points.len()).filter(|index| points[*index].1.is_finite());
    let mut selected: Vec<usize> = [
        finite().next(),
        finite().min_by(|a, b| points[*a].1.total_cmp(&points[*b].1)),
        finite().max_by(|a, b| points[*a].1.total_cmp(&points[*b].1)),
        finite().next_back(),
        points.iter().position(|point| !point.1.is_finite()),
    ]
    .into_iter()
    .flatten()
    .collect();
    selected.sort_unstable();
    selected.dedup();
    selected.into_iter().map(|index| points[index]).collect()
}

/// The points at most 10 % above the 99.5th percentile of the values.
///
/// Used for the range of an axis: a single spike does not flatten the rest of a curve. Non-finite points are removed.
pub fn without_outliers(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut values: Vec<f64> = points.iter().map(|point| point.1).filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    let Some(limit) = values.get(values.len() * 199 / 200) else { return Vec::new() };
    points.iter().copied().filter(|point| point.1 <= limit * 1.1).collect()
}

/// Moving average, applied twice, which approximates a triangular window of a fortieth of the curve. The window shrinks
/// at the start, where losses fall fast, and is cut off at the end. Non-finite values are left out of the averages.
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
