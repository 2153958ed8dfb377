//! Operations that build what tensors are made of: names, calls, and references to storages.

use super::Machine;
use crate::pickle::{
    PickleError,
    global::Global,
    object::{Id, Object, Tensor},
    storage::Storage,
    strided::Strided,
};

/// How many dimensions a tensor may have: more than any weights have.
const DIMENSIONS: usize = 8;

impl<'a> Machine<'a> {
    pub(super) fn global(&mut self, operation: u8) -> Result<(), PickleError> {
        let (module, name) = if operation == b'c' {
            (self.bytes.line()?, self.bytes.line()?)
        } else {
            let name = self.pop()?;
            let module = self.pop()?;
            (self.text(module)?, self.text(name)?)
        };
        let global = Global::named(module, name)?;
        self.push(Object::Global(global))
    }

    pub(super) fn call(&mut self) -> Result<(), PickleError> {
        let arguments = self.pop()?;
        let called = self.pop()?;
        let object = match (&self.objects[called.0], self.tuple_of(arguments)?) {
            (Object::Global(Global::OrderedDict), []) => Object::Dict(Vec::new()),
            (Object::Global(Global::OrderedDict), &[pairs]) => self.pairs(pairs)?,
            (Object::Global(Global::Tensor), &[storage, offset, size, stride, ..]) => {
                self.tensor(storage, offset, size, stride)?
            }
            (Object::Global(Global::Size), &[same]) | (Object::Global(Global::Parameter), &[same, ..]) => {
                self.stack.push(same);
                return Ok(());
            }
            _ => {
                return self.bytes.broken("a call with arguments that don't fit, or of something that can't be called");
            }
        };
        self.push(object)
    }

    fn tensor(&self, storage: Id, offset: Id, size: Id, stride: Id) -> Result<Object<'a>, PickleError> {
        let Object::Storage(storage) = self.objects[storage.0] else {
            return self.bytes.broken("a tensor of something that is no storage");
        };
        let (offset, shape, stride) = (self.count(offset)?, self.counts(size)?, self.counts(stride)?);
        Ok(Object::Tensor(Box::new(Tensor { storage, strided: Strided { offset, shape, stride } })))
    }

    /// A dictionary from a list of pairs, which is used up.
    fn pairs(&mut self, list: Id) -> Result<Object<'a>, PickleError> {
        let Object::List(list) = &mut self.objects[list.0] else { return self.bytes.broken("a dictionary of no list") };
        let list = std::mem::take(list);
        let pair = |id: Id| match &self.objects[id.0] {
            Object::Tuple(pair) | Object::List(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => self.bytes.broken("a dictionary's list holds something else than pairs"),
        };
        list.into_iter().map(pair).collect::<Result<_, _>>().map(Object::Dict)
    }

    /// `("storage", type, key, location, numel)`, in older files with a view that is always empty since 0.4.
    pub(super) fn storage(&mut self) -> Result<(), PickleError> {
        let id = self.pop()?;
        let &[tag, kind, key, _location, numel, ref view @ ..] = self.tuple_of(id)? else {
            return self.bytes.broken("a reference to something outside the pickle that is no storage");
        };
        let plain = self.text(tag)? == "storage" && view.iter().all(|id| matches!(self.objects[id.0], Object::Other));
        let (Object::Global(Global::Storage(kind)), true) = (&self.objects[kind.0], plain) else {
            return self.bytes.broken("a reference to something outside the pickle that is no plain storage");
        };
        let storage = Storage { kind: *kind, key: self.text(key)?, numel: self.count(numel)? };
        self.push(Object::Storage(storage))
    }

    fn tuple_of(&self, id: Id) -> Result<&[Id], PickleError> {
        let Object::Tuple(items) = &self.objects[id.0] else { return self.bytes.broken("a tuple is expected") };
        Ok(items)
    }

    fn text(&self, id: Id) -> Result<&'a str, PickleError> {
        let Object::Text(text) = self.objects[id.0] else { return self.bytes.broken("a text is expected") };
        Ok(text)
    }

    fn counts(&self, id: Id) -> Result<Vec<usize>, PickleError> {
        match self.tuple_of(id)? {
            sizes if sizes.len() <= DIMENSIONS => sizes.iter().map(|&id| self.count(id)).collect(),
            sizes => self.bytes.broken(format!("a tensor of {} dimensions", sizes.len())),
        }
    }

    fn count(&self, id: Id) -> Result<usize, PickleError> {
        let Object::Whole(whole) = self.objects[id.0] else { return self.bytes.broken("a whole number is expected") };
        usize::try_from(whole)
            .or_else(|_| self.bytes.broken(format!("{whole} can't be a count, an offset or a stride")))
    }
}
