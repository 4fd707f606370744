//! `package build` and `package inspect`.

use super::{hex, release_document, size};
use crate::wait;
use crate::{Outcome, say};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use slacktide_engine::document::format_span;
use slacktide_live_bridge::package::{Limits, Manifest, Repository, archive};
use slacktide_reports::text;
use std::path::{Path, PathBuf};

/// Arguments of `package build`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A package.toml:\n  name = \"greeting\"\n  version = \"1.1\"\n  compatible = 'version >= 1.0'          # optional: what it may be installed over\n  target = 'variant == \"a\"'             # optional: who a rollout is for\n  [scripts]                             # precheck, drain and health are optional\n  install = \"install.sh\"\n  health = \"health.sh\"\n  [time_limits]                         # default: precheck 1m, drain 10m, install 30m, health 5m\n  install = \"2m\"\n\nEvery file of the folder goes in, with its hash and whether it can be run (mode 755 or 644); links and empty folders cannot.\n\nExamples:\n  slacktide package build examples/package\n  slacktide package build firmware/ --out build/firmware.stp --json"
)]
pub(crate) struct BuildArgs {
    /// Folder with package.toml
    folder: PathBuf,
    /// The archive (default: NAME-VERSION.stp here)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

/// Arguments of `package inspect`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  slacktide package inspect greeting-1.1.stp\n  slacktide package inspect repo --json\n\nAn archive is read to its end and must agree with its own manifest; whether anybody signed it `package verify` tells."
)]
pub(crate) struct InspectArgs {
    /// An archive (.stp), or the folder of a repository
    path: PathBuf,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

/// `slacktide package build`
pub(super) fn build(args: &BuildArgs) -> Result<Outcome> {
    let out = match &args.out {
        Some(out) => out.clone(),
        None => PathBuf::from(archive::read_folder(&args.folder)?.archive_name()),
    };
    let manifest = archive::build(&args.folder, &out)?;
    let bytes = std::fs::metadata(&out).with_context(|| format!("cannot read {}", out.display()))?.len();
    if args.json {
        let mut document = manifest_document(&manifest, &out, bytes)?;
        document["schema"] = "slacktide/package-build/1".into();
        say!("{document}");
    } else {
        let (files, unpacked) = (manifest.files.len(), size(manifest.unpacked_bytes()));
        say!(
            "{} {}: {files} files, {unpacked}, packed {}: {}",
            manifest.name,
            manifest.version,
            size(bytes),
            out.display()
        );
    }
    Ok(Outcome::Good)
}

/// `slacktide package inspect`
pub(super) fn inspect(args: &InspectArgs) -> Result<Outcome> {
    if args.path.is_dir() { inspect_repository(args) } else { inspect_archive(args) }
}

fn inspect_archive(args: &InspectArgs) -> Result<Outcome> {
    let bytes = std::fs::metadata(&args.path).with_context(|| format!("cannot read {}", args.path.display()))?.len();
    let manifest = archive::inspect(&args.path, &Limits::default()).with_context(|| args.path.display().to_string())?;
    if args.json {
        let mut document = manifest_document(&manifest, &args.path, bytes)?;
        document["schema"] = "slacktide/package-inspect/1".into();
        say!("{document}");
        return Ok(Outcome::Good);
    }
    say!("{} {}", manifest.name, manifest.version);
    say!("for          {}", manifest.target);
    say!("over         {}", manifest.compatible);
    for stone in &manifest.stones {
        say!("stone        {} ({}) over {}", stone.version, size(stone.size_bytes), stone.compatible);
    }
    if let Some(points) = manifest.requirement {
        say!("requirement  {points}");
    }
    for (kind, script) in &manifest.scripts {
        say!("{:<12} {}, at most {}", kind.name(), script.path, format_span(script.time_limit));
    }
    say!("archive      {}, unpacked {}", size(bytes), size(manifest.unpacked_bytes()));
    let row = |f: &slacktide_live_bridge::package::FileEntry| {
        vec![f.path.clone(), format!("{:o}", f.mode), f.size_bytes.to_string(), hex(&f.sha256)]
    };
    let rows: Vec<Vec<String>> = manifest.files.iter().map(row).collect();
    say!("{}", text::table(&["file", "mode", "bytes", "sha256"], &rows).trim_end());
    Ok(Outcome::Good)
}

fn inspect_repository(args: &InspectArgs) -> Result<Outcome> {
    let status = wait(Repository::new(&args.path).status())??;
    let now = super::now();
    if args.json {
        let role = |r: &slacktide_live_bridge::package::RoleStatus| json!({"role": r.role.name(), "version": r.version, "expires": r.expires.to_string(), "expired": r.expires <= now, "keys": r.keys});
        let roles: Vec<Value> = status.roles.iter().map(role).collect();
        let releases: Vec<Value> = status.releases.iter().map(release_document).collect();
        say!(
            "{}",
            json!({"schema": "slacktide/package-inspect/1", "roles": roles, "releases": releases, "root_sha256": status.root_sha256})
        );
        return Ok(Outcome::Good);
    }
    let row = |r: &slacktide_live_bridge::package::RoleStatus| {
        let expires = if r.expires <= now { format!("{} EXPIRED", r.expires) } else { r.expires.to_string() };
        let keys: Vec<&str> = r.keys.iter().map(|k| &k[..16]).collect();
        vec![r.role.name().to_owned(), r.version.to_string(), expires, keys.join(" ")]
    };
    let rows: Vec<Vec<String>> = status.roles.iter().map(row).collect();
    say!("{}", text::table(&["role", "version", "holds until", "key"], &rows).trim_end());
    say!("newest root  sha256 {}", status.root_sha256);
    if status.releases.is_empty() {
        say!("no releases yet; `slacktide package sign ARCHIVE` adds one");
    } else {
        let row = |r: &slacktide_live_bridge::package::Release| {
            let manifest = &r.manifest;
            vec![manifest.name.clone(), manifest.version.to_string(), size(r.target.size_bytes), hex(&r.target.sha256)]
        };
        let rows: Vec<Vec<String>> = status.releases.iter().map(row).collect();
        say!("{}", text::table(&["package", "version", "size", "sha256"], &rows).trim_end());
    }
    Ok(Outcome::Good)
}

fn manifest_document(manifest: &Manifest, path: &Path, bytes: u64) -> Result<Value> {
    let scripts: serde_json::Map<String, Value> = manifest
        .scripts
        .iter()
        .map(|(kind, s)| (kind.name().to_owned(), json!({"path": s.path, "time_limit_s": s.time_limit.as_secs_f64()})))
        .collect();
    let stones: Vec<Value> = manifest
        .stones
        .iter()
        .map(|s| json!({"version": s.version.to_string(), "size_bytes": s.size_bytes, "compatible": s.compatible.to_string()}))
        .collect();
    let files: Vec<Value> = manifest
        .files
        .iter()
        .map(|f| json!({"path": f.path, "mode": format!("{:o}", f.mode), "size_bytes": f.size_bytes, "sha256": hex(&f.sha256)}))
        .collect();
    Ok(json!({
        "name": manifest.name, "version": manifest.version.to_string(), "archive": path.display().to_string(), "size_bytes": bytes,
        "sha256": hex(&archive::hash_file(path)?.0), "unpacked_bytes": manifest.unpacked_bytes(),
        "requirement": manifest.requirement, "target": manifest.target.to_string(), "compatible": manifest.compatible.to_string(),
        "stones": stones, "scripts": scripts, "files": files,
    }))
}
