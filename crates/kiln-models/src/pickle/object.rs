//! What a pickle builds.

use super::{global::Global, storage::Storage, strided::Strided};

/// An object's place among all that a pickle builds. Objects refer to each other by it, so that sharing costs nothing
/// and a cycle harms nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(pub usize);

/// A tensor as a pickle describes it, unchecked.
#[derive(Clone, Debug)]
pub(super) struct Tensor<'a> {
    pub storage: Storage<'a>,
    pub strided: Strided,
}

/// An object; texts are slices of the pickle.
#[derive(Debug)]
pub(super) enum Object<'a> {
    /// Nothing, a truth value, a float, bytes: of no use to a tensor.
    Other,
    Whole(i128),
    Text(&'a str),
    Global(Global),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Storage(Storage<'a>),
    Tensor(Box<Tensor<'a>>),
}
