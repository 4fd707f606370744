//! Report pages in a browser: fetches axe-core, which no page ships and no crate depends on, and runs the test that needs it.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const AXE_VERSION: &str = "4.14.1";
/// Of `axe.min.js` of that version.
const AXE_SHA256: &str = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c";
/// Where it lies in its package.
const AXE_FILE: &str = "package/axe.min.js";

/// Looks at every kind of page, and at the dashboard.
pub(crate) fn run(root: &Path) -> Result<()> {
    let axe = axe(root)?;
    // As the tests of the whole workspace are built, so that nothing is built twice.
    let status = Command::new(env!("CARGO"))
        .args(["test", "--workspace", "--test", "pages", "--test", "controller", "--"])
        .args(["--ignored", "--nocapture", "finds_no_serious_fault"])
        .env("SLACKTIDE_AXE", &axe)
        .current_dir(root)
        .status()
        .context("cannot start cargo test")?;
    ensure!(status.success(), "a page has faults, or there is no browser: see above");
    Ok(())
}

/// The file of axe-core, fetched once into `target/`.
fn axe(root: &Path) -> Result<PathBuf> {
    let folder = root.join("target").join(format!("axe-core-{AXE_VERSION}"));
    let file = folder.join(AXE_FILE);
    if !file.is_file() {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let package = format!("axe-core@{AXE_VERSION}");
        done(Command::new("npm").args(["pack", "--silent", &package]).current_dir(&folder), "install npm")?;
        let archive = format!("axe-core-{AXE_VERSION}.tgz");
        done(Command::new("tar").args(["-xzf", &archive, AXE_FILE]).current_dir(&folder), "install tar")?;
    }
    let sum = done(Command::new("sha256sum").arg(&file), "install coreutils")?;
    let sum = String::from_utf8_lossy(&sum.stdout).split_whitespace().next().unwrap_or_default().to_owned();
    ensure!(sum == AXE_SHA256, "{} has the checksum {sum}, not {AXE_SHA256}: remove it and look", file.display());
    Ok(file)
}

fn done(command: &mut Command, cure: &str) -> Result<Output> {
    let output = command.output().with_context(|| format!("cannot start {command:?}: {cure}"))?;
    if output.status.success() {
        return Ok(output);
    }
    bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim())
}
