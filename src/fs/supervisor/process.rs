//! One server process, as its supervisor sees it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::SuperviseArguments;
use super::estate::{Estate, LayerFiles};
use super::protocol::{Channel, FromServer, Resent, ToServer};
use super::restarts::Death;
use crate::fs::control::ProcessName;
use crate::fs::error::MountError;
use crate::sys::fuse::{Watch, wait};

/// How long a server may take to begin.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(20);

/// A server process. Dropping it kills it.
pub(super) struct ServerProcess {
    child: Child,
    channel: Channel,
    name: ProcessName,
    served_since: Option<Instant>,
}

impl ServerProcess {
    /// Starts a server and gives it the project layers.
    ///
    /// Its standard input is the connection: no other descriptor has to survive the exec.
    pub(super) fn start(
        arguments: &SuperviseArguments,
        layers: &LayerFiles,
    ) -> Result<Self, MountError> {
        let failed = |error: io::Error| MountError::Server {
            message: error.to_string(),
            hint: None,
        };
        let (channel, theirs) = Channel::pair().map_err(failed)?;
        let child = Command::new(&arguments.server.program)
            .args(&arguments.server.leading_args)
            .arg(super::arguments::SERVE)
            .args(arguments.serve.to_args())
            .stdin(theirs)
            .stdout(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let process = Self {
            name: ProcessName::of(child.id()),
            child,
            channel,
            served_since: None,
        };
        // One that has ended already has said why, or will be found to have said nothing.
        let _ = layers.send(&process.channel);
        Ok(process)
    }

    pub(super) fn name(&self) -> ProcessName {
        self.name
    }

    /// Waits until it has opened layer and store.
    pub(super) fn wait_prepared(&mut self) -> Result<(), MountError> {
        self.wait_for(|message| matches!(message, FromServer::Prepared))
    }

    /// Gives it what it serves and waits until it does.
    pub(super) fn serve(&mut self, estate: &Estate, resent: Resent) -> Result<(), MountError> {
        let _ = estate.send(&self.channel, resent);
        self.wait_for(|message| matches!(message, FromServer::Ready))?;
        self.served_since = Some(Instant::now());
        Ok(())
    }

    fn wait_for(&mut self, wanted: impl Fn(&FromServer) -> bool) -> Result<(), MountError> {
        let failed = |message: &str| MountError::Server {
            message: message.to_owned(),
            hint: None,
        };
        loop {
            match self.channel.receive_within::<FromServer>(BEGIN_TIMEOUT) {
                Ok(Some((FromServer::Failed { message, hint }, _))) => {
                    return Err(MountError::Server { message, hint });
                }
                Ok(Some((message, _))) if wanted(&message) => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) => return Err(failed("it ended; see its log")),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(MountError::ServerTimeout {
                        seconds: BEGIN_TIMEOUT.as_secs(),
                    });
                }
                Err(error) => return Err(failed(&error.to_string())),
            }
        }
    }

    /// What it says, with descriptors; `None` when it is dead.
    pub(super) fn hear(&self) -> io::Result<Option<(FromServer, Vec<OwnedFd>)>> {
        self.channel.receive()
    }

    /// Tells it that its layer is kept.
    pub(super) fn tell_kept(&self) -> io::Result<()> {
        self.channel.send(&ToServer::Kept, &[])
    }

    /// Tells it that the mounts are to be taken away. Where it cannot be told, they are in use for
    /// a moment longer.
    pub(super) fn keep_off(&self) {
        let _ = self.channel.send(&ToServer::KeepOff, &[]);
    }

    /// Ends it, where it has not ended, and says how it died.
    pub(super) fn bury(&mut self) -> Death {
        let _ = self.child.kill();
        let status = self.child.wait();
        Death {
            signal: status.ok().and_then(|status| status.signal()),
            served: self
                .served_since
                .map_or(Duration::ZERO, |since| since.elapsed()),
        }
    }

    /// Ends it.
    pub(super) fn kill(&mut self) {
        self.bury();
    }

    /// Lets it end by itself, for a while.
    pub(super) fn end(&mut self, timeout: Duration) {
        let _ = wait(&[Watch::Ended(self.channel.as_fd())], Some(timeout));
        self.bury();
    }
}

impl AsFd for ServerProcess {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.bury();
    }
}
