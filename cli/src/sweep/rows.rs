//! `runs.jsonl`: the header, then a line for every finished run. Lines are added as runs end, in any order; a finished sweep has them in
//! the order of its units.

use super::OWN;
use super::header::{Header, SCHEMA};
use crate::out::{self, RUNS};
use anyhow::{Context, Result, bail};
use slacktide_reports::files::write_aside;
use slacktide_sim::sweep::{Unit, UnitResult};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Finished runs, in a file where there is a folder for it.
#[derive(Debug)]
pub(super) struct Rows {
    finished: BTreeMap<Unit, UnitResult>,
    place: Option<(PathBuf, File)>,
}

impl Rows {
    /// Takes up what an earlier call has left in the folder, which must be of the same sweep; `fresh` forgets it.
    pub(super) fn open(out: Option<&Path>, header: &Header, fresh: bool) -> Result<Self> {
        let Some(out) = out else { return Ok(Self { finished: BTreeMap::new(), place: None }) };
        drop(out::claim(out, &OWN)?);
        let path = out.join(RUNS);
        let finished = if fresh {
            BTreeMap::new()
        } else {
            earlier(out, header, "name another --out, or forget those runs by --fresh")?
        };
        // A line that was cut off is gone, and the limit of a recommendation may be a new one.
        write_aside(&path, text(header, finished.values())?.as_bytes())?;
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { finished, place: Some((path, file)) })
    }

    /// Is this unit done?
    pub(super) fn has(&self, unit: Unit) -> bool {
        self.finished.contains_key(&unit)
    }

    /// Units done.
    pub(super) fn count(&self) -> usize {
        self.finished.len()
    }

    /// Adds a finished run, in one write: what a kill cuts off is one line.
    pub(super) fn add(&mut self, unit: Unit, result: UnitResult) -> Result<()> {
        if let Some((path, file)) = &mut self.place {
            let line = serde_json::to_string(&result)? + "\n";
            file.write_all(line.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        }
        self.finished.insert(unit, result);
        Ok(())
    }

    /// Puts the lines in order; all runs, in that order.
    pub(super) fn close(self, header: &Header) -> Result<Vec<UnitResult>> {
        if let Some((path, file)) = self.place {
            drop(file);
            write_aside(&path, text(header, self.finished.values())?.as_bytes())?;
        }
        Ok(self.finished.into_values().collect())
    }
}

/// Runs that a folder holds already, which must be of the same sweep and share; `cure` says what to do where they are not.
pub(super) fn earlier(out: &Path, header: &Header, cure: &str) -> Result<BTreeMap<Unit, UnitResult>> {
    let path = out.join(RUNS);
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let (earlier, rows) = read(&path)?;
    let differs = header.differs_from(&earlier).or_else(|| {
        (earlier.shard != header.shard).then(|| format!("it was share {} and now {}", earlier.shard, header.shard))
    });
    match differs {
        None => Ok(rows),
        Some(differs) => bail!(
            "{} holds {} runs of another sweep: {differs}. Nothing was changed; {cure}",
            path.display(),
            rows.len()
        ),
    }
}

/// The file as it should be.
pub(super) fn text<'a>(header: &Header, results: impl IntoIterator<Item = &'a UnitResult>) -> Result<String> {
    let mut text = serde_json::to_string(header)? + "\n";
    for result in results {
        text.push_str(&serde_json::to_string(result)?);
        text.push('\n');
    }
    Ok(text)
}

/// Reads a file of runs. A last line that was cut off is left out; anything else amiss is an error that names the line.
pub(super) fn read(path: &Path) -> Result<(Header, BTreeMap<Unit, UnitResult>)> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let text = std::str::from_utf8(&bytes[..whole]).with_context(|| format!("{} is no text", path.display()))?;
    let mut lines = text.lines().enumerate();
    let at = |line: usize| format!("{}:{}", path.display(), line + 1);
    let first = lines.next().map_or("", |(_, line)| line);
    let header: Header = serde_json::from_str(first)
        .with_context(|| format!("{}: this is no first line of a sweep's runs; forget the file by --fresh", at(0)))?;
    if header.schema != SCHEMA {
        bail!("{}: the schema `{}` is not `{SCHEMA}`", at(0), header.schema);
    }
    let mut rows = BTreeMap::new();
    for (number, line) in lines {
        let row: UnitResult = serde_json::from_str(line).with_context(|| {
            format!("{}: this is no run; repair the line or forget all runs by --fresh", at(number))
        })?;
        let replication = header.replication(row.seed).filter(|_| row.point < header.sweep.points.len());
        let Some(replication) = replication else {
            bail!("{}: point {} under seed {} is not of this sweep", at(number), row.point, row.seed);
        };
        let unit = Unit { point: row.point, replication };
        if rows.get(&unit).is_some_and(|known| *known != row) {
            bail!("{}: point {} under seed {} is there twice, with different results", at(number), row.point, row.seed);
        }
        rows.insert(unit, row);
    }
    Ok((header, rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use slacktide_sim::sweep::Shard;

    fn header() -> Header {
        let sweep = serde_json::json!({
            "program": "1", "scenario": "s", "scenario_text": "a = 1\n", "devices": 4, "traces": null, "fleet": null, "policy": "p",
            "policy_text": "", "varied": [{"field": "x", "kind": "number", "log": false}], "design": "grid", "repeated": 0,
            "points": [[1], [2]], "seed": 7, "replications": 2, "remarks": [],
        });
        let sweep = serde_json::from_value(sweep).unwrap();
        Header { schema: SCHEMA.to_owned(), shard: Shard::WHOLE, overload_max: None, sweep }
    }

    fn result(point: usize, seed: u64) -> UnitResult {
        UnitResult {
            point,
            seed,
            journal_hash: format!("{point}-{seed}"),
            rollout_state: "finished".to_owned(),
            measures: [("makespan_s".to_owned(), 0.1 + 0.2)].into(),
            invariant_violations: Vec::new(),
        }
    }

    #[test]
    fn a_line_cut_off_is_done_again_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let unit = |point, replication| Unit { point, replication };
        let mut rows = Rows::open(Some(dir.path()), &header(), false).unwrap();
        rows.add(unit(1, 0), result(1, 7)).unwrap();
        rows.add(unit(0, 1), result(0, 8)).unwrap();
        drop(rows);
        let path = dir.path().join(RUNS);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        let again = Rows::open(Some(dir.path()), &header(), false).unwrap();
        assert_eq!((again.has(unit(1, 0)), again.has(unit(0, 1)), again.count()), (true, false, 1));
        let closed = again.close(&header()).unwrap();
        assert_eq!(closed, [result(1, 7)]);
    }

    #[test]
    fn runs_of_another_sweep_are_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut rows = Rows::open(Some(dir.path()), &header(), false).unwrap();
        rows.add(Unit { point: 0, replication: 0 }, result(0, 7)).unwrap();
        drop(rows);
        let before = std::fs::read(dir.path().join(RUNS)).unwrap();
        let refused = |change: &dyn Fn(&mut Header)| {
            let mut other = header();
            change(&mut other);
            let said = Rows::open(Some(dir.path()), &other, false).unwrap_err().to_string();
            assert_eq!(std::fs::read(dir.path().join(RUNS)).unwrap(), before);
            said
        };
        assert!(refused(&|h| h.sweep.replications = 9).contains("replications was 2 and is 9"));
        assert!(refused(&|h| h.sweep.scenario_text = "a = 2\n".to_owned()).contains("`a = 1` and has `a = 2`"));
        assert!(refused(&|h| h.sweep.points = vec![vec![5.into()]]).contains("it had 2 points, the first x = 1"));
        assert!(refused(&|h| h.shard = "1/3".parse().unwrap()).contains("it was share 1/1 and now 1/3"));
        let mut limited = header();
        limited.overload_max = Some(4.0);
        assert_eq!(Rows::open(Some(dir.path()), &limited, false).unwrap().count(), 1, "a limit changes no run");
        assert_eq!(Rows::open(Some(dir.path()), &header(), true).unwrap().count(), 0, "--fresh forgets");
    }

    #[test]
    fn a_damaged_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(RUNS);
        let text = text(&header(), [&result(0, 7), &result(1, 7)]).unwrap();
        let said = |text: String| {
            std::fs::write(&path, text).unwrap();
            format!("{:#}", read(&path).unwrap_err())
        };
        assert!(said(text.replacen("{\"point\":0", "{\"pont\":0", 1)).contains("runs.jsonl:2: this is no run"));
        assert!(
            said(text.replacen("\"seed\":7,\"journal", "\"seed\":99,\"journal", 1)).contains("is not of this sweep")
        );
        assert!(said("{}\n".to_owned()).contains("runs.jsonl:1: this is no first line"));
        let twice = text.clone() + &serde_json::to_string(&result(1, 7)).unwrap().replace("1-7", "other") + "\n";
        assert!(said(twice).contains("is there twice"));
    }
}
