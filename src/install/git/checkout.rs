//! One commit of a repository as a directory.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::diagnostic::Diagnostic;
use crate::install::config::Environment;
use crate::name::{NameError, RelativePath, escaped};

/// How long one run of `git` may take.
const GIT_TIMEOUT: Duration = Duration::from_secs(600);

/// How often a program that has closed its output is asked whether it has ended.
const POLL: Duration = Duration::from_millis(5);

/// How much of what `git` says is kept for the message.
const STDERR_BYTES_MAX: u64 = 16 << 10;

/// How much a list of references may have.
const STDOUT_BYTES_MAX: u64 = 64 << 20;

/// Transports that a repository may be reached by. Everything else, `ext::` above all, is refused
/// here and by `git` itself.
const SCHEMES: [&str; 5] = ["https", "http", "ssh", "git", "file"];

/// Variables that would make `git` work in another repository, or run something.
const REMOVED_VARIABLES: [&str; 12] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_CEILING_DIRECTORIES",
    "GIT_TEMPLATE_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_CONFIG",
    "GIT_PREFIX",
];

/// Why a commit could not be had.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The commit is not 40 or 64 hexadecimal digits.
    #[error("\"{}\" is not the hash of a commit", escaped(commit))]
    Commit {
        /// As the lockfile has it.
        commit: String,
    },
    /// The address is of a kind that is not fetched from.
    #[error(
        "\"{}\" is not an address that repositories are fetched from",
        escaped(repo)
    )]
    Repository {
        /// As the lockfile has it, without credentials.
        repo: String,
    },
    /// The path within the repository is none.
    #[error("The path \"{}\" within a repository {source}", escaped(path))]
    Path {
        /// As the lockfile has it.
        path: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// The commit has no such directory.
    #[error("The commit {commit} of {repo} has no directory \"{path}\"")]
    NoDirectory {
        /// The commit.
        commit: String,
        /// The address.
        repo: String,
        /// The path.
        path: RelativePath,
    },
    /// `git` cannot be run.
    #[error("Cannot run the program git")]
    Program {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `git` fails.
    #[error("git {step} of {repo} failed: {}", in_one_line(message))]
    Failed {
        /// Which command.
        step: &'static str,
        /// The address, without credentials.
        repo: String,
        /// What it said.
        message: String,
    },
    /// A directory for the checkout cannot be made or cleaned.
    #[error("Cannot prepare a directory for a checkout in {}", path.display())]
    Directory {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What a program said over several lines, which may end in carriage returns.
fn in_one_line(message: &str) -> String {
    let lines = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    lines.map(escaped).collect::<Vec<_>>().join("; ")
}

impl Diagnostic for GitError {
    fn code(&self) -> &'static str {
        match self {
            Self::Commit { .. } => "ERR_PNPM_INVALID_GIT_COMMIT",
            Self::Repository { .. } => "ERR_PACQUET_GIT_ADDRESS",
            Self::Path { .. } | Self::NoDirectory { .. } => "ERR_PNPM_INVALID_PATH",
            Self::Program { .. } => "ERR_PACQUET_NO_GIT",
            Self::Failed { .. } => "ERR_PACQUET_GIT",
            Self::Directory { .. } => "ERR_PACQUET_GIT_DIRECTORY",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Program { .. } => Some("Install git, or put it on the PATH.".to_owned()),
            Self::Failed { .. } => {
                Some("Credentials are not asked for: set them up for git itself.".to_owned())
            }
            Self::Commit { .. } => Some("A commit has 40 or 64 hexadecimal digits.".to_owned()),
            Self::Repository { .. } => {
                Some("It is an https, ssh, git or file address of a repository.".to_owned())
            }
            Self::Path { .. } | Self::NoDirectory { .. } => {
                Some("What stands behind `&path:` is a directory of the commit.".to_owned())
            }
            Self::Directory { .. } => Some("Check who owns it, and that there is room.".to_owned()),
        }
    }
}

/// A package in a repository, as a lockfile has it (`type: git`).
#[derive(Debug, Clone, Copy)]
pub struct GitSource<'a> {
    /// Address.
    pub repo: &'a str,
    /// Hash of the commit.
    pub commit: &'a str,
    /// The package's directory within the repository.
    pub path: Option<&'a str>,
}

/// A commit's files in a temporary directory that is removed with this.
#[derive(Debug)]
pub struct Checkout {
    temporary: TempDir,
    package: PathBuf,
}

impl Checkout {
    /// The directory of the package.
    pub fn package_directory(&self) -> &Path {
        &self.package
    }

    /// Removes `.git`, so that only the commit's files are left.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn forget_history(&self) -> Result<(), GitError> {
        let path = self.root().join(".git");
        std::fs::remove_dir_all(&path).map_err(|source| GitError::Directory { path, source })
    }

    /// The directory of the whole repository.
    pub fn root(&self) -> &Path {
        self.temporary.path()
    }
}

/// The `git` program and the variables that it is given.
#[derive(Debug)]
pub struct GitProgram<'a> {
    environment: &'a Environment,
}

struct Operands<'a> {
    repo: &'a str,
    commit: &'a str,
    shown: String,
}

impl<'a> GitProgram<'a> {
    /// The `git` of the PATH of `environment`.
    pub fn new(environment: &'a Environment) -> Self {
        Self { environment }
    }

    /// Fetches the commit of `source` into a new directory below `parent`, whose name begins with
    /// `prefix`. Blocks.
    ///
    /// # Errors
    /// A field of `source` is refused before anything is run, or `git` fails.
    pub fn check_out(
        &self,
        source: &GitSource<'_>,
        parent: &Path,
        prefix: &str,
    ) -> Result<Checkout, GitError> {
        let operands = checked(source)?;
        let path = package_path(source.path)?;
        let failed = |source| GitError::Directory {
            path: parent.to_path_buf(),
            source,
        };
        let temporary = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(parent)
            .map_err(failed)?;
        let directory = temporary.path();
        self.run(
            directory,
            "init",
            &["init", "--quiet", "--template="],
            &[],
            &operands,
        )?;
        self.fetch(directory, &operands)?;
        let checkout = ["checkout", "--quiet", "--detach", operands.commit, "--"];
        self.run(directory, "checkout", &checkout, &[], &operands)?;
        let package = match path {
            None => directory.to_path_buf(),
            Some(path) => inside(directory, &path).ok_or(GitError::NoDirectory {
                commit: operands.commit.to_owned(),
                repo: operands.shown,
                path,
            })?,
        };
        Ok(Checkout { temporary, package })
    }

    /// The commit alone; servers that do not give single commits, everything.
    fn fetch(&self, directory: &Path, operands: &Operands<'_>) -> Result<(), GitError> {
        let common = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"];
        let mut shallow = common.to_vec();
        shallow.extend(["--depth=1"]);
        let alone = self.run(
            directory,
            "fetch",
            &shallow,
            &[operands.repo, operands.commit],
            operands,
        );
        match alone {
            Err(GitError::Failed { .. }) => {}
            other => return other,
        }
        let all = [
            "+refs/heads/*:refs/remotes/origin/*",
            "+refs/tags/*:refs/tags/*",
        ];
        self.run(
            directory,
            "fetch",
            &common,
            &[operands.repo, all[0], all[1]],
            operands,
        )
    }

    fn run(
        &self,
        directory: &Path,
        step: &'static str,
        arguments: &[&str],
        operands: &[&str],
        about: &Operands<'_>,
    ) -> Result<(), GitError> {
        let mut command = self.command(directory);
        command.args(arguments);
        if !operands.is_empty() {
            command.arg("--").args(operands);
        }
        run_to_end(command, step, about).map(drop)
    }

    /// `git` working in `directory`, with nothing of a repository's that could be run.
    fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new("git");
        command.env_clear().envs(self.environment.variables());
        for name in REMOVED_VARIABLES {
            command.env_remove(name);
        }
        command
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", SCHEMES.join(":"))
            .env("LC_ALL", "C")
            .args([
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "protocol.ext.allow=never",
            ])
            .args(["-c", "core.fsmonitor=false", "-c", "core.autocrlf=false"])
            .args([
                "-c",
                "advice.detachedHead=false",
                "-c",
                "maintenance.auto=false",
            ])
            .arg("-C")
            .arg(directory);
        command
    }

    /// What the names of `repo` stand for: commit and name, as `git ls-remote` tells them; of the
    /// name `only`, where it is given. Tried twice. Blocks.
    ///
    /// # Errors
    /// The address is refused before anything is run, or `git` fails.
    pub fn references(
        &self,
        repo: &str,
        only: Option<&str>,
    ) -> Result<Vec<(String, String)>, GitError> {
        let operands = address(repo)?;
        let list = || {
            let mut command = self.command(Path::new("/"));
            command.args(["ls-remote", "--", operands.repo]);
            if let Some(only) = only {
                command.arg(only).arg(format!("{only}^{{}}"));
            }
            run_to_end(command, "ls-remote", &operands)
        };
        let listed = match list() {
            Err(GitError::Failed { .. }) => list()?,
            other => other?,
        };
        let lines = listed.lines().filter_map(|line| line.split_once('\t'));
        Ok(lines
            .map(|(commit, name)| (commit.to_owned(), name.to_owned()))
            .collect())
    }
}

/// Runs `command`; what it wrote is what it wrote to standard output.
fn run_to_end(
    mut command: Command,
    step: &'static str,
    about: &Operands<'_>,
) -> Result<String, GitError> {
    let failed = |source| GitError::Program { source };
    let deadline = Instant::now() + GIT_TIMEOUT;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let stdout = child
        .stdout
        .take()
        .map(|pipe| drained(pipe, STDOUT_BYTES_MAX));
    let stderr = child
        .stderr
        .take()
        .map(|pipe| drained(pipe, STDERR_BYTES_MAX));
    let text = |receiver: Option<mpsc::Receiver<Vec<u8>>>| {
        let wait = deadline.saturating_duration_since(Instant::now());
        let bytes = receiver.and_then(|receiver| receiver.recv_timeout(wait).ok());
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    let (written, said) = (text(stdout), text(stderr));
    let message = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(written),
            Some(status) if said.trim().is_empty() => break status.to_string(),
            Some(_) => break said.trim().to_owned(),
            None if Instant::now() >= deadline => {
                child.kill().map_err(failed)?;
                child.wait().map_err(failed)?;
                break "it did not end in time".to_owned();
            }
            None => std::thread::sleep(POLL),
        }
    };
    Err(GitError::Failed {
        step,
        repo: about.shown.clone(),
        message: message.replace(about.repo, &about.shown),
    })
}

/// Reads `pipe` to its end on a thread, and keeps the first `bytes_max` bytes.
fn drained(mut pipe: impl Read + Send + 'static, bytes_max: u64) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    // Without a thread nothing is read, and the program is told that nobody listens.
    let _ = std::thread::Builder::new().spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.by_ref().take(bytes_max).read_to_end(&mut bytes);
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        // Nobody listens after a time-out.
        let _ = sender.send(bytes);
    });
    receiver
}

impl GitSource<'_> {
    /// Refuses what must not reach the `git` program, without running it.
    ///
    /// # Errors
    /// [`GitError::Commit`], [`GitError::Repository`], or a path that would leave the checkout.
    pub fn check(&self) -> Result<(), GitError> {
        checked(self)?;
        package_path(self.path).map(drop)
    }
}

fn checked<'a>(source: &GitSource<'a>) -> Result<Operands<'a>, GitError> {
    let is_hash = matches!(source.commit.len(), 40 | 64)
        && source.commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hash {
        return Err(GitError::Commit {
            commit: source.commit.to_owned(),
        });
    }
    Ok(Operands {
        commit: source.commit,
        ..address(source.repo)?
    })
}

/// An address that may reach the `git` program.
fn address(repo: &str) -> Result<Operands<'_>, GitError> {
    let repo = repo.strip_prefix("git+").unwrap_or(repo);
    let shown = shown(repo);
    if !is_allowed(repo) {
        return Err(GitError::Repository { repo: shown });
    }
    Ok(Operands {
        repo,
        commit: "",
        shown,
    })
}

/// `scheme://…` with one of [`SCHEMES`], or `[user@]host:path`.
fn is_allowed(repo: &str) -> bool {
    if repo.is_empty() || repo.starts_with('-') || repo.contains(char::is_control) {
        return false;
    }
    if let Some((scheme, rest)) = repo.split_once("://") {
        // A host or user that begins with a dash would be an option of ssh.
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        return SCHEMES.contains(&scheme)
            && (scheme == "file" || !host.is_empty())
            && !authority.starts_with('-')
            && !host.starts_with('-');
    }
    let Some((authority, path)) = repo.split_once(':') else {
        return false;
    };
    let host = authority.rsplit('@').next().unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._@".contains(&byte);
    !host.is_empty()
        && !host.starts_with('-')
        && authority.bytes().all(is_plain)
        && !path.is_empty()
        && !path.starts_with([':', '-'])
}

/// An address without the user and password of an `https` one.
fn shown(repo: &str) -> String {
    match repo.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/{path}")
        }
        None => repo.to_owned(),
    }
}

fn package_path(path: Option<&str>) -> Result<Option<RelativePath>, GitError> {
    let Some(text) = path else { return Ok(None) };
    let bare = text.strip_prefix('/').unwrap_or(text);
    let refused = |source| GitError::Path {
        path: text.to_owned(),
        source,
    };
    let path = RelativePath::new(bare).map_err(refused)?;
    if path
        .components()
        .any(|component| component.eq_ignore_ascii_case(".git"))
    {
        return Err(refused(NameError::Reserved));
    }
    Ok(Some(path))
}

/// `path` below `root`, where every component is a real directory: a repository may hold symlinks
/// that lead out of it.
fn inside(root: &Path, path: &RelativePath) -> Option<PathBuf> {
    let mut at = root.to_path_buf();
    for component in path.components() {
        at.push(component);
        if !std::fs::symlink_metadata(&at).ok()?.is_dir() {
            return None;
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn refusal(repo: &str, commit: &str, path: Option<&str>) -> Option<&'static str> {
        let source = GitSource { repo, commit, path };
        let result = checked(&source).and_then(|_| package_path(path));
        result.err().map(|error| error.code())
    }

    #[test]
    fn what_git_says_is_one_line() {
        let said = "ssh: refused\r\nfatal: \u{1b}[31mno\n\nPlease make sure.\n";
        let shown = "ssh: refused; fatal: \\u{1b}[31mno; Please make sure.";
        assert_eq!(in_one_line(said), shown);
    }

    #[test]
    fn a_commit_is_digits_and_never_an_option() {
        let short = &COMMIT[1..];
        for commit in [
            "",
            "--upload-pack=x",
            "HEAD",
            "main",
            short,
            "g123456789abcdef0123456789abcdef01234567",
        ] {
            let code = refusal("https://h.test/r.git", commit, None);
            assert_eq!(code, Some("ERR_PNPM_INVALID_GIT_COMMIT"), "{commit}");
        }
        assert_eq!(refusal("https://h.test/r.git", COMMIT, None), None);
    }

    #[test]
    fn repositories_are_reached_by_known_transports_only() {
        for repo in [
            "",
            "-u",
            "--upload-pack=touch x",
            "ext::sh -c touch% x",
            "fd::7",
            "https",
            "/local/path",
            "../r",
            "ftp://h.test/r",
            "javascript://h.test/",
            "https:///r.git",
            "ssh://-oProxyCommand=x/r",
            "ssh://git@-oProxyCommand=x/r",
            "-oProxyCommand=x:r",
            "git@-oProxyCommand=x:r",
            "git@h.test:-x",
            "h.test::x",
            "https://h.test/\nr",
        ] {
            assert_eq!(
                refusal(repo, COMMIT, None),
                Some("ERR_PACQUET_GIT_ADDRESS"),
                "{repo}"
            );
        }
        for repo in [
            "https://h.test/o/r.git",
            "git+ssh://git@h.test/o/r.git",
            "ssh://git@h.test:22/r",
            "git@h.test:o/r.git",
            "git://h.test/r",
            "file:///r",
        ] {
            assert_eq!(refusal(repo, COMMIT, None), None, "{repo}");
        }
    }

    #[test]
    fn paths_stay_in_the_repository() {
        for path in [
            "",
            "/",
            "..",
            "a/../..",
            "//a",
            "a//b",
            ".git",
            "a/.GIT/hooks",
            "a\\b",
        ] {
            let code = refusal("https://h.test/r", COMMIT, Some(path));
            assert_eq!(code, Some("ERR_PNPM_INVALID_PATH"), "{path}");
        }
        assert_eq!(
            refusal("https://h.test/r", COMMIT, Some("/packages/a")),
            None
        );
        assert_eq!(
            refusal("https://h.test/r", COMMIT, Some("packages/a")),
            None
        );
    }

    #[test]
    fn credentials_are_not_shown() {
        assert_eq!(shown("https://u:p@h.test/r"), "https://h.test/r");
        assert_eq!(shown("git@h.test:r"), "git@h.test:r");
    }

    fn repository(directory: &Path) -> String {
        let script = "git init -q . && mkdir -p packages/a .hooks && echo '{}' > package.json && \
            echo a > packages/a/index.js && ln -s /etc outside && git add -A && \
            git -c user.name=n -c user.email=e@e.test commit -qm one && git rev-parse HEAD";
        let output = Command::new("/bin/sh")
            .args(["-c", script])
            .current_dir(directory)
            .output();
        String::from_utf8(output.expect("git").stdout)
            .expect("UTF-8")
            .trim()
            .to_owned()
    }

    #[test]
    fn a_commit_becomes_a_directory_without_its_history() {
        let origin = tempfile::tempdir().expect("a directory");
        let parent = tempfile::tempdir().expect("a directory");
        let commit = repository(origin.path());
        let repo = format!("file://{}", origin.path().display());
        let environment = Environment::new(std::env::vars_os(), "/".into());
        let program = GitProgram::new(&environment);
        let check_out = |commit, path| {
            program.check_out(
                &GitSource {
                    repo: &repo,
                    commit,
                    path,
                },
                parent.path(),
                "own-",
            )
        };
        let whole = check_out(&commit, None).expect("a checkout");
        assert!(whole.package_directory().join("package.json").is_file());
        whole.forget_history().expect("removed");
        assert!(!whole.root().join(".git").exists());
        let part = check_out(&commit, Some("packages/a")).expect("a checkout");
        assert!(part.package_directory().join("index.js").is_file());
        for path in ["missing", "outside", "package.json"] {
            let error = check_out(&commit, Some(path)).expect_err(path);
            assert!(matches!(error, GitError::NoDirectory { .. }), "{error}");
        }
        let error = check_out(COMMIT, None).expect_err("no such commit");
        assert!(matches!(error, GitError::Failed { .. }), "{error}");
        drop((whole, part));
        assert_eq!(std::fs::read_dir(parent.path()).expect("listed").count(), 0);
    }
}
