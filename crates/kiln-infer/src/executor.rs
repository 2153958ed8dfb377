//! Waiting on a host.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

/// Runs a future to its end and blocks meanwhile. For hosts: in a browser, await it.
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
