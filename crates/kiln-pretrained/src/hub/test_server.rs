//! A server on this machine that answers as the hub does: lists of files, addresses of files with their hashes, large
//! files on another host, parts of files, refusals; and transfers that break off.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// The commit that `main` is.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A model `owner/model` as a server has it. Large files (`.safetensors`, `.bin`, `.gguf`) are sent by another host.
#[derive(Clone, Default)]
pub struct ServedModel {
    /// Its files by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What lists its names instead of `files`.
    pub listed_files: Option<Vec<String>>,
    /// Whom it answers.
    pub token: Option<String>,
    /// After how many bytes a large file breaks off, once for each number.
    pub cut_after: Vec<usize>,
    /// Whether parts of files can be had.
    pub ignores_ranges: bool,
    /// What it sends as a hash instead of the right one.
    pub etag: Option<String>,
    /// Requests: method, path, and whether a token came with it.
    pub requests: Vec<(String, String, bool)>,
}

/// A server, for as long as the program runs.
pub struct TestServer {
    /// Its address, as `HF_ENDPOINT` has it.
    pub url: String,
    /// What it has, and what it was asked.
    pub model: Arc<Mutex<ServedModel>>,
}

impl TestServer {
    /// Starts it.
    ///
    /// # Panics
    /// If this machine has no port left.
    pub fn start(model: ServedModel) -> Self {
        let [hub, storage] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let (address, large) = (address(&hub), address(&storage));
        let model = Arc::new(Mutex::new(model));
        for listener in [hub, storage] {
            let (model, large) = (model.clone(), large.clone());
            thread::spawn(move || {
                listener.incoming().for_each(|stream| drop(respond(stream.unwrap(), &model, &large)))
            });
        }
        Self { url: address, model }
    }

    /// What it was asked: method, path, and whether a token came with it.
    ///
    /// # Panics
    /// If answering panicked.
    pub fn requests(&self) -> Vec<(String, String, bool)> {
        self.model.lock().unwrap().requests.clone()
    }
}

struct Request {
    method: String,
    path: String,
    start: usize,
    token: Option<String>,
}

fn read_request(stream: &TcpStream) -> Request {
    let mut lines = BufReader::new(stream).lines().map(|line| line.unwrap()).take_while(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let mut words = first.split(' ').map(str::to_string);
    let mut next = || words.next().unwrap_or_default();
    let mut request = Request { method: next(), path: next(), start: 0, token: None };
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        match &name.to_ascii_lowercase()[..] {
            "range" => request.start = value["bytes=".len()..].trim_end_matches('-').parse().unwrap(),
            "authorization" => request.token = value.strip_prefix("Bearer ").map(str::to_string),
            _ => {}
        }
    }
    request
}

/// The hash that names a file: SHA-256 of large ones.
pub fn etag(name: &str, data: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let sha: String = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
    if is_large(name) { sha } else { sha[..40].into() }
}

fn is_large(name: &str) -> bool {
    [".safetensors", ".bin", ".gguf"].iter().any(|ending| name.ends_with(ending))
}

fn respond(mut stream: TcpStream, model: &Mutex<ServedModel>, storage: &str) -> std::io::Result<()> {
    let request = read_request(&stream);
    let mut model = model.lock().unwrap();
    model.requests.push((request.method.clone(), request.path.clone(), request.token.is_some()));
    let end = |stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]| {
        let length = if headers.contains("content-length") {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{length}{headers}\r\n");
        stream.write_all(head.as_bytes())?;
        if request.method == "HEAD" { Ok(()) } else { stream.write_all(body) }
    };
    let (path, method) = (request.path.clone(), request.method.clone());
    if let Some(name) = path.strip_prefix("/storage/") {
        let data = model.files[name].clone();
        let start = if model.ignores_ranges { 0 } else { request.start };
        let cut = if model.cut_after.is_empty() { data.len() } else { model.cut_after.remove(0) };
        if start >= data.len() {
            return end(&mut stream, "416 Range Not Satisfiable", "", b"");
        }
        let length = format!("content-length: {}\r\n", data.len() - start);
        let range = format!("{length}content-range: bytes {start}-{}/{}\r\n", data.len() - 1, data.len());
        let (status, headers) = if start > 0 { ("206 Partial Content", range) } else { ("200 OK", length) };
        return end(&mut stream, status, &headers, &data[start..cut.max(start)]);
    }
    if path.contains("old/name") {
        let location = format!("location: {}\r\n", path.replacen("old/name", "owner/model", 1));
        return end(&mut stream, "307 Temporary Redirect", &location, b"");
    }
    if model.token.is_some() && model.token != request.token {
        return end(&mut stream, "401 Unauthorized", "", b"");
    }
    if path == "/api/models/owner/model/revision/main" {
        let names = model.listed_files.clone().unwrap_or_else(|| model.files.keys().cloned().collect());
        let files: Vec<_> = names.iter().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let list = serde_json::json!({ "sha": COMMIT, "siblings": files }).to_string();
        return end(&mut stream, "200 OK", "", list.as_bytes());
    }
    let name = path.strip_prefix(&format!("/owner/model/resolve/{COMMIT}/")).unwrap_or_default();
    let Some(data) = model.files.get(name) else { return end(&mut stream, "404 Not Found", "", b"") };
    let etag = model.etag.clone().unwrap_or_else(|| etag(name, data));
    let says = format!("x-repo-commit: {COMMIT}\r\n");
    if is_large(name) {
        let size = data.len();
        let says = format!(
            "{says}x-linked-etag: \"{etag}\"\r\nx-linked-size: {size}\r\nlocation: {storage}/storage/{name}\r\n"
        );
        return end(&mut stream, "302 Found", &says, b"");
    }
    let body: &[u8] = if method == "HEAD" { b"" } else { data };
    let says = format!("{says}etag: W/\"{etag}\"\r\ncontent-length: {}\r\n", data.len());
    end(&mut stream, "200 OK", &says, body)
}
