//! From a zip file to a run.
use std::collections::BTreeSet;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use zip::{CompressionMethod, ZipArchive, read::ZipFileEntry};

use super::{
    ArchiveError,
    names::{check_name, find_root, is_foreign},
};
use crate::run_folder::{RunPaths, first_free, slug};
use crate::run_folder_error::RunFolderError;
use crate::storage::{Storage, TemporaryFolder, create_folder, parent_folder, write_file_synced};

/// Bytes of text that one byte compressed with deflate can stand for, at most.
const MAX_RATIO: u64 = 1032;

/// A limit on the size of the files that is not below this many bytes, however small the zip file.
const MIN_SIZE_LIMIT: u64 = 256 << 20;

/// Times the size of the zip file that the files may have. Runs have less: their weights hardly compress.
const SIZE_LIMIT_RATIO: u64 = 64;

/// A zip file of a run, whose names and sizes are checked. Its contents are read by [`unpack`](Self::unpack).
#[derive(Debug)]
pub struct RunArchive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// The folder above all files, with a `/` at its end; empty if there is none.
    root: String,
    files: Vec<PackedFile>,
}

/// A file in the zip file.
#[derive(Debug)]
struct PackedFile {
    /// Index in the zip file.
    index: usize,
    /// Name in the run folder.
    name: String,
    /// Size in bytes, as the zip file says.
    size: u64,
}

impl<'a> RunArchive<'a> {
    /// Opens a zip file. Its files may have 64 times its size together, or 256 MiB if that is more.
    ///
    /// # Errors
    /// If the bytes are no zip file, it is damaged, it does not contain a run, its files are too large, or a name is refused.
    pub fn open(bytes: &'a [u8]) -> Result<Self, ArchiveError> {
        let limit = (bytes.len() as u64).saturating_mul(SIZE_LIMIT_RATIO);
        Self::open_with_limit(bytes, limit.max(MIN_SIZE_LIMIT))
    }

    /// [`open`](Self::open) with a limit in bytes on the size of all files together.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_limit(bytes: &'a [u8], limit: u64) -> Result<Self, ArchiveError> {
        let zip = open_zip(bytes)?;
        if zip.has_duplicate_names() {
            return Err(ArchiveError::DuplicateName);
        }
        let mut files = Vec::new();
        for index in 0..zip.len() {
            let entry = zip.by_index_data(index).map_err(|error| ArchiveError::from_zip(None, error))?;
            files.extend(checked_file(&entry, index, bytes.len())?);
        }
        let size = files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.size));
        if size > limit {
            return Err(ArchiveError::TooLarge { size, limit });
        }
        let root = find_root(files.iter().map(|file| file.name.as_str())).map(str::to_owned);
        let root = root.ok_or_else(|| ArchiveError::NotRun { found: describe(&files) })?;
        files.iter_mut().for_each(|file| drop(file.name.drain(..root.len())));
        Ok(Self { zip, root, files })
    }

    /// The name of the folder in the zip file that has all files of the run; `None` if they are in no folder.
    pub fn name(&self) -> Option<&str> {
        self.root.strip_suffix('/')
    }

    /// Size of all files together in bytes.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Writes the run into a storage: into the folder `out`, which must not exist, or else into the first free one of
    /// `runs/<name>`, `runs/<name>-2`, …. The folder appears complete or not at all. Whether checkpoints are complete is
    /// checked when the run is resumed or loaded.
    ///
    /// # Errors
    /// If the zip file is damaged, `out` exists, or the storage fails.
    pub fn unpack(mut self, storage: Arc<dyn Storage>, out: Option<&Path>) -> Result<RunPaths, ArchiveError> {
        let out = match out {
            Some(out) => out.to_owned(),
            None => first_free(&*storage, Path::new("runs"), &slug(self.name().unwrap_or_default())),
        };
        if storage.exists(&out) {
            let found = if storage.is_folder(&out) { "a folder" } else { "a file" }.to_owned();
            return Err(RunFolderError::FolderExists { path: out, found }.into());
        }
        create_folder(&*storage, parent_folder(&out))?;
        let folder = TemporaryFolder::create_for(&*storage, &out)?;
        self.write_files(&*storage, folder.path())?;
        folder.rename(&out)?;
        Ok(RunPaths::open_in(storage, &out)?)
    }

    /// Writes all files into a folder, and makes them and their names durable.
    fn write_files(&mut self, storage: &dyn Storage, folder: &Path) -> Result<(), ArchiveError> {
        let mut folders = BTreeSet::from([folder.to_owned()]);
        for file in &self.files {
            let path = folder.join(&file.name);
            let parent = parent_folder(&path);
            if folders.insert(parent.to_owned()) {
                create_folder(storage, parent)?;
            }
            write_file_synced(storage, &path, &read_file(&mut self.zip, file)?)?;
        }
        for folder in folders {
            storage.sync_folder(&folder).map_err(|source| RunFolderError::from_io("write", &folder, source))?;
        }
        Ok(())
    }
}

/// Opens a zip file. What does not start as one is no zip file, all else is a damaged one.
fn open_zip(bytes: &[u8]) -> Result<ZipArchive<Cursor<&[u8]>>, ArchiveError> {
    ZipArchive::new(Cursor::new(bytes)).map_err(|error| {
        if bytes.starts_with(b"PK") {
            return ArchiveError::damaged(None, error.to_string());
        }
        let found = match bytes {
            [] => "an empty file".into(),
            _ => format!("{} bytes that start with {}", bytes.len(), bytes[..bytes.len().min(4)].escape_ascii()),
        };
        ArchiveError::NotZip { found }
    })
}

/// The file of an entry, checked; `None` for a folder, and for a file that a file manager has added. The zip file has `length`
/// bytes.
fn checked_file(entry: &ZipFileEntry, index: usize, length: usize) -> Result<Option<PackedFile>, ArchiveError> {
    let name = entry.name().map_err(|error| ArchiveError::from_zip(None, error))?.into_owned();
    check_name(&name)?;
    if name.ends_with('/') || is_foreign(&name) {
        return Ok(None);
    }
    let unsupported = |found: String| Err(ArchiveError::Unsupported { file: name.clone(), found });
    match entry.compression() {
        _ if entry.encrypted() => return unsupported("encryption".into()),
        _ if entry.is_symlink() => return unsupported("symbolic link".into()),
        CompressionMethod::Stored | CompressionMethod::Deflated => {}
        method => return unsupported(format!("compression method {method}")),
    }
    let (size, packed) = (entry.size(), entry.compressed_size());
    if packed > length as u64 || size > packed.saturating_mul(MAX_RATIO) {
        return Err(ArchiveError::damaged(Some(&name), format!("its size of {size} bytes cannot be true")));
    }
    Ok(Some(PackedFile { index, name, size }))
}

/// Reads a file. Its size and checksum must be those that the zip file says.
fn read_file(zip: &mut ZipArchive<Cursor<&[u8]>>, file: &PackedFile) -> Result<Vec<u8>, ArchiveError> {
    let name = Some(file.name.as_str());
    let reader = zip.by_index(file.index).map_err(|error| ArchiveError::from_zip(name, error))?;
    let mut bytes = Vec::new();
    let capacity = usize::try_from(file.size).ok().and_then(|size| bytes.try_reserve_exact(size).ok());
    if capacity.is_none() {
        return Err(ArchiveError::damaged(name, format!("no memory for its {} bytes", file.size)));
    }
    let read = reader.take(file.size.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| ArchiveError::damaged(name, error.to_string()))?;
    if bytes.len() as u64 != file.size {
        let found = if bytes.len() as u64 > file.size { "more".into() } else { bytes.len().to_string() };
        return Err(ArchiveError::damaged(name, format!("expected {} bytes, found {found}", file.size)));
    }
    Ok(bytes)
}

/// The first files, for an error.
fn describe(files: &[PackedFile]) -> String {
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).take(3).collect();
    match names.len() {
        0 => "no files".into(),
        _ => format!("{} files, such as {}", files.len(), names.join(", ")),
    }
}
