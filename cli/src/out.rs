//! The folder of `--out`: results of one verb, all of one run.

use anyhow::{Result, bail};
use slacktide_reports::files::Together;
use std::path::Path;

/// Journal of a run.
pub(crate) const JOURNAL: &str = "journal.jsonl";
/// Document of a comparison, of policies or of forecasts.
pub(crate) const COMPARISON: &str = "comparison.json";
/// Document of a sweep.
pub(crate) const SWEEP: &str = "sweep.json";
/// Finished runs of a sweep, or of a share of one.
pub(crate) const RUNS: &str = "runs.jsonl";
/// Document of a calibration.
pub(crate) const CALIBRATION: &str = "calibration.json";

/// Document of a look ahead.
pub(crate) const TWIN: &str = "twin.json";

/// What an `--out` folder may hold that has a page.
pub(crate) const WITH_A_PAGE: [&str; 5] = [JOURNAL, COMPARISON, SWEEP, CALIBRATION, TWIN];

/// Asks before anything runs whether the folder may take the results that `own` stands for. Pages have one name, whatever they are made
/// of: results of two verbs in one folder would overwrite each other's, and `report` could not tell whose it is to make.
pub(crate) fn is_free(out: &Path, own: &[&str]) -> Result<()> {
    let others = WITH_A_PAGE.into_iter().chain([RUNS]).filter(|name| !own.contains(name));
    match others.map(|name| out.join(name)).find(|path| path.exists()) {
        None => Ok(()),
        Some(path) => bail!(
            "--out {}: there are results of another verb, {}. Nothing was changed; name another --out, or remove them",
            out.display(),
            path.display()
        ),
    }
}

/// Makes the folder, for files that are to take their places together.
pub(crate) fn claim(out: &Path, own: &[&str]) -> Result<Together> {
    is_free(out, own)?;
    Ok(Together::into(out)?)
}
