//! What a supervisor process is told by its arguments.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::fs::error::MountError;
use crate::fs::kernel::Access;
use crate::fs::mount::ServerCommand;
use crate::fs::server::{ServeArguments, number};

/// The first argument of a server process.
pub(in crate::fs) const SERVE: &str = "serve";

/// The first argument of a supervisor process.
pub(in crate::fs) const SUPERVISE: &str = "supervise";

/// How a supervisor begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fs) enum Beginning {
    /// It mounts.
    Mount,
    /// It takes over the mounts of a server whose supervisor is dead.
    Adopt,
    /// It was another program until now, and finds everything on its standard input.
    Inherit,
}

/// What a supervisor process is told.
///
/// A supervisor that is upgraded gives these to the program that it becomes, and sends it the
/// messages of [`super::protocol`]. Who changes either raises [`super::protocol::VERSION`].
#[derive(Debug, Clone)]
pub(in crate::fs) struct SuperviseArguments {
    /// What it does first.
    pub(in crate::fs) beginning: Beginning,
    /// Where sockets and state are.
    pub(in crate::fs) run_directory: PathBuf,
    /// The saved project layer.
    pub(in crate::fs) layer: PathBuf,
    /// The project, for `status`.
    pub(in crate::fs) project: PathBuf,
    /// Who may use the mounts.
    pub(in crate::fs) access: Access,
    /// What to serve: trees of the layer, and where. The mountpoints are resolved, exist and may
    /// be mounted over.
    pub(in crate::fs) mounts: Vec<(u32, PathBuf)>,
    /// What its servers are told.
    pub(in crate::fs) serve: ServeArguments,
    /// How its servers are started.
    pub(in crate::fs) server: ServerCommand,
}

impl SuperviseArguments {
    /// The mountpoint after which sockets and state are named.
    pub(in crate::fs) fn first_mountpoint(&self) -> &Path {
        self.mounts.first().map_or(Path::new(""), |(_, path)| path)
    }

    /// The whole command line of the program that takes the place of this one.
    pub(in crate::fs) fn as_successor(&self) -> Vec<OsString> {
        let successor = Self {
            beginning: Beginning::Inherit,
            ..self.clone()
        };
        let mut args = vec![OsString::from("pacquet")];
        args.extend(self.server.leading_args.iter().cloned());
        args.push(SUPERVISE.into());
        args.extend(successor.to_args());
        args
    }

    /// As arguments of a command.
    pub(in crate::fs) fn to_args(&self) -> Vec<OsString> {
        let beginning = match self.beginning {
            Beginning::Mount => "mount",
            Beginning::Adopt => "adopt",
            Beginning::Inherit => "inherit",
        };
        let access = match self.access {
            Access::Owner => "owner",
            Access::Everybody => "everybody",
        };
        let mut args: Vec<OsString> = vec![
            beginning.into(),
            self.run_directory.clone().into(),
            self.layer.clone().into(),
            self.project.clone().into(),
            access.into(),
        ];
        args.extend(self.serve.to_args());
        args.push(self.mounts.len().to_string().into());
        for (tree, mountpoint) in &self.mounts {
            args.push(tree.to_string().into());
            args.push(mountpoint.clone().into());
        }
        args.push(self.server.program.clone().into());
        args.extend(self.server.leading_args.iter().cloned());
        args
    }

    /// What [`Self::to_args`] made.
    ///
    /// # Errors
    /// When it is not that.
    pub(in crate::fs) fn from_args(
        args: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, MountError> {
        let mut args = args.into_iter();
        let mut next = || args.next().ok_or(MountError::Arguments("one is missing"));
        let beginning = match next()?.to_str() {
            Some("mount") => Beginning::Mount,
            Some("adopt") => Beginning::Adopt,
            Some("inherit") => Beginning::Inherit,
            _ => return Err(MountError::Arguments("no such beginning")),
        };
        let (run_directory, layer, project) = (next()?.into(), next()?.into(), next()?.into());
        let access = match next()?.to_str() {
            Some("owner") => Access::Owner,
            Some("everybody") => Access::Everybody,
            _ => return Err(MountError::Arguments("no such access")),
        };
        let serve = ServeArguments::from_args(&mut args)?;
        let mut next = || args.next().ok_or(MountError::Arguments("one is missing"));
        let mut mounts = Vec::new();
        for _ in 0..number(next()?)? {
            mounts.push((number(next()?)?, next()?.into()));
        }
        if mounts.is_empty() {
            return Err(MountError::Arguments("nothing to serve"));
        }
        let program = next()?.into();
        Ok(Self {
            beginning,
            run_directory,
            layer,
            project,
            access,
            mounts,
            serve,
            server: ServerCommand {
                program,
                leading_args: args.collect(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn arguments() -> SuperviseArguments {
        SuperviseArguments {
            beginning: Beginning::Mount,
            run_directory: "/run/x".into(),
            layer: "/a b/layer".into(),
            project: OsString::from_vec(b"/\xff".to_vec()).into(),
            access: Access::Everybody,
            mounts: vec![
                (0, "/p/node_modules".into()),
                (3, "/p/a/node_modules".into()),
            ],
            serve: ServeArguments {
                store: "/store".into(),
                threads: 3,
                mount_helper: None,
                profiles: None,
            },
            server: ServerCommand {
                program: "/proc/self/exe".into(),
                leading_args: vec!["serve".into(), "--".into()],
            },
        }
    }

    #[test]
    fn arguments_come_back() {
        let mut arguments = arguments();
        for beginning in [Beginning::Mount, Beginning::Adopt, Beginning::Inherit] {
            arguments.beginning = beginning;
            let args = arguments.to_args();
            let back = SuperviseArguments::from_args(args.clone()).unwrap();
            assert_eq!(back.to_args(), args);
            assert_eq!(back.mounts, arguments.mounts);
            assert_eq!(back.server.leading_args, arguments.server.leading_args);
        }
    }

    #[test]
    fn arguments_that_are_none_are_refused() {
        let whole = arguments().to_args();
        for length in 0..whole.len() - 2 {
            let cut = whole[..length].to_vec();
            assert!(SuperviseArguments::from_args(cut).is_err(), "{length}");
        }
        for (place, value) in [
            (0, "x"),
            (4, "all"),
            (6, "0"),
            (9, "0"),
            (9, "-1"),
            (10, "x"),
        ] {
            let mut wrong = whole.clone();
            wrong[place] = value.into();
            assert!(SuperviseArguments::from_args(wrong).is_err(), "{value}");
        }
    }
}
