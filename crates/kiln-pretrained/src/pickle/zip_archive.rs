//! The zip that `torch.save` writes since PyTorch 1.6: entries are stored as they are, never compressed, so that an
//! entry is a slice of the file and can't be larger than it.

use super::{PickleError, cursor::Cursor};
use std::{collections::BTreeMap, ops::Range};

/// Where entries lie in a file, by name.
pub(super) struct ZipArchive {
    entries: BTreeMap<String, Range<usize>>,
}

/// Bytes of the record at the end, and how long a comment may follow it.
const END_RECORD_BYTES: usize = 22;
const MAX_COMMENT_BYTES: usize = 0xffff;

impl ZipArchive {
    /// Whether a file begins like a zip.
    pub fn is_zip(file: &[u8]) -> bool {
        file.starts_with(b"PK\x03\x04")
    }

    pub fn open(file: &[u8]) -> Result<Self, PickleError> {
        let (count, size, start) = central_directory(file)?;
        let directory = usize::try_from(start).ok().and_then(|start| file.get(start..));
        let directory = directory.and_then(|rest| rest.get(..usize::try_from(size).ok()?));
        let mut bytes = Cursor::new(directory.ok_or_else(|| PickleError::not_torch_save("its directory is cut off"))?);
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let (name, range) = read_entry(&mut bytes, file)?;
            if entries.insert(name.clone(), range).is_some() {
                return Err(PickleError::not_torch_save(format!("its archive has two entries `{name}`")));
            }
        }
        Ok(Self { entries })
    }

    pub fn get(&self, name: &str) -> Option<Range<usize>> {
        self.entries.get(name).cloned()
    }

    /// The folder that all lies in, with its slash, and where the pickle lies.
    pub fn find_pickle(&self) -> Result<(&str, Range<usize>), PickleError> {
        let found = |(name, range): (&'_ String, &Range<usize>)| name.ends_with("/data.pkl").then(|| range.clone());
        let mut found = self.entries.iter().filter_map(|entry| Some((entry.0, found(entry)?)));
        match (found.next(), found.next()) {
            (Some((name, range)), None) => Ok((&name[..name.len() - "data.pkl".len()], range)),
            _ => Err(PickleError::not_torch_save("its archive should have one `data.pkl` in a folder")),
        }
    }

    /// Entries of a folder, without its name.
    pub fn entries_under(&self, folder: &str) -> BTreeMap<String, Range<usize>> {
        let below =
            |entry: (&String, &Range<usize>)| Some((entry.0.strip_prefix(folder)?.to_string(), entry.1.clone()));
        self.entries.iter().filter_map(below).collect()
    }
}

/// The directory's number of entries, length and start, from the record at the end (APPNOTE 4.3.16), or where its
/// fields are full, from the large one before it (4.3.14).
fn central_directory(file: &[u8]) -> Result<(u64, u64, u64), PickleError> {
    let earliest = file.len().saturating_sub(END_RECORD_BYTES + MAX_COMMENT_BYTES);
    let starts = |at: &usize| file[*at..].starts_with(b"PK\x05\x06");
    let latest = file.len().saturating_sub(END_RECORD_BYTES - 1);
    let at =
        (earliest..latest).rev().find(starts).ok_or_else(|| PickleError::not_torch_save("its archive is cut off"))?;
    let mut end = Cursor::new(&file[at..]);
    end.take(10)?;
    let small = (end.u16()?.into(), end.u32()?.into(), end.u32()?.into());
    let locator = file[..at].len().checked_sub(20).map(|start| &file[start..at]);
    let Some(locator) = locator.filter(|locator| locator.starts_with(b"PK\x06\x07")) else { return Ok(small) };
    let start = Cursor::starting_at(locator, 8).u64()?;
    let mut end = Cursor::new(file);
    end.take(start)?;
    if end.take(4)? != b"PK\x06\x06" {
        return Err(PickleError::not_torch_save("its archive's large directory isn't where it should be"));
    }
    end.take(28)?;
    Ok((end.u64()?, end.u64()?, end.u64()?))
}

/// A row of the directory (4.3.12): an entry's name, and where its bytes lie.
fn read_entry(row: &mut Cursor, file: &[u8]) -> Result<(String, Range<usize>), PickleError> {
    if row.take(4)? != b"PK\x01\x02" {
        return row.fail("the archive's directory has no entry where one should be");
    }
    row.take(4)?;
    let (flags, method) = (row.u16()?, row.u16()?);
    row.take(8)?;
    let (packed, size) = (row.u32()?, row.u32()?);
    let (name, extra, comment) = (row.u16()?, row.u16()?, row.u16()?);
    row.take(8)?;
    let start = row.u32()?;
    let name = row.string(name.into())?.to_string();
    let large = Zip64Sizes::read(row.take(extra.into())?, size, packed, start)?;
    row.take(comment.into())?;
    if method != 0 || flags & 1 != 0 || large.compressed_size != large.size {
        return Err(PickleError::not_torch_save(format!("`{name}` of its archive is compressed or encrypted")));
    }
    let range = data_range(file, large.start, large.size);
    let range =
        range.map_err(|_| PickleError::not_torch_save(format!("`{name}` of its archive lies outside of the file")))?;
    Ok((name, range))
}

/// An entry's bytes: behind its header (4.3.7), whose name and extra field have lengths of their own.
fn data_range(file: &[u8], start: u64, size: u64) -> Result<Range<usize>, PickleError> {
    let mut header = Cursor::new(file);
    header.take(start)?;
    if header.take(4)? != b"PK\x03\x04" {
        return header.fail("no entry");
    }
    header.take(22)?;
    let (name, extra) = (header.u16()?, header.u16()?);
    header.take(u64::from(name) + u64::from(extra))?;
    let begin = header.position;
    header.take(size)?;
    Ok(begin..header.position)
}

/// Sizes and start of an entry, those that are full replaced by the large ones of the extra field 1 (4.5.3).
struct Zip64Sizes {
    size: u64,
    compressed_size: u64,
    start: u64,
}

impl Zip64Sizes {
    fn read(extra: &[u8], size: u32, packed: u32, start: u32) -> Result<Self, PickleError> {
        let mut large = Self { size: size.into(), compressed_size: packed.into(), start: start.into() };
        let mut fields = Cursor::new(extra);
        while fields.position + 4 <= extra.len() {
            let (tag, length) = (fields.u16()?, fields.u16()?);
            let mut field = Cursor::new(fields.take(length.into())?);
            for part in [&mut large.size, &mut large.compressed_size, &mut large.start] {
                if tag == 1 && *part == u64::from(u32::MAX) {
                    *part = field.u64()?;
                }
            }
        }
        Ok(large)
    }
}
