//! The newest versions of dependencies, asked for all at once.

use std::sync::Arc;

use super::change::Specifiers;
use super::error::RelockError;
use crate::install::metadata::VersionManifest;
use crate::install::pick::{Preferred, Selector, Specifier};
use crate::install::resolve::{Choice, Question, ResolveFault, Source};
use crate::name::PackageName;

/// How far a newest version may be from what is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// What the dist-tag `latest` names.
    Latest,
    /// What the specifier allows.
    Compatible,
}

/// The newest version of a dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// The version.
    pub version: Box<str>,
    /// Why nobody should use it, where its author says so.
    pub deprecated: Option<Box<str>>,
    /// Where one can read about it; only where details are asked for.
    pub homepage: Option<String>,
}

impl Specifiers<'_> {
    /// The newest version of each dependency (alias and specifier, with catalogs' entries in
    /// place); `None` for what comes from no registry. `with_details`: what the abbreviated form of
    /// metadata does not tell too.
    ///
    /// # Errors
    /// A package cannot be found.
    pub fn newest(
        &mut self,
        dependencies: &[(&PackageName, &str)],
        reach: Reach,
        with_details: bool,
    ) -> Result<Vec<Option<Newest>>, RelockError> {
        self.source.keep_json(with_details);
        let mut questions = Vec::new();
        let mut places = Vec::new();
        for (place, (alias, specifier)) in dependencies.iter().enumerate() {
            let parsed = Specifier::parse(Some(alias), specifier, &self.context);
            let Ok(Specifier::Registry(mut specifier)) = parsed else {
                continue;
            };
            if specifier.address.is_some() {
                continue;
            }
            if reach == Reach::Latest {
                specifier.selector = Selector::Tag("latest".into());
            }
            places.push(place);
            questions.push(Question::Registry {
                specifier,
                preferred: Arc::new(Preferred::none()),
                choice: Choice {
                    direct: true,
                    optional: with_details,
                    ..Choice::default()
                },
            });
        }
        let mut newest = vec![None; dependencies.len()];
        for (place, answer) in places.into_iter().zip(self.source.answer(&questions)) {
            let resolved = answer.map_err(ResolveFault::from)?;
            newest[place] = Some(Newest {
                version: resolved.manifest.version.clone(),
                deprecated: resolved.manifest.deprecated.clone(),
                homepage: homepage(&resolved.manifest),
            });
        }
        Ok(newest)
    }
}

fn homepage(manifest: &VersionManifest) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(manifest.json.as_deref()?).ok()?;
    Some(json.get("homepage")?.as_str()?.to_owned())
}
