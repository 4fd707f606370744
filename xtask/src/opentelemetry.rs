//! The OpenTelemetry SDK that a test of the live bridge runs as it comes: a Python environment below `target/`, made once.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What to do when it cannot be made.
pub(crate) const CURE: &str = "it needs python3 with its module venv, and a package index that pip reaches; a Python that has the packages of \
                               live-bridge/tests/controller/opentelemetry/requirements.txt may be named in SLACKTIDE_TEST_OPENTELEMETRY";

fn folder(root: &Path) -> PathBuf {
    root.join("target/opentelemetry")
}

/// The Python that has it: the one that somebody named, else ours.
pub(crate) fn python(root: &Path) -> PathBuf {
    let ours = || folder(root).join("bin/python");
    std::env::var_os("SLACKTIDE_TEST_OPENTELEMETRY").map_or_else(ours, PathBuf::from)
}

/// Makes the environment, unless it is there with the same packages, or somebody named another.
pub(crate) fn install(root: &Path) -> Result<()> {
    let folder = folder(root);
    if !python(root).starts_with(&folder) {
        return Ok(());
    }
    let requirements = root.join("live-bridge/tests/controller/opentelemetry/requirements.txt");
    let wanted = std::fs::read(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    // Written last, so that an environment that was left half made is made again.
    let stamp = folder.join("installed");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "-r"];
    run(Command::new(folder.join("bin/python")).args(pip).arg(&requirements))?;
    std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if status.success() { Ok(()) } else { bail!("{command:?} failed") }
}
