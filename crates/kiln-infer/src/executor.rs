//! Minimal executor for native programs.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

/// Runs a future to completion on the current thread and returns its result.
///
/// Polls in a loop and yields the thread between polls: the futures of this crate only wait for the device. In a browser,
/// where blocking is impossible, await them instead.
///
/// ```
/// assert_eq!(kiln_infer::block_on(async { 1 + 1 }), 2);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::yield_now();
    }
}
