//! Axis scales: from values to positions, and round tick values.
//!
//! A value v on an axis from `low` to `high` has the position
//!
//! - linear: (v − low) / (high − low)
//! - logarithmic: ln(v / low) / ln(high / low)
//!
//! which is 0 at `low` and 1 at `high`. The chart multiplies it by the width of the frame, or 1 minus it by the height.

use super::number_format::Unit;

/// Values with a larger magnitude are ignored, so that differences of two ends stay finite.
const MAX_VALUE: f64 = 1e150;

/// A logarithmic axis that spans less than this factor has linear ticks.
const MIN_LOG_TICK_RATIO: f64 = 12.0;

/// Maximum number of ticks of an axis.
const MAX_TICKS: usize = 50;

/// Round tick distances of a time axis, in seconds.
const TIME_STEPS: [f64; 14] =
    [10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 21600.0, 43200.0];

/// A linear or logarithmic axis.
///
/// `low < high` always holds for scales from [`Scale::from_values`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Value at the start.
    pub low: f64,
    /// Value at the end, greater than `low`.
    pub high: f64,
    /// Whether the axis is logarithmic.
    pub is_log: bool,
}

impl Scale {
    /// The smallest axis over `values`. Values that are not finite, not below 1e150 in magnitude, or not positive on a
    /// logarithmic axis are ignored. Returns `None` if no value remains. One value v gives an axis from 0.9 v to 1.1 v
    /// (logarithmic: 0.5 v to 1.5 v), or from −1 to 1 for v = 0.
    pub fn from_values(values: impl Iterator<Item = f64>, is_log: bool) -> Option<Self> {
        let usable = values.filter(|value| value.abs() < MAX_VALUE && (!is_log || *value > 0.0));
        let ends = usable.fold(None, |ends: Option<(f64, f64)>, value| {
            let (low, high) = ends.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        });
        ends.map(|(low, high)| Self { low, high, is_log }.with_min_width())
    }

    /// Widens an axis shorter than 10⁻⁹ of its larger end: by 10 % of its value on both sides, a logarithmic one by 50 %.
    fn with_min_width(self) -> Self {
        let length = self.high - self.low;
        if length > self.high.abs().max(self.low.abs()) * 1e-9 && length.is_finite() {
            return self;
        }
        let margin = match self.low {
            0.0 => 1.0,
            value => value.abs() * if self.is_log { 0.5 } else { 0.1 },
        };
        Self { low: self.low - margin, high: self.low + margin, ..self }
    }

    /// Moves the ends outwards: of a linear axis to multiples of a third of the distance of `ticks` ticks, of a
    /// logarithmic one by the factor (high / low)^0.04, which is 4 % of its length.
    pub fn round_ends(self, unit: Unit, ticks: usize) -> Self {
        if self.is_log {
            let margin = (self.high / self.low).powf(0.04);
            return Self { low: self.low / margin, high: self.high * margin, ..self };
        }
        // A third of the tick distance, so that the frame is not much larger than the curve.
        let step = self.tick_step(unit, 3 * ticks);
        Self {
            low: (self.low / step + 1e-9).floor() * step,
            high: (self.high / step - 1e-9).ceil() * step,
            is_log: false,
        }
    }

    /// Position of `value`: 0 at `low`, 1 at `high`, NaN for non-positive values on a logarithmic axis.
    pub fn position(&self, value: f64) -> f64 {
        match self.is_log {
            true if value > 0.0 => (value / self.low).ln() / (self.high / self.low).ln(),
            true => f64::NAN,
            false => (value - self.low) / (self.high - self.low),
        }
    }

    /// About `count` round values on the axis, with their labels: the multiples of the tick distance between `low` and
    /// `high`.
    ///
    /// Never more than 50. A logarithmic axis with high / low ≤ 12 has these ticks too, because it may not contain two
    /// powers of ten.
    pub fn ticks(&self, unit: Unit, count: usize) -> Vec<(f64, String)> {
        if self.is_log && self.high / self.low > MIN_LOG_TICK_RATIO {
            return self.log_ticks(count).into_iter().map(|value| (value, unit.format(value))).collect();
        }
        let step = self.tick_step(unit, count);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let values = (first..).map(|index| index as f64 * step).take_while(|value| *value <= self.high + step * 1e-6);
        values.take(MAX_TICKS).map(|value| (value, unit.format_tick(value, step))).collect()
    }

    /// Multiples of powers of ten: by 1, 2 and 5 on an axis of up to two decades, by 1 and 3 on three, by 1 on more.
    ///
    /// Every k-th power is used, k = ⌈decades / count⌉, so that about `count` remain on an axis of many decades.
    fn log_ticks(&self, count: usize) -> Vec<f64> {
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        let decades = (last - first) as usize;
        let factors: &[f64] = match decades {
            0..=2 => &[1.0, 2.0, 5.0],
            3 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let stride = decades.div_ceil(count.max(1)).max(1);
        let powers = (first..=last).step_by(stride).map(|power| 10f64.powi(power));
        let values = powers.flat_map(|power| factors.iter().map(move |factor| factor * power));
        values.filter(|value| (self.low * 0.999..=self.high * 1.001).contains(value)).collect()
    }

    /// The smallest round distance that is at least (high − low) / count: 1, 2 or 5 times a power of ten. Times between
    /// 5 s and 12 h use [`TIME_STEPS`] instead. Counts have a distance of at least 1.
    fn tick_step(&self, unit: Unit, count: usize) -> f64 {
        let distance = (self.high - self.low) / count.max(1) as f64;
        let power = 10f64.powi(distance.log10().floor() as i32);
        let decimal = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let is_time = unit == Unit::Seconds && (5.0..43_200.0).contains(&distance);
        let steps: &[f64] = if is_time { &TIME_STEPS } else { &decimal };
        let step = steps.iter().copied().find(|step| *step >= distance * 0.999).unwrap_or(power * 10.0);
        if unit == Unit::Count { step.max(1.0) } else { step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(low: f64, high: f64, log: bool, unit: Unit) -> Vec<String> {
        Scale { low, high, is_log: log }.ticks(unit, 5).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(1.0, 720.0, false, Unit::Count), ["200", "400", "600"]);
        assert_eq!(ticks(0.0, 2.3e6, false, Unit::Count), ["0", "500 k", "1 M", "1.5 M", "2 M"]);
        assert_eq!(ticks(1.5, 7.0, false, Unit::Plain), ["2", "4", "6"]);
        assert_eq!(ticks(0.0, 1.0, false, Unit::Percent), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]);
        assert_eq!(ticks(0.0, 182.0, false, Unit::Seconds), ["0", "1 min", "2 min", "3 min"]);
        assert_eq!(ticks(1.0, 1e5, true, Unit::Count), ["1", "10", "100", "1000", "10 k", "100 k"]);
        assert_eq!(ticks(1.0, 720.0, true, Unit::Count), ["1", "3", "10", "30", "100", "300"]);
        assert_eq!(ticks(0.3, 20.0, true, Unit::Plain), ["0.3", "1", "3", "10"]);
        assert_eq!(ticks(1.62, 6.9, true, Unit::Plain), ["2", "4", "6"]);
    }

    #[test]
    fn neighboring_ticks_have_different_labels() {
        assert_eq!(ticks(1.945, 1.975, false, Unit::Plain), ["1.95", "1.96", "1.97"]);
        assert_eq!(ticks(1.945, 1.960, false, Unit::Plain), ["1.945", "1.950", "1.955", "1.960"]);
        assert_eq!(
            ticks(1e6, 1.01e6, false, Unit::Count),
            ["1 M", "1.002 M", "1.004 M", "1.006 M", "1.008 M", "1.01 M"]
        );
        assert_eq!(
            ticks(0.98, 0.9825, false, Unit::Percent),
            ["98.00 %", "98.05 %", "98.10 %", "98.15 %", "98.20 %", "98.25 %"]
        );
        assert_eq!(ticks(90.0, 214.0, false, Unit::Seconds), ["1.5 min", "2 min", "2.5 min", "3 min", "3.5 min"]);
        assert_eq!(ticks(200.0, 230.0, false, Unit::Seconds), ["200 s", "210 s", "220 s", "230 s"]);
        assert_eq!(ticks(0.0, 4e4, false, Unit::Seconds), ["0", "4 h", "8 h"]);
        assert_eq!(ticks(0.0, 3e-5, false, Unit::Plain), ["0", "1e-5", "2e-5", "3e-5"]);
    }

    #[test]
    fn positions_run_from_0_to_1() {
        let linear = Scale { low: 2.0, high: 6.0, is_log: false };
        assert_eq!([2.0, 3.0, 6.0].map(|v| linear.position(v)), [0.0, 0.25, 1.0]);
        let log = Scale { low: 1.0, high: 100.0, is_log: true };
        assert_eq!([1.0, 10.0, 100.0].map(|v| log.position(v)), [0.0, 0.5, 1.0]);
        assert!(log.position(0.0).is_nan() && log.position(-1.0).is_nan());
    }

    #[test]
    fn an_axis_of_one_value_has_a_length() {
        assert_eq!(Scale::from_values([f64::NAN, f64::INFINITY].into_iter(), false), None);
        assert_eq!(Scale::from_values([-1.0, 0.0].into_iter(), true), None);
        for (value, log) in [(0.0, false), (5.0, false), (5.0, true), (1e100, false), (-3.0, false)] {
            let scale = Scale::from_values([value].into_iter(), log).expect("a value");
            assert!(scale.low < scale.high && (scale.position(value) - 0.5).abs() < 0.2, "{value} {scale:?}");
            assert!(scale.ticks(Unit::Plain, 5).len() < 50);
        }
    }

    #[test]
    fn ends_are_round() {
        let scale = Scale { low: 1.61, high: 6.9, is_log: false }.round_ends(Unit::Plain, 5);
        assert_eq!((scale.low, scale.high), (1.5, 7.0));
    }
}
