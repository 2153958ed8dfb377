//! The two file formats of `torch.save`.
//!
//! Since PyTorch 1.6: a zip archive with the entries `NAME/data.pkl` (the pickle), `NAME/data/KEY` (one storage each) and
//! `NAME/byteorder`. Before: five pickles one after another (a magic number, a version, facts about the machine, the
//! object, the keys of its storages), then for each key the number of values (u64) and their bytes.

use super::{
    PickleError,
    cursor::Cursor,
    object::{Object, PickledTensor},
    state_dict,
    tensor_view::Storage,
    unpickler::{self, Unpickled},
    zip_archive::ZipArchive,
};
use std::{collections::BTreeMap, ops::Range};

/// The number in the first pickle of the old format.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// The number in its second pickle.
const VERSION: i128 = 1001;

/// The tensors of a file, not yet checked against its bytes, and where its storages are.
pub(super) struct Contents<'a> {
    pub tensors: BTreeMap<String, PickledTensor<'a>>,
    pub storages: StorageRanges,
}

/// The byte ranges of storages in a file, by key.
pub(super) struct StorageRanges(BTreeMap<String, Range<usize>>);

impl StorageRanges {
    /// Returns where a storage is, after checking that it has as many bytes as its type and length require.
    pub fn range(&self, storage: &Storage) -> Result<Range<usize>, PickleError> {
        let expected = storage.numel.checked_mul(storage.dtype.itemsize());
        let reason = match self.0.get(storage.key) {
            Some(range) if Some(range.len()) == expected => return Ok(range.clone()),
            Some(range) => {
                format!("expected {} × {}, found {} bytes", storage.numel, storage.dtype.name(), range.len())
            }
            None => "missing from the file".into(),
        };
        Err(PickleError::Storage { key: storage.key.into(), reason })
    }
}

/// Opens a file of either format.
pub(super) fn open(file: &[u8]) -> Result<Contents<'_>, PickleError> {
    if ZipArchive::is_zip(file) { open_zip(file) } else { open_legacy(file) }
}

/// Opens a zip archive. The pickle is interpreted, the storages are left where they are.
fn open_zip(file: &[u8]) -> Result<Contents<'_>, PickleError> {
    let archive = ZipArchive::open(file)?;
    let (folder, pickle) = archive.find_pickle()?;
    if archive.get(&format!("{folder}byteorder")).is_some_and(|range| &file[range] != b"little") {
        return Err(PickleError::not_torch_save("its numbers are not little-endian"));
    }
    let unpickled = unpickler::run(&file[pickle])?;
    let storages = StorageRanges(archive.entries_under(&format!("{folder}data/")));
    Ok(Contents { tensors: state_dict::named_tensors(&unpickled)?, storages })
}

/// Opens a file in the format before PyTorch 1.6.
fn open_legacy(file: &[u8]) -> Result<Contents<'_>, PickleError> {
    let mut position = 0;
    for number in [MAGIC, VERSION] {
        let found = run_next(file, &mut position).ok().and_then(|unpickled| root_integer(&unpickled));
        if found != Some(number) {
            let reason = "it is neither a zip archive nor begins with PyTorch's magic number";
            return Err(PickleError::not_torch_save(reason));
        }
    }
    let _machine = run_next(file, &mut position)?;
    let object = run_next(file, &mut position)?;
    let keys = run_next(file, &mut position)?;
    let tensors = state_dict::named_tensors(&object)?;
    let storages = read_storage_ranges(file, position, &keys, &item_sizes(&object))?;
    Ok(Contents { tensors, storages: StorageRanges(storages) })
}

/// Runs the pickle at `position` and moves `position` behind it.
fn run_next<'a>(file: &'a [u8], position: &mut usize) -> Result<Unpickled<'a>, PickleError> {
    let unpickled = unpickler::run(&file[*position..])?;
    *position += unpickled.length;
    Ok(unpickled)
}

/// The result of a pickle, if it is an integer.
fn root_integer(unpickled: &Unpickled) -> Option<i128> {
    if let Object::Int(value) = unpickled.objects[unpickled.root.0] { Some(value) } else { None }
}

/// The bytes of one value for each storage that a pickle refers to, by key.
fn item_sizes<'a>(unpickled: &Unpickled<'a>) -> BTreeMap<&'a str, usize> {
    let mut sizes = BTreeMap::new();
    for object in &unpickled.objects {
        if let Object::Storage(storage) = object {
            sizes.insert(storage.key, storage.dtype.itemsize());
        }
    }
    sizes
}

/// Reads where the storages are, in the order of the list of keys, from `position` on.
fn read_storage_ranges(
    file: &[u8],
    position: usize,
    keys: &Unpickled,
    item_sizes: &BTreeMap<&str, usize>,
) -> Result<BTreeMap<String, Range<usize>>, PickleError> {
    let mut cursor = Cursor::starting_at(file, position);
    let Object::List(list) = &keys.objects[keys.root.0] else {
        return cursor.fail("expected a list of storage keys");
    };
    let mut ranges = BTreeMap::new();
    for key in list {
        let Object::Str(key) = keys.objects[key.0] else { return cursor.fail("expected a string as storage key") };
        let Some(item_size) = item_sizes.get(key) else {
            return cursor.fail(format!("no tensor uses the storage `{key}`"));
        };
        let numel = cursor.u64()?;
        let start = cursor.position;
        cursor.take(numel.saturating_mul(*item_size as u64))?;
        if ranges.insert(key.to_string(), start..cursor.position).is_some() {
            return cursor.fail(format!("duplicate storage `{key}`"));
        }
    }
    Ok(ranges)
}
