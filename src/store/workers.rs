//! The threads that unpacking, hashing and laying out are shared among.

use std::error::Error;
use std::io;
use std::sync::OnceLock;

/// Starts the threads of rayon's pool, where they do not run yet.
///
/// # Errors
/// The system gives no threads. Nothing may be shared out then.
pub fn start_workers() -> io::Result<()> {
    static STARTED: OnceLock<Result<(), io::ErrorKind>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        let built = rayon::ThreadPoolBuilder::new().build_global();
        match built.as_ref().err().and_then(Error::source) {
            // Without a cause, they run already.
            None => Ok(()),
            Some(cause) => Err(cause
                .downcast_ref::<io::Error>()
                .map_or(io::ErrorKind::Other, io::Error::kind)),
        }
    });
    started.map_err(Into::into)
}
