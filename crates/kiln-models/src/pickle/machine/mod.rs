//! The pickle machine: the operations of protocols 2 to 5 that data needs.
//!
//! An operation makes at most one object, of a size that the file can't choose, and no more are made than `OBJECTS`.

mod build;

use super::{
    PickleError,
    bytes::Bytes,
    object::{Id, Object},
};
use std::collections::HashMap;

/// How many objects a pickle may make. Ten thousand tensors take a quarter of a million.
const OBJECTS: usize = 1 << 22;

struct Machine<'a> {
    bytes: Bytes<'a>,
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

/// What a pickle came to.
pub(super) struct Ran<'a> {
    /// All objects that it made.
    pub objects: Vec<Object<'a>>,
    /// Which of them is the result.
    pub root: Id,
    /// How many bytes it took.
    pub length: usize,
}

/// Runs a pickle to its end.
pub(super) fn run(pickle: &[u8]) -> Result<Ran<'_>, PickleError> {
    let (bytes, empty) = (Bytes::new(pickle), Vec::new());
    let mut machine = Machine { bytes, objects: empty, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    loop {
        let operation = machine.bytes.u8()?;
        if operation == b'.' {
            let root = machine.pop()?;
            return Ok(Ran { objects: machine.objects, root, length: machine.bytes.at });
        }
        machine.step(operation)?;
    }
}

impl<'a> Machine<'a> {
    fn step(&mut self, operation: u8) -> Result<(), PickleError> {
        match operation {
            0x80 => self.bytes.u8().map(|_protocol| ()),
            0x95 => self.bytes.u64().map(|_frame| ()),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.remember(operation),
            b'c' | 0x93 => self.global(operation),
            b'R' => self.call(),
            b'Q' => self.storage(),
            b'a' | b'e' | b's' | b'u' | b'b' => self.fill(operation),
            b't' | 0x85..=0x87 => self.tuple(operation),
            _ => {
                let object = self.plain(operation)?;
                self.push(object)
            }
        }
    }

    /// Operations that push what stands in the pickle.
    fn plain(&mut self, operation: u8) -> Result<Object<'a>, PickleError> {
        let bytes = &mut self.bytes;
        Ok(match operation {
            b'N' | 0x88 | 0x89 => Object::Other,
            b'G' => bytes.take(8).map(|_float| Object::Other)?,
            b'J' => Object::Whole((bytes.u32()? as i32).into()),
            b'K' => Object::Whole(bytes.u8()?.into()),
            b'M' => Object::Whole(bytes.u16()?.into()),
            0x8a => Object::Whole(bytes.u8().and_then(|length| bytes.whole(length))?),
            b'X' | b'T' => Object::Text(bytes.u32().and_then(|length| bytes.text(length.into()))?),
            b'U' | 0x8c => Object::Text(bytes.u8().and_then(|length| bytes.text(length.into()))?),
            0x8d => Object::Text(bytes.u64().and_then(|length| bytes.text(length))?),
            b'C' => bytes.u8().and_then(|length| bytes.take(length.into())).map(|_| Object::Other)?,
            b'B' => bytes.u32().and_then(|length| bytes.take(length.into())).map(|_| Object::Other)?,
            b')' => Object::Tuple(Vec::new()),
            b']' => Object::List(Vec::new()),
            b'}' => Object::Dict(Vec::new()),
            _ => return bytes.broken(format!("operation {:?} is none that tensors need", char::from(operation))),
        })
    }

    fn push(&mut self, object: Object<'a>) -> Result<(), PickleError> {
        if self.objects.len() == OBJECTS {
            return self.bytes.broken(format!("more than {OBJECTS} objects"));
        }
        self.stack.push(Id(self.objects.len()));
        self.objects.push(object);
        Ok(())
    }

    /// Takes the top, which doesn't lie below the last mark.
    fn pop(&mut self) -> Result<Id, PickleError> {
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return self.bytes.broken("an operation finds nothing to work on");
        }
        Ok(self.stack.pop().expect("not empty"))
    }

    /// Takes what lies above the last mark, and the mark.
    fn marked(&mut self) -> Result<Vec<Id>, PickleError> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => self.bytes.broken("an operation finds no mark"),
        }
    }

    fn remember(&mut self, operation: u8) -> Result<(), PickleError> {
        let place = match operation {
            b'q' | b'h' => self.bytes.u8()?.into(),
            b'r' | b'j' => self.bytes.u32()? as usize,
            _ => self.memo.len(),
        };
        if matches!(operation, b'h' | b'j') {
            let Some(&id) = self.memo.get(&place) else {
                return self.bytes.broken(format!("nothing was remembered as {place}"));
            };
            self.stack.push(id);
        } else {
            let id = self.pop()?;
            self.stack.push(id);
            self.memo.insert(place, id);
        }
        if self.memo.len() > self.objects.len() {
            return self.bytes.broken("more is remembered than there is");
        }
        Ok(())
    }

    fn tuple(&mut self, operation: u8) -> Result<(), PickleError> {
        let items = if operation == b't' {
            self.marked()?
        } else {
            let mut items = (0x85..=operation).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
            items.reverse();
            items
        };
        self.push(Object::Tuple(items))
    }

    fn fill(&mut self, operation: u8) -> Result<(), PickleError> {
        let items = match operation {
            b'e' | b'u' => self.marked()?,
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => vec![self.pop()?],
        };
        let target = self.pop()?;
        self.stack.push(target);
        match (&mut self.objects[target.0], operation) {
            (Object::List(list), b'a' | b'e') => list.extend(items),
            (Object::Dict(dict), b's' | b'u') if items.len() % 2 == 0 => {
                dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            // The versions of a state dictionary's modules.
            (Object::Dict(_), b'b') => {}
            _ => return self.bytes.broken("something is filled that is neither a list nor a dictionary"),
        }
        Ok(())
    }
}
