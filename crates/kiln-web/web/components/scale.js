// Axes: from values to positions between 0 and 1, and round ticks.

export class Scale {
  /** The smallest axis over `values`. Values that are not finite, or not positive on a logarithmic axis, are ignored. */
  constructor(values, isLog) {
    const usable = values.filter(value => Number.isFinite(value) && (!isLog || value > 0));
    this.isLog = isLog;
    this.isEmpty = usable.length === 0;
    this.low = usable.reduce((a, b) => Math.min(a, b), Infinity);
    this.high = usable.reduce((a, b) => Math.max(a, b), -Infinity);
    if (this.isEmpty) [this.low, this.high] = isLog ? [1, 10] : [0, 1];
    if (this.high - this.low < 1e-9 * Math.abs(this.high) || this.high === this.low) {
      const margin = Math.abs(this.low) * (isLog ? 0.5 : 0.1) || 1;
      [this.low, this.high] = [this.low - margin, this.high + margin];
    }
  }

  /** Moves the ends outwards to round values. */
  rounded(ticks) {
    if (this.isLog) {
      const margin = (this.high / this.low) ** 0.04;
      [this.low, this.high] = [this.low / margin, this.high * margin];
    } else {
      const step = roundStep((this.high - this.low) / (3 * ticks));
      [this.low, this.high] = [Math.floor(this.low / step + 1e-9) * step, Math.ceil(this.high / step - 1e-9) * step];
    }
    return this;
  }

  position(value) {
    return this.isLog ? Math.log(value / this.low) / Math.log(this.high / this.low) : (value - this.low) / (this.high - this.low);
  }

  value(position) {
    return this.isLog ? this.low * (this.high / this.low) ** position : this.low + position * (this.high - this.low);
  }

  /** Round values on the axis, about `wanted` of them. */
  ticks(wanted) {
    if (this.isLog && this.high / this.low >= 12) {
      const all = [];
      for (let power = Math.floor(Math.log10(this.low)); power <= Math.log10(this.high); power += 1) {
        for (const digit of [1, 2, 5]) all.push(digit * 10 ** power);
      }
      const inside = all.filter(value => value >= this.low && value <= this.high);
      return inside.length > 2 * wanted ? inside.filter(value => /^1/.test(value.toExponential())) : inside;
    }
    const step = roundStep((this.high - this.low) / wanted);
    const first = Math.ceil(this.low / step - 1e-9);
    const last = Math.floor(this.high / step + 1e-9);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => +((first + index) * step).toPrecision(12));
  }
}

/** The smallest of 1, 2 and 5 times a power of ten that is at least `width`. */
function roundStep(width) {
  const power = 10 ** Math.floor(Math.log10(width));
  return [1, 2, 5, 10].map(digit => digit * power).find(step => step >= width * (1 - 1e-9));
}
