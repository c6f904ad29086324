//! Where one reads about a package: what its manifest says, or where its code host shows what is
//! written about its repository.

use serde_json::{Map, Value};

/// The homepage of a package.
pub(super) fn homepage_of(manifest: &Map<String, Value>) -> Option<String> {
    let homepage = manifest.get("homepage").and_then(Value::as_str);
    if let Some(homepage) = homepage.filter(|text| !text.is_empty()) {
        return Some(match homepage.contains("://") {
            true => homepage.to_owned(),
            false => format!("http://{homepage}"),
        });
    }
    let repository = manifest.get("repository")?;
    let text = repository
        .as_str()
        .or_else(|| repository.get("url")?.as_str())?;
    readme_of(text)
}

/// A service that has repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CodeHost {
    GitHub,
    GitLab,
    Bitbucket,
    Gist,
}

impl CodeHost {
    const ALL: [Self; 4] = [Self::GitHub, Self::GitLab, Self::Bitbucket, Self::Gist];

    /// The prefix of its short form, and its domain.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::GitHub => ("github", "github.com"),
            Self::GitLab => ("gitlab", "gitlab.com"),
            Self::Bitbucket => ("bitbucket", "bitbucket.org"),
            Self::Gist => ("gist", "gist.github.com"),
        }
    }

    /// The path that follows the name of a host in `repository`.
    fn path(self, repository: &str) -> Option<&str> {
        let (prefix, domain) = self.names();
        if let Some(path) = repository.strip_prefix(&format!("{prefix}:")) {
            return Some(path);
        }
        let at = repository.find(domain)?;
        let before = &repository[..at];
        let is_host = before.is_empty()
            || before.ends_with('@')
            || before.ends_with("//")
            || before.ends_with("www.");
        let path = repository[at + domain.len()..].strip_prefix([':', '/'])?;
        is_host.then_some(path)
    }

    /// The address of what is written about the repository at `path`, in the state that is called
    /// `reference`.
    fn readme(self, path: &str, reference: Option<&str>) -> Option<String> {
        let parts: Vec<&str> = path.split('/').collect();
        let (repository, reference) = match (self, &*parts) {
            (Self::Gist, [id] | [_, id]) => {
                let revision = reference.map(|reference| format!("/{reference}"));
                let revision = revision.unwrap_or_default();
                return Some(format!("https://gist.github.com/{}{revision}", bare(id)));
            }
            (Self::GitHub, [owner, name]) => (format!("{owner}/{}", bare(name)), reference),
            (Self::GitHub, [owner, name, "tree", branch, ..]) => {
                (format!("{owner}/{}", bare(name)), Some(*branch))
            }
            (Self::Bitbucket, [owner, name, ..]) => (format!("{owner}/{}", bare(name)), reference),
            (Self::GitLab, [groups @ .., name])
                if !groups.is_empty() && !name.is_empty() && !parts.contains(&"-") =>
            {
                (format!("{}/{}", groups.join("/"), bare(name)), reference)
            }
            _ => return None,
        };
        let (_, domain) = self.names();
        let place = match (self, reference) {
            (_, None) => String::new(),
            (Self::Bitbucket, Some(reference)) => format!("/src/{reference}"),
            (_, Some(reference)) => format!("/tree/{reference}"),
        };
        Some(format!("https://{domain}/{repository}{place}#readme"))
    }
}

fn bare(name: &str) -> &str {
    name.strip_suffix(".git").unwrap_or(name)
}

/// Where a code host shows what is written about a repository.
fn readme_of(repository: &str) -> Option<String> {
    let text = repository.strip_prefix("git+").unwrap_or(repository);
    let (text, reference) = match text.split_once('#') {
        Some((text, reference)) => (text, Some(reference).filter(|name| !name.is_empty())),
        None => (text, None),
    };
    if !text.contains(':') && text.split('/').count() == 2 {
        return CodeHost::GitHub.readme(text, reference);
    }
    CodeHost::ALL
        .into_iter()
        .find_map(|host| host.readme(host.path(text)?, reference))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_about_a_repository_is_at_its_host() {
        for (repository, expected) in [
            ("zeit/ms", Some("https://github.com/zeit/ms#readme")),
            ("a/b#x", Some("https://github.com/a/b/tree/x#readme")),
            (
                "git+ssh://git@github.com/a/b.git",
                Some("https://github.com/a/b#readme"),
            ),
            (
                "https://github.com/a/b/tree/main/packages/c",
                Some("https://github.com/a/b/tree/main#readme"),
            ),
            ("https://github.com/a/b/issues", None),
            ("https://github.com/a/b/", None),
            (
                "https://gitlab.com/a/b/c.git#1.0",
                Some("https://gitlab.com/a/b/c/tree/1.0#readme"),
            ),
            ("https://gitlab.com/a/b/-/tree/main", None),
            ("https://gitlab.com/a/b/", None),
            (
                "https://gitlab.com/a/b",
                Some("https://gitlab.com/a/b#readme"),
            ),
            ("bitbucket:a/b", Some("https://bitbucket.org/a/b#readme")),
            (
                "https://gist.github.com/a/1f",
                Some("https://gist.github.com/1f"),
            ),
            ("https://example.test/a/b", None),
            ("https://example.test/github.com/a/b", None),
            ("", None),
        ] {
            assert_eq!(readme_of(repository).as_deref(), expected, "{repository}");
        }
    }
}
