//! What `torch.save` wrote before PyTorch 1.6: pickles one after another (a magic number, a version, facts about the
//! machine, the object, the keys of its storages), then each storage as its number of entries and its bytes.

use super::{ParsedFile, PickleError, StorageRanges, cursor::Cursor, object::Object, state_dict, unpickler};
use std::{collections::BTreeMap, ops::Range};

/// The first pickle's number.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// The second's.
const VERSION: i128 = 1001;

pub(super) fn open(file: &[u8]) -> Result<ParsedFile<'_>, PickleError> {
    let mut at = 0;
    let mut next = || {
        let ran = unpickler::run(&file[at..])?;
        at += ran.length;
        Ok(ran)
    };
    for number in [MAGIC, VERSION] {
        let strange =
            || PickleError::not_torch_save("it is neither a zip archive nor begins with PyTorch's magic number");
        let ran: unpickler::Unpickled = next().map_err(|_: PickleError| strange())?;
        if !matches!(ran.objects[ran.root.0], Object::Int(found) if found == number) {
            return Err(strange());
        }
    }
    let _machine = next()?;
    let (object, keys) = (next()?, next()?);
    let named = state_dict::named_tensors(&object)?;
    let sizes: BTreeMap<&str, usize> = object
        .objects
        .iter()
        .filter_map(|object| Some((as_storage(object)?.key, as_storage(object)?.dtype.itemsize())))
        .collect();
    Ok((named, StorageRanges(read_storage_ranges(file, at, &keys, &sizes)?)))
}

fn as_storage<'o, 'a>(object: &'o Object<'a>) -> Option<&'o super::Storage<'a>> {
    if let Object::Storage(storage) = object { Some(storage) } else { None }
}

/// Where the storages lie: in the order of the list of keys, from `at` on.
fn read_storage_ranges(
    file: &[u8],
    at: usize,
    keys: &unpickler::Unpickled,
    sizes: &BTreeMap<&str, usize>,
) -> Result<BTreeMap<String, Range<usize>>, PickleError> {
    let mut bytes = Cursor::starting_at(file, at);
    let Object::List(list) = &keys.objects[keys.root.0] else { return bytes.fail("no list of storages") };
    let mut places = BTreeMap::new();
    for key in list {
        let Object::Str(key) = keys.objects[key.0] else { return bytes.fail("a storage's key is no text") };
        let Some(size) = sizes.get(key) else { return bytes.fail(format!("nothing uses storage `{key}`")) };
        let numel = bytes.u64()?;
        let start = bytes.position;
        bytes.take(numel.saturating_mul(*size as u64))?;
        if places.insert(key.to_string(), start..bytes.position).is_some() {
            return bytes.fail(format!("storage `{key}` is there twice"));
        }
    }
    Ok(places)
}
