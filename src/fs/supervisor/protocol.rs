//! What a supervisor and its server say to each other: one JSON value a message, with descriptors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fs::control::ServedMount;
use crate::sys::channel;
use crate::sys::watch::{Watch, wait};

/// Which programs understand each other: a supervisor becomes only a program of the same version.
pub(in crate::fs) const VERSION: u32 = 1;

/// Longest message. The longest that is sent has the kernel's INIT, as numbers, in it.
const MESSAGE_BYTES_MAX: usize = 1 << 16;

/// From a supervisor to its server, in this order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::fs) enum ToServer {
    /// The project layers; their descriptors come along, the present one first.
    Layers {
        /// It is not known whether the kernel was told of everything that changed from the layer
        /// before to the present one.
        unsettled: bool,
        /// Of how many of the last swaps it is not known whether those who watch were told.
        #[serde(default)]
        unannounced: usize,
    },
    /// A tree to serve; the descriptors of the FUSE device, of the directory under the mount and,
    /// where there is some, of memory for its journal come along.
    Tree(TreeMessage),
    /// That was all, serve; the descriptor of the socket to listen on comes along.
    Serve {
        /// What to do with requests that a server before this one had taken.
        resent: Resent,
    },
    /// At any time later: the layer is kept.
    Kept,
    /// At any time later: nothing of the server's own may use the mounts any more.
    KeepOff,
    /// To a supervisor that takes the place of this one: the connection of who asked for that comes
    /// along.
    Asker,
}

/// A tree to serve.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::fs) struct TreeMessage {
    /// What is served where.
    pub(in crate::fs) mount: ServedMount,
    /// What the mount table names as its source.
    pub(in crate::fs) source: String,
    /// The INIT with which the kernel began.
    pub(in crate::fs) init: Vec<u8>,
}

/// What a server does with requests that the kernel sends for the second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::fs) enum Resent {
    /// There are none: no server was before this one.
    Nothing,
    /// Answers them like all others.
    Answered,
    /// Fails them with EIO, because one of them seems to be what makes servers crash.
    Failed,
}

/// From a server to its supervisor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::fs) enum FromServer {
    /// What comes along is closed at the other end as soon as the server is killed.
    Alive,
    /// Layer and store are open, so mounting makes sense.
    Prepared,
    /// The kernel's requests are answered from now on.
    Ready,
    /// It could not begin.
    Failed {
        /// Why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A signal told it to end, so everything shall be unmounted.
    Stop,
    /// Another layer takes the place of the present one; its descriptor comes along. Whoever
    /// serves next shall serve this one. To be answered with [`ToServer::Kept`].
    Layer {
        /// The digest of the layer as it was built.
        digest: String,
    },
    /// The kernel was told of everything that changed.
    Settled,
    /// Those who watch were told too, of all swaps until now.
    Announced,
    /// A mount is gone.
    Ended,
    /// Everything in this tree was removed, and its mount shall go out of sight. Over the socket
    /// that comes along, a line says what became of that.
    Removed {
        /// Which tree of the layer.
        tree: u32,
    },
}

/// One end of the connection between a supervisor and its server.
#[derive(Debug)]
pub(in crate::fs) struct Channel(OwnedFd);

impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Channel {
    /// Another descriptor of the same end.
    pub(in crate::fs) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Two connected ends.
    pub(in crate::fs) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = channel::pair()?;
        Ok((Self(ours), theirs))
    }

    /// Sends one message.
    pub(in crate::fs) fn send(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        channel::send(self.as_fd(), &bytes, descriptors)
    }

    /// Receives one message and its descriptors; `None` when the other end is closed.
    pub(in crate::fs) fn receive<T: DeserializeOwned>(
        &self,
    ) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let (bytes, descriptors) = channel::receive(self.as_fd(), MESSAGE_BYTES_MAX)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        Ok(Some((serde_json::from_slice(&bytes)?, descriptors)))
    }

    /// As [`Self::receive`], but gives up with `TimedOut` after `timeout`.
    pub(in crate::fs) fn receive_within<T: DeserializeOwned>(
        &self,
        timeout: Duration,
    ) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        if wait(&[Watch::Readable(self.as_fd())], Some(timeout))? == [true] {
            self.receive()
        } else {
            Err(io::ErrorKind::TimedOut.into())
        }
    }
}
