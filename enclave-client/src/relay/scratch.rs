use std::cell::RefCell;

/// Lends this thread's buffer of [`SCRATCH`] bytes. A loan inside a loan gets one of its own.
pub(crate) fn with_scratch<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    thread_local! {
        static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
    }
    SHARED.with(|shared| match shared.try_borrow_mut() {
        Ok(mut scratch) => work(&mut scratch),
        Err(_) => work(&mut vec![0; SCRATCH]),
    })
}

/// What moves with one read at most: larger gains nothing, since sockets hold little more.
pub(super) const SCRATCH: usize = 256 * 1024;
