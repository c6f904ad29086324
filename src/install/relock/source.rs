//! Packages from registries, repositories, archives and directories.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::error::RelockError;
use crate::install::config::{Config, Environment, ResolutionMode};
use crate::install::locked::{Chosen, ChosenSender};
use crate::install::lockfile::{Lockfile, PackageId, Resolution};
use crate::install::metadata::{Form, Packuments, Picked, VersionManifest, Wanted};
use crate::install::origins::{Found, OriginError, Origins};
use crate::install::pick::{
    LocalKind, PickOptions, Preferred, RegistryChoice, RegistrySpecifier, Specifier,
};
use crate::install::registry::{Client, Url, canonical_tarball_url, remote_url};
use crate::install::resolve::{Choice, Question, ResolveFault, Resolved, Source, SourceError, Via};
use crate::install::runtime;
use crate::limits::MANIFEST_BYTES_MAX;
use crate::name::PackageName;
use crate::sys;

/// What answers share.
struct Shared {
    origins: Origins,
    packuments: Packuments,
    /// For dependencies of projects.
    direct: PickOptions,
    /// For dependencies of packages.
    deep: PickOptions,
    /// The same, once they may be no newer than what projects depend on.
    limited: OnceLock<PickOptions>,
    include_tarball_url: bool,
    /// Whether manifests keep the JSON that they were read from.
    keeps_json: bool,
    lockfile_directory: PathBuf,
    /// Who is told of what was chosen.
    chosen: OnceLock<ChosenSender>,
    /// Versions that are younger than `minimumReleaseAge` allows, with the time.
    immature: Mutex<BTreeMap<Box<str>, Box<str>>>,
}

/// Finds packages; asks for many at once.
pub(super) struct PackageSource {
    runtime: Runtime,
    shared: Arc<Shared>,
}

impl PackageSource {
    /// Asks through `client`.
    ///
    /// Repositories are checked out below `temporary`.
    pub(super) fn new(
        config: &Config,
        client: Arc<Client>,
        environment: &Environment,
        temporary: PathBuf,
    ) -> Result<Self, RelockError> {
        let runtime = runtime::with_workers(2, "metadata").map_err(RelockError::Runtime)?;
        let options = PickOptions::new(&config.resolution, Timestamp::now())?;
        Ok(Self {
            runtime,
            shared: Arc::new(Shared {
                origins: Origins::new(Arc::clone(&client), environment.clone(), temporary),
                packuments: Packuments::new(config, client),
                direct: PickOptions {
                    lowest: config.resolution.mode != ResolutionMode::Highest,
                    ..options.clone()
                },
                deep: options,
                limited: OnceLock::new(),
                include_tarball_url: config.graph.include_tarball_url,
                keeps_json: false,
                lockfile_directory: config.lockfile_directory.clone(),
                chosen: OnceLock::new(),
                immature: Mutex::default(),
            }),
        })
    }
}

/// What one thread answers of many questions at least: below, another one costs more than it saves.
const SHARE_MIN: usize = 12;

type Answers = Vec<Result<Resolved, SourceError>>;

impl Source for PackageSource {
    /// With a warm cache an answer is reading and choosing, so that two threads share the work.
    fn answer(&self, questions: &[Question]) -> Answers {
        if questions.len() < SHARE_MIN * 2 {
            return self.answer_here(questions);
        }
        let (first, second) = questions.split_at(questions.len() / 2);
        std::thread::scope(|scope| {
            let helper = std::thread::Builder::new().name("answers".to_owned());
            let second_half = helper.spawn_scoped(scope, || self.answer_here(second));
            let mut answers = self.answer_here(first);
            answers.extend(match second_half {
                Ok(thread) => match thread.join() {
                    Ok(answers) => answers,
                    Err(panic) => std::panic::resume_unwind(panic),
                },
                Err(_) => self.answer_here(second),
            });
            answers
        })
    }

    fn limit(&self, until: Timestamp) {
        let mut options = self.shared.deep.clone();
        let earlier = options.published_by.map_or(until, |known| known.min(until));
        options.published_by = Some(earlier);
        // There is one resolution, which says so once.
        let _ = self.shared.limited.set(options);
    }
}

impl PackageSource {
    fn answer_here(&self, questions: &[Question]) -> Answers {
        let asked = questions
            .iter()
            .map(|question| self.shared.answer(question));
        self.runtime.block_on(join_all(asked))
    }

    /// Tells `chosen` of every version of a registry's package from now on.
    pub(super) fn tell(&mut self, chosen: ChosenSender) {
        // Nobody else was told before.
        let _ = self.shared.chosen.set(chosen);
    }

    /// Whether manifests of registries have their JSON with them, which hooks want to see.
    pub(super) fn keep_json(&mut self, keeps: bool) {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.keeps_json = keeps;
        }
    }

    /// Whether metadata is believed for as long as the registry said that it stays true.
    pub(super) fn trust_cache(&mut self, trusts: bool) {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.packuments.trust_cache(trusts);
        }
    }

    /// The version that a specifier comes to.
    pub(super) fn version(
        &self,
        specifier: RegistrySpecifier,
        preferred: Preferred,
        choice: Choice,
    ) -> Result<String, RelockError> {
        let question = Question::Registry {
            specifier,
            preferred: Arc::new(preferred),
            choice,
        };
        let resolved = self.one(question)?;
        Ok(resolved.manifest.version.to_string())
    }

    /// The version of a registry's package that a specifier comes to.
    pub(super) fn package(&self, specifier: RegistrySpecifier) -> Result<Resolved, RelockError> {
        self.one(Question::Registry {
            specifier,
            preferred: Arc::new(Preferred::none()),
            choice: Choice {
                direct: true,
                ..Choice::default()
            },
        })
    }

    /// What is kept of all that the registry says of the version that a specifier comes to; `None`:
    /// it cannot be had.
    pub(super) fn full_manifest(&self, specifier: &RegistrySpecifier) -> Option<Value> {
        let shared = &self.shared;
        let registry = shared.packuments.registry_of(specifier).ok()?;
        let wanted = Wanted {
            specifier,
            registry: &registry,
            preferred: &Preferred::none(),
            options: &shared.deep,
            form: Form::Full,
            fresh: false,
        };
        let picked = self
            .runtime
            .block_on(shared.packuments.pick(&wanted))
            .ok()?;
        let json = picked.packument.json(picked.version).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// The manifest of what a specifier without a name comes to.
    pub(super) fn manifest_of(
        &self,
        specifier: &Specifier,
        directory: &Path,
        alias: &PackageName,
    ) -> Result<Arc<VersionManifest>, RelockError> {
        let alias = alias.clone();
        let question = match specifier.clone() {
            Specifier::Tarball(url) => Question::Tarball { url, alias },
            Specifier::Git(specifier) => Question::Git { specifier, alias },
            Specifier::Local(local) => {
                let path = directory.join(&*local.path);
                match local.kind {
                    LocalKind::Archive => Question::Archive { path, alias },
                    LocalKind::Link | LocalKind::Directory => Question::Directory { path, alias },
                }
            }
            Specifier::Registry(specifier) => Question::Registry {
                specifier,
                preferred: Arc::new(Preferred::none()),
                choice: Choice::default(),
            },
            Specifier::Catalog(_) | Specifier::Workspace(_) | Specifier::Runtime(_) => {
                return Err(ResolveFault::from(unsupported(&alias)).into());
            }
        };
        Ok(self.one(question)?.manifest)
    }

    /// The versions of `lockfile` that are too young, with the time.
    pub(super) fn immature(&self, lockfile: &Lockfile) -> Vec<(Box<str>, Box<str>)> {
        let immature = &self.shared.immature;
        let immature = immature.lock().unwrap_or_else(PoisonError::into_inner);
        let chosen = lockfile.packages.keys();
        let chosen: BTreeSet<&str> = chosen.map(PackageId::as_str).collect();
        let young = immature.iter().filter(|(id, _)| chosen.contains(&***id));
        young
            .map(|(id, published)| (id.clone(), published.clone()))
            .collect()
    }

    fn one(&self, question: Question) -> Result<Resolved, RelockError> {
        let answer = self.answer(&[question]).pop();
        match answer {
            Some(answer) => Ok(answer.map_err(ResolveFault::from)?),
            None => Err(RelockError::Runtime(std::io::Error::other("no answer"))),
        }
    }
}

impl Shared {
    async fn answer(&self, question: &Question) -> Result<Resolved, SourceError> {
        match question {
            Question::Registry {
                specifier,
                preferred,
                choice,
            } => self.registry(specifier, preferred, *choice).await,
            Question::Directory { path, alias } => self.directory(path, alias),
            Question::Git { specifier, alias } => {
                let found = self.origins.git(specifier, alias).await?;
                Ok(elsewhere(found, Via::Git))
            }
            Question::Tarball { url, alias } => {
                let found = self.origins.tarball(url, alias).await?;
                Ok(elsewhere(found, Via::Tarball))
            }
            Question::Archive { path, alias } => {
                let directory = &self.lockfile_directory;
                let found = self.origins.archive(path, directory, alias)?;
                Ok(elsewhere(found, Via::Local))
            }
        }
    }

    async fn registry(
        &self,
        specifier: &RegistrySpecifier,
        preferred: &Preferred,
        choice: Choice,
    ) -> Result<Resolved, SourceError> {
        let options = if choice.lowest {
            &self.direct
        } else {
            self.limited.get().unwrap_or(&self.deep)
        };
        let with_latest = choice.or_latest.then(|| PickOptions {
            include_latest_tag: true,
            ..options.clone()
        });
        let options = with_latest.as_ref().unwrap_or(options);
        let registry = self.packuments.registry_of(specifier)?;
        let wanted = Wanted {
            specifier,
            registry: &registry,
            preferred,
            options,
            form: self.packuments.form(choice.optional),
            fresh: false,
        };
        let mut picked = self.packuments.pick(&wanted).await?;
        if self.keeps_json {
            let json = picked.packument.json(picked.version)?;
            let manifest = Arc::make_mut(&mut picked.manifest);
            manifest.json = String::from_utf8(json).ok().map(Into::into);
        }
        let mut resolved = self.resolved(picked);
        self.pin(&mut resolved).await?;
        self.tell(specifier, choice, &resolved);
        resolved.is_immature &= self.is_too_young(&resolved);
        if resolved.is_immature {
            let mut immature = self.immature.lock().unwrap_or_else(PoisonError::into_inner);
            let published = resolved.published.clone().unwrap_or_default();
            immature.insert(resolved.id.clone(), published);
        }
        Ok(resolved)
    }

    /// Whether it is younger than `minimumReleaseAge` allows, and not only newer than what projects
    /// depend on.
    fn is_too_young(&self, resolved: &Resolved) -> bool {
        let published = resolved.published.as_deref();
        let published = published.and_then(|time| time.parse::<Timestamp>().ok());
        let until = self.deep.published_by;
        until.is_some_and(|until| published.is_none_or(|published| published > until))
    }

    fn resolved(&self, picked: Picked) -> Resolved {
        let Picked {
            packument,
            version: index,
            manifest,
            is_immature,
        } = picked;
        let version: Box<str> = packument.version(index).into();
        let name = manifest.name.as_str();
        let registry = packument.registry();
        let repeats_scope = self.packuments.registries.repeats_scope(registry);
        let dist = manifest.dist.as_ref();
        let tarball = dist.map(|dist| &*dist.tarball).filter(|address| {
            self.include_tarball_url
                || !is_canonical(address, registry, &manifest.name, &version, repeats_scope)
        });
        let id = match self.packuments.registries.prefix_of(registry) {
            Some(prefix) => format!("{name}@{prefix}:{version}"),
            None => format!("{name}@{version}"),
        };
        let published = packument.time_text(index).map(Into::into);
        Resolved {
            id: id.into(),
            version: Some(version),
            resolution: Resolution::Tarball {
                integrity: dist.and_then(|dist| dist.integrity.clone()),
                tarball: tarball.map(Into::into),
                git_hosted: false,
                path: None,
            },
            manifest,
            via: Via::Registry,
            published,
            is_immature,
            is_locked: false,
        }
    }

    fn tell(&self, specifier: &RegistrySpecifier, choice: Choice, resolved: &Resolved) {
        if let Some(sender) = self.chosen.get()
            && specifier.registry == RegistryChoice::Configured
            && let Some(version) = &resolved.version
        {
            sender.send(&Chosen {
                id: &resolved.id,
                name: &resolved.manifest.name,
                version,
                resolution: &resolved.resolution,
                platforms: &resolved.manifest.platforms,
                is_optional: choice.optional,
            });
        }
    }

    /// What a registry gives no digest of is downloaded for it.
    async fn pin(&self, resolved: &mut Resolved) -> Result<(), SourceError> {
        let Resolution::Tarball {
            integrity: integrity @ None,
            ..
        } = &mut resolved.resolution
        else {
            return Ok(());
        };
        if let Some(dist) = &resolved.manifest.dist {
            let url = remote_url(&resolved.id, &dist.tarball).map_err(OriginError::from)?;
            *integrity = Some(self.origins.integrity(&resolved.id, &url).await?);
        }
        Ok(())
    }

    fn directory(&self, path: &Path, alias: &PackageName) -> Result<Resolved, SourceError> {
        let manifest = read_manifest(path, alias)?;
        Ok(Resolved::copied(
            path,
            Arc::new(manifest),
            &self.lockfile_directory,
        ))
    }
}

fn unsupported(alias: &PackageName) -> SourceError {
    SourceError::Fetch {
        reason: format!("{alias} has no manifest of its own to be named after"),
        code: "ERR_PNPM_SPEC_NOT_SUPPORTED_BY_ANY_RESOLVER",
    }
}

fn elsewhere(found: Found, via: Via) -> Resolved {
    Resolved {
        id: found.id,
        version: None,
        manifest: found.manifest,
        resolution: found.resolution,
        via,
        published: None,
        is_immature: false,
        is_locked: false,
    }
}

/// The manifest of a directory that becomes a package; one that only names it where there is none.
fn read_manifest(directory: &Path, alias: &PackageName) -> Result<VersionManifest, SourceError> {
    let path = directory.join("package.json");
    let json = match sys::file::read(&path, MANIFEST_BYTES_MAX) {
        Ok(json) => json,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && directory.is_dir() => {
            let name = directory.file_name().and_then(|name| name.to_str());
            let name = name.and_then(|name| PackageName::new(name).ok());
            return read_json(b"{}", name.as_ref().unwrap_or(alias), &path);
        }
        Err(source) => {
            return Err(SourceError::Read {
                path,
                source: Arc::new(source),
            });
        }
    };
    read_json(&json, alias, &path)
}

fn read_json(
    json: &[u8],
    alias: &PackageName,
    path: &Path,
) -> Result<VersionManifest, SourceError> {
    VersionManifest::of_package(json, alias).map_err(|refusal| SourceError::Fetch {
        reason: format!("{} cannot be used: {refusal}", path.display()),
        code: "ERR_PNPM_INVALID_PACKAGE_JSON",
    })
}

/// Whether an archive is where the registry's archives are, so that its address need not be
/// written down. Whether the connection is encrypted does not count.
fn is_canonical(
    address: &str,
    registry: &Url,
    name: &PackageName,
    version: &str,
    repeats_scope: bool,
) -> bool {
    let Ok(canonical) = canonical_tarball_url(registry, name, version, repeats_scope) else {
        return false;
    };
    let without_scheme = |text: &str| {
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        text.replace("%2f", "/").replace("%2F", "/")
    };
    without_scheme(address) == without_scheme(canonical.as_str())
}
