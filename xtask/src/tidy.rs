//! House rules that no compiler knows.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILE_LINES_MAX: usize = 700;
/// A screen and a little: the longest list the fields of a policy, one a line.
const FUNCTION_LINES_MAX: usize = 90;
const LINE_CHARS_MAX: usize = 170;

/// Crates that a room must never depend on, and why.
const FORBIDDEN: [(&str, &[&str], &str); 5] = [
    (
        "engine",
        &[
            "tokio",
            "rayon",
            "rand",
            "csv",
            "flate2",
            "zstd",
            "plotters",
            "clap",
            "anyhow",
            "slacktide-sim",
            "slacktide-scenarios",
            "slacktide-reports",
        ],
        "the engine is pure",
    ),
    (
        "forecast",
        &["tokio", "rayon", "rand", "csv", "flate2", "zstd", "plotters", "clap", "anyhow", "slacktide-engine"],
        "numbers in, numbers out",
    ),
    (
        "reports",
        &["slacktide-sim", "slacktide-scenarios", "slacktide-live-bridge", "slacktide-forecast"],
        "reports cannot tell a live journal from a simulated one",
    ),
    (
        "scenarios",
        &["slacktide-sim", "slacktide-reports", "slacktide-live-bridge"],
        "a scenario is read without running it",
    ),
    (
        "live-bridge",
        &["slacktide-sim", "slacktide-scenarios", "slacktide-reports"],
        "what runs on devices knows no simulated world",
    ),
];

/// Licences that go with ours.
const LICENCES: [&str; 12] = [
    "MIT",
    "Apache-2.0",
    "Unlicense",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "CC0-1.0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "BSL-1.0",
];

/// Checks everything and tells all that is wrong at once.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut wrong = Vec::new();
    let files = tracked(root)?;
    for path in &files {
        let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
        if path.extension().is_some_and(|e| e == "rs") {
            source(path, &text, &mut wrong);
        }
        machine_paths(path, &text, &mut wrong);
    }
    arrows(root, &mut wrong)?;
    licences(root, &mut wrong)?;
    wrong.iter().for_each(|w| println!("tidy: {w}"));
    if wrong.is_empty() { Ok(()) } else { bail!("{} house rules are broken", wrong.len()) }
}

fn tracked(root: &Path) -> Result<Vec<PathBuf>> {
    let output =
        Command::new("git").args(["ls-files", "-z"]).current_dir(root).output().context("cannot start git ls-files")?;
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(names.split('\0').filter(|n| !n.is_empty()).map(PathBuf::from).collect())
}

fn source(path: &Path, text: &str, wrong: &mut Vec<String>) {
    let name = path.display();
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > FILE_LINES_MAX {
        wrong.push(format!(
            "{name} has {} lines (at most {FILE_LINES_MAX}): split it by what its parts are for",
            lines.len()
        ));
    }
    if !text.starts_with("//!") {
        wrong.push(format!("{name} does not open with a `//!` line that says what it is for"));
    }
    for (number, line) in lines.iter().enumerate() {
        // A long text is no long thought; rustfmt leaves it alone too.
        if line.chars().count() > LINE_CHARS_MAX && !line.contains('"') {
            wrong.push(format!("{name}:{} is longer than {LINE_CHARS_MAX} characters", number + 1));
        }
    }
    functions(path, &lines, wrong);
}

/// Functions are as long as it is from their `fn` line to the brace at the same indent. Tests may be longer: they tell a story.
fn functions(path: &Path, lines: &[&str], wrong: &mut Vec<String>) {
    let tests = lines.iter().position(|l| l.trim() == "#[cfg(test)]").unwrap_or(lines.len());
    let is_fn = |line: &str| {
        let line = line.trim_start();
        ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "const fn ", "pub const fn "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    for (begin, line) in lines.iter().enumerate().take(tests).filter(|(_, l)| is_fn(l)) {
        let indent = &line[..line.len() - line.trim_start().len()];
        let closing = format!("{indent}}}");
        let length = lines[begin..].iter().position(|l| **l == closing).unwrap_or(0);
        if length > FUNCTION_LINES_MAX && !path.starts_with("engine/tests") {
            wrong.push(format!(
                "{}:{} is a function of {length} lines (at most {FUNCTION_LINES_MAX})",
                path.display(),
                begin + 1
            ));
        }
    }
}

fn machine_paths(path: &Path, text: &str, wrong: &mut Vec<String>) {
    // Spelled in two parts, so that this file passes its own rule.
    for bad in [concat!("/wo", "rk/"), concat!("../sha", "red"), concat!("/ho", "me/")] {
        if text.contains(bad) {
            wrong.push(format!("{} names a path of somebody's machine ({bad})", path.display()));
        }
    }
}

fn arrows(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    for (room, forbidden, why) in FORBIDDEN {
        let manifest = std::fs::read_to_string(root.join(room).join("Cargo.toml"))
            .with_context(|| format!("cannot read {room}/Cargo.toml"))?;
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for name in forbidden {
            if dependencies.lines().any(|l| {
                l.trim_start().starts_with(&format!("{name}.")) || l.trim_start().starts_with(&format!("{name} "))
            }) {
                wrong.push(format!("{room} depends on {name}: {why}"));
            }
        }
    }
    Ok(())
}

fn licences(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cannot start cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata said no JSON")?;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let licence = package["license"].as_str().unwrap_or("none stated");
        // A choice (`OR`, or the old `/`) is good when one side is; all parts of an `AND` must be.
        let fine = |part: &str| {
            LICENCES.contains(&part.trim().trim_matches(['(', ')']).split(" WITH ").next().unwrap_or_default().trim())
        };
        let good = licence.replace('/', " OR ").split(" OR ").any(|choice| choice.split(" AND ").all(fine));
        if !good {
            wrong.push(format!("{} has the licence `{licence}`, which is not on the list in xtask", package["name"]));
        }
    }
    Ok(())
}
