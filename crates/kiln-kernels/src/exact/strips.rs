//! Product x W with a weight that is read by rows, in strips of columns: y_rj = Σ_k x_rk w_kj, k ascending.
//!
//! A task computes a strip of [`STRIP`] columns for all rows of x. It copies [`PANEL_ROWS`] rows of the strip at a time into a
//! panel (32 KiB, an L1 cache), in 32-bit floats, and adds them to tiles of rows. An element has one accumulator, which stays
//! in a register within a panel and in memory between panels, so its sum is the same for any tile that its row is in.

use crate::{
    cpu::tensor::par_fill_rows,
    packed::f32x16::{F32x16, dispatch_simd},
};
use rayon::prelude::*;
use std::ops::Range;

/// Columns of a strip: four registers of sixteen.
const STRIP: usize = 64;
/// Rows of a panel.
const PANEL_ROWS: usize = 128;

/// One row of a strip.
type StripRow = [[f32; 16]; STRIP / 16];

/// Rows of x, row-major, each of `width` values.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// Values of all rows.
    pub values: &'a [f32],
    /// Values of a row.
    pub width: usize,
}

/// Sums of the strips, strip after strip: `[strips, rows, 64]`.
pub struct StripSums {
    rows: usize,
    columns: usize,
    sums: Vec<StripRow>,
}

impl StripSums {
    /// Returns sums of 0 for `rows` rows and `columns` columns.
    pub fn new(rows: usize, columns: usize) -> Self {
        Self { rows, columns, sums: vec![[[0.0; 16]; 4]; rows * columns.div_ceil(STRIP)] }
    }

    /// Adds the terms of the inputs in `range` of rows of x, in ascending order. `read(k, column, out)` copies values of row k
    /// of the weight, from a column on.
    pub fn add(&mut self, x: Rows, range: Range<usize>, read: impl Fn(usize, usize, &mut [f32]) + Sync) {
        let columns = self.columns;
        self.sums.par_chunks_mut(self.rows.max(1)).enumerate().for_each(|(strip, sums)| {
            let first = strip * STRIP;
            let width = STRIP.min(columns - first);
            let mut panel = vec![[[0.0; 16]; STRIP / 16]; PANEL_ROWS.min(range.len())];
            for start in range.clone().step_by(PANEL_ROWS) {
                let panel = &mut panel[..PANEL_ROWS.min(range.end - start)];
                for (k, row) in panel.iter_mut().enumerate() {
                    read(start + k, first, &mut row.as_flattened_mut()[..width]);
                }
                add_panel(x.values, x.width, start, panel, sums);
            }
        });
    }

    /// Returns the sums in the order of the rows, `[rows, columns]`.
    pub fn into_rows(self) -> Vec<f32> {
        let (rows, columns) = (self.rows, self.columns);
        if rows == 1 {
            let mut out = self.sums.into_flattened().into_flattened();
            out.truncate(columns);
            return out;
        }
        let mut out = vec![0.0; rows * columns];
        par_fill_rows(&mut out, columns, |row, out| {
            for (strip, out) in out.chunks_mut(STRIP).enumerate() {
                out.copy_from_slice(&self.sums[strip * rows + row].as_flattened()[..out.len()]);
            }
        });
        out
    }
}

/// Rows of x from the first input of a panel on.
#[derive(Clone, Copy)]
struct PanelRows<'a> {
    x: &'a [f32],
    width: usize,
    start: usize,
}

/// Adds the terms of a panel to the sums of all rows: sums_r += Σ_k x_r,start+k · panel_k.
fn add_panel(x: &[f32], width: usize, start: usize, panel: &[StripRow], sums: &mut [StripRow]) {
    dispatch_simd!(add_to_rows::<>(x: &[f32], width: usize, start: usize, panel: &[StripRow], sums: &mut [StripRow]))
}

#[inline(always)]
fn add_to_rows<S: F32x16>(x: &[f32], width: usize, start: usize, panel: &[StripRow], sums: &mut [StripRow]) {
    let (rows, mut row) = (PanelRows { x, width, start }, 0);
    if S::REGISTERS >= 32 {
        row = add_tiles::<S, 6, 4>(row, rows, panel, sums);
    }
    row = add_tiles::<S, 2, 2>(row, rows, panel, sums);
    add_tiles::<S, 1, 4>(row, rows, panel, sums);
}

/// Adds the panel to whole tiles of R rows, from row `first` on, C registers of columns at a time; returns the first row that is
/// left.
#[inline(always)]
fn add_tiles<S: F32x16, const R: usize, const C: usize>(
    first: usize,
    rows: PanelRows,
    panel: &[StripRow],
    sums: &mut [StripRow],
) -> usize {
    let mut row = first;
    while row + R <= sums.len() {
        let mut x = [&[][..]; R];
        for (r, x) in x.iter_mut().enumerate() {
            *x = &rows.x[(row + r) * rows.width + rows.start..][..panel.len()];
        }
        for column in (0..STRIP / 16).step_by(C) {
            add_tile::<S, R, C>(x, panel, &mut sums[row..row + R], column);
        }
        row += R;
    }
    row
}

/// Adds the panel to R rows and C registers of columns. No closure: it would be compiled without the caller's instruction set.
#[inline(always)]
fn add_tile<S: F32x16, const R: usize, const C: usize>(
    x: [&[f32]; R],
    panel: &[StripRow],
    sums: &mut [StripRow],
    column: usize,
) {
    let mut acc = [[S::splat(0.0); C]; R];
    for (acc, sums) in acc.iter_mut().zip(&*sums) {
        for (acc, sum) in acc.iter_mut().zip(&sums[column..]) {
            *acc = S::load(sum);
        }
    }
    for (k, row) in panel.iter().enumerate() {
        let mut weights = [S::splat(0.0); C];
        for (weight, value) in weights.iter_mut().zip(&row[column..]) {
            *weight = S::load(value);
        }
        for (acc, x) in acc.iter_mut().zip(&x) {
            let x = S::splat(x[k]);
            for (acc, weight) in acc.iter_mut().zip(&weights) {
                *acc = weight.mul_add(x, *acc);
            }
        }
    }
    for (acc, sums) in acc.iter().zip(sums) {
        for (acc, sum) in acc.iter().zip(&mut sums[column..]) {
            acc.store(sum);
        }
    }
}
