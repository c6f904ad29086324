//! Addresses of archives.

use reqwest::Url;

use super::error::FetchError;
use crate::name::PackageName;

/// The address at which `registry` (with a slash at its end) has the archive of a package:
/// `<registry>/<name>/-/<name without scope>-<version without build>.tgz`. Some registries repeat
/// the scope in the file name (`repeats_scope`).
///
/// # Errors
/// `version` has a character that no version has.
pub fn canonical_tarball_url(
    registry: &Url,
    name: &PackageName,
    version: &str,
    repeats_scope: bool,
) -> Result<Url, FetchError> {
    let refused = || FetchError::Address {
        package: format!("{}@{version}", name.as_str()),
        url: printable(registry),
        reason: "its version is not one",
    };
    let release = version.split('+').next().unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    if release.is_empty() || !release.bytes().all(is_plain) {
        return Err(refused());
    }
    let text = format!(
        "{}{}/-/{}-{release}.tgz",
        registry.as_str(),
        name.as_str(),
        if repeats_scope {
            name.as_str()
        } else {
            name.unscoped()
        }
    );
    Url::parse(&text).map_err(|_| refused())
}

/// The address `text` of something to download, as a lockfile or a registry has it.
///
/// # Errors
/// It is no address, or neither http nor https: data from the network never names a local file.
pub fn remote_url(package: &str, text: &str) -> Result<Url, FetchError> {
    let refused = |reason| FetchError::Address {
        package: package.to_owned(),
        url: printable_text(text),
        reason,
    };
    let url = Url::parse(text).map_err(|_| refused("it is not a URL"))?;
    match url.scheme() {
        "http" | "https" if url.host_str().is_some() => Ok(url),
        _ => Err(refused("it is neither http nor https")),
    }
}

/// Where a redirect from `from` to `location` leads, if it may be followed; else where it would
/// lead (printable) and why it may not.
pub(super) fn redirect_target(from: &Url, location: &str) -> Result<Url, (String, &'static str)> {
    let target = from
        .join(location)
        .map_err(|_| (String::new(), "its Location is not a URL"))?;
    let refused = |reason| Err((printable(&target), reason));
    if !matches!(target.scheme(), "http" | "https") {
        return refused("only http and https are followed");
    }
    if from.scheme() == "https" && target.scheme() == "http" {
        return refused("that would leave the encrypted connection");
    }
    if !target.username().is_empty() || target.password().is_some() {
        return refused("a redirect may not bring credentials");
    }
    Ok(target)
}

/// `url` as it may be shown: without user, password, query (it may be a signature) and fragment.
pub fn printable(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for addresses that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if url.query().is_some() {
        url.set_query(Some("…"));
    }
    url.set_fragment(None);
    let text = String::from(url);
    text.replace("?%E2%80%A6", "?…")
}

/// As [`printable`], of a text that may be no address.
pub fn printable_text(text: &str) -> String {
    if let Ok(url) = Url::parse(text)
        && url.has_host()
    {
        return printable(&url);
    }
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(registry: &str, name: &str, version: &str) -> Option<String> {
        let registry = Url::parse(registry).expect("a URL");
        let name = PackageName::new(name).expect("a name");
        canonical_tarball_url(&registry, &name, version, false)
            .ok()
            .map(String::from)
    }

    #[test]
    fn canonical_addresses_follow_the_rule() {
        for (registry, name, version, expected) in [
            (
                "https://r.test/",
                "a",
                "1.0.0",
                "https://r.test/a/-/a-1.0.0.tgz",
            ),
            (
                "https://r.test/npm/",
                "@s/b",
                "2.0.0-rc.1",
                "https://r.test/npm/@s/b/-/b-2.0.0-rc.1.tgz",
            ),
            (
                "http://r.test:4873/",
                "a",
                "1.0.0+build.5",
                "http://r.test:4873/a/-/a-1.0.0.tgz",
            ),
            (
                "https://r.test/",
                "JSONStream",
                "1.3.5",
                "https://r.test/JSONStream/-/JSONStream-1.3.5.tgz",
            ),
        ] {
            assert_eq!(
                canonical(registry, name, version).as_deref(),
                Some(expected)
            );
        }
        for version in [
            "",
            "+x",
            "../../x",
            "1.0.0/x",
            "1.0.0?x",
            "1.0.0#x",
            "1 0",
            "1.0\0",
            "1.0\u{e9}",
            "%2e",
        ] {
            assert_eq!(
                canonical("https://r.test/", "a", version),
                None,
                "{version:?}"
            );
        }
    }

    #[test]
    fn only_http_and_https_are_downloaded_from() {
        for text in [
            "file:///etc/passwd",
            "file:x.tgz",
            "ftp://h.test/x",
            "data:text/plain,x",
            "ssh://h.test/x",
            "//h.test/x",
            "x.tgz",
            "",
            "http://",
            "git+https://h.test/x.git",
        ] {
            assert!(remote_url("p", text).is_err(), "{text}");
        }
        assert!(remote_url("p", "http://h.test/x.tgz").is_ok());
    }

    #[test]
    fn redirects_keep_to_http_and_never_lose_encryption() {
        let from = Url::parse("https://h.test/a/b").expect("a URL");
        for location in [
            "http://h.test/a/b",
            "http://127.0.0.1/",
            "file:///etc/passwd",
            "ftp://h.test/",
            "https://u:p@h.test/",
            "https://u@h.test/",
            "https://[",
        ] {
            let refused = redirect_target(&from, location).expect_err(location);
            assert!(!refused.0.contains("u:p"), "{refused:?}");
        }
        for (location, expected) in [
            ("c", "https://h.test/a/c"),
            ("/c", "https://h.test/c"),
            ("//g.test/c", "https://g.test/c"),
            ("https://g.test/c", "https://g.test/c"),
        ] {
            let target = redirect_target(&from, location).expect(location);
            assert_eq!(target.as_str(), expected);
        }
        let plain = Url::parse("http://h.test/").expect("a URL");
        assert!(redirect_target(&plain, "https://h.test/").is_ok());
    }

    #[test]
    fn nothing_secret_is_printed() {
        for (text, expected) in [
            ("https://u:p@h.test/x?sig=abc#f", "https://h.test/x?…"),
            ("https://token@h.test/x", "https://h.test/x"),
            ("https://h.test/x", "https://h.test/x"),
        ] {
            assert_eq!(printable(&Url::parse(text).expect("a URL")), expected);
        }
        for text in [
            "ftp://u:hunter2@h.test/x",
            "https://u:hunter2@/x",
            "u:hunter2@x",
        ] {
            let error = remote_url("p", text).expect_err(text).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
