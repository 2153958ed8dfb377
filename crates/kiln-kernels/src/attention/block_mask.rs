//! Who sees whom in one call, read only as far as a kernel asks.

use burn::tensor::{Bool, Device, Int, Tensor};
use kiln_spec::plan::TilePlan;
use std::sync::{Arc, OnceLock};

/// Tokens along a tile's side.
pub const TILE_SIZE: usize = 64;

/// The dense reading, on the device. True means hidden: the one place where Kiln's truth (true = visible) is turned
/// into Burn's is where this is made.
#[derive(Clone, Debug)]
pub struct DenseMask {
    /// `[B, 1, T, S]`, true where the query must not see the key.
    pub mask: Tensor<4, Bool>,
    /// `[B, 1, T, 1]`, 0 for a query that sees nothing, else 1; absent when every query sees something.
    pub has_visible_key: Option<Tensor<4>>,
}

/// How a reading is made when it is first asked for.
type InitFn<T> = Arc<dyn Fn() -> T + Send + Sync>;

/// A reading made at most once, however many layers ask for it.
#[derive(Clone)]
struct Lazy<T> {
    cell: Arc<OnceLock<T>>,
    init: InitFn<T>,
}

impl<T> Lazy<T> {
    fn new(make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self { cell: Arc::default(), init: Arc::new(make) }
    }

    fn get(&self) -> &T {
        self.cell.get_or_init(|| (self.init)())
    }
}

/// Who of a call sees which keys.
#[derive(Clone)]
pub struct BlockMask {
    /// Each query sees exactly the keys up to itself, the last query being the last key: kernels that know "causal"
    /// need nothing else.
    pub is_causal: bool,
    /// Positions of queries `[B, T]` and keys `[B, S]`; absent if nobody knows any.
    pub positions: Option<[Tensor<2, Int>; 2]>,
    dense: Lazy<DenseMask>,
    tiles: Option<Lazy<Arc<Vec<TilePlan>>>>,
}

impl BlockMask {
    /// With a dense reading that is made when it is asked for.
    pub fn new(dense: impl Fn() -> DenseMask + Send + Sync + 'static) -> Self {
        Self { is_causal: false, positions: None, dense: Lazy::new(dense), tiles: None }
    }

    /// From a dense table.
    pub fn from_dense(dense: DenseMask) -> Self {
        Self::new(move || dense.clone())
    }

    /// The same with the host's reading: a tile plan for each row of the batch, tiles of [`TILE`] tokens.
    pub fn with_tiles(self, tiles: impl Fn() -> Vec<TilePlan> + Send + Sync + 'static) -> Self {
        Self { tiles: Some(Lazy::new(move || Arc::new(tiles()))), ..self }
    }

    /// Every query sees every key, and none of them has a position: `[B, T, S]`.
    pub fn all_visible([b, t, s]: [usize; 3], device: &Device) -> Self {
        let device = device.clone();
        let mask = move || Tensor::<4, Int>::zeros([b, 1, t, s], &device).equal_elem(1);
        Self::new(move || DenseMask { mask: mask(), has_visible_key: None })
            .with_tiles(move || vec![TilePlan::from_dense(|_| true, [t, s], TILE_SIZE); b])
    }

    /// Whether the host knows who sees whom.
    pub fn has_tiles(&self) -> bool {
        self.tiles.is_some()
    }

    /// The dense reading.
    pub fn dense(&self) -> &DenseMask {
        self.dense.get()
    }

    /// The tile plan of each row; `None` where the host does not know who sees whom.
    pub fn tiles(&self) -> Option<Arc<Vec<TilePlan>>> {
        self.tiles.as_ref().map(|tiles| tiles.get().clone())
    }
}

impl std::fmt::Debug for BlockMask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = self.tiles.is_some();
        f.debug_struct("Sight").field("causal", &self.is_causal).field("tiles", &known).finish_non_exhaustive()
    }
}
