//! Fewer points that look the same, and smooth lines through noisy ones.

use super::scale::Scale;

/// At most four points for each of `columns` stretches of the axis: its first, lowest, highest and last, so that no
/// outlier is lost. Points that are not finite stay as one gap a stretch.
pub fn downsample(points: &[(f64, f64)], x: &Scale, columns: usize) -> Vec<(f64, f64)> {
    let column = |p: &(f64, f64)| (x.position(p.0) * columns as f64).floor() as i64;
    if points.len() <= 2 * columns {
        return points.to_vec();
    }
    points.chunk_by(|a, b| column(a) == column(b)).flat_map(extreme_points).collect()
}

fn extreme_points(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite = || (0..points.len()).filter(|at| points[*at].1.is_finite());
    let lowest = finite().min_by(|a, b| points[*a].1.total_cmp(&points[*b].1));
    let highest = finite().max_by(|a, b| points[*a].1.total_cmp(&points[*b].1));
    let gap = (0..points.len()).find(|at| !points[*at].1.is_finite());
    let mut kept: Vec<usize> =
        [finite().next(), lowest, highest, finite().next_back(), gap].into_iter().flatten().collect();
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|at| points[at]).collect()
}

/// The points without their few highest values, as long as those are far above the others.
pub fn without_outliers(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut values: Vec<f64> = points.iter().map(|p| p.1).filter(|v| v.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    let Some(limit) = values.get(values.len() * 199 / 200) else { return Vec::new() };
    points.iter().copied().filter(|p| p.1 <= limit * 1.1).collect()
}

/// Mean over a window around each point, twice, a fortieth of all points wide together. It shrinks at the beginning,
/// where curves fall fast, and loses its later half at the end. Values that are not finite are left out of the means.
pub fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let radius = points.len() / 160;
    moving_average(&moving_average(points, radius), radius)
}

fn moving_average(points: &[(f64, f64)], radius: usize) -> Vec<(f64, f64)> {
    let mut sums = vec![(0.0, 0.0)];
    for (_, value) in points {
        let (sum, number) = sums[sums.len() - 1];
        sums.push(if value.is_finite() { (sum + value, number + 1.0) } else { (sum, number) });
    }
    let mean = |at: usize| {
        let (low, high) = (sums[at - radius.min(at)], sums[(at + radius.min(at) + 1).min(points.len())]);
        (high.0 - low.0) / (high.1 - low.1)
    };
    points.iter().enumerate().map(|(at, (x, _))| (*x, mean(at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_outliers_ends_and_order() {
        let mut points: Vec<_> = (0..100_000).map(|n| (n as f64, (n % 7) as f64)).collect();
        points[54_321].1 = 1000.0;
        points[70_000].1 = f64::NAN;
        let thinned = downsample(&points, &Scale { low: 0.0, high: 99_999.0, is_log: false }, 300);
        assert!(thinned.len() <= 4 * 301 + 1, "{}", thinned.len());
        assert!(thinned.contains(&(54_321.0, 1000.0)));
        assert!(thinned.iter().any(|p| p.1.is_nan()));
        assert_eq!((thinned[0], thinned[thinned.len() - 1]), (points[0], points[99_999]));
        assert!(thinned.is_sorted_by(|a, b| a.0 < b.0));
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
