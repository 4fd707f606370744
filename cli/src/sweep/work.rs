//! Running what is not yet done, with progress on stderr.

use super::header::Header;
use super::points::Points;
use super::rows::Rows;
use crate::simulate::bar;
use anyhow::{Result, anyhow};
use indicatif::ProgressBar;
use rayon::prelude::*;
use slacktide_sim::sweep::{Unit, UnitResult, run_unit};
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where stderr is no terminal, a line of progress comes at most so often.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// Runs all units of this share that are not done yet. All of the share's results, in order.
pub(super) fn run(points: &Points, header: &Header, rows: Rows) -> Result<Vec<UnitResult>> {
    let missing: Vec<Unit> = header.own_units().filter(|unit| !rows.has(*unit)).collect();
    let progress = Progress::new(rows.count(), missing.len());
    let rows = Mutex::new((rows, progress));
    missing.par_iter().try_for_each(|unit| {
        // Setups are made again for each run: a thousand of them may not fit into memory.
        let result = run_unit(&points.setup(unit.point)?, unit.point, header.seed(*unit));
        let mut held = rows.lock().unwrap_or_else(PoisonError::into_inner);
        held.1.one_more();
        held.0.add(*unit, result)
    })?;
    let (rows, progress) = rows.into_inner().map_err(|_| anyhow!("a run panicked"))?;
    progress.bar.finish_and_clear();
    rows.close(header)
}

/// A bar on a terminal, a line a minute elsewhere.
struct Progress {
    bar: ProgressBar,
    began: Instant,
    said: Instant,
    done: usize,
    missing: usize,
}

impl Progress {
    fn new(before: usize, missing: usize) -> Self {
        if before > 0 {
            eprintln!("slacktide: {before} runs are there from before; {missing} are left");
        }
        let now = Instant::now();
        Self { bar: bar(missing as u64, "runs"), began: now, said: now, done: 0, missing }
    }

    fn one_more(&mut self) {
        self.done += 1;
        self.bar.inc(1);
        if self.said.elapsed() >= SAID_EVERY && !std::io::stderr().is_terminal() {
            self.said = Instant::now();
            let left = self.began.elapsed().as_secs_f64() / self.done as f64 * (self.missing - self.done) as f64;
            eprintln!("slacktide: {} of {} runs, about {:.0} min left", self.done, self.missing, left / 60.0);
        }
    }
}
