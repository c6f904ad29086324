//! Sessions with the kernel: how they begin on a connection that somebody else keeps, and what they
//! tell the kernel unasked.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, mpsc};
use std::thread;

use fuser::{Config, INodeNo, Notifier, Session, SessionACL};

use super::forgetting;
use super::listing::Interest;
use super::passing::AWAY;
use super::room::Room;
use super::{Adapter, Serving};
use crate::fs::resent;
use crate::sys::channel;

/// Longest answer to an INIT.
const INIT_ANSWER_BYTES_MAX: usize = 4096;

/// A connection to the kernel, as its keeper has it.
#[derive(Debug)]
pub struct Connection {
    /// The FUSE device.
    pub device: OwnedFd,
    /// The INIT with which the kernel began.
    pub init: Vec<u8>,
}

/// Answers the kernel's requests on `connection` with `threads` threads until the mount is gone.
///
/// The handshake is over when this returns; the requests are answered by [`Running::run`].
///
/// A session always begins with a handshake, and the kernel with one only once. So the session is
/// given one end of a socket pair first, in which the kernel's INIT is waiting, and its answer is
/// passed on. The kernel takes the first answer and has no request for those of later servers, who
/// answer the same. Then the device gets the number of the socket.
///
/// # Errors
/// When the handshake fails.
pub fn handshake(adapter: Adapter, connection: &Connection, threads: usize) -> io::Result<Running> {
    let mut config = Config::default();
    config.n_threads = Some(threads);
    // Threads share one descriptor, never clones of it: the kernel fails what a clone has taken
    // when its last holder is gone, and nobody else holds a clone.
    config.clone_fd = false;
    // The kernel itself lets nobody in but the user who mounted. A second check here would refuse
    // requests that it makes on its own account, which have no user.
    let (forget_pages, forgotten) = mpsc::channel();
    let device = || Ok::<_, io::Error>(File::from(connection.device.try_clone()?));
    let serving = Serving {
        room: Room::start(Arc::clone(&adapter.vfs), adapter.root, device()?)?,
        adapter,
        forget_pages,
        writes_past_cache: false,
        device: device()?,
        interest: Interest::default(),
    };
    let (ours, theirs) = channel::pair()?;
    channel::send(ours.as_fd(), &connection.init, &[])?;
    let session = Session::from_fd(serving, theirs, SessionACL::All, config)?;
    let (answer, _) = channel::receive(ours.as_fd(), INIT_ANSWER_BYTES_MAX)?;
    let mut device = device()?;
    match device.write(&answer) {
        Ok(_) => {}
        // It was answered before.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    channel::replace(session.as_fd(), connection.device.as_fd())?;
    let notifier = session.notifier();
    thread::Builder::new()
        .name("forget-pages".to_owned())
        .spawn(move || forgetting::forget(&forgotten, &notifier))?;
    Ok(Running { session, device })
}

/// A session whose handshake is over.
pub struct Running {
    session: Session<Serving>,
    device: File,
}

impl Running {
    /// What tells the kernel of changes that it did not make itself.
    pub fn invalidator(&self) -> Invalidator {
        Invalidator(self.session.notifier())
    }

    /// Answers requests until the mount is gone.
    ///
    /// # Errors
    /// When the device fails.
    pub fn run(mut self) -> io::Result<()> {
        resent::send_again(&mut self.device);
        self.session.run()
    }
}

/// Tells the kernel what it must not believe any more.
///
/// Never to be used by a thread that answers requests: the kernel waits for the directory's lock,
/// which a LOOKUP that is waiting for such a thread may hold. What the kernel does not know in the
/// first place is no error.
#[derive(Debug, Clone)]
pub struct Invalidator(Notifier);

impl Invalidator {
    /// The name `name` of a directory, whatever it stood for, and be it nothing.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn name(&self, directory: u64, name: &[u8]) -> io::Result<()> {
        let name = OsStr::from_bytes(name);
        self.0.inval_entry(INodeNo(directory), name)
    }

    /// What was moved away as this number.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn away(&self, number: u32) -> io::Result<()> {
        self.name(AWAY.0, number.to_string().as_bytes())
    }

    /// A file that is gone: whoever watches it is told.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn gone(&self, directory: u64, file: u64, name: &[u8]) -> io::Result<()> {
        let name = OsStr::from_bytes(name);
        self.0.delete(INodeNo(directory), INodeNo(file), name)
    }

    /// What is known of a node, and what was read of it.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn node(&self, node: u64) -> io::Result<()> {
        self.0.inval_inode(INodeNo(node), 0, 0)
    }
}
