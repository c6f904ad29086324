//! Requests that one server had taken when it died, and that the next one gets once more.
//!
//! The wire format is that of `linux/fuse.h`: a request begins with its length, operation and
//! number, an answer with its length, error and the request's number; an answer with the number 0
//! is a notification, whose error is its code.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use crate::sys::watch::{Watch, wait};

/// `FUSE_NOTIFY_RESEND`.
const NOTIFY_RESEND: i32 = 7;

/// The bit of a request's number that says that it was sent before (`FUSE_UNIQUE_RESEND`).
const RESENT_BIT: u64 = 1 << 63;

const EIO: i32 = 5;

/// Bytes of an answer without contents, which is also how every answer begins.
const ANSWER_BYTES: u32 = 16;

/// A read must have room for the largest request: a WRITE of 16 MB, which no server asks for.
const REQUEST_BYTES_MAX: usize = (16 << 20) + 4096;

/// Makes the kernel send again what was taken and not answered. A kernel that does not know this
/// message answers with an error, and there is nothing to be done about it.
pub(super) fn send_again(device: &mut File) {
    let _ = device.write(&answer(0, NOTIFY_RESEND));
}

/// Makes the kernel send again what was taken and not answered, and fails all of it with EIO.
///
/// # Errors
/// When the device fails.
pub(super) fn fail_all(device: &mut File) -> io::Result<()> {
    send_again(device);
    let mut request = vec![0; REQUEST_BYTES_MAX];
    // They come before all others.
    while wait(&[Watch::Readable(device.as_fd())], Some(Duration::ZERO))? == [true] {
        let length = device.read(&mut request)?;
        let Some(number) = number(&request[..length]) else {
            return Ok(());
        };
        if number & RESENT_BIT == 0 {
            // It comes again, for the server that is about to begin.
            return Ok(());
        }
        // One that was interrupted in the meantime is not there any more.
        let _ = device.write(&answer(number, -EIO));
    }
    Ok(())
}

fn number(request: &[u8]) -> Option<u64> {
    let bytes = request.get(8..16)?;
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}

fn answer(number: u64, error: i32) -> [u8; ANSWER_BYTES as usize] {
    let mut bytes = [0; ANSWER_BYTES as usize];
    bytes[..4].copy_from_slice(&ANSWER_BYTES.to_ne_bytes());
    bytes[4..8].copy_from_slice(&error.to_ne_bytes());
    bytes[8..].copy_from_slice(&number.to_ne_bytes());
    bytes
}
