//! Scripts alone: what they are given, what is kept of what they say, and how they end.

use slacktide_live_bridge::agent::script::{End, Job, OUTPUT_BYTES_MAX, Ran, run};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

fn ran(folder: &Path, body: &str, limit_ms: u64) -> Ran {
    let program = folder.join("script");
    std::fs::write(&program, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let mark = format!("{}#", folder.display());
    let job = Job {
        program: &program,
        folder,
        environment: vec![("SLACKTIDE_SLOT", "here".into())],
        mark: Some(&mark),
        time_limit: Duration::from_millis(limit_ms),
        grace: Duration::from_millis(300),
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(job))
}

#[test]
fn the_environment_is_what_is_stated_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let ran = ran(folder.path(), "env | cut -d= -f1 | sort | tr '\\n' ' '; pwd; cat", 5000);
    assert!(ran.succeeded());
    let names = ran.output.replace("SHLVL ", "").replace("_ ", "").replace("OLDPWD ", "");
    let here = folder.path().canonicalize().unwrap();
    assert_eq!(names.trim(), format!("PATH PWD SLACKTIDE_RUN SLACKTIDE_SLOT {}", here.display()));
}

#[test]
fn the_end_of_a_long_output_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let ran = ran(folder.path(), "yes | head -c 3000000; echo last words >&2", 20_000);
    assert!(ran.succeeded() && ran.output.ends_with("last words\n"));
    assert_eq!(ran.output.len(), OUTPUT_BYTES_MAX);
}

#[test]
fn a_script_that_ends_when_asked_was_late_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    let ran = ran(folder.path(), "trap 'echo going; exit 0' TERM; while :; do sleep 0.05; done", 300);
    assert_eq!(ran.end, End::TimedOut(Duration::from_millis(300)));
    assert!(ran.output.contains("going") && begin.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_child_that_keeps_the_output_open_does_not_hold_anything_up() {
    let folder = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    let ran = ran(folder.path(), "setsid sleep 600 & sleep 600 & echo done", 20_000);
    assert!(ran.succeeded() && ran.output == "done\n", "{ran}");
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[test]
fn what_cannot_be_started_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("script"), "").unwrap();
    let job = Job {
        program: &folder.path().join("absent"),
        folder: folder.path(),
        environment: Vec::new(),
        mark: None,
        time_limit: Duration::from_secs(1),
        grace: Duration::from_secs(1),
    };
    let ran = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(job));
    assert!(ran.to_string().starts_with("could not be started: No such file"), "{ran}");
}
