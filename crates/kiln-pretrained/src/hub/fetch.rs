//! One file, whole and checked, however often its transfer breaks off.

use super::{
    DownloadProgress, HubError, ModelId,
    cache::Snapshot,
    http::{Client, FileMetadata, header},
};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// How often a transfer may break off without having brought anything.
const MAX_ATTEMPTS: usize = 3;

/// A file on its way.
struct Download<'a> {
    client: &'a Client<'a>,
    id: &'a ModelId,
    commit: &'a str,
    file: &'a str,
    metadata: FileMetadata,
}

/// A file's path in the snapshot; fetches it if it isn't there.
pub(super) fn fetch_file(
    client: &Client,
    snapshot: &Snapshot,
    id: &ModelId,
    file: &str,
    progress: &mut dyn FnMut(DownloadProgress),
) -> Result<PathBuf, HubError> {
    let path = snapshot.folder().join(file);
    if path.is_file() {
        return Ok(path);
    }
    let head = client.file_metadata(id, snapshot.commit(), file)?;
    let (blobs, name) = (snapshot.blobs(), head.etag.clone());
    fs::create_dir_all(snapshot.folder()).and_then(|()| fs::create_dir_all(&blobs)).map_err(HubError::io(&blobs))?;
    let transfer = Download { client, id, commit: snapshot.commit(), file, metadata: head };
    if !blobs.join(&name).is_file() {
        transfer.run(&blobs, progress)?;
    }
    snapshot.link(file, &name)
}

impl Download<'_> {
    fn run(&self, blobs: &Path, progress: &mut dyn FnMut(DownloadProgress)) -> Result<(), HubError> {
        let (whole, part) = (blobs.join(&self.metadata.etag), blobs.join(format!("{}.incomplete", self.metadata.etag)));
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).open(&part).map_err(HubError::io(&part))?;
        // Another process may be fetching the same file: wait for it, then see what it left.
        file.lock().map_err(HubError::io(&part))?;
        if whole.is_file() {
            return Ok(());
        }
        self.receive(&mut file, &part, progress)?;
        self.verify_hash(&mut file, &part)?;
        file.sync_all().map_err(HubError::io(&part))?;
        fs::rename(&part, &whole).map_err(HubError::io(&whole))
    }

    /// Receives until all is there.
    fn receive(
        &self,
        file: &mut File,
        part: &Path,
        progress: &mut dyn FnMut(DownloadProgress),
    ) -> Result<(), HubError> {
        let mut have = file_len(file, part)?;
        if self.metadata.size.is_some_and(|size| have > size) {
            file.set_len(0).map_err(HubError::io(part))?;
            have = 0;
        }
        let mut attempts = MAX_ATTEMPTS;
        while attempts > 0 && (self.metadata.size.is_none_or(|size| have < size)) {
            let ended = self.receive_once(file, part, have, progress)?;
            let now = file_len(file, part)?;
            if ended && self.metadata.size.is_none() {
                return Ok(());
            }
            attempts = if now > have { MAX_ATTEMPTS } else { attempts - 1 };
            have = now;
        }
        if let Some(size) = self.metadata.size.filter(|size| have > *size) {
            file.set_len(0).map_err(HubError::io(part))?;
            let url = self.client.file_url(self.id, self.commit, self.file);
            return Err(HubError::BadResponse {
                url,
                reason: format!("with more than the {size} bytes that it announced"),
            });
        }
        match self.metadata.size {
            Some(size) if have == size => Ok(()),
            size => Err(HubError::Interrupted { file: self.file.into(), received: have, size: size.unwrap_or(have) }),
        }
    }

    /// Receives what one request brings; whether it ended as it should.
    fn receive_once(
        &self,
        file: &mut File,
        part: &Path,
        have: u64,
        progress: &mut dyn FnMut(DownloadProgress),
    ) -> Result<bool, HubError> {
        let answer = self.client.download(self.id, self.commit, self.file, have)?;
        let begins = format!("bytes {have}-");
        let goes_on = header(&answer, "content-range").is_some_and(|range| range.starts_with(&begins));
        let mut done = have;
        if have > 0 && !(answer.status().as_u16() == 206 && goes_on) {
            file.set_len(0).map_err(HubError::io(part))?;
            done = 0;
            if answer.status().as_u16() != 200 {
                return Ok(false);
            }
        }
        let mut body = answer.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        let limit = self.metadata.size.unwrap_or(u64::MAX);
        while done <= limit {
            progress(DownloadProgress { file: self.file, received: done, total: self.metadata.size.unwrap_or(done) });
            let Ok(count) = body.read(&mut buffer) else { return Ok(false) };
            if count == 0 {
                return Ok(true);
            }
            file.write_all(&buffer[..count]).map_err(HubError::io(part))?;
            done += count as u64;
        }
        Ok(true)
    }

    /// Holds a large file, whose name is its SHA-256, against it.
    fn verify_hash(&self, file: &mut File, part: &Path) -> Result<(), HubError> {
        let expected = &self.metadata.etag;
        if expected.len() != 64 || !expected.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(());
        }
        let found = sha256(file).map_err(HubError::io(part))?;
        if found.eq_ignore_ascii_case(expected) {
            return Ok(());
        }
        // Emptied, not removed: whoever waits for it has it open.
        file.set_len(0).map_err(HubError::io(part))?;
        Err(HubError::HashMismatch { file: self.file.into(), expected: expected.clone(), found })
    }
}

fn file_len(file: &File, part: &Path) -> Result<u64, HubError> {
    file.metadata().map(|data| data.len()).map_err(HubError::io(part))
}

fn sha256(file: &mut File) -> io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let (mut sha, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => sha.update(&buffer[..count]),
        }
    }
}
