//! Versions and ranges, as npm's `semver` reads them.
//!
//! The crates that do this disagree with npm where it matters (`<=18`, the empty range, `1 || `),
//! so here are npm's rules themselves: a range is a union of intersections of comparators, and a
//! pre-release is only in a range that names a pre-release of the same three numbers.
//!
//! **Architecture Invariant:** what npm refuses is refused here. Its loose mode, which registries'
//! old versions need, is for choosing versions only and has functions of its own.

mod bounds;
mod bump;

use std::cmp::Ordering;
use std::fmt;

pub use bump::Bump;

/// npm takes no longer ones.
const VERSION_BYTES_MAX: usize = 256;

/// JavaScript's `Number.MAX_SAFE_INTEGER`.
const NUMBER_MAX: u64 = (1 << 53) - 1;

/// A version. Build metadata is read and left out, for it counts in no comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    numbers: [u64; 3],
    pre_release: Vec<Identifier>,
}

/// A part of a pre-release: numbers come before words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(Box<str>),
}

impl Version {
    /// Reads `text`; `None` where npm would not.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > VERSION_BYTES_MAX {
            return None;
        }
        let bare = text.strip_prefix('v').unwrap_or(text);
        Partial::parse(bare, Grammar::Strict)?.whole()
    }

    /// Reads `text` as npm's loose mode does: any `v`, `=` and blanks in front, zeros in front of
    /// numbers, and a pre-release without its hyphen (`1.2.3beta`).
    pub fn parse_loose(text: &str) -> Option<Self> {
        let bare = text.trim_start_matches(|letter: char| "v=".contains(letter) || letter == ' ');
        let loose = || Partial::parse(bare.trim_end(), Grammar::Loose)?.whole();
        Self::parse(text).or_else(|| (text.len() <= VERSION_BYTES_MAX).then(loose)?)
    }

    /// Whether it is a pre-release.
    pub fn is_pre_release(&self) -> bool {
        !self.pre_release.is_empty()
    }

    /// The first number.
    pub fn major(&self) -> u64 {
        self.numbers[0]
    }

    /// The release that a pre-release comes before; a release itself.
    pub fn release(&self) -> Self {
        Self::of(self.numbers)
    }

    /// The patch after it, or after the release that it comes before.
    pub fn next_patch(&self) -> Self {
        let [major, minor, patch] = self.numbers;
        Self::of([major, minor, patch + 1])
    }

    fn of(numbers: [u64; 3]) -> Self {
        Self {
            numbers,
            pre_release: Vec::new(),
        }
    }

    /// Before everything else with these numbers: `1.2.3-0`.
    fn before(numbers: [u64; 3]) -> Self {
        Self {
            numbers,
            pre_release: vec![Identifier::Number(0)],
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(formatter, "{major}.{minor}.{patch}")?;
        for (position, identifier) in self.pre_release.iter().enumerate() {
            formatter.write_str(if position == 0 { "-" } else { "." })?;
            match identifier {
                Identifier::Number(number) => write!(formatter, "{number}")?,
                Identifier::Word(word) => formatter.write_str(word)?,
            }
        }
        Ok(())
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = self.numbers.cmp(&other.numbers);
        numbers.then_with(|| match (self.is_pre_release(), other.is_pre_release()) {
            (false, false) => Ordering::Equal,
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (true, true) => self.pre_release.cmp(&other.pre_release),
        })
    }
}

/// A range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    alternatives: Vec<Vec<Comparator>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparator {
    operator: Operator,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

impl Range {
    /// Reads `text`; `None` where npm would not, as for tags and addresses.
    pub fn parse(text: &str) -> Option<Self> {
        let alternatives = text.split("||").map(parse_alternative);
        Some(Self {
            alternatives: alternatives.collect::<Option<_>>()?,
        })
    }

    /// Reads `text` as npm's loose mode does: versions as [`Version::parse_loose`], and what is no
    /// comparator is passed over as long as there is one.
    pub fn parse_loose(text: &str) -> Option<Self> {
        Self::parse(text).or_else(|| {
            let alternatives = text.split("||").filter_map(parse_loose_alternative);
            let alternatives: Vec<_> = alternatives.collect();
            (!alternatives.is_empty()).then_some(Self { alternatives })
        })
    }

    /// Every version: `*`.
    pub fn any() -> Self {
        Self {
            alternatives: vec![Vec::new()],
        }
    }

    /// Whether `version` is in it.
    pub fn contains(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|comparators| {
            let is_named = |comparator: &Comparator| {
                comparator.version.is_pre_release() && comparator.version.numbers == version.numbers
            };
            comparators
                .iter()
                .all(|comparator| comparator.allows(version))
                && (!version.is_pre_release() || comparators.iter().any(is_named))
        })
    }
}

impl Range {
    /// Whether `version` is in it, where a pre-release is a version like any other: npm's
    /// `includePrerelease`.
    pub fn contains_as_release(&self, version: &Version) -> bool {
        let alternatives = &mut self.alternatives.iter();
        alternatives.any(|comparators| comparators.iter().all(|one| one.allows(version)))
    }
}

impl Comparator {
    fn new(operator: Operator, version: Version) -> Self {
        Self { operator, version }
    }

    fn allows(&self, version: &Version) -> bool {
        let order = version.cmp(&self.version);
        match self.operator {
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Equal => order.is_eq(),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::Greater => order.is_gt(),
        }
    }
}

/// How strictly a version is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grammar {
    Strict,
    Loose,
}

/// A version of which numbers may be missing or `x`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Partial {
    numbers: [Option<u64>; 3],
    pre_release: Vec<Identifier>,
}

impl Partial {
    fn parse(text: &str, grammar: Grammar) -> Option<Self> {
        let (text, build) = text
            .split_once('+')
            .map_or((text, None), |(text, build)| (text, Some(build)));
        let (numbers, pre_release) = split_pre_release(text, grammar);
        let mut parts = numbers.split('.');
        let mut partial = Self {
            numbers: [None; 3],
            pre_release: Vec::new(),
        };
        let mut count = 0;
        for part in parts.by_ref() {
            let number = match part {
                "x" | "X" | "*" => None,
                _ => Some(parse_number(part, grammar)?),
            };
            *partial.numbers.get_mut(count)? = number;
            count += 1;
        }
        // Only all three numbers can have something after them.
        if count < 3 && (pre_release.is_some() || build.is_some()) {
            return None;
        }
        if let Some(pre_release) = pre_release {
            let parts = pre_release.split('.');
            let parts = parts.map(|part| parse_identifier(part, grammar));
            partial.pre_release = parts.collect::<Option<_>>()?;
        }
        let is_valid = build.is_none_or(|build| build.split('.').all(is_word));
        is_valid.then_some(partial)
    }

    fn whole(self) -> Option<Version> {
        let [Some(major), Some(minor), Some(patch)] = self.numbers else {
            return None;
        };
        Some(Version {
            numbers: [major, minor, patch],
            pre_release: self.pre_release,
        })
    }

    /// What is missing after the first number that is, taken as 0.
    fn lowest(&self) -> [u64; 3] {
        match self.numbers {
            [None, ..] => [0; 3],
            [Some(major), None, _] => [major, 0, 0],
            [Some(major), Some(minor), patch] => [major, minor, patch.unwrap_or(0)],
        }
    }

    /// The first numbers after everything that this stands for; `None`: it stands for all.
    fn next(&self) -> Option<[u64; 3]> {
        match self.numbers {
            [None, ..] => None,
            [Some(major), None, _] => Some([major + 1, 0, 0]),
            [Some(major), Some(minor), None] => Some([major, minor + 1, 0]),
            [Some(major), Some(minor), Some(patch)] => Some([major, minor, patch + 1]),
        }
    }

    fn is_whole(&self) -> bool {
        self.numbers.iter().all(Option::is_some)
    }

    /// `>=` this.
    fn at_least(&self) -> Comparator {
        let version = Version {
            numbers: self.lowest(),
            pre_release: if self.is_whole() {
                self.pre_release.clone()
            } else {
                Vec::new()
            },
        };
        Comparator::new(Operator::GreaterOrEqual, version)
    }
}

/// `1.2.3` and `beta.1` of `1.2.3-beta.1`; the hyphen may be missing in loose versions.
fn split_pre_release(text: &str, grammar: Grammar) -> (&str, Option<&str>) {
    if grammar == Grammar::Loose
        && let Some(dot) = text.match_indices('.').nth(1).map(|(at, _)| at + 1)
        && let Some(end) = text[dot..].find(|letter: char| !letter.is_ascii_digit())
        && end > 0
    {
        let (numbers, rest) = text.split_at(dot + end);
        return (numbers, Some(rest.strip_prefix('-').unwrap_or(rest)));
    }
    text.split_once('-')
        .map_or((text, None), |(text, rest)| (text, Some(rest)))
}

fn parse_number(text: &str, grammar: Grammar) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_canonical = text == "0" || !text.starts_with('0') || grammar == Grammar::Loose;
    let number = text.parse().ok().filter(|number| *number <= NUMBER_MAX);
    number.filter(|_| is_number && is_canonical)
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn parse_identifier(text: &str, grammar: Grammar) -> Option<Identifier> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return parse_number(text, grammar).map(Identifier::Number);
    }
    is_word(text).then(|| Identifier::Word(text.into()))
}

/// What stands between two `||`.
fn parse_alternative(text: &str) -> Option<Vec<Comparator>> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if let [low, "-", high] = words[..]
        && let (Some(low), Some(high)) = (
            plain_partial(low, Grammar::Strict),
            plain_partial(high, Grammar::Strict),
        )
    {
        return Some(parse_hyphen(&low, &high));
    }
    let mut comparators = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        // An operator may be apart from its version.
        let (sign, version) = split_sign(word);
        let version = if version.is_empty() {
            words.next()?
        } else {
            version
        };
        parse_comparator(sign, version, Grammar::Strict, &mut comparators)?;
    }
    Some(comparators)
}

/// As [`parse_alternative`], without what is no comparator; `None`: nothing is left.
fn parse_loose_alternative(text: &str) -> Option<Vec<Comparator>> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() {
        return Some(Vec::new());
    }
    if let [low, "-", high] = words[..] {
        let ends = plain_partial(low, Grammar::Loose).zip(plain_partial(high, Grammar::Loose));
        return ends.map(|(low, high)| parse_hyphen(&low, &high));
    }
    let mut comparators = Vec::new();
    let mut is_any = false;
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (sign, version) = split_sign(word);
        let version = if version.is_empty() {
            words.next().unwrap_or_default()
        } else {
            version
        };
        is_any |= parse_comparator(sign, version, Grammar::Loose, &mut comparators).is_some();
    }
    is_any.then_some(comparators)
}

/// `1.2 - 2`: everything from the one up to all that the other stands for.
fn parse_hyphen(low: &Partial, high: &Partial) -> Vec<Comparator> {
    let mut comparators = vec![low.at_least()];
    match (high.clone().whole(), high.next()) {
        (Some(version), _) => {
            comparators.push(Comparator::new(Operator::LessOrEqual, version));
        }
        (None, Some(next)) => {
            comparators.push(Comparator::new(Operator::Less, Version::before(next)));
        }
        (None, None) => {}
    }
    comparators
}

/// npm takes any number of `v` and `=` in front where a number is missing.
fn plain_partial(text: &str, grammar: Grammar) -> Option<Partial> {
    Partial::parse(text.trim_start_matches(['v', '=']), grammar)
}

fn split_sign(word: &str) -> (&str, &str) {
    let signs = ["~>", "~", "^", ">=", "<=", ">", "<", "="];
    let sign = signs
        .into_iter()
        .find(|sign| word.starts_with(sign))
        .unwrap_or("");
    word.split_at(sign.len())
}

fn parse_comparator(
    sign: &str,
    text: &str,
    grammar: Grammar,
    comparators: &mut Vec<Comparator>,
) -> Option<()> {
    let partial = plain_partial(text, grammar)?;
    let mut below = |numbers| {
        comparators.push(Comparator::new(Operator::Less, Version::before(numbers)));
    };
    if sign.starts_with(['~', '^']) {
        if let Some(next) = if sign == "^" {
            caret_end(&partial)
        } else {
            tilde_end(&partial)
        } {
            below(next);
            comparators.push(partial.at_least());
        }
        return Some(());
    }
    if partial.is_whole() {
        // A whole version may have one `v` in front, and no second operator.
        let version = match grammar {
            Grammar::Strict => {
                let bare = text.strip_prefix('v').unwrap_or(text);
                Partial::parse(bare, grammar)?.whole()?
            }
            Grammar::Loose => partial.whole()?,
        };
        let operator = match sign {
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">=" => Operator::GreaterOrEqual,
            ">" => Operator::Greater,
            _ => Operator::Equal,
        };
        comparators.push(Comparator::new(operator, version));
        return Some(());
    }
    let lowest = partial.lowest();
    match (sign, partial.next()) {
        // More or less than anything is nothing.
        (">" | "<", None) => below([0; 3]),
        // Anything is no condition.
        (_, None) => {}
        (">", Some(next)) => {
            comparators.push(Comparator::new(Operator::GreaterOrEqual, Version::of(next)));
        }
        (">=", Some(_)) => comparators.push(partial.at_least()),
        ("<", Some(_)) => below(lowest),
        ("<=", Some(next)) => below(next),
        (_, Some(next)) => {
            below(next);
            comparators.push(partial.at_least());
        }
    }
    Some(())
}

/// `^`: the first number that is not 0 stays.
fn caret_end(partial: &Partial) -> Option<[u64; 3]> {
    match partial.numbers {
        [None, ..] => None,
        [Some(0), Some(0), Some(patch)] => Some([0, 0, patch + 1]),
        [Some(0), Some(minor), _] => Some([0, minor + 1, 0]),
        [Some(major), ..] => Some([major + 1, 0, 0]),
    }
}

/// `~`: the second number stays, if there is one.
fn tilde_end(partial: &Partial) -> Option<[u64; 3]> {
    match partial.numbers {
        [None, ..] => None,
        [Some(major), None, _] => Some([major + 1, 0, 0]),
        [Some(major), Some(minor), _] => Some([major, minor + 1, 0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judged by npm's own `semver` 7: range, versions in it, versions not in it.
    const RANGES: [(&str, &str, &str); 40] = [
        (
            ">=1 <2 || 3",
            "1.0.0 1.9.9 3.5.0",
            "0.9.9 2.0.0 4.0.0 2.0.0-alpha",
        ),
        ("", "0.0.0 20.20.2", "1.0.0-rc.1"),
        ("*", "0.0.0 20.20.2", "1.0.0-rc.1"),
        ("||", "0.0.0 20.20.2", "1.0.0-rc.1"),
        ("1 || ", "0.0.0 20.20.2", "1.0.0-rc.1"),
        ("1.x", "1.0.0 1.9.9", "0.9.9 2.0.0 1.0.0-0 2.0.0-0"),
        ("1.X", "1.0.0 1.9.9", "2.0.0"),
        ("~1", "1.0.0 1.9.9", "2.0.0"),
        ("~> 1.2", "1.2.0 1.2.4", "1.3.0"),
        ("^ 1.2", "1.2.0 1.9.9", "1.0.0 2.0.0"),
        ("^0", "0.0.0 0.9.9", "1.0.0"),
        ("^0.0", "0.0.0 0.0.4", "0.1.0"),
        ("^0.1", "0.1.0", "0.0.4 0.9.9"),
        ("^0.0.3", "0.0.3", "0.0.4 0.0.0"),
        ("<=1", "0.0.0 1.0.0 1.9.9", "2.0.0 1.0.0-0 2.0.0-0"),
        ("<1", "0.9.9", "1.0.0"),
        (">1", "2.0.0", "1.0.0 1.9.9"),
        (">1.2", "1.3.0", "1.2.4"),
        ("<=1.2.x", "1.2.4 0.0.0", "1.3.0"),
        (">=0.0.0", "0.0.0 4.0.0", "1.0.0-rc.1"),
        (">1 <0", "", "0.0.0 1.0.0 2.0.0"),
        ("<x", "", "0.0.0 1.0.0"),
        (">=x", "0.0.0 1.0.0", "1.0.0-0"),
        ("1.2.3 1.2.4", "", "1.2.3 1.2.4"),
        ("v1.0.0", "1.0.0", "1.0.1"),
        (">=v1.2.3", "1.2.3 2.0.0", "1.2.0"),
        ("=1.0.0+b", "1.0.0 1.0.0+other", "1.0.1"),
        ("1.2 - 2", "1.2.0 2.3.5", "1.0.0 3.0.0"),
        ("1 - 2.3.x", "1.0.0 2.3.5", "2.4.0"),
        ("1.2.3 - 2.0.0", "1.2.3 2.0.0", "2.0.1 1.2.0"),
        (
            ">=1.0.0-rc.1 <2",
            "1.0.0-rc.1 1.0.0-rc.2 1.0.0",
            "1.0.0-0 1.2.3-beta.3 2.0.0-0",
        ),
        (
            "^1.2.3-beta.2",
            "1.2.3-beta.3 1.2.3 1.9.9",
            "1.2.3-beta.1 1.3.0-beta 2.0.0",
        ),
        ("~1.2.3-beta.2", "1.2.3-beta.3 1.2.4", "1.3.0"),
        ("1.0.0-0", "1.0.0-0", "1.0.0-rc.1 1.0.0"),
        (">=1.0.0-0", "1.0.0-0 1.0.0-rc.1 1.2.0", "2.0.0-alpha"),
        (
            "^16.8.0 || ^17.0.0-rc",
            "17.0.0-rc.1 16.9.0 17.0.2",
            "18.3.1 16.0.0",
        ),
        (">= 0.10", "0.10.0 20.20.2", "0.9.9"),
        (">=16.8 <20", "16.9.0 18.3.1", "20.20.2"),
        ("1.2.3  ", "1.2.3 1.2.3+build", "1.2.4"),
        (">=2.0.0-0", "2.0.0-alpha 2.0.0-0 3.0.0", "1.9.9"),
    ];

    fn versions(text: &str) -> Vec<Version> {
        let versions = text.split_whitespace();
        versions
            .map(|text| Version::parse(text).expect(text))
            .collect()
    }

    #[test]
    fn ranges_contain_what_they_contain_for_npm() {
        for (text, inside, outside) in RANGES {
            let range = Range::parse(text).expect(text);
            for version in versions(inside) {
                assert!(range.contains(&version), "{text:?} {version:?}");
            }
            for version in versions(outside) {
                assert!(!range.contains(&version), "{text:?} {version:?}");
            }
        }
    }

    #[test]
    fn what_is_no_range_for_npm_is_refused() {
        for text in [
            "latest",
            "next",
            "== 1.0.0",
            "01.2.3",
            "1.2.3.4",
            "1.0.0, 2",
            ">=1.0.0,<2",
            "npm:foo@1",
            "workspace:*",
            "file:x",
            "git+https://x/y",
            "!=1.0.0",
            "1.2.3-",
            "^",
            "~",
            ">=",
            "<",
            "-",
            "1-2",
            "1 -2",
            "a.b.c",
            ">=1.0.0 - 2",
            "1.2.3 - ",
            "\"1.0.0\"",
            "1.0.0 || latest",
            ">=1.0.0 || x y",
            "99999999999999999999",
            "*-0",
            "1.2.3-01",
            "1.2.3+",
            "1.2.3-a_b",
        ] {
            assert_eq!(Range::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_version_for_npm_is_refused() {
        for text in [
            "", "1", "1.2", "1.x.0", "=1.2.3", "vv1.2.3", "1.2.3-01", "1.2.3 4", "01.0.0",
        ] {
            assert_eq!(Version::parse(text), None, "{text:?}");
        }
        assert_eq!(Version::parse(&format!("1.2.3-{}", "a".repeat(300))), None);
    }

    /// Judged by npm's own `semver` 7 in its loose mode.
    #[test]
    fn loose_ranges_pass_over_what_is_no_comparator() {
        for (range, inside, outside) in [
            (">=1 foo", "1.0.0 2.0.0", "0.9.0"),
            ("1.0.0 || latest", "1.0.0", "1.0.1"),
            ("~1.2.3beta", "1.2.3-beta 1.2.4", "1.3.0 1.2.3-alpha"),
            (">=01.02.03", "1.2.3", "1.2.2"),
            (">= 0.0.1alpha", "0.0.1-alpha 0.0.1", "0.0.1-a"),
            ("^1.0.0", "1.5.0", "2.0.0"),
        ] {
            let parsed = Range::parse_loose(range).expect(range);
            for version in versions(inside) {
                assert!(parsed.contains(&version), "{version} in {range}");
            }
            for version in versions(outside) {
                assert!(!parsed.contains(&version), "{version} not in {range}");
            }
        }
        for text in ["latest", "foo bar", "github:a/b", "^", "a || b"] {
            assert_eq!(Range::parse_loose(text), None, "{text}");
        }
        for (text, expected) in [
            ("1.2.3beta", Some("1.2.3-beta")),
            ("=v1.2.3", Some("1.2.3")),
            ("= 1.02.3", Some("1.2.3")),
            ("1.2.3-01", Some("1.2.3-1")),
            ("1.2.3+b", Some("1.2.3")),
            ("1.2", None),
            ("1.2.3.4", None),
            ("beta", None),
        ] {
            let version = Version::parse_loose(text).map(|version| version.to_string());
            assert_eq!(version.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn versions_are_ordered() {
        let sorted = versions(
            "0.0.0 1.0.0-0 1.0.0-1 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-rc.2 \
             1.0.0-rc.10 1.0.0 1.0.1 1.1.0 2.0.0 10.0.0",
        );
        assert!(sorted.is_sorted());
        assert!(sorted.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
