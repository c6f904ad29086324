//! Advisories, and what of the lockfile they are about.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::graph::AuditGraph;
use crate::install::semver::{Range, Version};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No danger.
    Info,
    /// Little.
    Low,
    /// More.
    Moderate,
    /// Much.
    High,
    /// All there can be.
    Critical,
}

impl Severity {
    /// All, from the least to the worst.
    pub const ALL: [Self; 5] = [
        Self::Info,
        Self::Low,
        Self::Moderate,
        Self::High,
        Self::Critical,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Moderate => "moderate",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// A version that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The version.
    pub version: Box<str>,
    /// Ways from projects to it.
    pub paths: Vec<String>,
    /// Only development needs it.
    pub is_development: bool,
    /// Only optional dependencies lead to it.
    pub is_optional: bool,
}

/// Which versions do not have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patched {
    /// These: a range.
    Since(String),
    /// The advisory's range has no end that tells.
    Unknown,
    /// Those that should be are not published.
    Unpublished,
}

impl Patched {
    /// The range, where there is one.
    pub fn range(&self) -> Option<&str> {
        match self {
            Self::Since(range) => Some(range),
            Self::Unknown | Self::Unpublished => None,
        }
    }
}

/// A vulnerability that something in the lockfile has.
#[derive(Debug, Clone, PartialEq)]
pub struct Advisory {
    /// Its number at the registry.
    pub id: u64,
    /// Versions of the lockfile.
    pub findings: Vec<Finding>,
    /// One sentence.
    pub title: String,
    /// The package.
    pub name: String,
    /// Which versions have it.
    pub vulnerable: String,
    /// Which do not.
    pub patched: Patched,
    /// How bad it is.
    pub severity: Severity,
    /// Kinds of weakness, with commas between.
    pub weaknesses: String,
    /// Its id at GitHub; empty where there is none.
    pub ghsa: String,
    /// Where one can read about it.
    pub url: String,
}

/// An advisory as the registry gives it.
#[derive(Debug, Deserialize)]
struct Given {
    id: Option<serde_json::Number>,
    severity: Option<Value>,
    title: Option<String>,
    vulnerable_versions: String,
    cwe: Option<Value>,
    url: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// By number.
    pub advisories: Vec<Advisory>,
}

impl Report {
    /// Holds the registry's `answer` against `graph`. `None`: it has not the form of an answer.
    pub fn new(answer: &Value, graph: &AuditGraph) -> Option<Self> {
        let mut advisories = Vec::new();
        for (name, list) in answer.as_object()? {
            let mut paths = None;
            for given in list.as_array()? {
                let given = Given::deserialize(given).ok()?;
                let severity = given.severity.clone().unwrap_or_default();
                // Kinds that are to come say nothing that could be compared.
                let Ok(severity) = Severity::deserialize(severity) else {
                    continue;
                };
                let Some(id) = given.id.as_ref().and_then(serde_json::Number::as_u64) else {
                    continue;
                };
                let findings = findings(name, &given.vulnerable_versions, graph, &mut paths);
                if !findings.is_empty() {
                    advisories.push(given.into_advisory(id, name, severity, findings));
                }
            }
        }
        advisories.sort_by_key(|advisory| advisory.id);
        Some(Self { advisories })
    }

    /// How many there are of each severity.
    pub fn counts(&self) -> [(Severity, usize); 5] {
        Severity::ALL.map(|severity| {
            let same = |advisory: &&Advisory| advisory.severity == severity;
            (severity, self.advisories.iter().filter(same).count())
        })
    }

    /// Takes out those that were looked at before, and returns them.
    pub fn take_ignored(&mut self, ids: &[String]) -> Self {
        let ids: Vec<String> = ids.iter().map(|id| normal_ghsa(id)).collect();
        let (ignored, others) = std::mem::take(&mut self.advisories)
            .into_iter()
            .partition(|advisory| ids.contains(&advisory.ghsa));
        self.advisories = others;
        Self {
            advisories: ignored,
        }
    }
}

type Paths = std::collections::BTreeMap<Box<str>, Vec<String>>;

fn findings(
    name: &str,
    range: &str,
    graph: &AuditGraph,
    paths: &mut Option<Paths>,
) -> Vec<Finding> {
    let Some(range) = Range::parse_loose(range) else {
        return Vec::new();
    };
    let versions = graph.versions.get(name).into_iter().flatten();
    let concerned = versions.filter(|(version, _)| {
        let version = Version::parse_loose(version);
        version.is_some_and(|version| range.contains_as_release(&version))
    });
    concerned
        .map(|(version, used)| Finding {
            version: version.clone(),
            paths: paths
                .get_or_insert_with(|| graph.paths(name))
                .get(version)
                .cloned()
                .unwrap_or_default(),
            is_development: used.is_development,
            is_optional: used.is_optional,
        })
        .collect()
}

impl Given {
    fn into_advisory(
        self,
        id: u64,
        name: &str,
        severity: Severity,
        findings: Vec<Finding>,
    ) -> Advisory {
        let weaknesses = match &self.cwe {
            Some(Value::Array(list)) => {
                let list: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
                list.join(", ")
            }
            Some(Value::String(text)) => text.clone(),
            _ => String::new(),
        };
        let url = self.url.unwrap_or_default();
        Advisory {
            id,
            findings,
            title: self.title.unwrap_or_default(),
            name: name.to_owned(),
            patched: patched(&self.vulnerable_versions),
            vulnerable: self.vulnerable_versions,
            severity,
            weaknesses,
            ghsa: ghsa_of(&url),
            url,
        }
    }
}

/// What comes after the end of a vulnerable range: `<a` or `<=a` at its end.
fn patched(vulnerable: &str) -> Patched {
    let Some((before, after)) = vulnerable.rsplit_once('<') else {
        return Patched::Unknown;
    };
    if before.ends_with(|last: char| !last.is_whitespace()) {
        return Patched::Unknown;
    }
    let (is_inclusive, text) = match after.strip_prefix('=') {
        Some(text) => (true, text.trim()),
        None => (false, after.trim()),
    };
    let Some(version) = Version::parse(text) else {
        return Patched::Unknown;
    };
    match is_inclusive {
        false => Patched::Since(format!(">={text}")),
        // What comes after a pre-release is its release.
        true if version.is_pre_release() => Patched::Since(format!(">={}", version.release())),
        true => Patched::Since(format!(">={}", version.next_patch())),
    }
}

/// The id in an address of GitHub's advisories.
fn ghsa_of(url: &str) -> String {
    let is_start = |part: &&str| {
        part.get(..5)
            .is_some_and(|start| start.eq_ignore_ascii_case("GHSA-"))
    };
    let part = url.split('/').skip(1).find(is_start).unwrap_or_default();
    let is_end = |letter: char| !(letter.is_ascii_alphanumeric() || "-_".contains(letter));
    normal_ghsa(part.split(is_end).next().unwrap_or_default())
}

/// `GHSA-` in capitals, and the rest not.
pub fn normal_ghsa(id: &str) -> String {
    let id = id.trim();
    match id.split_once('-') {
        Some((start, rest)) => {
            format!(
                "{}-{}",
                start.to_ascii_uppercase(),
                rest.to_ascii_lowercase()
            )
        }
        None => id.to_ascii_uppercase(),
    }
}

impl Advisory {
    /// As programs read it.
    pub fn json(&self) -> Value {
        let finding = |finding: &Finding| {
            json!({
                "version": finding.version,
                "paths": finding.paths,
                "dev": finding.is_development,
                "optional": finding.is_optional,
                "bundled": false,
            })
        };
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
        put("findings", self.findings.iter().map(finding).collect());
        put("id", json!(self.id));
        put("title", json!(self.title));
        put("module_name", json!(self.name));
        put("vulnerable_versions", json!(self.vulnerable));
        put("patched_versions", json!(self.patched.range()));
        if self.patched == Patched::Unpublished {
            put("patched_versions_unpublished", json!(true));
        }
        put("severity", json!(self.severity.as_str()));
        put("cwe", json!(self.weaknesses));
        put("github_advisory_id", json!(self.ghsa));
        put("url", json!(self.url));
        Value::Object(map)
    }
}
