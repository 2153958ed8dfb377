//! Requests to the hub.

use super::{Hub, HubError, ModelId, id};
use serde_json::Value;
use std::time::Duration;
use ureq::{Agent, Body, http::Response};

/// How often an answer may say to ask elsewhere.
const MAX_REDIRECTS: usize = 5;

/// How long a server may take to be reached, to begin to answer, and to send more.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long a list of files may be, in bytes.
const MAX_LIST_BYTES: u64 = 64 << 20;

/// Asks the hub.
pub(super) struct Client<'h> {
    hub: &'h Hub,
    agent: Agent,
}

/// A model's files at a commit.
pub(super) struct RepoFiles {
    pub commit: String,
    pub files: Vec<String>,
}

/// What the hub says of a file before it sends it.
pub(super) struct FileMetadata {
    /// Its name among blobs: the hash of what it holds.
    pub etag: String,
    pub size: Option<u64>,
}

impl<'h> Client<'h> {
    pub fn new(hub: &'h Hub) -> Self {
        let config = Agent::config_builder().max_redirects(0).http_status_as_error(false);
        let config =
            config.timeout_connect(Some(TIMEOUT)).timeout_recv_response(Some(TIMEOUT)).timeout_per_read(Some(TIMEOUT));
        let agent = config.user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION"))).build().into();
        Self { hub, agent }
    }

    /// The files of a model.
    pub fn list_files(&self, id: &ModelId, revision: &str) -> Result<RepoFiles, HubError> {
        let (endpoint, model) = (&self.hub.endpoint, &id.repo);
        let url = format!("{endpoint}/api/models/{model}/revision/{}", revision.replace('/', "%2F"));
        let mut answer = self.follow_redirects("GET", &url, 0, |address| self.is_hub_url(address))?;
        check_status(&answer, &url, id, revision, "model")?;
        let wrong = |reason: &str| HubError::BadResponse { url: url.clone(), reason: reason.into() };
        let text = answer
            .body_mut()
            .with_config()
            .limit(MAX_LIST_BYTES)
            .read_to_vec()
            .map_err(|error| wrong(&error.to_string()))?;
        let list: Value = serde_json::from_slice(&text).map_err(|_| wrong("something else than JSON"))?;
        let commit = list["sha"]
            .as_str()
            .filter(|sha| id::is_commit_hash(sha))
            .ok_or_else(|| wrong("without a commit `sha`"))?;
        let files = list["siblings"].as_array().ok_or_else(|| wrong("without a list `siblings`"))?;
        let name = |file: &Value| file["rfilename"].as_str().map(str::to_string);
        let files: Vec<String> = files.iter().filter_map(name).collect();
        match files.iter().find(|file| !id::is_safe_path(file)) {
            Some(name) => Err(HubError::UnsafePath { id: id.repo.clone(), name: name.clone() }),
            None => Ok(RepoFiles { commit: commit.into(), files }),
        }
    }

    /// The address of a file.
    pub fn file_url(&self, id: &ModelId, commit: &str, file: &str) -> String {
        let escapes = [("%", "%25"), (" ", "%20"), ("?", "%3F"), ("#", "%23")];
        let file = escapes.iter().fold(file.to_string(), |file, (from, to)| file.replace(from, to));
        format!("{}/{}/resolve/{commit}/{file}", self.hub.endpoint, id.repo)
    }

    /// What the hub says of a file. The hub itself says it, not the server of large files that it refers to.
    pub fn file_metadata(&self, id: &ModelId, commit: &str, file: &str) -> Result<FileMetadata, HubError> {
        let url = self.file_url(id, commit, file);
        let answer = self.follow_redirects("HEAD", &url, 0, |address| self.is_hub_url(address))?;
        if !answer.status().is_redirection() {
            check_status(&answer, &url, id, commit, file)?;
        }
        let wrong = |reason: &str| HubError::BadResponse { url: url.clone(), reason: reason.into() };
        let etag = header(&answer, "x-linked-etag").or_else(|| header(&answer, "etag"));
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_string());
        let plain = |etag: &String| {
            (1..=128).contains(&etag.len()) && etag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let etag = etag.filter(plain).ok_or_else(|| wrong("without an ETag of letters and digits"))?;
        let own = (!answer.status().is_redirection()).then(|| header(&answer, "content-length")).flatten();
        let size = header(&answer, "x-linked-size").or(own).and_then(|size| size.parse().ok());
        Ok(FileMetadata { etag, size })
    }

    /// A file from a byte on.
    pub fn download(&self, id: &ModelId, commit: &str, file: &str, start: u64) -> Result<Response<Body>, HubError> {
        let url = self.file_url(id, commit, file);
        let answer = self.follow_redirects("GET", &url, start, |_| true)?;
        if answer.status().as_u16() != 416 || start == 0 {
            check_status(&answer, &url, id, commit, file)?;
        }
        Ok(answer)
    }

    /// Asks, and asks where the answer says, as long as `goes` there.
    fn follow_redirects(
        &self,
        method: &str,
        url: &str,
        start: u64,
        goes: impl Fn(&str) -> bool,
    ) -> Result<Response<Body>, HubError> {
        let mut address = url.to_string();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.send(method, &address, start)?;
            let Some(next) = header(&answer, "location").filter(|_| answer.status().is_redirection()) else {
                return Ok(answer);
            };
            let next = if next.starts_with('/') { format!("{}{next}", origin(&address)) } else { next };
            if !goes(&next) {
                return Ok(answer);
            }
            address = next;
        }
        Err(HubError::BadResponse { url: url.into(), reason: format!("more than {MAX_REDIRECTS} redirections") })
    }

    fn is_hub_url(&self, address: &str) -> bool {
        origin(address) == origin(&self.hub.endpoint)
    }

    fn send(&self, method: &str, url: &str, start: u64) -> Result<Response<Body>, HubError> {
        let request = if method == "HEAD" { self.agent.head(url) } else { self.agent.get(url) };
        let mut request = request.header("accept-encoding", "identity");
        if let Some(token) = self.hub.token.as_ref().filter(|_| self.is_hub_url(url)) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if start > 0 {
            request = request.header("range", format!("bytes={start}-"));
        }
        request.call().map_err(|error| HubError::Unreachable { url: url.into(), reason: error.to_string() })
    }
}

/// `https://host:port` of an address.
fn origin(address: &str) -> &str {
    let host = address.find("://").map_or(0, |at| at + 3);
    &address[..address[host..].find('/').map_or(address.len(), |at| host + at)]
}

pub(super) fn header(answer: &Response<Body>, name: &str) -> Option<String> {
    Some(answer.headers().get(name)?.to_str().ok()?.to_string())
}

fn check_status(answer: &Response<Body>, url: &str, id: &ModelId, revision: &str, what: &str) -> Result<(), HubError> {
    let id = id.repo.clone();
    match answer.status().as_u16() {
        200..300 => Ok(()),
        status @ (401 | 403) => Err(HubError::Unauthorized { id, status }),
        404 => Err(HubError::NotFound { id, revision: revision.into(), requested: what.into(), status: Some(404) }),
        status @ (429 | 500..) => Err(HubError::Unreachable { url: url.into(), reason: format!("status {status}") }),
        status => Err(HubError::BadResponse { url: url.into(), reason: format!("status {status}; try again later") }),
    }
}
