//! The project's own chores: `cargo xtask ci`, `cargo xtask tidy`, `cargo xtask pages`, `cargo xtask opentelemetry`.
// A command-line tool of the project itself: printing is what it is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod opentelemetry;
mod pages;
mod tidy;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

const USAGE: &str =
    "cargo xtask ci              everything a change must pass: format, lints, tests, documentation, pages, tidy
cargo xtask tidy            house rules: lengths, captions, forbidden arrows, licences
cargo xtask pages           every kind of report page in Chromium: axe-core, widths, colour schemes (needs chromium and npm)
cargo xtask opentelemetry   makes the Python environment that a test of the live bridge needs";

fn main() -> ExitCode {
    let verb = std::env::args().nth(1).unwrap_or_default();
    let result = match verb.as_str() {
        "ci" => ci(),
        "tidy" => tidy::run(&root()),
        "opentelemetry" => opentelemetry::install(&root()),
        "pages" => pages::run(&root()),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// What property tests draw from here, so that a change is judged by the change alone. `cargo test` by hand draws anew each time.
const PROPERTY_SEED: &str = "20260101";

fn ci() -> Result<()> {
    let property_seed = std::env::var("PROPTEST_RNG_SEED").unwrap_or_else(|_| PROPERTY_SEED.to_owned());
    println!("ci: property tests draw from PROPTEST_RNG_SEED={property_seed}");
    let steps: [(&str, &[&str], &str); 5] = [
        ("format", &["fmt", "--all", "--check"], "run `cargo fmt --all`"),
        ("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], "mend what clippy names"),
        ("tests", &["test", "--workspace"], "run the failing test alone with `cargo test NAME`"),
        (
            "planted faults",
            &["test", "-p", "slacktide-sim", "--features", "planted-faults", "--test", "planted"],
            "chaos no longer finds a known defect, or finds one that is not planted",
        ),
        ("documentation", &["doc", "--workspace", "--no-deps"], "mend the links rustdoc names"),
    ];
    step("browser", "the dashboard's test drives one", browser)?;
    step("OpenTelemetry SDK", opentelemetry::CURE, || opentelemetry::install(&root()))?;
    let python = opentelemetry::python(&root());
    for (name, arguments, cure) in steps {
        step(name, cure, || {
            let status = Command::new(env!("CARGO"))
                .args(arguments)
                .env("RUSTDOCFLAGS", "-D warnings")
                .env("PROPTEST_RNG_SEED", &property_seed)
                .env("SLACKTIDE_TEST_OPENTELEMETRY", &python)
                .current_dir(root())
                .status();
            let status = status.with_context(|| format!("cannot start cargo {}", arguments.join(" ")))?;
            if status.success() { Ok(()) } else { bail!("cargo {} failed", arguments.join(" ")) }
        })?;
    }
    step("pages", "mend what the browser names; `cargo xtask pages` runs this alone", || pages::run(&root()))?;
    step("tidy", "mend what is named above", || tidy::run(&root()))?;
    println!("ci: all steps passed");
    Ok(())
}

/// What `live-bridge/tests/controller/dashboard` looks for; said here before half an hour of tests has passed.
fn browser() -> Result<()> {
    if let Some(named) = std::env::var_os("SLACKTIDE_BROWSER") {
        let is_there = Path::new(&named).is_file();
        return if is_there { Ok(()) } else { bail!("SLACKTIDE_BROWSER names no file: {}", named.display()) };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let is_there = std::env::split_paths(&path).any(|folder| names.iter().any(|name| folder.join(name).is_file()));
    if is_there {
        return Ok(());
    }
    println!("ci: no browser: installing Debian's chromium");
    let install = "for try in 1 2 3; do apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core && exit; sleep 5; done; exit 1";
    let shell = Command::new("sh").args(["-c", install]).env("DEBIAN_FRONTEND", "noninteractive").status();
    if shell.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    bail!("no browser: install Chromium (Debian: apt-get install chromium), or name one in SLACKTIDE_BROWSER")
}

fn step(name: &str, cure: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("ci: {name} …");
    let began = Instant::now();
    run().with_context(|| format!("{name}: {cure}"))?;
    println!("ci: {name} passed in {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}
