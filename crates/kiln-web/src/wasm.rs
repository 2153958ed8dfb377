//! The session for JavaScript. `web/worker.js` is its only caller.

use crate::{Answer, Array, Call, Host, Session, SessionError};
use burn::tensor::Device;
use js_sys::{Float32Array, Promise, Uint8Array};
use kiln_train::{
    run::Runtime,
    storage::{Change, Storage},
};
use serde_json::{Value, json};
use std::{panic, path::Path, pin::Pin, time::Duration};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    /// The worker: clock, event loop and receiver of events.
    pub type Worker;
    #[wasm_bindgen(method)]
    fn emit(this: &Worker, event: &str);
    #[wasm_bindgen(method, js_name = yieldNow)]
    fn yield_now(this: &Worker) -> Promise;
    /// Milliseconds since the start of the worker.
    #[wasm_bindgen(method)]
    fn now(this: &Worker) -> f64;
    /// Seconds since 1970.
    #[wasm_bindgen(method, js_name = unixTime)]
    fn unix_time(this: &Worker) -> f64;

    /// Called once, before a panic ends the module.
    #[wasm_bindgen(js_namespace = globalThis, js_name = reportPanic)]
    fn report_panic(message: &str);
}

impl Runtime for Worker {
    fn now(&self) -> Duration {
        Duration::try_from_secs_f64(self.now() / 1e3).unwrap_or_default()
    }

    fn unix_time(&self) -> f64 {
        self.unix_time()
    }

    fn yield_now(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async {
            // The promise of the worker has no way to fail.
            let _ = JsFuture::from(self.yield_now()).await;
        })
    }
}

impl Host for Worker {
    fn emit(&self, event: Value) {
        self.emit(&event.to_string());
    }
}

/// A session for JavaScript.
#[wasm_bindgen(js_name = Session)]
pub struct JsSession(Session);

/// Opens a session on a device, `cpu` or `webgpu`, with the files of an earlier one: pairs of path and `Uint8Array`.
///
/// # Errors
/// Why the device cannot be used, as a sentence.
#[wasm_bindgen(js_name = openSession)]
pub async fn open_session(device: String, worker: Worker, files: js_sys::Array) -> Result<JsSession, JsValue> {
    panic::set_hook(Box::new(|info| report_panic(&info.to_string())));
    let device = open_device(&device).await.map_err(JsValue::from)?;
    let files = files.iter().filter_map(|file| {
        let file: js_sys::Array = file.dyn_into().ok()?;
        Some((file.get(0).as_string()?, Uint8Array::new(&file.get(1)).to_vec()))
    });
    Ok(JsSession(Session::with_files(device, worker, files)))
}

/// Facts about the module as JSON: `{"version","simd","webgpu"}`.
#[wasm_bindgen]
pub fn description() -> String {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "simd": cfg!(target_feature = "simd128"),
        "webgpu": cfg!(feature = "wgpu"),
    })
    .to_string()
}

#[wasm_bindgen(js_class = Session)]
impl JsSession {
    /// Answers a call: `message` is the JSON of `{id, call, …}`, `files` are pairs of name and `Uint8Array`. The result is a pair:
    /// the JSON of `{ok}` or `{error}`, and the arrays of the answer as pairs of JSON pointer and array.
    pub async fn call(&self, message: String, files: js_sys::Array) -> js_sys::Array {
        let answer = match read_call(&message, &files) {
            Ok(call) => self.0.call(call).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(Answer { value, arrays }) => pair(json!({ "ok": value }), arrays),
            Err(error) => pair(json!({ "error": error.to_json() }), Vec::new()),
        }
    }

    /// The files that changed since the last call: pairs of path and `Uint8Array`, or `null` for a file that is gone.
    #[wasm_bindgen(js_name = takeChanges)]
    pub fn take_changes(&self) -> js_sys::Array {
        let changes = self.0.take_changes().into_iter().map(|change| match change {
            Change::Written(path, bytes) => entry(&path, Uint8Array::from(bytes.as_slice()).into()),
            Change::Removed(path) => entry(&path, JsValue::NULL),
        });
        changes.collect()
    }

    /// Contents of a file as `Uint8Array`; `null` if there is none.
    pub fn read(&self, path: &str) -> JsValue {
        self.0.storage().read(Path::new(path)).map_or(JsValue::NULL, |bytes| Uint8Array::from(bytes.as_slice()).into())
    }
}

/// Opens a device.
async fn open_device(name: &str) -> Result<Device, String> {
    match name {
        #[cfg(feature = "wgpu")]
        "webgpu" => {
            let device = Device::wgpu_options().init_async().await;
            device.map_err(|error| format!("WebGPU could not be started: {error}"))
        }
        #[cfg(not(feature = "wgpu"))]
        "webgpu" => Err("this build of the page has no WebGPU".into()),
        _ => Ok(Device::flex()),
    }
}

/// The call in a message.
fn read_call(message: &str, files: &js_sys::Array) -> Result<Call, SessionError> {
    let invalid = |error: serde_json::Error| SessionError::usage(format!("the message is not valid JSON: {error}"));
    let arguments: Value = serde_json::from_str(message).map_err(invalid)?;
    let files = files.iter().filter_map(|file| {
        let file: js_sys::Array = file.dyn_into().ok()?;
        Some((file.get(0).as_string()?, Uint8Array::new(&file.get(1)).to_vec()))
    });
    Ok(Call {
        id: arguments["id"].as_u64().unwrap_or_default(),
        name: arguments["call"].as_str().unwrap_or_default().to_owned(),
        files: files.collect(),
        arguments,
    })
}

/// A JSON value, and arrays with their pointers.
fn pair(value: Value, arrays: Vec<(String, Array)>) -> js_sys::Array {
    let arrays = arrays.into_iter().map(|(pointer, array)| {
        let array: JsValue = match array {
            Array::File(bytes) => Uint8Array::from(bytes.as_slice()).buffer().into(),
            Array::Bytes(bytes) => Uint8Array::from(bytes.as_slice()).into(),
            Array::Floats(values) => Float32Array::from(values.as_slice()).into(),
        };
        js_sys::Array::of2(&pointer.into(), &array)
    });
    js_sys::Array::of2(&value.to_string().into(), &arrays.collect::<js_sys::Array>())
}

/// A file: its path and contents.
fn entry(path: &Path, bytes: JsValue) -> JsValue {
    js_sys::Array::of2(&path.to_string_lossy().as_ref().into(), &bytes).into()
}
