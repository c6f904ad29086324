//! Specifiers of repositories.
//!
//! A repository of a known host is an identity, whatever way it is written: it is fetched over
//! https, and another transport is for the user's git to substitute. Any other address stays as
//! it is.

use percent_encoding::percent_decode_str;

use crate::install::registry::Url;

/// A code host that serves archives of commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitHost {
    /// `github:`.
    GitHub,
    /// `gitlab:`.
    GitLab,
    /// `bitbucket:`.
    Bitbucket,
}

/// A repository of a [`GitHost`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedRepository {
    /// The host.
    pub host: GitHost,
    /// The user or group (with its parents at GitLab).
    pub user: Box<str>,
    /// The project.
    pub project: Box<str>,
}

/// Which commit of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitReference {
    /// The head of the default branch.
    Head,
    /// A commit, branch or tag.
    Name(Box<str>),
    /// The highest tag of a range (`semver:…`).
    Range(Box<str>),
}

/// A repository, and where in it a package is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSpecifier {
    /// The address to fetch from.
    pub url: Box<str>,
    /// Where the host is one that serves archives, and the address has no credentials.
    pub hosted: Option<HostedRepository>,
    /// Which commit.
    pub reference: GitReference,
    /// `&path:…`: the directory of the package, as written.
    pub path: Option<Box<str>>,
    /// What a manifest keeps: `github:user/project#…`, or what was written.
    pub normalized: Box<str>,
}

impl GitHost {
    const ALL: [Self; 3] = [Self::GitHub, Self::GitLab, Self::Bitbucket];

    fn domain(self) -> &'static str {
        match self {
            Self::GitHub => "github.com",
            Self::GitLab => "gitlab.com",
            Self::Bitbucket => "bitbucket.org",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Bitbucket => "bitbucket",
        }
    }

    fn of_domain(domain: &str) -> Option<Self> {
        let domain = domain.strip_prefix("www.").unwrap_or(domain);
        Self::ALL.into_iter().find(|host| host.domain() == domain)
    }

    fn takes(self, protocol: &str) -> bool {
        match protocol {
            "git+ssh" | "git+https" | "ssh" | "https" => true,
            "git" | "http" => self == Self::GitHub,
            _ => false,
        }
    }
}

impl HostedRepository {
    /// The archive of a commit.
    pub fn archive(&self, commit: &str) -> String {
        let Self {
            host,
            user,
            project,
        } = self;
        match host {
            GitHost::GitHub => {
                format!("https://codeload.github.com/{user}/{project}/tar.gz/{commit}")
            }
            GitHost::GitLab => format!(
                "https://gitlab.com/{user}/{project}/-/archive/{commit}/{project}-{commit}.tar.gz"
            ),
            GitHost::Bitbucket => {
                format!("https://bitbucket.org/{user}/{project}/get/{commit}.tar.gz")
            }
        }
    }
}

impl GitSpecifier {
    /// Reads `text`; `None`: it names no repository.
    pub fn parse(text: &str) -> Option<Self> {
        hosted(text).or_else(|| of_address(text))
    }
}

/// What stands after `#`, between `&`.
struct Fragment {
    reference: GitReference,
    path: Option<Box<str>>,
}

impl Fragment {
    fn parse(text: &str) -> Self {
        let (mut name, mut range, mut path) = (None, None, None);
        for part in text.split('&').filter(|part| !part.is_empty()) {
            if let Some(text) = part.strip_prefix("semver:") {
                range = Some(text.into());
            } else if let Some(text) = part.strip_prefix("path:") {
                path = Some(text.into());
            } else {
                name = Some(part.into());
            }
        }
        let reference = match (range, name) {
            (Some(range), _) => GitReference::Range(range),
            (None, Some(name)) => GitReference::Name(name),
            (None, None) => GitReference::Head,
        };
        Self { reference, path }
    }
}

fn hosted(text: &str) -> Option<GitSpecifier> {
    if is_shorthand(text) {
        return of_prefix(GitHost::GitHub, text);
    }
    for host in GitHost::ALL {
        let rest = text.strip_prefix(host.prefix());
        if let Some(rest) = rest.and_then(|rest| rest.strip_prefix(':')) {
            return of_prefix(host, rest);
        }
    }
    of_host(text)
}

/// `user/project`, with neither scope nor path nor protocol.
fn is_shorthand(text: &str) -> bool {
    let bare = text.split('#').next().unwrap_or_default();
    let Some((user, project)) = bare.split_once('/') else {
        return false;
    };
    !user.is_empty()
        && !user.starts_with('.')
        && !project.is_empty()
        && !project.contains('/')
        && !bare.contains(['@', ':'])
        && !bare.contains(char::is_whitespace)
}

/// `user/project#…`, after the host's prefix.
fn of_prefix(host: GitHost, rest: &str) -> Option<GitSpecifier> {
    let (path, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let path = path.trim_start_matches('/');
    // Credentials have no place here, so they are passed over.
    let path = path.split_once('@').map_or(path, |(_, path)| path);
    let (user, project) = path.rsplit_once('/')?;
    repository(host, user, project, &decoded(fragment))
}

fn repository(host: GitHost, user: &str, project: &str, fragment: &str) -> Option<GitSpecifier> {
    let (user, project) = (decoded(user), decoded(project));
    let project = project.strip_suffix(".git").unwrap_or(&project);
    let is_plain = |text: &str| !text.is_empty() && text.split('/').all(is_plain_part);
    if !is_plain(&user) || !is_plain(project) {
        return None;
    }
    let Fragment { reference, path } = Fragment::parse(fragment);
    let hash = if fragment.is_empty() { "" } else { "#" };
    Some(GitSpecifier {
        url: format!("https://{}/{user}/{project}.git", host.domain()).into(),
        normalized: format!("{}:{user}/{project}{hash}{fragment}", host.prefix()).into(),
        hosted: Some(HostedRepository {
            host,
            user: user.into(),
            project: project.into(),
        }),
        reference,
        path,
    })
}

/// A part of an address that cannot lead anywhere else.
fn is_plain_part(part: &str) -> bool {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_.~!+".contains(letter);
    !part.is_empty() && part != "." && part != ".." && part.chars().all(is_plain)
}

fn decoded(text: &str) -> String {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map_or_else(|_| text.to_owned(), Into::into)
}

/// An address of a known host: `https://github.com/user/project.git`,
/// `git@github.com:user/project`.
fn of_host(text: &str) -> Option<GitSpecifier> {
    let url = parse_address(text)?;
    let host = GitHost::of_domain(url.host_str()?)?;
    if !host.takes(url.scheme()) {
        return None;
    }
    let fragment = url.fragment().unwrap_or_default();
    let parts: Vec<&str> = url.path().trim_start_matches('/').split('/').collect();
    let (user, project, fragment) = match (host, parts.as_slice()) {
        (GitHost::GitHub, [user, project]) => ((*user).to_owned(), *project, fragment.to_owned()),
        (GitHost::GitHub, [user, project, "tree", rest @ ..]) if !rest.is_empty() => {
            ((*user).to_owned(), *project, rest.join("/"))
        }
        (GitHost::GitLab, [groups @ .., project])
            if !groups.is_empty() && !parts.contains(&"-") && *project != "archive.tar.gz" =>
        {
            (groups.join("/"), *project, fragment.to_owned())
        }
        (GitHost::Bitbucket, [user, project, rest @ ..]) if rest.first() != Some(&"get") => {
            ((*user).to_owned(), *project, fragment.to_owned())
        }
        _ => return None,
    };
    let mut specifier = repository(host, &user, project, &decoded(&fragment))?;
    let has_credentials = url.scheme() != "ssh" && url.scheme() != "git+ssh";
    if has_credentials && (!url.username().is_empty() || url.password().is_some()) {
        let user = url.username();
        let credentials = match url.password() {
            Some(password) => format!("{user}:{password}@"),
            None => format!("{user}@"),
        };
        let rest = specifier.url.strip_prefix("https://").unwrap_or_default();
        let hash = if fragment.is_empty() { "" } else { "#" };
        specifier.normalized = format!(
            "git+https://{credentials}{rest}{hash}{}",
            decoded(&fragment)
        )
        .into();
        specifier.url = format!("https://{credentials}{rest}").into();
        specifier.hosted = None;
    }
    Some(specifier)
}

/// An address, also one as `git@host:path`.
fn parse_address(text: &str) -> Option<Url> {
    let end = text.find('#').unwrap_or(text.len());
    let (bare, fragment) = text.split_at(end);
    let (protocol, rest) = match bare.split_once("://") {
        Some((protocol, rest)) => (protocol, rest),
        None if bare.contains('@') && bare.contains(':') => ("git+ssh", bare),
        None => return None,
    };
    if let Ok(url) = Url::parse(&format!("{protocol}://{rest}{fragment}")) {
        return Some(url);
    }
    Url::parse(&format!("{protocol}://{}{fragment}", with_slash(rest))).ok()
}

/// `user@host:path` as `user@host/path`; a port stays.
fn with_slash(rest: &str) -> String {
    let end = rest.find('/').unwrap_or(rest.len());
    let authority = &rest[..end];
    let host_start = authority.rfind('@').map_or(0, |at| at + 1);
    let host = &authority[host_start..];
    let after_address = host.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = host[after_address..].rfind(':') else {
        return rest.to_owned();
    };
    let colon = host_start + after_address + colon;
    let port = &authority[colon + 1..];
    if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        return rest.to_owned();
    }
    format!("{}/{}", &rest[..colon], &rest[colon + 1..])
}

const PROTOCOLS: [&str; 8] = [
    "git",
    "git+http",
    "git+https",
    "git+rsync",
    "git+ftp",
    "git+file",
    "git+ssh",
    "ssh",
];

/// Any other address of a repository.
fn of_address(text: &str) -> Option<GitSpecifier> {
    let (protocol, _) = text.split_once(':')?;
    let protocol = protocol.to_ascii_lowercase();
    let is_web = matches!(protocol.as_str(), "http" | "https");
    let bare = text.split('#').next().unwrap_or_default();
    if !PROTOCOLS.contains(&protocol.as_str()) && !(is_web && bare.ends_with(".git")) {
        return None;
    }
    let mut url = if protocol == "ssh" || protocol == "git+ssh" {
        let (protocol, rest) = text.split_once("://")?;
        Url::parse(&format!("{protocol}://{}", with_slash(rest))).ok()?
    } else {
        Url::parse(text).ok()?
    };
    let fragment = decoded(url.fragment().unwrap_or_default());
    url.set_fragment(None);
    let Fragment { reference, path } = Fragment::parse(&fragment);
    let address = url.as_str();
    Some(GitSpecifier {
        url: address.strip_prefix("git+").unwrap_or(address).into(),
        hosted: None,
        reference,
        path,
        normalized: text.into(),
    })
}
