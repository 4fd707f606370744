//! `slacktide sign-off`: what was simulated is what may go live.

mod create;
mod evidence;
mod show;
mod verify;

use crate::{Outcome, say};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use slacktide_live_bridge::clock::this_second as now;
use slacktide_live_bridge::signoff::{Refusal, SignError, SignOff};
use slacktide_live_bridge::trust::ClientFiles;
use slacktide_reports::files::write_aside;
use std::path::{Path, PathBuf};

/// Things to do with sign-offs.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "From simulation to a file that a controller takes:\n  slacktide sign-off create --policy predictive --package greeting-1.1.stp --fleet fleet.csv --scenario busy-evening --scenario bad-release --limit 'overload_caused_device_minutes<=10' --limit 'stop_delay_s<=900' --valid 7d --identity alice --out greeting.sign-off.toml\n  slacktide sign-off sign greeting.sign-off.toml --identity bob          # a second person, an approver\n  slacktide sign-off verify greeting.sign-off.toml --authorities bob/authorities.pem --package greeting-1.1.stp --fleet fleet.csv"
)]
pub(crate) enum Verb {
    /// Run the scenarios and random worlds, hold the results against limits, and sign them (exit 1, no file: a limit is not met)
    Create(create::Args),
    /// Consent to one that somebody else made
    Sign(SignArgs),
    /// What it says, in plain lines; nothing is checked but that it is written as it should be
    Show(ShowArgs),
    /// Check who signed it and what for, run again what it claims, and hold the results against it (exit 1: not the same, or refused)
    Verify(verify::Args),
}

/// Arguments of `sign-off sign`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Look at it before: slacktide sign-off show FILE, and slacktide sign-off verify FILE …\n\nExample:\n  slacktide sign-off sign greeting.sign-off.toml --identity bob"
)]
pub(crate) struct SignArgs {
    /// The sign-off; the signature is added to it
    file: PathBuf,
    /// Your folder, made by `slacktide pki issue --operator NAME --role approver`
    #[arg(long, value_name = "DIR")]
    identity: PathBuf,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

/// Arguments of `sign-off show`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  slacktide sign-off show greeting.sign-off.toml\n  slacktide sign-off show greeting.sign-off.toml --json"
)]
pub(crate) struct ShowArgs {
    /// The sign-off
    file: PathBuf,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

/// `slacktide sign-off …`
pub(crate) fn run(verb: &Verb) -> Result<Outcome> {
    match verb {
        Verb::Create(args) => create::run(args),
        Verb::Sign(args) => sign(args),
        Verb::Show(args) => show(args),
        Verb::Verify(args) => verify::run(args),
    }
}

fn sign(args: &SignArgs) -> Result<Outcome> {
    let mut sign_off = match read(&args.file)? {
        Ok(sign_off) => sign_off,
        Err(refusal) => return Ok(refuse("sign", &args.file, &refusal, args.json)),
    };
    let signed = sign_off.sign(&ClientFiles::in_folder(&args.identity), now());
    let identity = match signed {
        Ok(identity) => identity,
        Err(SignError::Refused(refusal)) => return Ok(refuse("sign", &args.file, &refusal, args.json)),
        Err(SignError::Trust(error)) => return Err(error.into()),
    };
    write_aside(&args.file, sign_off.text().as_bytes())?;
    if args.json {
        let mut document = show::document(&sign_off);
        document["schema"] = "slacktide/sign-off-sign/1".into();
        document["good"] = true.into();
        document["signed_by"] = identity.path().into();
        say!("{document}");
    } else {
        say!("{identity} signed {}: {} people have", args.file.display(), sign_off.document().signers.len());
    }
    Ok(Outcome::Good)
}

fn show(args: &ShowArgs) -> Result<Outcome> {
    let sign_off = match read(&args.file)? {
        Ok(sign_off) => sign_off,
        Err(refusal) => return Ok(refuse("show", &args.file, &refusal, args.json)),
    };
    if args.json {
        let mut document = show::document(&sign_off);
        document["schema"] = "slacktide/sign-off-show/1".into();
        say!("{document}");
    } else {
        show::lines(sign_off.document(), now()).iter().for_each(|line| say!("{line}"));
    }
    Ok(Outcome::Good)
}

/// Reads a file; the inner error is a refusal of what is in it.
fn read(path: &Path) -> Result<Result<SignOff, Refusal>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the sign-off {}", path.display()))?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => SignOff::parse(&text),
        Err(_) => Err(Refusal::NotReadable("it is no UTF-8 text".to_owned())),
    })
}

/// Says why a sign-off is refused.
fn refuse(verb: &str, path: &Path, refusal: &Refusal, json: bool) -> Outcome {
    let reason = refusal.to_string();
    if json {
        say!("{}", refused(verb, refusal.name(), &[reason]));
    } else {
        say!("refused ({}): {} {reason}", refusal.name(), path.display());
    }
    Outcome::Bad
}

fn refused(verb: &str, name: &str, reasons: &[String]) -> Value {
    json!({"schema": format!("slacktide/sign-off-{verb}/1"), "good": false, "refused": name, "reasons": reasons})
}

fn program() -> String {
    concat!("slacktide ", env!("CARGO_PKG_VERSION")).to_owned()
}
