//! All that a registry says of a package, for somebody who asks.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::error::MetadataError;
use super::packuments::packument_url;
use crate::install::config::Config;
use crate::install::registry::{
    Client, ClientLimits, DocumentAnswer, DocumentRequest, FetchError, printable,
};
use crate::install::runtime;
use crate::install::semver::{Range, Version};
use crate::name::PackageName;
use crate::report::Reporter;

/// All that a registry says of a package.
#[derive(Debug)]
pub struct WholeDocument(Map<String, Value>);

impl WholeDocument {
    /// Asks the registry of `name`. Temporary files go to `temporary`.
    ///
    /// # Errors
    /// It gives no answer, or none that is a document.
    pub fn fetch(
        name: &PackageName,
        config: &Config,
        temporary: PathBuf,
        reporter: &Arc<dyn Reporter>,
    ) -> Result<Self, MetadataError> {
        let registry = config.registries.registry_of(name);
        let registry = registry.map_err(|error| MetadataError::Config(Arc::new(error)))?;
        let url = packument_url(&registry, name)?;
        let package = || name.as_str().to_owned();
        let refused = |reason: &str| MetadataError::Packument {
            package: package(),
            url: printable(&url),
            reason: reason.to_owned(),
        };
        let runtime = runtime::on_this_thread().map_err(|error| refused(&error.to_string()))?;
        let client = Client::new(config, ClientLimits::new(temporary), Arc::clone(reporter));
        let request = DocumentRequest {
            package: package(),
            url: url.clone(),
            accept: "application/json",
            etag: None,
            last_modified: None,
        };
        let document = match runtime.block_on(client.fetch_document(&request)) {
            Ok(DocumentAnswer::Fresh(document)) => document,
            Ok(DocumentAnswer::NotModified { .. }) => {
                return Err(refused("nothing was asked about changes"));
            }
            Err(FetchError::Status {
                status: status @ (401 | 403 | 404),
                with_credentials,
                ..
            }) => {
                return Err(MetadataError::NotFound {
                    package: package(),
                    url: printable(&url),
                    status,
                    with_credentials,
                });
            }
            Err(error) => return Err(MetadataError::Fetch(error)),
        };
        match serde_json::from_slice(&document.bytes) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            _ => Err(refused("it is no JSON object")),
        }
    }

    fn map(&self, field: &str) -> Option<&Map<String, Value>> {
        self.0.get(field)?.as_object()
    }

    /// The version that `selector` means: itself, that of a tag, or the highest of a range, unless
    /// the latest fits.
    pub fn version(&self, selector: &str) -> Option<&str> {
        let versions = self.map("versions")?;
        let known = |text: &str| Some(versions.get_key_value(text)?.0.as_str());
        let tagged = |tag: &str| known(self.map("dist-tags")?.get(tag)?.as_str()?);
        if let Some(found) = known(selector).or_else(|| tagged(selector)) {
            return Some(found);
        }
        let range = Range::parse_loose(selector)?;
        let fits = |text: &str| {
            let version = Version::parse_loose(text)?;
            range.contains(&version).then_some(version)
        };
        if let Some(latest) = tagged("latest").filter(|latest| fits(latest).is_some()) {
            return Some(latest);
        }
        let fitting = versions.keys().filter_map(|text| Some((fits(text)?, text)));
        fitting
            .max_by(|one, other| one.0.cmp(&other.0))
            .map(|(_, text)| text.as_str())
    }

    /// What is said of a version, and of all.
    pub fn of_version(&self, version: &str) -> Map<String, Value> {
        let versions = self.map("versions");
        let manifest = versions.and_then(|versions| versions.get(version)?.as_object());
        let mut fields = manifest.cloned().unwrap_or_default();
        let names = versions.into_iter().flat_map(Map::keys);
        fields.insert("versions".into(), names.map(|name| json!(name)).collect());
        fields.insert("versionsCount".into(), json!(versions.map_or(0, Map::len)));
        let dependencies = fields.get("dependencies").and_then(Value::as_object);
        let count = dependencies.map_or(0, Map::len);
        fields.insert("depsCount".into(), json!(count));
        for (field, name) in [
            ("dist-tags", "distTags"),
            ("dist-tags", "dist-tags"),
            ("time", "time"),
        ] {
            if let Some(value) = self.0.get(field) {
                fields.insert(name.to_owned(), value.clone());
            }
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_version_is_meant_where_it_fits() {
        let versions = json!({ "1.0.0": {}, "1.2.0": {}, "2.0.0": {}, "3.0.0-rc.1": {} });
        let document = json!({
            "versions": versions,
            "dist-tags": { "latest": "1.0.0", "next": "3.0.0-rc.1", "gone": "9.0.0" },
        });
        let Value::Object(fields) = document else {
            unreachable!("an object is given")
        };
        let document = WholeDocument(fields);
        for (selector, expected) in [
            ("latest", Some("1.0.0")),
            ("next", Some("3.0.0-rc.1")),
            ("gone", None),
            ("1.2.0", Some("1.2.0")),
            ("^1", Some("1.0.0")),
            (">1", Some("2.0.0")),
            (">=3", None),
            ("nothing", None),
        ] {
            assert_eq!(document.version(selector), expected, "{selector}");
        }
    }
}
