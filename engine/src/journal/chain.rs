//! Lines that each carry the hash of the line before: whoever changes, drops or swaps one is found.
//!
//! The hash is SHA-256 over the bytes of a line without its newline; the first line carries 64 zeros. A journal that was closed
//! properly ends with [`Entry::End`], so a cut one is found too.

use super::entry::{Entry, Line};
use crate::time::Instant;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Longest line that is read, in bytes: the telemetry of [`crate::fleet::Fleet::DEVICES_MAX`] devices fits.
pub const LINE_BYTES_MAX: usize = 1 << 30;

/// The `prev` of the first line.
pub fn no_hash() -> String {
    "0".repeat(64)
}

fn hash(line: &str) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(line.as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn seal(n: u64, at: Instant, prev: &str) -> String {
    hash(&format!("end {n} {} {prev}", at.as_millis()))
}

/// Turns entries into lines.
#[derive(Debug, Clone)]
pub struct ChainWriter {
    n: u64,
    prev: String,
}

impl Default for ChainWriter {
    fn default() -> Self {
        Self { n: 0, prev: no_hash() }
    }
}

impl ChainWriter {
    /// The next line, without its newline.
    pub fn line(&mut self, at: Instant, entry: Entry) -> String {
        let line = Line { n: self.n, at, prev: std::mem::take(&mut self.prev), entry };
        // Entries hold only types that serialise (no maps with odd keys), so this cannot fail; an empty line would be found by `verify`.
        let text = serde_json::to_string(&line).unwrap_or_default();
        self.n += 1;
        self.prev = hash(&text);
        text
    }

    /// The closing line, sealed so that a change of it is found too, though no line follows.
    pub fn close(&mut self, at: Instant) -> String {
        let seal = seal(self.n, at, &self.prev);
        self.line(at, Entry::End { seal })
    }

    /// Hash of the newest line: the hash of the whole journal so far.
    pub fn hash(&self) -> &str {
        &self.prev
    }

    /// Lines so far.
    pub const fn entries(&self) -> u64 {
        self.n
    }
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct Broken {
    /// Counted from 1, as an editor does.
    pub line: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads lines and follows the chain.
#[derive(Debug, Clone)]
pub struct ChainReader {
    n: u64,
    prev: String,
    ended: bool,
}

impl Default for ChainReader {
    fn default() -> Self {
        Self { n: 0, prev: no_hash(), ended: false }
    }
}

/// What is wrong with a line, and in which column: its number among the lines is not what the parser of one line counts.
fn in_line(error: &serde_json::Error) -> String {
    let told = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match told.strip_suffix(&place) {
        Some(problem) => format!("{problem} (column {})", error.column()),
        None => told,
    }
}

impl ChainReader {
    /// The entry of the next line.
    ///
    /// # Errors
    /// [`Broken`] when the line is no entry, or does not follow from the one before. A changed line is named itself when it no
    /// longer reads as an entry; else its successor, whose `prev` no longer fits, names it.
    pub fn read(&mut self, text: &str) -> Result<Line, Broken> {
        let broken = |line: u64, problem: String| Broken { line, problem };
        let here = self.n + 1;
        if self.ended {
            return Err(broken(here, "stands after the closing entry".to_owned()));
        }
        let line: Line =
            serde_json::from_str(text).map_err(|e| broken(here, format!("is not a journal entry: {}", in_line(&e))))?;
        if line.prev != self.prev {
            let problem = if self.n == 0 {
                "the first line must follow nothing; the beginning is missing".to_owned()
            } else {
                format!("was changed after it was written, or line {here} is not the one that followed it")
            };
            return Err(broken(here.saturating_sub(1).max(1), problem));
        }
        if line.n != self.n {
            return Err(broken(here, format!("has number {} where {} was due", line.n, self.n)));
        }
        if (self.n == 0) != matches!(line.entry, Entry::Header(_)) {
            return Err(broken(here, "the header must stand first and only first".to_owned()));
        }
        if let Entry::End { seal: found } = &line.entry {
            if *found != seal(line.n, line.at, &line.prev) {
                return Err(broken(here, "the closing entry was changed after it was written".to_owned()));
            }
            self.ended = true;
        }
        self.n += 1;
        self.prev = hash(text);
        Ok(line)
    }

    /// After the last line: was the journal closed?
    ///
    /// # Errors
    /// [`Broken`] naming the line after the last when the closing entry is missing.
    pub fn finish(&self) -> Result<(), Broken> {
        if self.ended {
            return Ok(());
        }
        Err(Broken {
            line: self.n + 1,
            problem: "the closing entry is missing: the journal was cut or its writer was stopped".to_owned(),
        })
    }

    /// Hash of the newest line read.
    pub fn hash(&self) -> &str {
        &self.prev
    }

    /// Lines read.
    pub const fn entries(&self) -> u64 {
        self.n
    }
}

/// Reads a whole journal. Returns the number of entries and the hash of the last.
///
/// # Errors
/// [`Broken`], naming the line that was changed.
pub fn verify<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<(u64, String), Broken> {
    let mut reader = ChainReader::default();
    let mut lines = lines.into_iter().peekable();
    while let Some(line) = lines.next() {
        if let Err(broken) = reader.read(line) {
            return Err(blame(broken, line, reader.n + 1, lines.peek().copied()));
        }
    }
    reader.finish()?;
    Ok((reader.entries(), reader.hash().to_owned()))
}

/// Two neighbours that do not fit: the next line tells which of them was changed, for it still fits an unchanged one.
fn blame(broken: Broken, line: &str, number: u64, next: Option<&str>) -> Broken {
    if broken.line == number {
        return broken;
    }
    if let Ok(Line { n, at, prev, entry: Entry::End { seal: found } }) = serde_json::from_str(line)
        && found == seal(n, at, &prev)
    {
        // No line follows the closing one, but its seal says that it is as it was.
        return broken;
    }
    let next_prev = next.and_then(|text| serde_json::from_str::<Line>(text).ok()).map(|next| next.prev);
    if next_prev.is_some_and(|prev| prev == hash(line)) {
        return broken;
    }
    Broken { line: number, problem: "was changed after it was written, or does not belong here".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(entries: u64) -> Vec<String> {
        let header = super::super::entry::Header {
            version: 1,
            program: "test".to_owned(),
            mode: super::super::JournalMode::Decisions,
            seed: 7,
            world_name: "w".to_owned(),
            policy_name: "p".to_owned(),
            policy: String::new(),
            world: serde_json::Value::Null,
            metrics: vec!["cpu".to_owned()],
            remarks: Vec::new(),
        };
        let mut writer = ChainWriter::default();
        let mut lines = vec![writer.line(Instant::from_secs(0), Entry::Header(Box::new(header)))];
        for i in 1..=entries {
            lines.push(writer.line(Instant::from_secs(i as i64), Entry::Ignored { reason: format!("entry {i}") }));
        }
        lines.push(writer.close(Instant::from_secs(99)));
        lines
    }

    #[test]
    fn an_untouched_journal_is_whole() {
        let lines = journal(3);
        assert_eq!(verify(lines.iter().map(String::as_str)).unwrap().0, 5);
    }

    #[test]
    fn any_changed_byte_is_found_and_its_line_named() {
        let lines = journal(3);
        for (k, line) in lines.iter().enumerate() {
            for at in 0..line.len() {
                let mut bytes = line.clone().into_bytes();
                bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                let mut copy = lines.clone();
                copy[k] = changed;
                let broken = verify(copy.iter().map(String::as_str)).expect_err("a change must be found");
                assert_eq!(broken.line, k as u64 + 1, "byte {at} of line {}: {broken}", k + 1);
            }
        }
    }

    #[test]
    fn a_cut_a_dropped_and_a_swapped_line_are_found() {
        let lines = journal(4);
        assert!(
            verify(lines[..4].iter().map(String::as_str)).unwrap_err().problem.contains("closing entry is missing")
        );
        let mut dropped = lines.clone();
        dropped.remove(2);
        assert!(verify(dropped.iter().map(String::as_str)).is_err());
        let mut swapped = lines;
        swapped.swap(2, 3);
        assert!(verify(swapped.iter().map(String::as_str)).is_err());
    }
}
