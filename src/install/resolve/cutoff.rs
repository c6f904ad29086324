//! `resolutionMode: time-based`: packages may be no newer than what projects depend on.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::settings::Settings;
use super::source::{Choice, Question, Source};
use super::{Declared, ResolveFault};
use crate::install::lockfile::Lockfile;
use crate::install::pick::Specifier;

/// How much newer than the newest direct dependency others may be: a release of several packages
/// takes its time.
const GRACE: SignedDuration = SignedDuration::from_hours(1);

/// When the direct dependencies of all projects were published, by package. `previous` tells it
/// where the registry does not. What cannot be found is told of by the walk.
pub(super) fn published(
    settings: &Settings,
    source: &dyn Source,
    declared: &[Vec<Declared>],
    previous: Option<&Lockfile>,
) -> Result<BTreeMap<Box<str>, Box<str>>, ResolveFault> {
    let mut questions = Vec::new();
    for (project, declared) in declared.iter().enumerate() {
        for dependency in declared {
            let text = &dependency.specifier;
            let parsed = Specifier::parse(Some(&dependency.alias), text, &settings.specifiers)?;
            let Specifier::Registry(specifier) = parsed else {
                continue;
            };
            let preferred = settings.preferred(project, specifier.name.as_str());
            questions.push(Question::Registry {
                preferred: Arc::new(preferred),
                specifier,
                choice: Choice {
                    lowest: settings.lowest_direct,
                    direct: true,
                    optional: dependency.optional,
                    ..Choice::default()
                },
            });
        }
    }
    let recorded = previous.and_then(|lockfile| lockfile.other.get("time"));
    let mut times = BTreeMap::new();
    for resolved in source.answer(&questions).into_iter().flatten() {
        let known = || recorded?.get(&*resolved.id)?.as_str().map(Into::into);
        if let Some(time) = resolved.published.clone().or_else(known) {
            times.insert(resolved.id, time);
        }
    }
    Ok(times)
}

/// Until when other packages may have been published.
pub(super) fn cutoff(times: &BTreeMap<Box<str>, Box<str>>) -> Option<Timestamp> {
    let newest = times
        .values()
        .filter_map(|time| time.parse::<Timestamp>().ok());
    newest.max()?.checked_add(GRACE).ok()
}
