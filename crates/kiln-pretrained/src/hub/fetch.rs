//! Downloads one file: resumed after interruptions, checked before it gets its name.
//!
//! 1. The hub announces hash (ETag) and size of the file.
//! 2. Bytes are appended to `blobs/HASH.incomplete`. A lock on this file keeps other processes out.
//! 3. If the connection breaks off, a new request asks for the rest (`Range`). Three attempts in a row without a new byte
//!    end the download; the next call continues it.
//! 4. Length and SHA-256 are compared with what the hub announced.
//! 5. The file is renamed to `blobs/HASH`, and the snapshot gets a link to it.

use super::{
    HubError, ModelId, ProgressFn,
    cache::Snapshot,
    http::{Client, FileMetadata, header},
};
use crate::hub::DownloadProgress;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// Number of attempts in a row that may end without a new byte.
const MAX_ATTEMPTS: usize = 3;

/// Bytes that are read from the connection at a time.
const BUFFER_BYTES: usize = 1 << 16;

/// The download of a file: its place on the hub, and what the hub announced about it.
struct Download<'a> {
    client: &'a Client<'a>,
    id: &'a ModelId,
    commit: &'a str,
    file: &'a str,
    metadata: FileMetadata,
}

/// The file that received bytes are appended to: `HASH.incomplete` among the blobs.
struct PartialFile {
    file: File,
    path: PathBuf,
}

impl PartialFile {
    /// Opens or creates the file, and waits for another process that downloads it.
    fn open_locked(path: PathBuf) -> Result<Self, HubError> {
        let options = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let file = options.map_err(HubError::io(&path))?;
        file.lock().map_err(HubError::io(&path))?;
        Ok(Self { file, path })
    }

    /// Bytes that were received so far.
    fn len(&self) -> Result<u64, HubError> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(HubError::io(&self.path))
    }

    /// Discards the received bytes.
    fn clear(&self) -> Result<(), HubError> {
        self.file.set_len(0).map_err(HubError::io(&self.path))
    }

    /// Adds received bytes at the end.
    fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.file.write_all(bytes).map_err(HubError::io(&self.path))
    }

    /// Makes the complete file a blob, after its contents have reached the disk.
    fn finish(self, blob: &Path) -> Result<(), HubError> {
        self.file.sync_all().map_err(HubError::io(&self.path))?;
        fs::rename(&self.path, blob).map_err(HubError::io(blob))
    }
}

/// Returns the path of a file in the snapshot, after downloading it if the cache does not have it. A blob of the same hash
/// from another commit is linked without a download.
///
/// # Errors
/// If the hub does not have the file, the download breaks off or its hash differs, or the cache cannot be written.
pub(super) fn fetch_file(
    client: &Client,
    snapshot: &Snapshot,
    id: &ModelId,
    file: &str,
    progress: &mut ProgressFn,
) -> Result<PathBuf, HubError> {
    let path = snapshot.folder().join(file);
    if path.is_file() {
        return Ok(path);
    }
    let metadata = client.file_metadata(id, snapshot.commit(), file)?;
    let blob = metadata.etag.clone();
    let blobs = snapshot.blobs();
    // `blobs` is a path relative to the snapshot, which must exist first.
    fs::create_dir_all(snapshot.folder()).and_then(|()| fs::create_dir_all(&blobs)).map_err(HubError::io(&blobs))?;
    let download = Download { client, id, commit: snapshot.commit(), file, metadata };
    if !blobs.join(&blob).is_file() {
        download.run(&blobs, progress)?;
    }
    snapshot.link(file, &blob)
}

impl Download<'_> {
    /// Downloads the file into the folder `blobs`.
    fn run(&self, blobs: &Path, progress: &mut ProgressFn) -> Result<(), HubError> {
        let blob = blobs.join(&self.metadata.etag);
        let mut part = PartialFile::open_locked(blobs.join(format!("{}.incomplete", self.metadata.etag)))?;
        // Another process may have completed the file while this one waited.
        if blob.is_file() {
            return Ok(());
        }
        self.receive(&mut part, progress)?;
        self.verify_hash(&mut part)?;
        part.finish(&blob)
    }

    /// Receives the file, in as many requests as it takes. If the size is unknown, the first response that ends properly
    /// is the file.
    fn receive(&self, part: &mut PartialFile, progress: &mut ProgressFn) -> Result<(), HubError> {
        let expected = self.metadata.size;
        let mut received = part.len()?;
        if expected.is_some_and(|size| received > size) {
            part.clear()?;
            received = 0;
        }
        let mut attempts = MAX_ATTEMPTS;
        while attempts > 0 && expected.is_none_or(|size| received < size) {
            let is_complete = self.receive_once(part, received, progress)?;
            let now = part.len()?;
            if is_complete && expected.is_none() {
                return Ok(());
            }
            attempts = if now > received { MAX_ATTEMPTS } else { attempts - 1 };
            received = now;
        }
        match expected {
            Some(size) if received == size => Ok(()),
            Some(size) if received > size => {
                part.clear()?;
                let url = self.client.file_url(self.id, self.commit, self.file);
                Err(HubError::BadResponse { url, reason: format!("expected {size} bytes, found more") })
            }
            size => Err(HubError::Interrupted { file: self.file.into(), received, size: size.unwrap_or(received) }),
        }
    }

    /// Receives the response of one request, from byte `start` on. Returns whether it ended properly. A server that
    /// ignores the range sends the file from its beginning (status 200); then the received bytes are discarded.
    fn receive_once(&self, part: &mut PartialFile, start: u64, progress: &mut ProgressFn) -> Result<bool, HubError> {
        let response = self.client.download(self.id, self.commit, self.file, start)?;
        let status = response.status().as_u16();
        let range_start = format!("bytes {start}-");
        let is_continued = header(&response, "content-range").is_some_and(|range| range.starts_with(&range_start));
        let mut received = start;
        if start > 0 && !(status == 206 && is_continued) {
            // The server sends the file from its beginning, or refuses the range.
            part.clear()?;
            received = 0;
            if status != 200 {
                return Ok(false);
            }
        }
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; BUFFER_BYTES];
        let limit = self.metadata.size.unwrap_or(u64::MAX);
        while received <= limit {
            progress(DownloadProgress { file: self.file, received, total: self.metadata.size.unwrap_or(received) });
            let Ok(count) = body.read(&mut buffer) else { return Ok(false) };
            if count == 0 {
                return Ok(true);
            }
            part.append(&buffer[..count])?;
            received += count as u64;
        }
        Ok(true)
    }

    /// Compares the hash of a large file with its ETag, which is its SHA-256. The ETags of small files are other hashes.
    fn verify_hash(&self, part: &mut PartialFile) -> Result<(), HubError> {
        let expected = &self.metadata.etag;
        if expected.len() != 64 || !expected.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(());
        }
        let found = sha256(&mut part.file).map_err(HubError::io(&part.path))?;
        if found.eq_ignore_ascii_case(expected) {
            return Ok(());
        }
        // The file is emptied, not removed: a process that waits for it has it open.
        part.clear()?;
        Err(HubError::HashMismatch { file: self.file.into(), expected: expected.clone(), found })
    }
}

/// The SHA-256 of a file in hexadecimal.
fn sha256(file: &mut File) -> io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => hash.update(&buffer[..count]),
        }
    }
}
