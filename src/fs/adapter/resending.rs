//! What is said of a request besides what it asks for.

use fuser::Request;

use crate::fs::attributes::Owner;
use crate::fs::vfs_error::VfsError;

/// Bit of a request's number that says that it is sent again (`FUSE_UNIQUE_RESEND`).
const SENT_AGAIN: u64 = 1 << 63;

/// Whether the kernel sends this for the second time, because the server that took it is gone. It
/// may have been carried out.
pub(super) fn is_again(request: &Request) -> bool {
    request.unique().0 & SENT_AGAIN != 0
}

/// The number of a request, which it keeps when it is sent again.
pub(super) fn number(request: &Request) -> u64 {
    request.unique().0 & !SENT_AGAIN
}

/// What is gone when its removal is asked for again was removed the first time.
pub(super) fn unless_done(
    request: &Request,
    removed: Result<(), VfsError>,
) -> Result<(), VfsError> {
    match removed {
        Err(VfsError::NotFound) if is_again(request) => Ok(()),
        removed => removed,
    }
}

/// Whose what a request makes is.
pub(super) fn asker(request: &Request) -> Owner {
    Owner {
        uid: request.uid(),
        gid: request.gid(),
    }
}
