//! What a supervisor keeps for its servers.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;

use super::protocol::{Channel, Resent, ToServer, TreeMessage};
use crate::fs::lower::RETIRED_MAX;

/// The project layers of a mount.
#[derive(Debug)]
pub(in crate::fs) struct LayerFiles {
    /// The present one, and those that were mounted before, the latest first.
    pub(in crate::fs) files: Vec<File>,
    /// It is not known whether the kernel was told of everything that changed from the one before
    /// to the present one.
    pub(in crate::fs) is_unsettled: bool,
    /// Of how many of the last swaps it is not known whether those who watch were told.
    pub(in crate::fs) unannounced: usize,
}

impl LayerFiles {
    /// Of a mount whose first layer this is.
    pub(in crate::fs) fn first(file: File) -> Self {
        Self {
            files: vec![file],
            is_unsettled: false,
            unannounced: 0,
        }
    }

    /// Puts `file` in the place of the present one.
    pub(in crate::fs) fn swap(&mut self, file: File) {
        self.files.insert(0, file);
        self.files.truncate(RETIRED_MAX + 1);
        self.is_unsettled = true;
        self.unannounced = (self.unannounced + 1).min(self.files.len() - 1);
    }

    /// Sends them, before everything else.
    pub(in crate::fs) fn send(&self, channel: &Channel) -> io::Result<()> {
        let descriptors: Vec<BorrowedFd<'_>> = self.files.iter().map(AsFd::as_fd).collect();
        let layers = ToServer::Layers {
            unsettled: self.is_unsettled,
            unannounced: self.unannounced,
        };
        channel.send(&layers, &descriptors)
    }

    /// Receives what [`Self::send`] sends.
    pub(in crate::fs) fn receive(channel: &Channel) -> io::Result<Self> {
        match channel.receive()? {
            Some((
                ToServer::Layers {
                    unsettled,
                    unannounced,
                },
                descriptors,
            )) if unannounced < descriptors.len() => Ok(Self {
                files: descriptors.into_iter().map(File::from).collect(),
                is_unsettled: unsettled,
                unannounced,
            }),
            Some(_) => Err(io::ErrorKind::InvalidData.into()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// What a supervisor hands to its server, and an orphaned server to its next supervisor.
#[derive(Debug)]
pub(in crate::fs) struct Estate {
    pub(in crate::fs) layers: LayerFiles,
    pub(in crate::fs) trees: Vec<Tree>,
    pub(in crate::fs) listener: UnixListener,
}

/// A tree with what it is served through.
#[derive(Debug)]
pub(in crate::fs) struct Tree {
    pub(in crate::fs) message: TreeMessage,
    pub(in crate::fs) device: OwnedFd,
    /// The directory under the mount.
    pub(in crate::fs) directory: File,
    /// Memory for the journal while that directory has no room for it.
    pub(in crate::fs) spill: Option<File>,
    /// Everything in it was removed, and the mount went out of sight. The directory may be
    /// another's by now, so no other server serves those who are still in it.
    pub(in crate::fs) is_removed: bool,
}

impl Estate {
    /// Sends everything that the other end needs to serve. The layers went before.
    pub(in crate::fs) fn send(&self, channel: &Channel, resent: Resent) -> io::Result<()> {
        for tree in &self.trees {
            let message = ToServer::Tree(tree.message.clone());
            let mut descriptors = vec![tree.device.as_fd(), tree.directory.as_fd()];
            descriptors.extend(tree.spill.as_ref().map(AsFd::as_fd));
            channel.send(&message, &descriptors)?;
        }
        channel.send(&ToServer::Serve { resent }, &[self.listener.as_fd()])
    }

    /// Receives what [`Self::send`] sends.
    pub(in crate::fs) fn receive(
        channel: &Channel,
        layers: LayerFiles,
    ) -> io::Result<(Self, Resent)> {
        let mut trees = Vec::new();
        loop {
            let Some((message, descriptors)) = channel.receive()? else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            match message {
                ToServer::Layers { .. } | ToServer::Kept | ToServer::Asker => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                // Nothing uses the mounts yet.
                ToServer::KeepOff => {}
                ToServer::Tree(message) => {
                    let mut descriptors = descriptors;
                    let spill = descriptors.drain(2.min(descriptors.len())..).next();
                    let [device, directory] = exactly(descriptors)?;
                    trees.push(Tree {
                        message,
                        device,
                        directory: directory.into(),
                        spill: spill.map(File::from),
                        is_removed: false,
                    });
                }
                ToServer::Serve { resent } => {
                    let [listener] = exactly(descriptors)?;
                    let listener = listener.into();
                    let estate = Self {
                        layers,
                        trees,
                        listener,
                    };
                    return Ok((estate, resent));
                }
            }
        }
    }
}

/// The descriptors, where they are as many as they should be.
pub(in crate::fs) fn exactly<const N: usize>(
    descriptors: Vec<OwnedFd>,
) -> io::Result<[OwnedFd; N]> {
    <[OwnedFd; N]>::try_from(descriptors).map_err(|_| io::ErrorKind::InvalidData.into())
}
