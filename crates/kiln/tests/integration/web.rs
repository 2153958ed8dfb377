//! `kiln web`: what the server answers, and how it ends.

use crate::common::{kiln_command, run_kiln};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A folder of pages beside a file that is not to be served.
fn pages() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    for folder in ["pages/wasm/cpu", "pages/.hidden", "empty"] {
        fs::create_dir_all(home.path().join(folder)).unwrap();
    }
    for (name, text) in [
        ("secret.txt", "secret"),
        ("pages/index.html", "<p>Kiln"),
        ("pages/wasm/cpu/kiln.wasm", "\0asm"),
        ("pages/worker.js", "1"),
        ("pages/a b.css", "p {}"),
        ("pages/data.bin", "x"),
        ("pages/.hidden/key", "secret"),
    ] {
        fs::write(home.path().join(name), text).unwrap();
    }
    home
}

/// A server, stopped when it is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(home: &TempDir) -> Server {
    start_in(home, "pages")
}

fn start_in(home: &TempDir, folder: &str) -> Server {
    let mut command = kiln_command(home.path(), &["web", folder, "--port", "0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address =
        line.trim().strip_prefix("http://").and_then(|url| url.strip_suffix('/')).unwrap_or_else(|| panic!("{line}"));
    Server { child, address: address.parse().unwrap() }
}

/// The response to a request: status, headers in lower case, body.
fn request(server: &Server, method: &str, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(server.address).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

#[test]
fn pages_have_their_types_and_are_asked_for_again() {
    let home = pages();
    let server = start(&home);
    assert!(server.address.ip().is_loopback());
    for (path, content_type, text) in [
        ("/", "text/html; charset=utf-8", "<p>Kiln"),
        ("/index.html", "text/html; charset=utf-8", "<p>Kiln"),
        ("/?run=1", "text/html; charset=utf-8", "<p>Kiln"),
        ("/wasm/cpu/kiln.wasm", "application/wasm", "\0asm"),
        ("/worker.js", "text/javascript; charset=utf-8", "1"),
        ("/a%20b.css", "text/css; charset=utf-8", "p {}"),
        ("/data.bin", "application/octet-stream", "x"),
    ] {
        let (status, head, body) = request(&server, "GET", path);
        assert_eq!((status, body.as_str()), (200, text), "{path}");
        for header in [
            format!("content-type: {content_type}"),
            "cache-control: no-cache".into(),
            "x-content-type-options: nosniff".into(),
        ] {
            assert!(head.lines().any(|line| line == header), "{path}: {header} in {head}");
        }
        let (status, head_of_head, body) = request(&server, "HEAD", path);
        assert_eq!((status, body.as_str()), (200, ""), "{path}");
        assert!(head_of_head.contains(&format!("content-length: {}", text.len())), "{path}: {head_of_head}");
    }
}

#[test]
fn nothing_else_is_served() {
    let home = pages();
    let server = start(&home);
    for path in [
        "/gone",
        "/wasm",
        "/wasm/cpu/",
        "/../secret.txt",
        "/wasm/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/wasm/%2e%2e/%2e%2e/secret.txt",
        "/..%5csecret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/.hidden/key",
        "/index.html/",
        "/%ff",
        "/%00",
    ] {
        let (status, head, body) = request(&server, "GET", path);
        assert!(status == 404 && !body.contains("secret") && !body.contains("root:"), "{path}: {head} {body}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let (status, head, _) = request(&server, method, "/");
        assert!(status == 405 && head.contains("allow: get,head"), "{method}: {head}");
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed_within_the_folder_only() {
    use std::os::unix::fs::symlink;
    let home = pages();
    let folder = home.path().join("pages");
    symlink("worker.js", folder.join("inside.js")).unwrap();
    symlink("../secret.txt", folder.join("outside.txt")).unwrap();
    symlink(home.path(), folder.join("up")).unwrap();
    // The folder itself may be a link.
    symlink(&folder, home.path().join("link")).unwrap();
    for name in ["pages", "link"] {
        let server = start_in(&home, name);
        assert_eq!(request(&server, "GET", "/inside.js").0, 200);
        for path in ["/outside.txt", "/up/secret.txt", "/up/pages/worker.js/../../secret.txt"] {
            let (status, _, body) = request(&server, "GET", path);
            assert!(status == 404 && !body.contains("secret"), "{path}: {body}");
        }
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_server_with_success() {
    let home = pages();
    let mut server = start(&home);
    // An open connection does not hold it up.
    let _open = TcpStream::connect(server.address).unwrap();
    let status = Command::new("kill").args(["-s", "INT", &server.child.id().to_string()]).status().unwrap();
    assert!(status.success());
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_served_is_refused_with_what_to_do() {
    let home = pages();
    let here = home.path();
    for (args, exit_code, words) in [
        (&["web", "gone"][..], 1, "found no folder"),
        (&["web", "empty"], 1, "a folder without one"),
        (&["web", "empty"], 1, "tools/build-web.sh"),
        (&["web", "pages", "--port", "70000"], 2, "--port"),
        (&["web", "pages", "--address", "here"], 2, "--address"),
    ] {
        let done = run_kiln(here, args);
        assert!(done.exit_code == Some(exit_code) && done.stderr.contains(words), "{args:?}: {done:?}");
    }
    #[cfg(not(feature = "web-pages"))]
    {
        let done = run_kiln(here, &["web"]);
        assert!(done.exit_code == Some(2) && done.stderr.contains("web-pages"), "{done:?}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let done = run_kiln(here, &["web", "pages", "--port", &port, "--json"]);
    let error = &done.json_output()["error"];
    assert!(error["kind"] == "listen" && error["help"].as_str().unwrap().contains("--port"), "{done:?}");
}
