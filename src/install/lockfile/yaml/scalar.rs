//! Scalars: plain, single- and double-quoted, literal and folded blocks; and what type YAML gives
//! to a plain one.

use std::borrow::Cow;

use super::{Parser, SyntaxError, SyntaxFault, Value};

impl<'a> Parser<'a> {
    /// A scalar or flow collection at `at`, to the end of its line; lines that continue it must be
    /// indented by `indent_min`.
    pub(super) fn inline_value(&mut self, indent_min: usize) -> Result<Value<'a>, SyntaxError> {
        let value = match self.peek() {
            Some(b'[' | b'{') => self.flow()?,
            Some(b'\'' | b'"') => Value::Text(self.quoted()?),
            Some(b'|' | b'>') => return self.block_scalar(indent_min).map(Value::Text),
            _ => return self.plain(indent_min).map(Value::Plain),
        };
        self.end_of_line()?;
        Ok(value)
    }

    /// Refuses what cannot start a plain scalar.
    pub(super) fn check_plain_start(&self) -> Result<(), SyntaxError> {
        let fault = match self.peek() {
            Some(b'&' | b'*') => SyntaxFault::Anchor,
            Some(b'!') => SyntaxFault::Tag,
            Some(b'%' | b'@' | b'`' | b'|' | b'>') => SyntaxFault::Reserved,
            Some(b'\t') => SyntaxFault::Tab,
            Some(b',' | b']' | b'}') => SyntaxFault::Trailing,
            Some(b'-' | b'?' | b':') if self.is_blank_at(self.at + 1) => SyntaxFault::KeyWanted,
            _ => return Ok(()),
        };
        Err(self.fault(fault))
    }

    /// A plain scalar with its continuation lines; stands at the start of the line after it.
    fn plain(&mut self, indent_min: usize) -> Result<Cow<'a, str>, SyntaxError> {
        self.check_plain_start()?;
        let (first, mut goes_on) = self.plain_line()?;
        let mut text = Cow::Borrowed(first);
        while goes_on {
            let Some(line_feeds) = self.continuation(indent_min) else {
                break;
            };
            let (line, more) = self.plain_line()?;
            let text = text.to_mut();
            match line_feeds {
                1 => text.push(' '),
                more => text.extend(std::iter::repeat_n('\n', more - 1)),
            }
            text.push_str(line);
            goes_on = more;
        }
        Ok(text)
    }

    /// The part of a plain scalar that is on this line; whether it may go on after it. Stands at
    /// the start of the next line.
    fn plain_line(&mut self) -> Result<(&'a str, bool), SyntaxError> {
        let start = self.at;
        let end = self.line_end();
        let line = &self.text[start..end];
        let comment = memchr::memmem::find(line.as_bytes(), b" #");
        let text = line[..comment.unwrap_or(line.len())].trim_end_matches(' ');
        for offset in memchr::memchr2_iter(b':', b'\t', text.as_bytes()) {
            self.at = start + offset;
            if self.bytes[self.at] == b'\t' {
                return Err(self.fault(SyntaxFault::Tab));
            }
            if self.is_blank_at(self.at + 1) {
                return Err(self.fault(SyntaxFault::NestedMapping));
            }
        }
        self.at = end;
        if end < self.bytes.len() {
            self.start_line();
        }
        Ok((text, comment.is_none()))
    }

    /// If the next line with content continues a scalar, steps to its content and returns how many
    /// line feeds were passed; else stays at the start of a line.
    fn continuation(&mut self, indent_min: usize) -> Option<usize> {
        let mut line_feeds = 1;
        let mut at = self.at;
        loop {
            let line_start = at;
            while self.bytes.get(at) == Some(&b' ') {
                at += 1;
            }
            match self.bytes.get(at) {
                Some(b'\n') => {
                    line_feeds += 1;
                    at += 1;
                }
                None | Some(b'#') => return None,
                Some(_) if at - line_start < indent_min => return None,
                // At the left margin a line that looks like a key or a marker is never a
                // continuation; only a root scalar could be continued there.
                Some(_) if indent_min == 0 => return None,
                Some(_) => {
                    self.at = at;
                    self.line_start = line_start;
                    return Some(line_feeds);
                }
            }
        }
    }

    /// The quoted scalar at `at`; stands after the closing quote.
    pub(super) fn quoted(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        let start = self.at + 1;
        let quote = self.bytes[self.at];
        let opened_at = self.at;
        self.at = start;
        let mut text = Cow::Borrowed("");
        let mut copied = start;
        loop {
            let rest = &self.bytes[self.at..];
            let Some(offset) = memchr::memchr3(quote, b'\n', b'\\', rest) else {
                self.at = opened_at;
                return Err(self.fault(SyntaxFault::OpenQuote));
            };
            self.at += offset;
            let before = &self.text[copied..self.at];
            match self.bytes[self.at] {
                b'\n' => {
                    text.to_mut().push_str(before.trim_end_matches([' ', '\t']));
                    self.fold_quoted_break(text.to_mut());
                }
                b'\\' if quote == b'"' => {
                    text.to_mut().push_str(before);
                    self.escape(text.to_mut())?;
                }
                b'\\' => {
                    self.at += 1;
                    continue;
                }
                _ if quote == b'\'' && self.bytes.get(self.at + 1) == Some(&b'\'') => {
                    let text = text.to_mut();
                    text.push_str(before);
                    text.push('\'');
                    self.at += 2;
                }
                _ => {
                    self.at += 1;
                    if copied == start {
                        return Ok(Cow::Borrowed(before));
                    }
                    text.to_mut().push_str(before);
                    return Ok(text);
                }
            }
            copied = self.at;
        }
    }

    /// Line feeds in a quoted scalar, at the first of them: one is a space, more are one less.
    fn fold_quoted_break(&mut self, text: &mut String) {
        let mut line_feeds = 0;
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => {
                    line_feeds += 1;
                    self.start_line();
                }
                b' ' | b'\t' => self.at += 1,
                _ => break,
            }
        }
        match line_feeds {
            1 => text.push(' '),
            more => text.extend(std::iter::repeat_n('\n', more - 1)),
        }
    }

    /// The escape sequence at `at`, of a double-quoted scalar.
    fn escape(&mut self, text: &mut String) -> Result<(), SyntaxError> {
        let code = self.bytes.get(self.at + 1).copied();
        let character = match code {
            Some(b'0') => '\0',
            Some(b'a') => '\u{7}',
            Some(b'b') => '\u{8}',
            Some(b't' | b'\t') => '\t',
            Some(b'n') => '\n',
            Some(b'v') => '\u{b}',
            Some(b'f') => '\u{c}',
            Some(b'r') => '\r',
            Some(b'e') => '\u{1b}',
            Some(b' ') => ' ',
            Some(b'"') => '"',
            Some(b'/') => '/',
            Some(b'\\') => '\\',
            Some(b'N') => '\u{85}',
            Some(b'_') => '\u{a0}',
            Some(b'L') => '\u{2028}',
            Some(b'P') => '\u{2029}',
            Some(b'x') => return self.numeric_escape(2, text),
            Some(b'u') => return self.numeric_escape(4, text),
            Some(b'U') => return self.numeric_escape(8, text),
            Some(b'\n') => {
                self.at += 1;
                self.start_line();
                while matches!(self.peek(), Some(b' ' | b'\t')) {
                    self.at += 1;
                }
                return Ok(());
            }
            _ => return Err(self.fault(SyntaxFault::Escape)),
        };
        text.push(character);
        self.at += 2;
        Ok(())
    }

    /// `\xNN`, `\uNNNN` or `\UNNNNNNNN`; two `\u` may make a surrogate pair.
    fn numeric_escape(&mut self, digits: usize, text: &mut String) -> Result<(), SyntaxError> {
        let error = self.fault(SyntaxFault::Escape);
        let mut code = self.hexadecimal(self.at + 2, digits).ok_or(error)?;
        self.at += 2 + digits;
        if (0xd800..0xdc00).contains(&code) && self.bytes[self.at..].starts_with(b"\\u") {
            let low = self.hexadecimal(self.at + 2, 4).ok_or(error)?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err(error);
            }
            code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            self.at += 6;
        }
        text.push(char::from_u32(code).ok_or(error)?);
        Ok(())
    }

    fn hexadecimal(&self, at: usize, digits: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at + digits)?;
        bytes.iter().try_fold(0_u32, |code, byte| {
            Some((code << 4) | char::from(*byte).to_digit(16)?)
        })
    }

    /// The `|` or `>` scalar at `at`; stands at the start of the line after it.
    fn block_scalar(&mut self, indent_min: usize) -> Result<Cow<'a, str>, SyntaxError> {
        let header = self.block_header()?;
        let parent_indent = indent_min.saturating_sub(1);
        let mut indent = header.indent.map(|digit| parent_indent + digit);
        let mut lines: Vec<&'a str> = Vec::new();
        while self.at < self.bytes.len() {
            let line = &self.text[self.at..self.line_end()];
            let spaces = line.len() - line.trim_start_matches(' ').len();
            let is_blank = spaces == line.len();
            if !is_blank && (spaces < *indent.get_or_insert(spaces) || spaces < indent_min) {
                break;
            }
            // Until the indentation is known, blank lines before it are just blank.
            lines.push(match indent {
                Some(indent) => line.get(indent..).unwrap_or(""),
                None => "",
            });
            self.at += line.len();
            if self.at < self.bytes.len() {
                self.start_line();
            }
        }
        Ok(Cow::Owned(header.assemble(&lines)))
    }

    fn block_header(&mut self) -> Result<BlockHeader, SyntaxError> {
        let mut header = BlockHeader {
            is_folded: self.peek() == Some(b'>'),
            chomping: Chomping::Clip,
            indent: None,
        };
        self.at += 1;
        let error = self.fault(SyntaxFault::BlockHeader);
        while let Some(byte) = self.peek() {
            match byte {
                b'+' if header.chomping == Chomping::Clip => header.chomping = Chomping::Keep,
                b'-' if header.chomping == Chomping::Clip => header.chomping = Chomping::Strip,
                b'1'..=b'9' if header.indent.is_none() => {
                    header.indent = Some(usize::from(byte - b'0'));
                }
                b' ' | b'\n' => break,
                _ => return Err(error),
            }
            self.at += 1;
        }
        self.end_of_line().map_err(|_| error)?;
        Ok(header)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Chomping {
    /// One line feed at the end.
    Clip,
    /// None.
    Strip,
    /// All that stood there.
    Keep,
}

struct BlockHeader {
    is_folded: bool,
    chomping: Chomping,
    indent: Option<usize>,
}

impl BlockHeader {
    /// The text of a block scalar from its lines without indentation.
    fn assemble(&self, lines: &[&str]) -> String {
        let content_lines = lines
            .iter()
            .rposition(|line| !line.is_empty())
            .map_or(0, |last| last + 1);
        let mut text = String::new();
        let mut pending_line_feeds = 0;
        let mut previous_is_deep = false;
        for (index, line) in lines[..content_lines].iter().enumerate() {
            let is_deep = line.starts_with([' ', '\t']);
            if !line.is_empty() {
                // Folding: a single line feed between two ordinary lines is a space.
                let folds = self.is_folded && !is_deep && !previous_is_deep;
                let folds = folds && !text.trim_start_matches('\n').is_empty();
                match (folds, pending_line_feeds) {
                    (true, 1) => text.push(' '),
                    (true, more) => text.extend(std::iter::repeat_n('\n', more - 1)),
                    (false, more) => text.extend(std::iter::repeat_n('\n', more)),
                }
                text.push_str(line);
                pending_line_feeds = 0;
                previous_is_deep = is_deep;
            }
            if index + 1 < content_lines {
                pending_line_feeds += 1;
            }
        }
        match self.chomping {
            Chomping::Strip => {}
            Chomping::Clip => text.extend((content_lines > 0).then_some('\n')),
            Chomping::Keep => {
                let trailing = lines.len() - content_lines + usize::from(content_lines > 0);
                text.extend(std::iter::repeat_n('\n', trailing));
            }
        }
        text
    }
}

/// What YAML 1.2 (with pnpm's additions: `_` in numbers, dates, `<<`) makes of a plain scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::install::lockfile) enum Plain {
    Null,
    Boolean(bool),
    /// An integer or a floating-point number.
    Number,
    /// A date or time, or the merge key: text to us, but quoted when written.
    Special,
    Text,
}

/// The type of the plain scalar `text`.
pub(in crate::install::lockfile) fn resolve_plain(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Boolean(true),
        "false" | "False" | "FALSE" => return Plain::Boolean(false),
        "<<" => return Plain::Special,
        _ => {}
    }
    let first = text.as_bytes()[0];
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return Plain::Text;
    }
    if is_integer(text) || is_float(text) {
        return Plain::Number;
    }
    if is_timestamp(text.as_bytes()) {
        return Plain::Special;
    }
    Plain::Text
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'b', ..] => (&digits[2..], 2),
        [b'0', b'o', ..] => (&digits[2..], 8),
        [b'0', b'x', ..] => (&digits[2..], 16),
        [b'_', ..] | [b'0', b'_', ..] => return false,
        _ => (digits, 10),
    };
    digits.chars().any(|digit| digit != '_')
        && !digits.ends_with('_')
        && digits
            .chars()
            .all(|digit| digit == '_' || digit.is_digit(radix))
}

fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let is_digit = |byte: &u8| byte.is_ascii_digit() || *byte == b'_';
    let bytes = unsigned.as_bytes();
    let whole = bytes.iter().take_while(|byte| is_digit(byte)).count();
    let mut at = whole;
    if whole > 0 && bytes[0] == b'_' {
        return false;
    }
    let mut fraction = 0;
    if bytes.get(at) == Some(&b'.') {
        fraction = bytes[at + 1..]
            .iter()
            .take_while(|byte| is_digit(byte))
            .count();
        at += 1 + fraction;
    }
    // Without digits before the point there must be some after it, and no sign.
    if whole == 0 && (fraction == 0 || unsigned.len() != text.len()) {
        return false;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        let exponent = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit());
        let exponent = exponent.count();
        if exponent == 0 {
            return false;
        }
        at += exponent;
    }
    at == bytes.len() && !text.ends_with('_')
}

/// `2001-12-14`, or with a time after it.
fn is_timestamp(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    if rest.len() == 10 && fields(&mut rest, &[(4, 4, b"-"), (2, 2, b"-"), (2, 2, b"")]) {
        return rest.is_empty();
    }
    let mut rest = bytes;
    if !fields(&mut rest, &[(4, 4, b"-"), (1, 2, b"-"), (1, 2, b"")]) {
        return false;
    }
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
    match (rest.first(), blanks.count()) {
        (Some(b'T' | b't'), _) => rest = &rest[1..],
        (_, 0) => return false,
        (_, blanks) => rest = &rest[blanks..],
    }
    if !fields(&mut rest, &[(1, 2, b":"), (2, 2, b":"), (2, 2, b"")]) {
        return false;
    }
    if let [b'.', after @ ..] = rest {
        let digits = after
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        rest = &after[digits..];
    }
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
    let zone = &rest[blanks.count()..];
    match zone {
        [] => rest.is_empty(),
        [b'Z'] => true,
        [b'+' | b'-', zone @ ..] => {
            let mut zone = zone;
            fields(&mut zone, &[(1, 2, b"")])
                && (zone.is_empty()
                    || (zone[0] == b':'
                        && fields(&mut &zone[1..], &[(2, 2, b"")])
                        && zone.len() == 3))
        }
        _ => false,
    }
}

/// Takes numbers of so many digits, each with what follows it, off the front of `rest`.
fn fields(rest: &mut &[u8], wanted: &[(usize, usize, &[u8])]) -> bool {
    for (digits_min, digits_max, after) in wanted {
        let digits = rest.iter().take(*digits_max);
        let digits = digits.take_while(|byte| byte.is_ascii_digit()).count();
        if digits < *digits_min || !rest[digits..].starts_with(after) {
            return false;
        }
        *rest = &rest[digits + after.len()..];
    }
    true
}
