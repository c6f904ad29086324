//! What the registry knows: its advisories, and which versions it has.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::error::AuditError;
use super::graph::AuditGraph;
use super::report::{Patched, Report};
use crate::install::config::Config;
use crate::install::metadata::{Form, Packument, Packuments};
use crate::install::registry::{Client, ClientLimits, Url, printable};
use crate::install::runtime;
use crate::install::semver::{Range, Version};
use crate::name::{PackageName, escaped};
use crate::report::Reporter;

/// Where advisories are asked for, below the registry.
const ENDPOINT: &str = "-/npm/v1/security/advisories/bulk";

/// Most letters of an answer that a message repeats.
const SHOWN_MAX: usize = 500;

/// The registry that is asked.
#[derive(Debug)]
pub struct Registry {
    runtime: tokio::runtime::Runtime,
    client: Arc<Client>,
    packuments: Packuments,
    url: Url,
}

impl Registry {
    /// The default registry of `config`. Temporary files go to `temporary`.
    ///
    /// # Errors
    /// There is none, or the system cannot do it.
    pub fn new(
        config: &Config,
        temporary: PathBuf,
        reporter: &Arc<dyn Reporter>,
    ) -> Result<Self, AuditError> {
        let registry = config.registries.default_registry();
        let registry = registry.map_err(AuditError::Config)?;
        let limits = ClientLimits::new(temporary);
        let client = Arc::new(Client::new(config, limits, Arc::clone(reporter)));
        let runtime = runtime::on_this_thread().map_err(AuditError::Runtime)?;
        let mut url = registry;
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(ENDPOINT.split('/'));
        }
        Ok(Self {
            runtime,
            packuments: Packuments::new(config, Arc::clone(&client)),
            client,
            url,
        })
    }

    /// What is known of the packages in `graph`.
    ///
    /// # Errors
    /// The registry gives no answer, or none that has the form of one.
    pub fn report(&self, graph: &AuditGraph) -> Result<Report, AuditError> {
        let request = serde_json::to_vec(&graph.request()).unwrap_or_default();
        let url = printable(&self.url);
        let answer = self.runtime.block_on(self.client.post(&self.url, &request));
        let answer = answer.map_err(|error| AuditError::Request {
            url: url.clone(),
            reason: error.to_string(),
        })?;
        let shown = || {
            let text = String::from_utf8_lossy(&answer.bytes);
            escaped(&text.chars().take(SHOWN_MAX).collect::<String>())
        };
        let bad = |what: String| AuditError::BadResponse {
            url: url.clone(),
            what,
        };
        match answer.status {
            200 => {}
            404 => return Err(AuditError::NoEndpoint { url }),
            status => return Err(bad(format!("responded with {status}: {}", shown()))),
        }
        let body: Value = serde_json::from_slice(&answer.bytes).map_err(|error| {
            bad(format!(
                "returned invalid JSON: {error}. Response body: {}",
                shown()
            ))
        })?;
        let report = Report::new(&body, graph);
        let mut report = report.ok_or_else(|| {
            bad(format!(
                "returned an unexpected body. Expected an object keyed by package name; got: {}",
                shown()
            ))
        })?;
        self.look_for_patched(&mut report);
        Ok(report)
    }

    /// Holds what should be patched against what is published. Where that cannot be asked, it
    /// stays as it is.
    fn look_for_patched(&self, report: &mut Report) {
        let mut known: BTreeMap<String, Option<Arc<Packument>>> = BTreeMap::new();
        for advisory in &mut report.advisories {
            let Some(range) = advisory.patched.range().and_then(Range::parse_loose) else {
                continue;
            };
            let packument = known
                .entry(advisory.name.clone())
                .or_insert_with(|| self.packument(&advisory.name));
            let Some(packument) = packument else { continue };
            advisory.patched = match lowest(packument, &range) {
                Some(version) => Patched::Since(format!(">={version}")),
                None => Patched::Unpublished,
            };
        }
    }

    fn packument(&self, name: &str) -> Option<Arc<Packument>> {
        let name = PackageName::new(name).ok()?;
        let registry = self.packuments.registries.registry_of(&name).ok()?;
        let packument = self
            .packuments
            .packument(&name, &registry, Form::Abbreviated);
        self.runtime.block_on(packument).ok()
    }
}

/// The lowest version in `range` that is not deprecated, releases before pre-releases.
fn lowest(packument: &Packument, range: &Range) -> Option<Version> {
    let versions = packument.versions();
    let candidates = versions.filter(|(index, _)| !packument.is_deprecated(*index));
    let candidates = candidates.filter_map(|(_, text)| Version::parse_loose(text));
    candidates
        .filter(|version| range.contains_as_release(version))
        .min_by(|one, other| {
            let key = |version: &Version| version.is_pre_release();
            key(one).cmp(&key(other)).then_with(|| one.cmp(other))
        })
}
