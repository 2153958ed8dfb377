//! Content types of static pages, by the extension of a file's name.

/// Content type of plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// Extensions and content types.
const CONTENT_TYPES: [(&str, &str); 15] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("wasm", "application/wasm"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("ico", "image/x-icon"),
    ("webp", "image/webp"),
    ("woff2", "font/woff2"),
    ("webmanifest", "application/manifest+json"),
    ("txt", TEXT),
    ("toml", TEXT),
];

/// The content type of a file; bytes if its extension is unknown.
pub fn content_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    let known = CONTENT_TYPES.iter().find(|(known, _)| *known == extension);
    known.map_or("application/octet-stream", |(_, content_type)| content_type)
}
