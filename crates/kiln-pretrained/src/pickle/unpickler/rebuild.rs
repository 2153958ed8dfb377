//! Operations that build what tensors are made of: names, calls, and references to storages.

use super::Unpickler;
use crate::pickle::{
    PickleError,
    global::Global,
    object::{Object, ObjectId, PickledTensor},
    storage::Storage,
    strided::StridedView,
};

/// How many dimensions a tensor may have: more than any weights have.
const MAX_DIMS: usize = 8;

impl<'a> Unpickler<'a> {
    pub(super) fn push_global(&mut self, operation: u8) -> Result<(), PickleError> {
        let (module, name) = if operation == b'c' {
            (self.bytes.line()?, self.bytes.line()?)
        } else {
            let name = self.pop()?;
            let module = self.pop()?;
            (self.as_text(module)?, self.as_text(name)?)
        };
        let global = Global::from_name(module, name)?;
        self.push(Object::Global(global))
    }

    pub(super) fn reduce(&mut self) -> Result<(), PickleError> {
        let arguments = self.pop()?;
        let called = self.pop()?;
        let object = match (&self.objects[called.0], self.as_tuple(arguments)?) {
            (Object::Global(Global::OrderedDict), []) => Object::Dict(Vec::new()),
            (Object::Global(Global::OrderedDict), &[pairs]) => self.ordered_dict(pairs)?,
            (Object::Global(Global::Tensor), &[storage, offset, size, stride, ..]) => {
                self.rebuild_tensor(storage, offset, size, stride)?
            }
            (Object::Global(Global::Size), &[same]) | (Object::Global(Global::Parameter), &[same, ..]) => {
                self.stack.push(same);
                return Ok(());
            }
            _ => {
                return self.bytes.fail("a call with arguments that don't fit, or of something that can't be called");
            }
        };
        self.push(object)
    }

    fn rebuild_tensor(
        &self,
        storage: ObjectId,
        offset: ObjectId,
        size: ObjectId,
        stride: ObjectId,
    ) -> Result<Object<'a>, PickleError> {
        let Object::Storage(storage) = self.objects[storage.0] else {
            return self.bytes.fail("a tensor of something that is no storage");
        };
        let (offset, shape, stride) = (self.as_count(offset)?, self.as_counts(size)?, self.as_counts(stride)?);
        Ok(Object::Tensor(Box::new(PickledTensor { storage, view: StridedView { offset, shape, stride } })))
    }

    /// A dictionary from a list of pairs, which is used up.
    fn ordered_dict(&mut self, list: ObjectId) -> Result<Object<'a>, PickleError> {
        let Object::List(list) = &mut self.objects[list.0] else { return self.bytes.fail("a dictionary of no list") };
        let list = std::mem::take(list);
        let pair = |id: ObjectId| match &self.objects[id.0] {
            Object::Tuple(pair) | Object::List(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => self.bytes.fail("a dictionary's list holds something else than pairs"),
        };
        list.into_iter().map(pair).collect::<Result<_, _>>().map(Object::Dict)
    }

    /// `("storage", type, key, location, numel)`, in older files with a view that is always empty since 0.4.
    pub(super) fn persistent_load(&mut self) -> Result<(), PickleError> {
        let id = self.pop()?;
        let &[tag, kind, key, _location, numel, ref view @ ..] = self.as_tuple(id)? else {
            return self.bytes.fail("a reference to something outside the pickle that is no storage");
        };
        let plain =
            self.as_text(tag)? == "storage" && view.iter().all(|id| matches!(self.objects[id.0], Object::Other));
        let (Object::Global(Global::Storage(kind)), true) = (&self.objects[kind.0], plain) else {
            return self.bytes.fail("a reference to something outside the pickle that is no plain storage");
        };
        let storage = Storage { dtype: *kind, key: self.as_text(key)?, numel: self.as_count(numel)? };
        self.push(Object::Storage(storage))
    }

    fn as_tuple(&self, id: ObjectId) -> Result<&[ObjectId], PickleError> {
        let Object::Tuple(items) = &self.objects[id.0] else { return self.bytes.fail("a tuple is expected") };
        Ok(items)
    }

    fn as_text(&self, id: ObjectId) -> Result<&'a str, PickleError> {
        let Object::Str(text) = self.objects[id.0] else { return self.bytes.fail("a text is expected") };
        Ok(text)
    }

    fn as_counts(&self, id: ObjectId) -> Result<Vec<usize>, PickleError> {
        match self.as_tuple(id)? {
            sizes if sizes.len() <= MAX_DIMS => sizes.iter().map(|&id| self.as_count(id)).collect(),
            sizes => self.bytes.fail(format!("a tensor of {} dimensions", sizes.len())),
        }
    }

    fn as_count(&self, id: ObjectId) -> Result<usize, PickleError> {
        let Object::Int(whole) = self.objects[id.0] else { return self.bytes.fail("a whole number is expected") };
        usize::try_from(whole).or_else(|_| self.bytes.fail(format!("{whole} can't be a count, an offset or a stride")))
    }
}
