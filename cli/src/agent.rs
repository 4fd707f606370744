//! `slacktide agent`: the program on a device.

use crate::Outcome;
use anyhow::{Context, Result, anyhow};
use slacktide_live_bridge::agent::config::{EXAMPLE, Settings};
use slacktide_live_bridge::agent::connect::Trusting;
use slacktide_live_bridge::agent::link::Connector;
use slacktide_live_bridge::agent::run::{self, Parts};
use slacktide_live_bridge::agent::sampler::{Load, Sampler};
use slacktide_live_bridge::agent::signed::Signed;
use slacktide_live_bridge::agent::simulated::Simulated;
use slacktide_live_bridge::trust::enrolment::{self, Pin};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Be the agent of this device.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help(), args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The agent's file
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Report, ask, carry out what comes back, say what came of it, and end: for cron. A cancellation cannot reach it meanwhile
    #[arg(long)]
    once: bool,
    /// Report made-up load instead of the machine's, for demonstrations: daily, daily:SEED, csv:FILE or csv:FILE:DEVICE
    #[arg(long, value_name = "SPEC")]
    simulate_load: Option<String>,
}

/// What else an agent does.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Get this device's first certificate with a token of `slacktide pki token`; the key never leaves the device
    #[command(
        after_help = "Examples:\n  slacktide agent enrol --controller https://fleet.example:7444 --authority authorities.pem --token-file token --dir /var/lib/slacktide/identity\n  slacktide agent enrol --controller https://fleet.example:7444 --fingerprint 3f9c… --token - --dir identity < token"
    )]
    Enrol(Enrol),
}

/// Arguments of `agent enrol`.
#[derive(Debug, clap::Args)]
pub(crate) struct Enrol {
    /// Where the controller enrols, HOST:PORT (`listen.enrolment` of its file); https:// may stand before them
    #[arg(long, value_name = "ADDRESS")]
    controller: String,
    /// The token, or `-` to read it from standard input
    #[arg(long, value_name = "TOKEN", required_unless_present = "token_file", conflicts_with = "token_file")]
    token: Option<String>,
    /// A file with the token in it
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificates of the authorities by which the controller is known, PEM
    #[arg(long, value_name = "FILE", required_unless_present = "fingerprint", conflicts_with = "fingerprint")]
    authority: Option<PathBuf>,
    /// Or the SHA-256 of an authority's certificate, as `pki list` shows it
    #[arg(long, value_name = "SHA256")]
    fingerprint: Option<String>,
    /// Folder for key.pem, certificate.pem, authorities.pem and package-root.json
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

/// Longest token file read, bytes.
const TOKEN_BYTES_MAX: u64 = 4096;

fn enrol(args: &Enrol) -> Result<Outcome> {
    let token = match (&args.token, &args.token_file) {
        (Some(token), _) if token == "-" => read_token(std::io::stdin().lock()).context("standard input")?,
        (Some(token), _) => token.clone(),
        (None, Some(path)) => {
            let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            read_token(file).with_context(|| path.display().to_string())?
        }
        (None, None) => return Err(anyhow!("--token or --token-file is needed")),
    };
    let pin = match (&args.authority, &args.fingerprint) {
        (Some(path), _) => Pin::File(path.clone()),
        (None, Some(text)) => Pin::Fingerprint(text.clone()),
        (None, None) => return Err(anyhow!("--authority or --fingerprint is needed")),
    };
    let enrolled = crate::wait(enrolment::enrol(&args.controller, &token, &pin, &args.dir))??;
    if args.json {
        crate::say!(
            "{}",
            serde_json::json!({"schema": "slacktide/agent-enrol/1", "device": enrolled.device, "dir": args.dir.display().to_string()})
        );
    } else {
        crate::say!("this device is {}; its identity is in {}", enrolled.device, args.dir.display());
    }
    Ok(Outcome::Good)
}

fn read_token(from: impl std::io::Read) -> Result<String> {
    let mut text = String::new();
    from.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn after_help() -> String {
    format!(
        "A file with every field (only `controller` must be given; the values here are the defaults):\n\n{EXAMPLE}\nScripts of a package get PATH and SLACKTIDE_SLOT, _VERSION, _PREVIOUS, _PREVIOUS_SLOT, _ACTIVE, _ATTEMPT and _DEVICE, nothing else. Log lines go to standard error."
    )
}

/// `slacktide agent …`
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    if let Some(Verb::Enrol(args)) = &args.verb {
        return enrol(args);
    }
    let path = args.config.as_deref().context("--config is needed")?;
    let mut settings = Settings::load(path)?;
    crate::log_to_stderr();
    let load: Box<dyn Load> = match &args.simulate_load {
        Some(spec) => {
            let load = Simulated::parse(spec)?;
            eprintln!("slacktide: the load of this device is made up ({spec})");
            Box::new(load)
        }
        None => Box::new(Sampler::new(Path::new("/"), settings.capacity.clone())),
    };
    if !settings.controller.starts_with("https://") {
        return Err(anyhow!(
            "{}: field `controller`: value `{}`: must begin with https://",
            path.display(),
            settings.controller
        ));
    }
    let connector: Arc<dyn Connector> = Arc::new(Trusting::new(&mut settings).map_err(|why| anyhow!(why))?);
    let root = settings.identity.join("package-root.json");
    let memory = settings.state.join("packages");
    let verifier = Signed::new(&root, &memory).with_context(|| format!("cannot read {}", root.display()))?;
    let parts = Parts { settings, load, connector, verifier: Arc::new(verifier) };
    crate::wait(async {
        let stop = run::until_told().context("cannot listen to signals")?;
        let ended = if args.once { run::once(parts, stop).await } else { run::run(parts, stop).await };
        ended.map_err(anyhow::Error::from)
    })??;
    Ok(Outcome::Good)
}
