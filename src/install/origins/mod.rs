//! Packages that come from no registry: repositories, archives at an address, archives of this
//! machine. What is found of one is what a lockfile records of it, and its manifest.
//!
//! **Architecture Invariant:** nothing of a package is run here, and nothing of it is written but
//! to a temporary directory that is removed again.

mod archive;
mod commit;
mod error;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::OriginError;

use crate::install::config::Environment;
use crate::install::git::{GitProgram, GitSource};
use crate::install::lockfile::Resolution;
use crate::install::metadata::VersionManifest;
use crate::install::pick::{GitSpecifier, HostedRepository};
use crate::install::registry::{
    Body, Client, Content, TarballRequest, Url, printable, printable_text,
};
use crate::install::resolve::relative_text;
use crate::limits::MANIFEST_BYTES_MAX;
use crate::name::PackageName;
use crate::sys;

/// What a specifier came to.
#[derive(Debug, Clone)]
pub struct Found {
    /// What stands after the name in the key of the lockfile: an address.
    pub id: Box<str>,
    /// Its manifest.
    pub manifest: Arc<VersionManifest>,
    /// What the lockfile records.
    pub resolution: Resolution,
}

/// Finds packages that come from no registry.
#[derive(Debug)]
pub struct Origins {
    client: Arc<Client>,
    environment: Environment,
    temporary: PathBuf,
}

impl Origins {
    /// Asks through `client` and the `git` of the PATH of `environment`; repositories are checked
    /// out below `temporary`, which must exist.
    pub fn new(client: Arc<Client>, environment: Environment, temporary: PathBuf) -> Self {
        Self {
            client,
            environment,
            temporary,
        }
    }

    /// The archive at `url`, downloaded once to learn what it is; `alias` is its name where it
    /// does not say.
    ///
    /// # Errors
    /// It cannot be downloaded, or is no archive of a package.
    pub async fn tarball(&self, url: &Url, alias: &PackageName) -> Result<Found, OriginError> {
        let label = printable(url);
        let lasting = self.client.lasting_address(&label, url).await?;
        let (integrity, manifest) = self.download(&lasting, label, None, alias).await?;
        Ok(Found {
            id: url.as_str().into(),
            manifest,
            resolution: Resolution::Tarball {
                integrity: Some(integrity),
                tarball: Some(lasting.as_str().into()),
                git_hosted: false,
                path: None,
            },
        })
    }

    /// The digest of the archive at `url`, downloaded because its registry gives none; `package` is
    /// for messages.
    ///
    /// # Errors
    /// It cannot be downloaded, or is no archive.
    pub async fn integrity(&self, package: &str, url: &Url) -> Result<Box<str>, OriginError> {
        let request = TarballRequest {
            package: package.to_owned(),
            url: url.clone(),
        };
        let body = self.client.fetch_tarball(&request).await?;
        let package = package.to_owned();
        blocking(move || {
            let read = read_body(&body, None);
            Ok(read.map_err(|error| error.about(&package))?.integrity)
        })
        .await
    }

    /// The archive at `path`, which the lockfile in `lockfile_directory` will have.
    ///
    /// # Errors
    /// It cannot be read, or is no archive of a package.
    pub fn archive(
        &self,
        path: &Path,
        lockfile_directory: &Path,
        alias: &PackageName,
    ) -> Result<Found, OriginError> {
        let label = path.display().to_string();
        let file = sys::file::open(path).map_err(|error| OriginError::read(path, &error))?;
        let read = archive::read(file, None).map_err(|error| error.about(&label))?;
        let manifest = read.manifest(&label, alias)?;
        let relative = relative_text(lockfile_directory, path);
        let id: Box<str> = format!("file:{relative}").into();
        Ok(Found {
            id: id.clone(),
            manifest: Arc::new(manifest),
            resolution: Resolution::Tarball {
                integrity: Some(read.integrity),
                tarball: Some(id),
                git_hosted: false,
                path: None,
            },
        })
    }

    /// The commit that `specifier` means, and the package in it: as the archive of a code host
    /// where everybody can download that, else as a commit to fetch.
    ///
    /// # Errors
    /// The repository cannot be reached or has no such commit, or there is no package in it.
    pub async fn git(
        &self,
        specifier: &GitSpecifier,
        alias: &PackageName,
    ) -> Result<Found, OriginError> {
        let commit = self.commit(specifier).await?;
        let path = specifier.path.clone();
        if let Some(url) = self
            .public_archive(specifier.hosted.as_ref(), &commit)
            .await
        {
            let subdirectory = path.as_deref();
            let label = printable(&url);
            let (integrity, manifest) = self.download(&url, label, subdirectory, alias).await?;
            let id = match &path {
                Some(path) => format!("{url}#path:{path}"),
                None => url.to_string(),
            };
            return Ok(Found {
                id: id.into(),
                manifest,
                resolution: Resolution::Tarball {
                    integrity: Some(integrity),
                    tarball: Some(url.as_str().into()),
                    git_hosted: true,
                    path,
                },
            });
        }
        let repo = specifier.url.clone();
        let manifest = self
            .checked_out(&repo, &commit, path.as_deref(), alias)
            .await?;
        let mut id = format!("git+{repo}#{commit}");
        if let Some(path) = &path {
            id.push_str("&path:");
            id.push_str(path);
        }
        Ok(Found {
            id: id.into(),
            manifest: Arc::new(manifest),
            resolution: Resolution::Git { repo, commit, path },
        })
    }

    async fn public_archive(&self, hosted: Option<&HostedRepository>, commit: &str) -> Option<Url> {
        let url = Url::parse(&hosted?.archive(commit)).ok()?;
        let is_public = self.client.is_public(&printable(&url), &url).await;
        is_public.then_some(url)
    }

    async fn download(
        &self,
        url: &Url,
        label: String,
        subdirectory: Option<&str>,
        alias: &PackageName,
    ) -> Result<(Box<str>, Arc<VersionManifest>), OriginError> {
        let request = TarballRequest {
            package: label.clone(),
            url: url.clone(),
        };
        let body = self.client.fetch_tarball(&request).await?;
        let subdirectory = subdirectory.map(str::to_owned);
        let alias = alias.clone();
        blocking(move || {
            let read = read_body(&body, subdirectory.as_deref());
            let read = read.map_err(|error| error.about(&label))?;
            let manifest = read.manifest(&label, &alias)?;
            Ok((read.integrity, Arc::new(manifest)))
        })
        .await
    }

    async fn commit(&self, specifier: &GitSpecifier) -> Result<Box<str>, OriginError> {
        let (environment, specifier) = (self.environment.clone(), specifier.clone());
        blocking(move || commit::find(&GitProgram::new(&environment), &specifier)).await
    }

    async fn checked_out(
        &self,
        repo: &str,
        commit: &str,
        path: Option<&str>,
        alias: &PackageName,
    ) -> Result<VersionManifest, OriginError> {
        let (environment, temporary) = (self.environment.clone(), self.temporary.clone());
        let (repo, commit) = (repo.to_owned(), commit.to_owned());
        let (path, alias) = (path.map(str::to_owned), alias.clone());
        blocking(move || {
            let source = GitSource {
                repo: &repo,
                commit: &commit,
                path: path.as_deref(),
            };
            let program = GitProgram::new(&environment);
            let checkout = program.check_out(&source, &temporary, "git-")?;
            let file = checkout.package_directory().join("package.json");
            let json = match sys::file::read(&file, MANIFEST_BYTES_MAX) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => b"{}".to_vec(),
                other => other.map_err(|error| OriginError::read(&file, &error))?,
            };
            let label = format!("{}#{commit}", printable_text(&repo));
            archive::parse_manifest(&json, &label, &alias)
        })
        .await
    }
}

fn read_body(
    body: &Body,
    subdirectory: Option<&str>,
) -> Result<archive::ArchiveFacts, archive::ArchiveFault> {
    match body.content() {
        Content::Memory(bytes) => archive::read(bytes.as_slice(), subdirectory),
        Content::File { path, .. } => archive::read(std::fs::File::open(path)?, subdirectory),
    }
}

/// Runs `work` on a thread that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OriginError> + Send + 'static,
) -> Result<T, OriginError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(OriginError::Task {
            reason: error.to_string(),
        }),
    }
}
