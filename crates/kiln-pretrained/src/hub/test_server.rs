//! A local server for tests that answers as the hub does: lists of files, hashes and sizes, redirections of large files to
//! another host, ranges, status codes, and transfers that break off.

use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// The commit of the branch `main`.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The model `owner/model` of a server. Large files (`.safetensors`, `.bin`, `.gguf`) are sent by a second host.
#[derive(Clone, Default)]
pub struct ServedModel {
    /// The model's files by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The names in the list of files, if they differ from those of `files`.
    pub listed_files: Option<Vec<String>>,
    /// The access token that requests must have; `None` for a public model.
    pub token: Option<String>,
    /// Byte positions where transfers of large files break off, one for each transfer.
    pub cut_after: Vec<usize>,
    /// Whether the server of large files sends whole files instead of ranges.
    pub ignores_ranges: bool,
    /// The hash that is announced, if it is not the right one.
    pub etag: Option<String>,
    /// The requests so far: method, path, and whether they had a token.
    pub requests: Vec<(String, String, bool)>,
}

/// A running server. It stops when the program ends.
pub struct TestServer {
    /// The address, for `HF_ENDPOINT`.
    pub url: String,
    /// The served model, and the requests.
    pub model: Arc<Mutex<ServedModel>>,
}

impl TestServer {
    /// Starts a server on a free port.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start(model: ServedModel) -> Self {
        let [hub, storage] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [hub_url, storage_url] =
            [&hub, &storage].map(|listener| format!("http://{}", listener.local_addr().unwrap()));
        let model = Arc::new(Mutex::new(model));
        for listener in [hub, storage] {
            let (model, storage_url) = (model.clone(), storage_url.clone());
            thread::spawn(move || {
                listener.incoming().for_each(|stream| drop(handle(stream.unwrap(), &model, &storage_url)))
            });
        }
        Self { url: hub_url, model }
    }

    /// The requests so far: method, path, and whether they had a token.
    ///
    /// # Panics
    /// If a thread of the server panicked.
    pub fn requests(&self) -> Vec<(String, String, bool)> {
        self.model.lock().unwrap().requests.clone()
    }
}

struct Request {
    method: String,
    path: String,
    /// First byte of the requested range.
    start: usize,
    token: Option<String>,
}

struct Reply {
    status: &'static str,
    /// Header lines, each with its line end. Without a `content-length`, that of the body is added.
    headers: String,
    body: Vec<u8>,
}

impl Reply {
    fn status(status: &'static str) -> Self {
        Self { status, headers: String::new(), body: Vec::new() }
    }

    fn redirect(status: &'static str, location: &str) -> Self {
        Self { headers: format!("location: {location}\r\n"), ..Self::status(status) }
    }

    fn ok(headers: String, body: &[u8]) -> Self {
        Self { status: "200 OK", headers, body: body.to_vec() }
    }
}

fn read_request(stream: &TcpStream) -> Request {
    let mut lines = BufReader::new(stream).lines().map(|line| line.unwrap()).take_while(|line| !line.is_empty());
    let request_line = lines.next().unwrap_or_default();
    let mut words = request_line.split(' ').map(str::to_string);
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    let mut request = Request { method, path, start: 0, token: None };
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

/// The hash that the server announces for a file: the SHA-256 of a large file, 40 digits of it for a small one.
pub fn etag(name: &str, data: &[u8]) -> String {
    let sha: String = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
    if is_large(name) { sha } else { sha[..40].into() }
}

fn is_large(name: &str) -> bool {
    [".safetensors", ".bin", ".gguf"].iter().any(|suffix| name.ends_with(suffix))
}

/// Reads a request, notes it, and sends the reply.
fn handle(mut stream: TcpStream, model: &Mutex<ServedModel>, storage_url: &str) -> io::Result<()> {
    let request = read_request(&stream);
    let mut model = model.lock().unwrap();
    model.requests.push((request.method.clone(), request.path.clone(), request.token.is_some()));
    let Reply { status, headers, body } = match request.path.strip_prefix("/storage/") {
        Some(name) => storage_reply(&request, &mut model, name),
        None => hub_reply(&request, &model, storage_url),
    };
    let length = match headers.contains("content-length") {
        true => String::new(),
        false => format!("content-length: {}\r\n", body.len()),
    };
    stream.write_all(format!("HTTP/1.1 {status}\r\nconnection: close\r\n{length}{headers}\r\n").as_bytes())?;
    if request.method == "HEAD" { Ok(()) } else { stream.write_all(&body) }
}

/// The reply of the host of large files: the requested range, cut short as `cut_after` says.
fn storage_reply(request: &Request, model: &mut ServedModel, name: &str) -> Reply {
    let data = model.files[name].clone();
    let start = if model.ignores_ranges { 0 } else { request.start };
    let end = if model.cut_after.is_empty() { data.len() } else { model.cut_after.remove(0) };
    if start >= data.len() {
        return Reply::status("416 Range Not Satisfiable");
    }
    let length = format!("content-length: {}\r\n", data.len() - start);
    let body = &data[start..end.max(start)];
    if start == 0 {
        return Reply::ok(length, body);
    }
    let headers = format!("{length}content-range: bytes {start}-{}/{}\r\n", data.len() - 1, data.len());
    Reply { status: "206 Partial Content", headers, body: body.to_vec() }
}

/// The reply of the hub itself.
fn hub_reply(request: &Request, model: &ServedModel, storage_url: &str) -> Reply {
    let path = &request.path;
    if path.contains("old/name") {
        return Reply::redirect("307 Temporary Redirect", &path.replacen("old/name", "owner/model", 1));
    }
    if model.token.is_some() && model.token != request.token {
        return Reply::status("401 Unauthorized");
    }
    if path == "/api/models/owner/model/revision/main" {
        let names = model.listed_files.clone().unwrap_or_else(|| model.files.keys().cloned().collect());
        let siblings: Vec<_> = names.iter().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let list = serde_json::json!({ "sha": COMMIT, "siblings": siblings });
        return Reply::ok(String::new(), list.to_string().as_bytes());
    }
    let name = path.strip_prefix(&format!("/owner/model/resolve/{COMMIT}/")).unwrap_or_default();
    let Some(data) = model.files.get(name) else { return Reply::status("404 Not Found") };
    let etag = model.etag.clone().unwrap_or_else(|| etag(name, data));
    let commit = format!("x-repo-commit: {COMMIT}\r\n");
    let size = data.len();
    if is_large(name) {
        let mut reply = Reply::redirect("302 Found", &format!("{storage_url}/storage/{name}"));
        reply.headers += &format!("{commit}x-linked-etag: \"{etag}\"\r\nx-linked-size: {size}\r\n");
        return reply;
    }
    Reply::ok(format!("{commit}etag: W/\"{etag}\"\r\ncontent-length: {size}\r\n"), data)
}
