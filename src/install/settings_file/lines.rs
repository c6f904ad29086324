//! Where entries of maps begin and end in the text of a YAML file, by the lines alone.

/// The lines of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    start: usize,
    end: usize,
    /// Spaces in front of its keys.
    pub(super) indent: usize,
    is_whole: bool,
}

/// An entry of a map: its key's line and what is below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    start: usize,
    /// End of the key's line.
    line_end: usize,
    /// End of the last line that belongs to the value.
    content_end: usize,
    /// As `content_end`, with the empty lines after it.
    end: usize,
    indent: usize,
}

struct Line<'t> {
    start: usize,
    end: usize,
    text: &'t str,
}

impl Line<'_> {
    /// Spaces in front; `None` for empty lines, comments and the marks of documents.
    fn indent(&self) -> Option<usize> {
        let content = self.text.trim_start_matches(' ');
        let is_mark = |mark: &str| self.text.trim_end() == mark;
        let is_nothing = content.trim().is_empty()
            || content.starts_with('#')
            || is_mark("---")
            || is_mark("...");
        (!is_nothing).then(|| self.text.len() - content.len())
    }

    /// The key as it is written.
    fn key_text(&self) -> Option<&str> {
        let content = self.text.trim();
        let (_, rest) = self.key()?;
        let key = content[..content.len() - rest.len()].trim_end();
        key.strip_suffix(':').map(str::trim_end)
    }

    fn is_comment(&self) -> bool {
        self.text.trim_start().starts_with('#')
    }

    /// Whether it is an item of a list, which may stand as far left as the list's key.
    fn is_item(&self) -> bool {
        let content = self.text.trim_start();
        content == "-" || content.starts_with("- ")
    }

    /// The key and what comes after its colon.
    fn key(&self) -> Option<(String, &str)> {
        let content = self.text.trim();
        for quote in ['\'', '"'] {
            let Some(quoted) = content.strip_prefix(quote) else {
                continue;
            };
            let doubled = [quote, quote].iter().collect::<String>();
            let mut search = 0;
            let end = loop {
                let end = search + quoted.get(search..)?.find(quote)?;
                if quote == '\'' && quoted[end..].starts_with(&doubled) {
                    search = end + 2;
                } else {
                    break end;
                }
            };
            let rest = quoted[end + 1..].trim_start().strip_prefix(':')?;
            let key = match quote {
                '\'' => quoted[..end].replace("''", "'"),
                _ => serde_json::from_str(&content[..end + 2]).ok()?,
            };
            return Some((key, rest.trim()));
        }
        let at = content
            .match_indices(':')
            .map(|(at, _)| at)
            .find(|at| content[at + 1..].is_empty() || content[at + 1..].starts_with(' '))?;
        Some((
            content[..at].trim_end().to_owned(),
            content[at + 1..].trim(),
        ))
    }
}

fn lines(text: &str, from: usize, to: usize) -> impl Iterator<Item = Line<'_>> {
    let mut start = from;
    text[from..to].split_inclusive('\n').map(move |line| {
        let own = start;
        start += line.len();
        Line {
            start: own,
            end: start,
            text: line.trim_end_matches(['\n', '\r']),
        }
    })
}

impl Block {
    /// The outermost map.
    pub(super) fn whole(text: &str) -> Self {
        Self {
            start: 0,
            end: text.len(),
            indent: 0,
            is_whole: true,
        }
    }
}

impl Entry {
    /// The map below the key; `None` where the value is on the key's line or is no map.
    pub(super) fn inside(&self, text: &str) -> Option<Block> {
        let line = lines(text, self.start, self.line_end).next()?;
        let (_, rest) = line.key()?;
        if !rest.is_empty() && !rest.starts_with('#') {
            return None;
        }
        let mut below = lines(text, self.line_end, self.content_end);
        let first = below.find(|line| line.indent().is_some());
        let indent = match &first {
            Some(first) if first.is_item() => return None,
            Some(first) => first.indent()?,
            None => self.indent + 2,
        };
        Some(Block {
            start: self.line_end,
            end: self.content_end,
            indent,
            is_whole: false,
        })
    }

    /// The key as it is written.
    pub(super) fn key_text<'t>(&self, text: &'t str) -> Option<&'t str> {
        let line = lines(text, self.start, self.line_end).next()?;
        let key = line.key_text()?;
        let offset = key.as_ptr() as usize - text.as_ptr() as usize;
        text.get(offset..offset + key.len())
    }

    /// The comment after a value that is on the key's line.
    fn comment<'t>(&self, text: &'t str) -> Option<&'t str> {
        if self.content_end != self.line_end {
            return None;
        }
        let line = lines(text, self.start, self.line_end).next()?;
        let (_, rest) = line.key()?;
        let comment = comment_after(rest)?;
        let offset = comment.as_ptr() as usize - text.as_ptr() as usize;
        text.get(offset..offset + comment.len())
    }

    /// Where the lines of a list's items begin and end; `None` where not every item is a line.
    fn items(&self, text: &str) -> Option<Vec<(usize, usize)>> {
        let line = lines(text, self.start, self.line_end).next()?;
        let (_, rest) = line.key()?;
        if !rest.is_empty() && !rest.starts_with('#') {
            return None;
        }
        let mut found = Vec::new();
        let mut margin = None;
        for line in lines(text, self.line_end, self.content_end) {
            let Some(indent) = line.indent() else {
                continue;
            };
            if !line.is_item() || *margin.get_or_insert(indent) != indent {
                return None;
            }
            found.push((line.start, line.end));
        }
        Some(found)
    }
}

/// The comment after a value on one line.
fn comment_after(value: &str) -> Option<&str> {
    let value_end = match value.chars().next()? {
        quote @ ('\'' | '"') => value.rfind(quote)? + 1,
        _ => 0,
    };
    let at = value_end + value[value_end..].find(" #")?;
    value.get(at..)
}

/// All entries of a map, in order.
fn entries(text: &str, block: &Block) -> Vec<(String, Entry)> {
    let lines: Vec<Line<'_>> = lines(text, block.start, block.end).collect();
    let is_key = |line: &Line<'_>| {
        line.indent() == Some(block.indent) && !line.is_item() && line.key().is_some()
    };
    let starts: Vec<usize> = (0..lines.len()).filter(|at| is_key(&lines[*at])).collect();
    let mut found = Vec::new();
    for (place, at) in starts.iter().enumerate() {
        let mut next = starts.get(place + 1).copied().unwrap_or(lines.len());
        // Comments right above the next key, or at the end, are not this entry's.
        while next > at + 1
            && lines[next - 1].is_comment()
            && lines[next - 1].text.len() - lines[next - 1].text.trim_start().len() <= block.indent
        {
            next -= 1;
        }
        let mut content = next;
        while content > at + 1 && lines[content - 1].text.trim().is_empty() {
            content -= 1;
        }
        let entry = Entry {
            start: lines[*at].start,
            line_end: lines[*at].end,
            content_end: lines[content - 1].end,
            end: lines[next - 1].end,
            indent: block.indent,
        };
        if let Some((key, _)) = lines[*at].key() {
            found.push((key, entry));
        }
    }
    found
}

/// The keys of a map, in order.
pub(super) fn keys(text: &str, block: &Block) -> Vec<String> {
    let entries = entries(text, block).into_iter();
    entries.map(|(key, _)| key).collect()
}

/// The entry of a key.
pub(super) fn entry(text: &str, block: &Block, key: &str) -> Option<Entry> {
    let mut entries = entries(text, block).into_iter();
    entries
        .find(|(name, _)| name == key)
        .map(|(_, entry)| entry)
}

/// `text` with other lines in the place of an entry. A comment behind a value stays.
pub(super) fn replaced(text: &str, entry: &Entry, lines: &str) -> String {
    let (before, after) = (&text[..entry.start], &text[entry.content_end..]);
    let comment = entry.comment(text).filter(|_| lines.lines().count() == 1);
    match comment {
        Some(comment) => format!("{before}{}{comment}\n{after}", lines.trim_end()),
        None => format!("{before}{lines}{after}"),
    }
}

/// `text` with a list where there is one of `before`: what becomes of each of its items (nothing:
/// it goes), and what is added. Lines of items that stay are not touched, and neither are comments,
/// but for those between an item that goes and the one before it. `None` where the lines do not
/// tell what is what.
pub(super) fn relisted<T: PartialEq>(
    text: &str,
    entry: &Entry,
    before: &[T],
    (after, added): (&[Option<&T>], &[T]),
    scalar: impl Fn(&T) -> Option<String>,
) -> Option<String> {
    let items = entry.items(text)?;
    let (first, last) = (items.first()?, items.last()?);
    if items.len() != before.len() || after.len() != before.len() {
        return None;
    }
    let line = &text[first.0..first.1];
    let margin = &line[..line.len() - line.trim_start_matches(' ').len()];
    let mut new = text[..first.0].to_owned();
    let mut done = first.0;
    for ((start, end), (before, after)) in items.iter().zip(before.iter().zip(after)) {
        let comments = &text[done..*start];
        done = *end;
        let Some(after) = after else {
            continue;
        };
        new.push_str(comments);
        let line = text[*start..*end].trim_end();
        new.push_str(&match before == *after {
            true => format!("{line}\n"),
            false => {
                let value = line.trim_start().trim_start_matches('-').trim_start();
                let comment = comment_after(value).unwrap_or_default();
                format!("{margin}- {}{comment}\n", scalar(after)?)
            }
        });
    }
    for added in added {
        new.push_str(&format!("{margin}- {}\n", scalar(added)?));
    }
    new.push_str(&text[last.1..]);
    Some(new)
}

/// `text` without an entry and the empty lines after it.
pub(super) fn removed(text: &str, entry: &Entry) -> String {
    format!("{}{}", &text[..entry.start], &text[entry.end..])
}

/// `text` with the lines of a new entry where its key belongs.
pub(super) fn inserted(text: &str, block: &Block, key: &str, lines: &str) -> String {
    let entries = entries(text, block);
    let at = place(&entries, key);
    let has_space = block.is_whole && has_empty_lines(text, &entries);
    let gap = if has_space { "\n" } else { "" };
    let (offset, inserted) = if at == 0 && block.is_whole {
        let first = entries.first().map_or(text.len(), |_| mark_end(text));
        let gap = if entries.is_empty() { "" } else { gap };
        (first, format!("{lines}{gap}"))
    } else if at == 0 {
        (block.start, lines.to_owned())
    } else if let Some((_, next)) = entries.get(at).filter(|_| block.is_whole) {
        (next.start, format!("{lines}{gap}"))
    } else if block.is_whole {
        (text.len(), format!("{gap}{lines}"))
    } else {
        (entries[at - 1].1.content_end, lines.to_owned())
    };
    let before = &text[..offset];
    let newline = match before.is_empty() || before.ends_with('\n') {
        true => "",
        false => "\n",
    };
    format!("{before}{newline}{inserted}{}", &text[offset..])
}

/// Behind the mark of the document, where there is one.
fn mark_end(text: &str) -> usize {
    let first = lines(text, 0, text.len()).next();
    first
        .filter(|line| line.text.trim_end() == "---")
        .map_or(0, |line| line.end)
}

/// Before which entry a new key comes.
fn place(entries: &[(String, Entry)], key: &str) -> usize {
    let first = usize::from(entries.first().is_some_and(|(key, _)| key == "packages"));
    let rest = &entries[first..];
    if !rest.is_sorted_by(|(one, _), (two, _)| one <= two) {
        return entries.len();
    }
    if key == "packages" && (first == 1 || entries.is_empty()) {
        return 0;
    }
    first + rest.partition_point(|(name, _)| name.as_str() < key)
}

/// Whether every entry but the first has an empty line above it.
fn has_empty_lines(text: &str, entries: &[(String, Entry)]) -> bool {
    let has = |(_, entry): &(String, Entry)| {
        let above: Vec<Line<'_>> = lines(text, 0, entry.start).collect();
        let above = above.iter().rev().find(|line| !line.is_comment());
        above.is_some_and(|line| line.text.trim().is_empty())
    };
    entries.len() > 1 && entries[1..].iter().all(has)
}
