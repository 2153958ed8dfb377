//! The files that are served: those of a folder, or those that are embedded in the program.

use super::CliError;
use axum::body::Bytes;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Names and contents of files in the program.
type EmbeddedFiles = &'static [(&'static str, &'static [u8])];

/// The files that are embedded in this build.
#[cfg(feature = "web-pages")]
const EMBEDDED: EmbeddedFiles = include!(concat!(env!("OUT_DIR"), "/web_pages.rs"));

/// Without the feature `web-pages`, no files are embedded.
#[cfg(not(feature = "web-pages"))]
const EMBEDDED: EmbeddedFiles = &[];

/// The file of the path `/`.
pub const INDEX_FILE: &str = "index.html";

/// Where the files are.
pub enum Pages {
    /// In a folder, whose path is absolute and has no symbolic links.
    Folder(PathBuf),
    /// In the program.
    Embedded(EmbeddedFiles),
}

impl Pages {
    /// The pages of a folder, or else the embedded ones.
    ///
    /// # Errors
    /// If the folder has no `index.html`, or this build has no pages and no folder is given.
    pub fn open(folder: Option<&Path>) -> Result<Self, CliError> {
        match folder {
            Some(path) => {
                let folder = path.canonicalize().ok().filter(|folder| folder.join(INDEX_FILE).is_file());
                folder.map(Self::Folder).ok_or_else(|| no_pages(path))
            }
            None if EMBEDDED.is_empty() => Err(CliError::usage("this build of Kiln has no web pages").with_help(
                "build them with tools/build-web.sh DIR and give their folder: kiln web DIR; or embed them: \
                 KILN_WEB_DIR=DIR cargo build --release --features web-pages",
            )),
            None => Ok(Self::Embedded(EMBEDDED)),
        }
    }

    /// Contents of the file of a relative name; `None` if there is none below the folder of the pages.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(&self, name: &str) -> io::Result<Option<Bytes>> {
        let folder = match self {
            Self::Folder(folder) => folder,
            Self::Embedded(files) => {
                let file = files.iter().find(|(known, _)| *known == name);
                return Ok(file.map(|(_, bytes)| Bytes::from_static(bytes)));
            }
        };
        // Resolves symbolic links, so that one which leads out of the folder is seen.
        let path = folder.join(name).canonicalize().ok();
        match path.filter(|path| path.starts_with(folder) && path.is_file()) {
            Some(path) => fs::read(path).map(|bytes| Some(bytes.into())),
            None => Ok(None),
        }
    }
}

/// The error of a folder without pages.
fn no_pages(path: &Path) -> CliError {
    let found = if path.is_dir() { "a folder without one" } else { "no folder" };
    CliError::failed("no-pages", format!("expected a folder with {INDEX_FILE}, found {found}"))
        .with_location(path.display().to_string())
        .with_help("build the pages with tools/build-web.sh DIR, and give that folder")
}
