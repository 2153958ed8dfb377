//! Requests to the hub's HTTP API.
//!
//! | request | response |
//! |---|---|
//! | `GET /api/models/OWNER/NAME/revision/REVISION` | JSON: the commit (`sha`), the files (`siblings`) |
//! | `HEAD /OWNER/NAME/resolve/COMMIT/FILE` | hash and size, as headers |
//! | `GET /OWNER/NAME/resolve/COMMIT/FILE` | the file; large ones by a redirection to another server |

use super::{Hub, HubError, ModelId, id};
use serde_json::Value;
use std::time::Duration;
use ureq::{Agent, Body, http::Response};

/// Maximum number of redirections of a request.
const MAX_REDIRECTS: usize = 5;

/// Time limit for connecting, for the beginning of a response, and for each read.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum size of a model's list of files in bytes: 64 MiB.
const MAX_LIST_BYTES: u64 = 64 << 20;

/// Characters of file names that are escaped in addresses. `%` comes first.
const URL_ESCAPES: [(&str, &str); 4] = [("%", "%25"), (" ", "%20"), ("?", "%3F"), ("#", "%23")];

/// A connection to the hub.
pub(super) struct Client<'h> {
    hub: &'h Hub,
    agent: Agent,
}

/// The files of a model at a commit.
pub(super) struct RepoFiles {
    pub commit: String,
    /// Paths below the model's folder, checked to be safe.
    pub files: Vec<String>,
}

/// What the hub says about a file before it sends it.
pub(super) struct FileMetadata {
    /// The hash of the contents, which names the blob.
    pub etag: String,
    /// Size in bytes, if the hub announces it.
    pub size: Option<u64>,
}

impl<'h> Client<'h> {
    /// A client for `hub`, which connects with the first request.
    pub fn new(hub: &'h Hub) -> Self {
        // Redirections are followed here, because the token must not go to other servers.
        let config = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_connect(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .timeout_per_read(Some(TIMEOUT))
            .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")));
        Self { hub, agent: config.build().into() }
    }

    /// Requests the list of a model's files at a revision.
    ///
    /// # Errors
    /// If the hub has no such model or revision, or lists a file name that is not a path below the model's folder.
    pub fn list_files(&self, id: &ModelId, revision: &str) -> Result<RepoFiles, HubError> {
        let revision_path = revision.replace('/', "%2F");
        let url = format!("{}/api/models/{}/revision/{revision_path}", self.hub.endpoint, id.repo);
        let mut response = self.follow_redirects("GET", &url, 0, |target| self.is_hub_url(target))?;
        check_status(&response, &url, id, revision, "model")?;
        let bad_response = |reason: &str| HubError::BadResponse { url: url.clone(), reason: reason.into() };
        let body = response.body_mut().with_config().limit(MAX_LIST_BYTES).read_to_vec();
        let body = body.map_err(|error| bad_response(&error.to_string()))?;
        let list: Value = serde_json::from_slice(&body).map_err(|_| bad_response("expected JSON"))?;
        let commit = list["sha"].as_str().filter(|sha| id::is_commit_hash(sha));
        let commit = commit.ok_or_else(|| bad_response("expected a commit `sha`"))?;
        let siblings = list["siblings"].as_array().ok_or_else(|| bad_response("expected a list `siblings`"))?;
        let names = siblings.iter().filter_map(|file| file["rfilename"].as_str());
        let files: Vec<String> = names.map(str::to_string).collect();
        match files.iter().find(|file| !id::is_safe_path(file)) {
            Some(name) => Err(HubError::UnsafePath { id: id.repo.clone(), name: name.clone() }),
            None => Ok(RepoFiles { commit: commit.into(), files }),
        }
    }

    /// Returns the address of a file at a commit.
    pub fn file_url(&self, id: &ModelId, commit: &str, file: &str) -> String {
        let mut path = file.to_string();
        for (character, escape) in URL_ESCAPES {
            path = path.replace(character, escape);
        }
        format!("{}/{}/resolve/{commit}/{path}", self.hub.endpoint, id.repo)
    }

    /// Requests hash and size of a file. The hub announces them itself, also for large files that another server sends
    /// (`x-linked-etag`, `x-linked-size`).
    pub fn file_metadata(&self, id: &ModelId, commit: &str, file: &str) -> Result<FileMetadata, HubError> {
        let url = self.file_url(id, commit, file);
        let response = self.follow_redirects("HEAD", &url, 0, |target| self.is_hub_url(target))?;
        let is_elsewhere = response.status().is_redirection();
        if !is_elsewhere {
            check_status(&response, &url, id, commit, file)?;
        }
        let etag = header(&response, "x-linked-etag").or_else(|| header(&response, "etag"));
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_string());
        let Some(etag) = etag.filter(|etag| is_plain_etag(etag)) else {
            return Err(HubError::BadResponse { url, reason: "expected an ETag of letters and digits".into() });
        };
        let content_length = if is_elsewhere { None } else { header(&response, "content-length") };
        let size = header(&response, "x-linked-size").or(content_length).and_then(|size| size.parse().ok());
        Ok(FileMetadata { etag, size })
    }

    /// Requests a file from byte `start` on. A status 416 (range not satisfiable) is returned, other errors are not.
    pub fn download(&self, id: &ModelId, commit: &str, file: &str, start: u64) -> Result<Response<Body>, HubError> {
        let url = self.file_url(id, commit, file);
        let response = self.follow_redirects("GET", &url, start, |_| true)?;
        if response.status().as_u16() != 416 || start == 0 {
            check_status(&response, &url, id, commit, file)?;
        }
        Ok(response)
    }

    /// Sends a request, and follows redirections to the targets that `may_follow` accepts. The first other response is
    /// returned.
    fn follow_redirects(
        &self,
        method: &str,
        url: &str,
        start: u64,
        may_follow: impl Fn(&str) -> bool,
    ) -> Result<Response<Body>, HubError> {
        let mut address = url.to_string();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(method, &address, start)?;
            let Some(target) = header(&response, "location").filter(|_| response.status().is_redirection()) else {
                return Ok(response);
            };
            let target = if target.starts_with('/') { format!("{}{target}", origin(&address)) } else { target };
            if !may_follow(&target) {
                return Ok(response);
            }
            address = target;
        }
        Err(HubError::BadResponse { url: url.into(), reason: format!("more than {MAX_REDIRECTS} redirections") })
    }

    /// Whether an address is on the hub's own server.
    fn is_hub_url(&self, address: &str) -> bool {
        origin(address) == origin(&self.hub.endpoint)
    }

    /// Sends one request. The token is sent to the hub only.
    fn send(&self, method: &str, url: &str, start: u64) -> Result<Response<Body>, HubError> {
        let request = if method == "HEAD" { self.agent.head(url) } else { self.agent.get(url) };
        // Compression would change the length of the response.
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

/// Whether an ETag can be the name of a file: 1 to 128 letters, digits and `-`.
fn is_plain_etag(etag: &str) -> bool {
    (1..=128).contains(&etag.len()) && etag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The part `scheme://host:port` of an address.
fn origin(address: &str) -> &str {
    let host_start = address.find("://").map_or(0, |position| position + 3);
    let host_len = address[host_start..].find('/').unwrap_or(address.len() - host_start);
    &address[..host_start + host_len]
}

/// The value of a response's header, if it is text.
pub(super) fn header(response: &Response<Body>, name: &str) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_string())
}

/// Turns a status other than 2xx into an error. `requested` names what the hub was asked for.
fn check_status(
    response: &Response<Body>,
    url: &str,
    id: &ModelId,
    revision: &str,
    requested: &str,
) -> Result<(), HubError> {
    let id = id.repo.clone();
    match response.status().as_u16() {
        200..300 => Ok(()),
        status @ (401 | 403) => Err(HubError::Unauthorized { id, status }),
        404 => {
            let (revision, requested) = (revision.into(), requested.into());
            Err(HubError::NotFound { id, revision, requested, status: Some(404) })
        }
        // Too many requests, or a failing server: the cache may help, and so may waiting.
        status @ (429 | 500..) => Err(HubError::Unreachable { url: url.into(), reason: format!("status {status}") }),
        status => Err(HubError::BadResponse { url: url.into(), reason: format!("status {status}; try again later") }),
    }
}
