//! What a pickle builds.

use super::{global::Global, storage::Storage, strided::StridedView};

/// An object's place among all that a pickle builds. Objects refer to each other by it, so that sharing costs nothing
/// and a cycle harms nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ObjectId(pub usize);

/// A tensor as a pickle describes it, unchecked.
#[derive(Clone, Debug)]
pub(super) struct PickledTensor<'a> {
    pub storage: Storage<'a>,
    pub view: StridedView,
}

/// An object; texts are slices of the pickle.
#[derive(Debug)]
pub(super) enum Object<'a> {
    /// Nothing, a truth value, a float, bytes: of no use to a tensor.
    Other,
    Int(i128),
    Str(&'a str),
    Global(Global),
    Tuple(Vec<ObjectId>),
    List(Vec<ObjectId>),
    Dict(Vec<(ObjectId, ObjectId)>),
    Storage(Storage<'a>),
    Tensor(Box<PickledTensor<'a>>),
}
