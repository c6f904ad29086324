//! One server process, as its supervisor sees it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::SuperviseArguments;
use super::estate::{Estate, LayerFiles};
use super::protocol::{Channel, FromServer, Resent, ToServer};
use super::restarts::{Death, KILLED};
use crate::fs::control::ProcessName;
use crate::fs::error::MountError;
use crate::sys::process;
use crate::sys::watch::{Watch, wait};

/// How long a server may take to begin.
pub(in crate::fs) const BEGIN_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a killed server may take to end before it is looked into.
const END_TIMEOUT: Duration = Duration::from_millis(20);

/// Threads that tell the kernel something. It may make them wait, whatever becomes of their
/// process, for a page or a directory that is locked until a request is answered; when all who
/// answered are dead, only the next server can. When they go on they do nothing more.
const NOTIFYING: [&str; 5] = ["push", "stream", "forget-pages", "invalidate", "room"];

/// A server process. Dropping it kills it.
pub(super) struct ServerProcess {
    /// `None` once it is buried.
    child: Option<Child>,
    channel: Channel,
    /// Closed at the other end when it is killed, where it can tell that.
    alive: Option<OwnedFd>,
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
            child: Some(child),
            channel,
            alive: None,
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
                Ok(Some((FromServer::Alive, descriptors))) => {
                    self.alive = descriptors.into_iter().next();
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
        let watches: Vec<_> = self.watches().collect();
        let seen = wait(&watches, Some(Duration::ZERO))?;
        // What it said before it died comes first.
        if seen == [false, true] {
            return Ok(None);
        }
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

    /// What becomes readable when it says something or is dead.
    pub(super) fn watches(&self) -> impl Iterator<Item = Watch<'_>> {
        let alive = self.alive.iter();
        std::iter::once(Watch::Readable(self.channel.as_fd()))
            .chain(alive.map(|alive| Watch::Ended(alive.as_fd())))
    }

    /// Ends it, where it has not ended, and says how it died.
    pub(super) fn bury(&mut self) -> Death {
        let signal = self.child.take().and_then(|mut child| {
            let _ = child.kill();
            let pid = child.id();
            while !process::wait_for_end(pid, Some(END_TIMEOUT)).unwrap_or(true) {
                if process::has_only_threads(pid, &NOTIFYING) {
                    tracing::warn!(pid, "a killed server waits for the kernel");
                    // Where there is no thread for it, it is reaped when this process ends.
                    let _ = thread::Builder::new().spawn(move || child.wait());
                    return Some(KILLED);
                }
            }
            child.wait().ok().and_then(|status| status.signal())
        });
        Death {
            signal,
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

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.bury();
    }
}
