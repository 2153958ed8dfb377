//! From the path of a request to a response.

use super::{
    content_type::{TEXT, content_type},
    pages::{INDEX_FILE, Pages},
};
use axum::{
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    },
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;

/// The response to a request for a path, such as `/wasm/cpu/kiln.js`. Browsers ask again before they use what they have, so that
/// rebuilt pages are shown.
pub fn respond(pages: &Pages, path: &str) -> Response {
    let name = file_name(path);
    let (status, content_type, body) = match name.as_deref().map_or(Ok(None), |name| pages.read(name)) {
        Ok(Some(bytes)) => (StatusCode::OK, content_type(name.as_deref().unwrap_or_default()), bytes),
        Ok(None) => (StatusCode::NOT_FOUND, TEXT, "no such page\n".into()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n").into()),
    };
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, body).into_response()
}

/// The name of a file below the folder of the pages, by the path of a request; `None` for a path that could lead out of it, or to
/// a hidden file.
fn file_name(path: &str) -> Option<String> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    let name = decoded.strip_prefix('/')?;
    let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(is_refused);
    match name {
        "" => Some(INDEX_FILE.into()),
        name => name.split('/').all(is_plain).then(|| name.to_owned()),
    }
}

/// Characters that separate or qualify paths on some system.
fn is_refused(character: char) -> bool {
    matches!(character, '\\' | ':') || character.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[(&str, &[u8])] = &[("index.html", b"<p>"), ("a/b.wasm", b"\0asm"), ("a b.js", b"1")];

    fn status(path: &str) -> u16 {
        respond(&Pages::Embedded(FILES), path).status().as_u16()
    }

    #[test]
    fn embedded_files_are_found_by_name() {
        for path in ["/", "/index.html", "/a/b.wasm", "/%61/b%2Ewasm", "/a%20b.js"] {
            assert_eq!(status(path), 200, "{path}");
        }
        for path in ["/a", "/a/", "/x", "/a/b.wasm/", "/a/b", "", "*", "index.html"] {
            assert_eq!(status(path), 404, "{path}");
        }
    }

    #[test]
    fn paths_that_lead_out_have_no_name() {
        let parents = ["/../x", "/a/../index.html", "/%2e%2e/x", "/a/%2e%2e%2findex.html", "/./a", "/.git", "/a/.b"];
        let absolute = ["//etc/passwd", "/%2fetc/passwd", "/a\\b", "/c:/x", "/a%5cb"];
        let no_text = ["/a%00", "/a%0a", "/%ff"];
        for path in parents.into_iter().chain(absolute).chain(no_text) {
            assert_eq!(file_name(path), None, "{path}");
            assert_eq!(status(path), 404, "{path}");
        }
    }
}
