//! What was issued and revoked: a line each, only ever added to. A line that power loss cut short was never answered, so it is dropped.

use crate::trust::TrustError;
use crate::trust::files::{self, SECRET};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Serial number, hexadecimal.
    pub serial: String,
    /// `device/cam-017`, `operator/approver/alice`, `controller/main`.
    pub identity: String,
    /// Host names and addresses of a controller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Which generation of the authority signed it.
    pub generation: u32,
    /// Unix seconds.
    pub issued_at_s: i64,
    /// Last second it is good for, Unix seconds.
    pub not_after_s: i64,
    /// SHA-256 of its public key.
    pub key: String,
    /// When it was revoked, Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at_s: Option<i64>,
    /// Why, in the words of whoever revoked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Entry {
    /// Whether it opens the door at this time, Unix seconds.
    pub fn in_force(&self, now_s: i64) -> bool {
        self.revoked_at_s.is_none() && now_s <= self.not_after_s
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Issued(Entry),
    Revoked { serial: String, at_s: i64, reason: Option<String> },
}

#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
}

impl Ledger {
    pub(super) fn at(folder: &Path) -> Self {
        Self { path: folder.join("issued.jsonl") }
    }

    /// Adds certificates.
    pub(super) fn issue<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> Result<(), TrustError> {
        self.append(entries.map(|entry| Line::Issued(entry.clone())))
    }

    /// Marks certificates as revoked.
    pub(super) fn revoke(&self, serials: &[String], at_s: i64, reason: Option<&str>) -> Result<(), TrustError> {
        let line = |serial: &String| Line::Revoked { serial: serial.clone(), at_s, reason: reason.map(str::to_owned) };
        self.append(serials.iter().map(line))
    }

    pub(super) fn find(&self, serial: &str) -> Result<Option<Entry>, TrustError> {
        Ok(self.entries()?.into_iter().find(|entry| entry.serial == serial))
    }

    /// All of them, in the order in which they were issued.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, TrustError> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let text = files::read_text(&self.path)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let (mut entries, mut places) = (Vec::<Entry>::new(), HashMap::new());
        for (number, line) in text[..whole].lines().enumerate() {
            let wrong = |why: String| TrustError::file(&self.path, format!("line {}: {why}", number + 1));
            match serde_json::from_str(line).map_err(|e| wrong(e.to_string()))? {
                Line::Issued(entry) => {
                    places.insert(entry.serial.clone(), entries.len());
                    entries.push(entry);
                }
                Line::Revoked { serial, at_s, reason } => {
                    let place = places.get(&serial).ok_or_else(|| wrong(format!("{serial} was never issued")))?;
                    // The first word stands.
                    if entries[*place].revoked_at_s.is_none() {
                        (entries[*place].revoked_at_s, entries[*place].reason) = (Some(at_s), reason);
                    }
                }
            }
        }
        Ok(entries)
    }

    /// Leaves out certificates that are long over: nobody asks for them, and the file would grow for ever.
    pub(super) fn forget_ended(&self, before_s: i64) -> Result<usize, TrustError> {
        let entries = self.entries()?;
        let kept: Vec<&Entry> = entries.iter().filter(|entry| entry.not_after_s >= before_s).collect();
        let mut text = Vec::new();
        for entry in &kept {
            self.write_line(&mut text, &Line::Issued((*entry).clone()))?;
        }
        files::write(&self.path, &text, SECRET)?;
        Ok(entries.len() - kept.len())
    }

    fn append(&self, lines: impl Iterator<Item = Line>) -> Result<(), TrustError> {
        let mut text = Vec::new();
        for line in lines {
            self.write_line(&mut text, &line)?;
        }
        let whole = self.whole_bytes()?;
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().create(true).append(true).mode(SECRET).open(&self.path)?;
            file.set_len(whole)?;
            file.write_all(&text)?;
            file.sync_all()?;
            if whole == 0 {
                crate::durable::sync_folder(self.path.parent().unwrap_or_else(|| Path::new(".")))
            } else {
                Ok(())
            }
        };
        write().map_err(TrustError::io("write", &self.path))
    }

    fn write_line(&self, text: &mut Vec<u8>, line: &Line) -> Result<(), TrustError> {
        serde_json::to_writer(&mut *text, line).map_err(|e| TrustError::file(&self.path, e.to_string()))?;
        text.push(b'\n');
        Ok(())
    }

    /// Length up to the end of the last whole line, bytes.
    fn whole_bytes(&self) -> Result<u64, TrustError> {
        if !self.path.exists() {
            return Ok(0);
        }
        let bytes = files::read(&self.path)?;
        Ok(bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end as u64 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(serial: &str, not_after_s: i64) -> Entry {
        let (identity, key) = (format!("device/{serial}"), String::new());
        let (hosts, generation, issued_at_s) = (Vec::new(), 1, 0);
        Entry {
            serial: serial.to_owned(),
            identity,
            hosts,
            generation,
            issued_at_s,
            not_after_s,
            key,
            revoked_at_s: None,
            reason: None,
        }
    }

    #[test]
    fn a_line_cut_short_is_dropped_and_a_damaged_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(folder.path());
        ledger.issue([entry("aa", 10), entry("bb", 20)].iter()).unwrap();
        let whole = std::fs::read(&ledger.path).unwrap();
        std::fs::write(&ledger.path, [whole.as_slice(), b"{\"issued\":{\"ser"].concat()).unwrap();
        assert_eq!(ledger.entries().unwrap().len(), 2);
        ledger.revoke(&["bb".to_owned()], 7, Some("lost")).unwrap();
        ledger.revoke(&["bb".to_owned()], 8, None).unwrap();
        let entries = ledger.entries().unwrap();
        assert_eq!((entries[1].revoked_at_s, entries[1].reason.as_deref()), (Some(7), Some("lost")));
        assert!(entries[0].in_force(10) && !entries[0].in_force(11) && !entries[1].in_force(1));
        assert_eq!(ledger.forget_ended(11).unwrap(), 1);
        assert_eq!(ledger.entries().unwrap(), entries[1..]);
        std::fs::write(&ledger.path, [whole.as_slice(), b"{}\n"].concat()).unwrap();
        assert!(ledger.entries().unwrap_err().to_string().contains("line 3"));
    }
}
