//! Zip archives of `torch.save`. Entries are stored, never compressed, so that each is a slice of the file and cannot be
//! larger than it. Section numbers are those of PKWARE's APPNOTE 6.3.
//!
//! ```text
//! local header, data | local header, data | …          (one for each entry)
//! central directory: name, sizes and position of each entry
//! Zip64 record and locator (large archives only)
//! end-of-central-directory record, comment
//! ```

use super::{PickleError, cursor::Cursor};
use std::{collections::BTreeMap, ops::Range};

/// The byte ranges of an archive's entries, by name.
pub(super) struct ZipArchive {
    entries: BTreeMap<String, Range<usize>>,
}

/// Size of the end-of-central-directory record without its comment (4.3.16).
const END_RECORD_BYTES: usize = 22;
/// Maximum size of that comment.
const MAX_COMMENT_BYTES: usize = 0xffff;

impl ZipArchive {
    /// Whether a file begins with the signature of a zip entry.
    pub fn is_zip(file: &[u8]) -> bool {
        file.starts_with(b"PK\x03\x04")
    }

    /// Reads the central directory and checks that every entry is within the file.
    pub fn open(file: &[u8]) -> Result<Self, PickleError> {
        let CentralDirectory { count, size, start } = CentralDirectory::locate(file)?;
        let directory = usize::try_from(start).ok().and_then(|start| file.get(start..));
        let directory = directory.and_then(|rest| rest.get(..usize::try_from(size).ok()?));
        let mut bytes = Cursor::new(directory.ok_or_else(|| PickleError::not_torch_save("its archive is truncated"))?);
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let (name, range) = read_entry(&mut bytes, file)?;
            if entries.insert(name.clone(), range).is_some() {
                return Err(PickleError::not_torch_save(format!("duplicate entry `{name}` in its archive")));
            }
        }
        Ok(Self { entries })
    }

    /// The byte range of an entry.
    pub fn get(&self, name: &str) -> Option<Range<usize>> {
        self.entries.get(name).cloned()
    }

    /// Returns the folder of the entry `data.pkl`, with its slash, and the byte range of the entry.
    pub fn find_pickle(&self) -> Result<(&str, Range<usize>), PickleError> {
        let mut pickles = self.entries.iter().filter(|(name, _)| name.ends_with("/data.pkl"));
        match (pickles.next(), pickles.next()) {
            (Some((name, range)), None) => Ok((&name[..name.len() - "data.pkl".len()], range.clone())),
            _ => Err(PickleError::not_torch_save("expected one `data.pkl` in a folder of its archive")),
        }
    }

    /// The byte ranges of a folder's entries, by name without the folder.
    pub fn entries_under(&self, folder: &str) -> BTreeMap<String, Range<usize>> {
        let mut inside = BTreeMap::new();
        for (name, range) in &self.entries {
            if let Some(name) = name.strip_prefix(folder) {
                inside.insert(name.to_string(), range.clone());
            }
        }
        inside
    }
}

/// Where the central directory is.
struct CentralDirectory {
    /// Number of entries.
    count: u64,
    /// Size in bytes.
    size: u64,
    /// Position in the file.
    start: u64,
}

impl CentralDirectory {
    /// Finds the directory by the record at the end of the file (4.3.16), or by the Zip64 record (4.3.14) if a locator
    /// for that precedes it.
    fn locate(file: &[u8]) -> Result<Self, PickleError> {
        let earliest = file.len().saturating_sub(END_RECORD_BYTES + MAX_COMMENT_BYTES);
        let latest = file.len().saturating_sub(END_RECORD_BYTES - 1);
        let Some(end) = (earliest..latest).rev().find(|position| file[*position..].starts_with(b"PK\x05\x06")) else {
            return Err(PickleError::not_torch_save("its archive is truncated"));
        };
        let locator = end.checked_sub(20).map(|start| &file[start..end]);
        match locator.filter(|locator| locator.starts_with(b"PK\x06\x07")) {
            Some(locator) => Self::read_zip64(file, Cursor::starting_at(locator, 8).u64()?),
            None => {
                let mut record = Cursor::starting_at(file, end);
                record.take(10)?;
                let count = record.u16()?.into();
                Ok(Self { count, size: record.u32()?.into(), start: record.u32()?.into() })
            }
        }
    }

    /// Reads the Zip64 end-of-central-directory record at `position`.
    fn read_zip64(file: &[u8], position: u64) -> Result<Self, PickleError> {
        let mut record = Cursor::new(file);
        record.take(position)?;
        if record.take(4)? != b"PK\x06\x06" {
            return Err(PickleError::not_torch_save("the Zip64 directory of its archive has a wrong offset"));
        }
        record.take(28)?;
        Ok(Self { count: record.u64()?, size: record.u64()?, start: record.u64()? })
    }
}

/// Reads a directory header (4.3.12): returns the name and the byte range of an entry.
fn read_entry(row: &mut Cursor, file: &[u8]) -> Result<(String, Range<usize>), PickleError> {
    if row.take(4)? != b"PK\x01\x02" {
        return row.fail("expected an entry in the directory of the archive");
    }
    row.take(4)?;
    let flags = row.u16()?;
    let method = row.u16()?;
    row.take(8)?;
    let compressed_size = row.u32()?;
    let size = row.u32()?;
    let name_len = row.u16()?;
    let extra_len = row.u16()?;
    let comment_len = row.u16()?;
    row.take(8)?;
    let start = row.u32()?;
    let name = row.string(name_len.into())?.to_string();
    let sizes = Zip64Sizes::read(row.take(extra_len.into())?, size, compressed_size, start)?;
    row.take(comment_len.into())?;
    // Method 0 is "stored"; flag bit 0 means "encrypted".
    if method != 0 || flags & 1 != 0 || sizes.compressed_size != sizes.size {
        return Err(PickleError::not_torch_save(format!("`{name}` of its archive is compressed or encrypted")));
    }
    match data_range(file, sizes.start, sizes.size) {
        Ok(range) => Ok((name, range)),
        Err(_) => Err(PickleError::not_torch_save(format!("`{name}` of its archive is outside of the file"))),
    }
}

/// The byte range of an entry's data, which follows its local header (4.3.7). The lengths of the local header's name and
/// extra field may differ from those in the directory.
fn data_range(file: &[u8], start: u64, size: u64) -> Result<Range<usize>, PickleError> {
    let mut header = Cursor::new(file);
    header.take(start)?;
    if header.take(4)? != b"PK\x03\x04" {
        return header.fail("expected an entry of the archive");
    }
    header.take(22)?;
    let name_len = header.u16()?;
    let extra_len = header.u16()?;
    header.take(u64::from(name_len) + u64::from(extra_len))?;
    let data_start = header.position;
    header.take(size)?;
    Ok(data_start..header.position)
}

/// Sizes and position of an entry. A 32-bit field of all ones is replaced by the 64-bit field of the Zip64 extra field
/// (4.5.3, tag 1).
struct Zip64Sizes {
    size: u64,
    compressed_size: u64,
    start: u64,
}

impl Zip64Sizes {
    fn read(extra: &[u8], size: u32, compressed_size: u32, start: u32) -> Result<Self, PickleError> {
        let mut sizes = Self { size: size.into(), compressed_size: compressed_size.into(), start: start.into() };
        let mut fields = Cursor::new(extra);
        while fields.position + 4 <= extra.len() {
            let tag = fields.u16()?;
            let length = fields.u16()?;
            let mut field = Cursor::new(fields.take(length.into())?);
            for value in [&mut sizes.size, &mut sizes.compressed_size, &mut sizes.start] {
                if tag == 1 && *value == u64::from(u32::MAX) {
                    *value = field.u64()?;
                }
            }
        }
        Ok(sizes)
    }
}
