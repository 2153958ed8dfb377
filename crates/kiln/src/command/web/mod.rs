//! `kiln web`: a server of Kiln's web pages on this machine.
//!
//! ```console
//! tools/build-web.sh target/web
//! kiln web target/web
//! ```
//!
//! The pages are static files: they train and run models in the browser, and ask the server for nothing else. The server
//! answers `GET` and `HEAD` until Ctrl-C, which ends it with exit code 0.
//!
//! The address of the pages is printed as soon as they are served. JSON: `{"url"}`.

mod content_type;
mod pages;
mod response;

use super::{
    error::CliError,
    interrupt,
    output::{CommandOutput, print_result},
};
use axum::{extract::State, http::Uri, response::Response, routing::get};
use pages::Pages;
use serde_json::json;
use std::{
    future::IntoFuture,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Arguments of `kiln web`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the pages, made by tools/build-web.sh (default: the pages in this build of Kiln, if it has them).
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Address to listen on. Other machines can connect to an address of the network only, such as 0.0.0.0.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
    /// Port to listen on. 0: any free port.
    #[arg(long, value_name = "N", default_value_t = 8642)]
    port: u16,
}

/// Time between two looks at the stop flag.
const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// Serves the pages until Ctrl-C. With `json` the address is printed as an object.
pub fn run(args: &Args, json: bool) -> Result<CommandOutput, CliError> {
    let pages = Pages::open(args.folder.as_deref())?;
    let wanted = SocketAddr::new(args.address, args.port);
    let fail = |error: io::Error| listen_error(wanted, &error);
    let listener = TcpListener::bind(wanted).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    let url = format!("http://{}/", listener.local_addr().map_err(fail)?);
    let stop = interrupt::listen_for_reading()?;
    let result = json!({ "url": url });
    print_result(&if json { result.to_string() } else { url })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
    runtime.block_on(serve(listener, pages, stop)).map_err(fail)?;
    Ok(CommandOutput::new(result, ""))
}

/// Answers requests until `stop` is set. Responses that are being sent then are cut off.
async fn serve(listener: TcpListener, pages: Pages, stop: &AtomicBool) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let server = axum::serve(listener, get(answer).with_state(Arc::new(pages)));
    tokio::spawn(server.into_future());
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(STOP_INTERVAL).await;
    }
    Ok(())
}

/// The response to a request.
async fn answer(State(pages): State<Arc<Pages>>, uri: Uri) -> Response {
    response::respond(&pages, uri.path())
}

/// The error of an address that cannot be listened on.
fn listen_error(address: SocketAddr, error: &io::Error) -> CliError {
    let reason = format!("cannot listen on {address}: {error}");
    CliError::failed("listen", reason).with_help("choose another --port (0: any free one) or --address")
}
