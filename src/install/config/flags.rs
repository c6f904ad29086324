//! Settings that stand for flags of single commands, where those are not written.

use super::options::Options;
use super::value::{InitialType, LogLevelName, ReporterName};

/// What flags of single commands mean where they are not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultFlags {
    /// `sort`: scripts of projects wait for those of what they depend on.
    pub sorts: bool,
    /// `reverse`: they wait for those of what depends on them.
    pub reverses: bool,
    /// `bail`: nothing else is begun after a failure.
    pub bails: bool,
    /// `stream`: output of scripts is shown line by line.
    pub streams: bool,
    /// `aggregateOutput`: the output of a script is shown when it has ended.
    pub aggregates: bool,
    /// `reporterHidePrefix`: output of scripts is shown without the project in front.
    pub hides_prefix: bool,
    /// `reporter`.
    pub reporter: Option<ReporterName>,
    /// `loglevel`.
    pub log_level: Option<LogLevelName>,
    /// `initType`.
    pub initial_type: Option<InitialType>,
    /// What else `init` begins with.
    pub initial: InitialFields,
}

/// Fields of a manifest to begin with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InitialFields {
    /// `initAuthorName`, `initAuthorEmail` and `initAuthorUrl`, as one field has them.
    pub author: Option<String>,
    /// `initLicense`.
    pub license: Option<String>,
    /// `initVersion`.
    pub version: Option<String>,
}

pub(super) fn flags(options: &Options) -> DefaultFlags {
    DefaultFlags {
        sorts: options.sort.unwrap_or(true),
        reverses: options.reverse.unwrap_or(false),
        bails: options.bail.unwrap_or(true),
        streams: options.stream.unwrap_or(false),
        aggregates: options.aggregate_output.unwrap_or(false),
        hides_prefix: options.reporter_hide_prefix.unwrap_or(false),
        reporter: options.reporter,
        log_level: options.log_level,
        initial_type: options.init_type,
        initial: InitialFields {
            author: author(options),
            license: options.init_license.clone(),
            version: options.init_version.clone(),
        },
    }
}

fn author(options: &Options) -> Option<String> {
    let email = options.init_author_email.as_ref();
    let url = options.init_author_url.as_ref();
    let parts = [
        options.init_author_name.clone(),
        email.map(|email| format!("<{email}>")),
        url.map(|url| format!("({url})")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}
