//! Getting packuments: from memory, from the cache, or from the registry, at most once each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::cache::Cache;
use super::document;
use super::error::MetadataError;
use super::image::{Image, Refusal, Validators};
use super::manifest::VersionManifest;
use super::packument::{Origin, Packument, VersionIndex};
use crate::install::config::{Config, Registries, ResolutionMode, TrustPolicy};
use crate::install::pick::{RegistryChoice, RegistrySpecifier};
use crate::install::registry::{
    Client, Document, DocumentAnswer, DocumentRequest, FetchError, Url, printable,
};
use crate::name::PackageName;

const ACCEPT_ABBREVIATED: &str =
    "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*";
const ACCEPT_FULL: &str = "application/json; q=1.0, */*";

/// The forms in which registries give packuments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// What an installer needs mostly.
    Abbreviated,
    /// With times, `libc` and evidence of origin.
    Full,
}

/// A packument as it is known so far.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) packument: Arc<Packument>,
    /// Whether the registry confirmed it in this run.
    pub(super) is_fresh: bool,
    /// Whether the registry said earlier that it would still be true now.
    pub(super) is_still_true: bool,
}

/// Package, form and registry.
type SlotKey = (PackageName, Form, Box<str>);

/// One package of one registry in one form.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: PackageName,
    pub(super) registry: Url,
    pub(super) form: Form,
    /// `None`: nobody has looked into the cache yet; `Some(None)`: it has nothing.
    known: Mutex<Option<Option<Known>>>,
    /// Held while the registry is asked, so that it is asked once.
    asking: tokio::sync::Mutex<()>,
}

impl Slot {
    fn origin(&self) -> Origin {
        Origin {
            name: self.name.clone(),
            registry: self.registry.clone(),
            form: self.form,
        }
    }
}

/// Gives packuments, each fetched at most once; to be shared by everything in one run.
#[derive(Debug)]
pub struct Packuments {
    pub(super) client: Arc<Client>,
    pub(in crate::install) registries: Arc<Registries>,
    pub(super) is_offline: bool,
    pub(super) prefers_offline: bool,
    /// Whether what the registry said stays true for some time is believed as long.
    pub(super) trusts_cache: bool,
    needs_full: bool,
    cache: Cache,
    slots: Mutex<HashMap<SlotKey, Arc<Slot>>>,
}

impl Packuments {
    /// With the cache in `config.cache_directory`, and the network through `client`.
    pub fn new(config: &Config, client: Arc<Client>) -> Self {
        let resolution = &config.resolution;
        let is_time_based = resolution.mode == ResolutionMode::TimeBased;
        Self {
            needs_full: resolution.trust_policy == TrustPolicy::NoDowngrade
                || (is_time_based && !resolution.registry_supports_time_field),
            client,
            registries: Arc::clone(&config.registries),
            is_offline: config.network.offline,
            prefers_offline: config.network.prefer_offline,
            trusts_cache: false,
            cache: Cache::new(&config.cache_directory),
            slots: Mutex::default(),
        }
    }

    /// Whether [`Packuments::pick`] asks nothing about what the registry said stays true for some
    /// time, as `max-age` of `Cache-Control`, while that lasts.
    pub fn trust_cache(&mut self, trusts: bool) {
        self.trusts_cache = trusts;
    }

    /// The registry of `specifier`.
    ///
    /// # Errors
    /// Configuration names none.
    pub fn registry_of(&self, specifier: &RegistrySpecifier) -> Result<Url, MetadataError> {
        let missing = |setting: String| MetadataError::NoRegistry {
            package: specifier.name.as_str().to_owned(),
            setting,
        };
        match &specifier.registry {
            RegistryChoice::Configured => (self.registries.registry_of(&specifier.name))
                .map_err(|error| MetadataError::Config(Arc::new(error))),
            RegistryChoice::Jsr { .. } => (self.registries.registry_of_scope(&specifier.name))
                .cloned()
                .ok_or_else(|| missing("@jsr:registry=<address> in .npmrc".to_owned())),
            RegistryChoice::Named { prefix } => (self.registries.named(prefix))
                .cloned()
                .ok_or_else(|| missing(format!("namedRegistries.{prefix}"))),
        }
    }

    /// The form that is needed: the full one for optional dependencies, of which only it tells
    /// `libc`, and where times or evidence of origin decide.
    pub fn form(&self, is_optional: bool) -> Form {
        if is_optional || self.needs_full {
            Form::Full
        } else {
            Form::Abbreviated
        }
    }

    /// The packument of `name` at `registry`, from the cache where the registry says that it is
    /// still true, else from the registry.
    ///
    /// # Errors
    /// The registry cannot be asked or does not have it, or what it gives is no packument of
    /// `name`; offline, the cache does not have it.
    pub async fn packument(
        &self,
        name: &PackageName,
        registry: &Url,
        form: Form,
    ) -> Result<Arc<Packument>, MetadataError> {
        let slot = self.slot(name, registry, form);
        if self.is_offline {
            let known = self.known_in_any_form(&slot);
            let known = known.map(|known| known.packument);
            return known.ok_or_else(|| self.not_cached(&slot, name.as_str()));
        }
        self.fresh(&slot).await
    }

    /// The packument that the cache has, without asking the registry.
    pub fn cached(&self, name: &PackageName, registry: &Url, form: Form) -> Option<Arc<Packument>> {
        let known = self.known(&self.slot(name, registry, form))?;
        Some(known.packument)
    }

    /// The manifest of a version of `packument`.
    ///
    /// # Errors
    /// As [`Packument::manifest`]; what was damaged in the cache is fetched again first.
    pub async fn manifest(
        &self,
        packument: &Arc<Packument>,
        version: VersionIndex,
    ) -> Result<Arc<VersionManifest>, MetadataError> {
        let error = match packument.manifest(version) {
            Err(error @ MetadataError::Damaged { .. }) => error,
            result => return result,
        };
        let slot = self.slot(packument.name(), packument.registry(), packument.form());
        if self.is_offline {
            return Err(error);
        }
        tracing::debug!(package = %packument.name(), "cached metadata is damaged");
        let mended = self.replace(&slot, packument).await?;
        let version = mended.find(packument.version(version)).ok_or(error)?;
        mended.manifest(version)
    }

    pub(super) fn slot(&self, name: &PackageName, registry: &Url, form: Form) -> Arc<Slot> {
        let key = (name.clone(), form, registry.as_str().into());
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(key).or_insert_with(|| {
            Arc::new(Slot {
                name: name.clone(),
                registry: registry.clone(),
                form,
                known: Mutex::new(None),
                asking: tokio::sync::Mutex::new(()),
            })
        });
        Arc::clone(slot)
    }

    pub(super) fn not_cached(&self, slot: &Slot, wanted: &str) -> MetadataError {
        MetadataError::Offline {
            package: wanted.to_owned(),
            path: self.cache.path(&slot.name, &slot.registry, slot.form),
        }
    }

    /// What is known without asking the registry.
    pub(super) fn known(&self, slot: &Slot) -> Option<Known> {
        let mut known = slot.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert_with(|| self.load(slot)).clone()
    }

    /// The same. Where the registry had better not be asked, the full form does too, which says
    /// all that the abbreviated one does.
    pub(super) fn known_in_any_form(&self, slot: &Slot) -> Option<Known> {
        let full = || {
            let is_short = slot.form == Form::Abbreviated;
            let full = (is_short && (self.is_offline || self.prefers_offline))
                .then(|| self.slot(&slot.name, &slot.registry, Form::Full));
            full.and_then(|full| self.known(&full))
        };
        self.known(slot).or_else(full)
    }

    fn load(&self, slot: &Slot) -> Option<Known> {
        let path = self.cache.path(&slot.name, &slot.registry, slot.form);
        let cached = Cache::load(&path, &slot.name)?;
        Some(Known {
            packument: Arc::new(Packument::new(
                slot.origin(),
                cached.image,
                path,
                cached.confirmed,
            )),
            is_fresh: false,
            is_still_true: cached.is_fresh,
        })
    }

    /// What the registry says now.
    pub(super) async fn fresh(&self, slot: &Arc<Slot>) -> Result<Arc<Packument>, MetadataError> {
        let fresh = |known: Option<Known>| {
            let known = known.filter(|known| known.is_fresh);
            known.map(|known| known.packument)
        };
        if let Some(packument) = fresh(self.known(slot)) {
            return Ok(packument);
        }
        let _asking = slot.asking.lock().await;
        let known = self.known(slot);
        match fresh(known.clone()) {
            Some(packument) => Ok(packument),
            None => self.ask(slot, known).await,
        }
    }

    /// Fetches what `damaged` was.
    async fn replace(
        &self,
        slot: &Arc<Slot>,
        damaged: &Arc<Packument>,
    ) -> Result<Arc<Packument>, MetadataError> {
        let _asking = slot.asking.lock().await;
        match self.known(slot) {
            // Somebody else was first.
            Some(known) if !Arc::ptr_eq(&known.packument, damaged) => Ok(known.packument),
            _ => {
                Cache::remove(damaged.path());
                self.ask(slot, None).await
            }
        }
    }

    async fn ask(
        &self,
        slot: &Arc<Slot>,
        known: Option<Known>,
    ) -> Result<Arc<Packument>, MetadataError> {
        let url = packument_url(&slot.registry, &slot.name)?;
        let validators = known.as_ref().map(|known| validators(&known.packument));
        let validators = validators.unwrap_or_default();
        let request = DocumentRequest {
            package: slot.name.as_str().to_owned(),
            url,
            accept: match slot.form {
                Form::Abbreviated => ACCEPT_ABBREVIATED,
                Form::Full => ACCEPT_FULL,
            },
            etag: validators.etag,
            last_modified: validators.last_modified,
        };
        let answer = match self.client.fetch_document(&request).await {
            Ok(answer) => answer,
            Err(error) => return self.without_answer(slot, known, &request.url, error),
        };
        let packument = match (answer, known) {
            (DocumentAnswer::NotModified { fresh_for }, Some(known)) => {
                confirm(&known.packument, fresh_for);
                known.packument
            }
            (DocumentAnswer::Fresh(document), _) => self.take(slot, request.url, document).await?,
            (DocumentAnswer::NotModified { .. }, None) => {
                return Err(refused(
                    slot,
                    &request.url,
                    "nothing was asked about changes",
                ));
            }
        };
        remember(slot, &packument);
        Ok(packument)
    }

    /// A registry that cannot be reached is no reason to fail where the cache has something; one
    /// that says no is.
    fn without_answer(
        &self,
        slot: &Slot,
        known: Option<Known>,
        url: &Url,
        error: FetchError,
    ) -> Result<Arc<Packument>, MetadataError> {
        if let FetchError::Status {
            status: status @ (401 | 403 | 404),
            with_credentials,
            ..
        } = error
        {
            return Err(MetadataError::NotFound {
                package: slot.name.as_str().to_owned(),
                url: printable(url),
                status,
                with_credentials,
            });
        }
        match known {
            Some(known) if error.is_transient() => {
                tracing::debug!(package = %slot.name, %error, "cached metadata is used instead");
                remember(slot, &known.packument);
                Ok(known.packument)
            }
            _ => Err(MetadataError::Fetch(error)),
        }
    }

    async fn take(
        &self,
        slot: &Arc<Slot>,
        url: Url,
        document: Document,
    ) -> Result<Arc<Packument>, MetadataError> {
        let path = self.cache.path(&slot.name, &slot.registry, slot.form);
        let slot = Arc::clone(slot);
        let fresh_for = document.fresh_for;
        // Megabytes of JSON are nothing for the thread that has the network to look after.
        let work = tokio::task::spawn_blocking(move || {
            let mut image = read_document(&slot, &url, document)?;
            match Cache::store(&path, &image, fresh_for) {
                Ok(()) => image.forget_manifests(),
                Err(error) => {
                    tracing::debug!(%error, path = %path.display(), "metadata was not cached");
                }
            }
            let origin = slot.origin();
            Ok(Arc::new(Packument::new(origin, image, path, None)))
        });
        match work.await {
            Ok(result) => result,
            Err(error) => Err(MetadataError::Fetch(FetchError::Setup {
                reason: error.to_string(),
            })),
        }
    }
}

fn confirm(packument: &Packument, fresh_for: Duration) {
    let path = packument.path();
    if let Err(error) = Cache::confirm(path, fresh_for) {
        tracing::debug!(%error, path = %path.display(), "cached metadata was not confirmed");
    }
}

/// What the cached answer had, or, without a time of its own, the time that it tells.
fn validators(packument: &Packument) -> Validators {
    let mut validators = packument.validators();
    if validators.last_modified.is_none() {
        let modified = packument.modified();
        let date = modified.map(|time| time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        validators.last_modified = date.map(Into::into);
    }
    validators
}

fn remember(slot: &Slot, packument: &Arc<Packument>) {
    let mut known = slot.known.lock().unwrap_or_else(PoisonError::into_inner);
    *known = Some(Some(Known {
        packument: Arc::clone(packument),
        is_fresh: true,
        is_still_true: true,
    }));
}

fn refused(slot: &Slot, url: &Url, reason: &str) -> MetadataError {
    MetadataError::Packument {
        package: slot.name.as_str().to_owned(),
        url: printable(url),
        reason: reason.to_owned(),
    }
}

fn read_document(slot: &Slot, url: &Url, document: Document) -> Result<Image, MetadataError> {
    if document.content_type.as_deref() == Some("text/html") {
        return Err(refused(slot, url, "it is a web page"));
    }
    let validators = Validators {
        etag: document.etag,
        last_modified: document.last_modified,
    };
    let read = read_packument(&document.bytes, &slot.name, &validators);
    read.map_err(|fault| match fault {
        PackumentFault::Refused(reason) => refused(slot, url, &reason),
        PackumentFault::OtherName(found) => MetadataError::OtherPackage {
            package: slot.name.as_str().to_owned(),
            found,
            url: printable(url),
        },
    })
}

/// What is wrong with a packument.
#[derive(Debug)]
pub(super) enum PackumentFault {
    /// It is none: a sentence about it.
    Refused(String),
    /// It is of this package.
    OtherName(String),
}

/// The packument of `name` in `bytes`.
pub(super) fn read_packument(
    bytes: &[u8],
    name: &PackageName,
    validators: &Validators,
) -> Result<Image, PackumentFault> {
    let refused = |reason: &str| PackumentFault::Refused(reason.to_owned());
    let text = std::str::from_utf8(bytes).map_err(|_| refused("it is not UTF-8"))?;
    let draft = document::read(text).map_err(|error| refused(&error.to_string()))?;
    match draft.name.as_deref() {
        Some(own) if own == name.as_str() => {}
        Some(own) => return Err(PackumentFault::OtherName(own.to_owned())),
        None => return Err(refused("it has no name")),
    }
    Image::build(&draft, validators).map_err(|Refusal(reason)| refused(reason))
}

/// What must be escaped in a name: the slash of a scope, among what names can have.
const NAME: &AsciiSet = &CONTROLS.add(b'/');

/// `<registry>/<name>`, with the slash of a scope escaped.
pub(super) fn packument_url(registry: &Url, name: &PackageName) -> Result<Url, MetadataError> {
    let name = utf8_percent_encode(name.as_str(), NAME);
    let text = format!("{registry}{name}").replace("%2F", "%2f");
    Url::parse(&text).map_err(|_| {
        MetadataError::Fetch(FetchError::Address {
            package: name.to_string(),
            url: printable(registry),
            reason: "it is not a URL",
        })
    })
}
