//! With the feature `web-pages`: writes the list of the files in the folder `KILN_WEB_DIR`, which the command embeds.

use std::{
    env,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

/// Environment variable with the folder of the pages.
const VARIABLE: &str = "KILN_WEB_DIR";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_WEB_PAGES").is_none() {
        return;
    }
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("web_pages.rs");
    let list = env::var_os(VARIABLE).ok_or_else(unset).and_then(|folder| list_files(Path::new(&folder)));
    match list {
        Ok(list) => fs::write(out, list).expect("the output folder of Cargo can be written"),
        Err(error) => println!("cargo::error={error}"),
    }
}

fn unset() -> String {
    format!(
        "the feature `web-pages` embeds the pages in the folder {VARIABLE}, which is not set: {VARIABLE}=DIR cargo build …"
    )
}

/// A Rust expression: the names of all files below a folder, with `/`, and their contents.
fn list_files(folder: &Path) -> Result<String, String> {
    if !folder.is_absolute() {
        return Err(format!("{VARIABLE}={}: expected an absolute path", folder.display()));
    }
    let fail = |error: io::Error| format!("{VARIABLE}={}: {error}", folder.display());
    let folder = folder.canonicalize().map_err(fail)?;
    if !folder.join("index.html").is_file() {
        return Err(format!("{VARIABLE}={}: expected a folder with an index.html", folder.display()));
    }
    let mut names = Vec::new();
    collect_files(&folder, "", &mut names).map_err(fail)?;
    names.sort();
    let mut list = String::from("&[\n");
    for name in names {
        let path = folder.join(&name);
        let _ = writeln!(list, "    ({name:?}, include_bytes!({:?})),", path.display().to_string());
    }
    Ok(list + "]\n")
}

/// Adds the names of the files in a folder, relative to the first one.
fn collect_files(root: &Path, folder: &str, names: &mut Vec<String>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", root.join(folder).display());
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        match entry.path().is_dir() {
            true => collect_files(root, &name, names)?,
            false => names.push(name),
        }
    }
    Ok(())
}
