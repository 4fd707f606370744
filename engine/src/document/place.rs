//! Where fields stand: from a dotted path to a line, and from a place in the text to a dotted path.

use super::Document;
use std::ops::Range;
use toml::de::{DeArray, DeTable, DeValue};

/// The path of `key` in the table at `path`; a key that is no bare word stands in quotation marks.
pub fn below(path: &str, key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let dot = if path.is_empty() { "" } else { "." };
    if is_bare { format!("{path}{dot}{key}") } else { format!("{path}{dot}{key:?}") }
}

enum Step {
    Key(String),
    Index(usize),
}

/// The steps of a path such as `pools[1].versions."1.0"`.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        if first == '.' {
            rest = &rest[1..];
        } else if first == '[' {
            let Some((index, after)) = rest[1..].split_once(']') else { break };
            let Ok(index) = index.parse() else { break };
            steps.push(Step::Index(index));
            rest = after;
        } else if first == '"' {
            let (key, length) = quoted(&rest[1..]);
            steps.push(Step::Key(key));
            rest = &rest[1 + length..];
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            steps.push(Step::Key(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    steps
}

/// A key as [`below`] wrote it, from behind its first quotation mark, and how many bytes it took.
fn quoted(text: &str) -> (String, usize) {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == '"' && !escaped {
            let written = &text[..at];
            // Debug and JSON agree on all escapes but those of odd control characters: such a key is only not found.
            let key = serde_json::from_str(&format!("\"{written}\"")).unwrap_or_else(|_| written.to_owned());
            return (key, at + 1);
        }
        escaped = c == '\\' && !escaped;
    }
    (text.to_owned(), text.len())
}

impl Document {
    /// Line, from 1, of a byte position.
    pub(super) fn line_at(&self, position: usize) -> usize {
        self.text.as_bytes().iter().take(position).filter(|b| **b == b'\n').count() + 1
    }

    /// Line of a field such as `waves[1].share_percent`; of the longest part of the path that is there.
    pub fn line_of(&self, path: &str) -> Option<usize> {
        let root = DeTable::parse(&self.text).ok()?;
        let mut here = None;
        let mut value: Option<&DeValue<'_>> = None;
        for step in steps(&format!("{}{path}", self.within)) {
            let next = match (step, value) {
                (Step::Key(key), None) => member(root.get_ref(), &key),
                (Step::Key(key), Some(DeValue::Table(table))) => member(table, &key),
                (Step::Index(index), Some(DeValue::Array(items))) => {
                    items.get(index).map(|item| (item.span().start, item.get_ref()))
                }
                _ => None,
            };
            let Some((position, found)) = next else { break };
            (here, value) = (Some(position), Some(found));
        }
        here.map(|position| self.line_at(position))
    }

    /// The dotted path of the smallest key or value that holds a byte position; `None` where nothing does, or the text is no TOML.
    pub(super) fn path_at(&self, position: usize) -> Option<Found> {
        let root = DeTable::parse(&self.text).ok()?;
        let mut search = Search { position, best: None };
        search.table(root.get_ref(), "");
        search.best
    }

    /// The path of the key that a line gives a value to, or of the table it opens, as far as the plain text tells.
    pub(super) fn written_at(&self, line: usize) -> String {
        let mut table = String::new();
        for (number, text) in self.text.lines().enumerate().take(line) {
            let text = text.trim();
            if let Some(header) = text.strip_prefix('[').filter(|rest| !rest.contains(',')) {
                table = header.trim_matches(['[', ']', ' ']).split(']').next().unwrap_or_default().to_owned();
                if number + 1 == line {
                    return table;
                }
            } else if number + 1 == line {
                let key = text.split('=').next().unwrap_or_default().trim();
                let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '"');
                let is_key = text.contains('=') && !key.is_empty() && key.chars().all(plain);
                let dot = if table.is_empty() { "" } else { "." };
                return if is_key { format!("{table}{dot}{key}") } else { table };
            }
        }
        String::new()
    }
}

fn member<'t, 'd>(table: &'t DeTable<'d>, key: &str) -> Option<(usize, &'t DeValue<'d>)> {
    table.iter().find(|(name, _)| name.get_ref() == key).map(|(name, value)| (name.span().start, value.get_ref()))
}

/// What stands at a place.
pub(super) struct Found {
    pub(super) path: String,
    /// The bytes of the value, or of the key.
    pub(super) place: Range<usize>,
}

struct Search {
    position: usize,
    best: Option<Found>,
}

impl Search {
    fn meet(&mut self, path: &str, place: Range<usize>) {
        let smaller = self.best.as_ref().is_none_or(|best| place.len() < best.place.len());
        if smaller && place.contains(&self.position) {
            self.best = Some(Found { path: path.to_owned(), place });
        }
    }

    fn table(&mut self, table: &DeTable<'_>, at: &str) {
        for (name, value) in table {
            let path = below(at, name.get_ref());
            self.meet(&path, name.span());
            self.value(value.get_ref(), value.span(), &path);
        }
    }

    fn value(&mut self, value: &DeValue<'_>, place: Range<usize>, path: &str) {
        self.meet(path, place);
        match value {
            DeValue::Table(table) => self.table(table, path),
            DeValue::Array(items) => self.list(items, path),
            _ => {}
        }
    }

    fn list(&mut self, items: &DeArray<'_>, at: &str) {
        for (i, item) in items.iter().enumerate() {
            self.value(item.get_ref(), item.span(), &format!("{at}[{i}]"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_found_too() {
        let text = "[versions]\n\"1.0\" = 1\n\"a \\\"b\\\"\" = 2\n[x.\"y.z\"]\nk = [[1], [\n2, 3]]\n";
        let document = Document { source_name: "x".to_owned(), text: text.to_owned(), within: String::new() };
        assert_eq!(below("versions", "1.0"), "versions.\"1.0\"");
        assert_eq!(document.line_of(&below("versions", "1.0")), Some(2));
        assert_eq!(document.line_of(&below("versions", "a \"b\"")), Some(3));
        assert_eq!(document.line_of("x.\"y.z\".k[1][0]"), Some(6));
        assert_eq!(document.within("x").line_of("\"y.z\".k"), Some(5));
        assert_eq!(document.line_of("x.\"y.z"), Some(4), "a path that does not end is read as far as it goes");
        let three = text.find("3]]").unwrap();
        assert_eq!(document.path_at(three).map(|found| found.path).as_deref(), Some("x.\"y.z\".k[1][1]"));
    }
}
