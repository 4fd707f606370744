//! `slacktide pki …`: the authority at the command line.

mod show;

use crate::{Outcome, say};
use anyhow::{Context, Result, bail};
use serde_json::json;
use show::{certificate, day};
use slacktide_live_bridge::clock;
use slacktide_live_bridge::trust::authority::{DAY_S, Entry, Issued, Subject};
use slacktide_live_bridge::trust::{Authority, ClientFiles, Identity, Lifetimes, Role};
use std::path::{Path, PathBuf};

/// Longest certificate or signing request read from a file, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What can be done with an authority.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Make the authority of a fleet: its key, its certificate, an empty revocation list
    #[command(
        after_help = "Examples:\n  slacktide pki init --dir pki --trust-domain fleet.example\n  slacktide pki init --dir pki --trust-domain fleet.example --device-days 30"
    )]
    Init(Init),
    /// Issue a certificate to a device, an operator or a controller
    #[command(
        after_help = "Examples:\n  slacktide pki issue --dir pki --controller main --host localhost --host 127.0.0.1 --out controller\n  slacktide pki issue --dir pki --operator alice --role approver --out alice\n  slacktide pki issue --dir pki --device cam-017 --csr cam-017.csr --out cam-017"
    )]
    Issue(Issue),
    /// Issue a certificate again: the same names and key, another life
    #[command(
        after_help = "Examples:\n  slacktide pki renew --dir pki --certificate controller/certificate.pem\n  slacktide pki renew --dir pki --certificate alice/certificate.pem --valid 7d"
    )]
    Renew(Renew),
    /// Revoke a certificate, or all of somebody; a controller that watches the folder cuts open connections within a second
    #[command(
        after_help = "Examples:\n  slacktide pki revoke --dir pki device/cam-017 --reason stolen\n  slacktide pki revoke --dir pki 5f1c0a77e2b94d0186c3a9f04d5be812"
    )]
    Revoke(Revoke),
    /// What was issued and stands, who signs, and until when
    #[command(after_help = "Examples:\n  slacktide pki list --dir pki\n  slacktide pki list --dir pki --all --json")]
    List(List),
    /// Make a token with which one device gets its first certificate, once
    #[command(
        after_help = "Examples:\n  slacktide pki token --dir pki --device cam-017\n  slacktide pki token --dir pki --device cam-017 --valid 1h --json"
    )]
    Token(Token),
    /// Exchange the authority's key: first both are trusted, with --finish only the new one
    #[command(
        after_help = "In this order: rotate · devices renew by themselves, controllers and operators with `pki issue` · rotate --finish\n\nExamples:\n  slacktide pki rotate --dir pki\n  slacktide pki rotate --dir pki --finish"
    )]
    Rotate(Rotate),
    /// Sign the revocation lists again, with a new end (a running controller does so by itself)
    #[command(after_help = "Example:\n  slacktide pki refresh --dir pki")]
    Refresh(Folder),
}

/// The folder, and how to answer.
#[derive(Debug, clap::Args)]
pub(crate) struct Folder {
    /// The authority's folder
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

/// Arguments of `pki init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    #[command(flatten)]
    folder: Folder,
    /// Name of the fleet's trust domain, such as fleet.example; it stands in every certificate
    #[arg(long, value_name = "DOMAIN")]
    trust_domain: String,
    /// Days a device's certificate is good; devices renew when a third is left
    #[arg(long, value_name = "N", default_value_t = 90)]
    device_days: u32,
    /// Days an operator's certificate is good
    #[arg(long, value_name = "N", default_value_t = 30)]
    operator_days: u32,
    /// Days a controller's certificate is good
    #[arg(long, value_name = "N", default_value_t = 90)]
    controller_days: u32,
    /// Days a revocation list is good; when it is over nobody can connect
    #[arg(long, value_name = "N", default_value_t = 30)]
    revocation_days: u32,
}

/// Arguments of `pki issue`.
#[derive(Debug, clap::Args)]
pub(crate) struct Issue {
    #[command(flatten)]
    folder: Folder,
    /// For this device
    #[arg(long, value_name = "ID", required_unless_present_any = ["operator", "controller"], conflicts_with_all = ["operator", "controller"])]
    device: Option<String>,
    /// For this operator
    #[arg(long, value_name = "NAME", requires = "role", conflicts_with = "controller")]
    operator: Option<String>,
    /// What the operator may do: viewer, operator or approver
    #[arg(long, value_name = "ROLE", requires = "operator", conflicts_with_all = ["device", "controller"])]
    role: Option<String>,
    /// For this controller
    #[arg(long, value_name = "NAME", requires = "host")]
    controller: Option<String>,
    /// Host name or address under which the controller is called; may be repeated
    #[arg(long, value_name = "HOST", requires = "controller", conflicts_with_all = ["device", "operator"])]
    host: Vec<String>,
    /// How long it is good, such as 12h or 30d (default: as the authority says)
    #[arg(long, value_name = "TIME")]
    valid: Option<String>,
    /// Sign the key of this request instead of making one; only the key is taken from it
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// Folder for certificate.pem, authorities.pem and, without --csr, key.pem
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Arguments of `pki renew`.
#[derive(Debug, clap::Args)]
pub(crate) struct Renew {
    #[command(flatten)]
    folder: Folder,
    /// The certificate to renew; it is written over unless --out says otherwise
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// How long it is good, such as 12h or 30d (default: as the authority says)
    #[arg(long, value_name = "TIME")]
    valid: Option<String>,
    /// Where to write it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Arguments of `pki revoke`.
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    folder: Folder,
    /// A serial number, or an identity: device/ID, operator/ROLE/NAME, controller/NAME
    #[arg(value_name = "SERIAL|IDENTITY")]
    what: String,
    /// Why, for the list
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Arguments of `pki list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    folder: Folder,
    /// Also what has ended or is revoked
    #[arg(long)]
    all: bool,
}

/// Arguments of `pki token`.
#[derive(Debug, clap::Args)]
pub(crate) struct Token {
    #[command(flatten)]
    folder: Folder,
    /// The device that will have the certificate
    #[arg(long, value_name = "ID")]
    device: String,
    /// How long the token works, at most 30d
    #[arg(long, value_name = "TIME", default_value = "24h")]
    valid: String,
    /// Print the token and nothing else, for scripts
    #[arg(long, conflicts_with = "json")]
    bare: bool,
}

/// Arguments of `pki rotate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    folder: Folder,
    /// Trust the old key no longer
    #[arg(long)]
    finish: bool,
    /// With --finish: even though certificates of the old key are in force; they are shut out
    #[arg(long, requires = "finish")]
    force: bool,
}

/// `slacktide pki …`
pub(crate) fn run(verb: Verb) -> Result<Outcome> {
    match verb {
        Verb::Init(args) => init(&args)?,
        Verb::Issue(args) => issue(&args)?,
        Verb::Renew(args) => renew(&args)?,
        Verb::Revoke(args) => revoke(&args)?,
        Verb::List(args) => list(&args)?,
        Verb::Token(args) => token(&args)?,
        Verb::Rotate(args) => rotate(&args)?,
        Verb::Refresh(folder) => {
            let end_s = Authority::open(&folder.dir)?.refresh()?;
            if folder.json {
                say!("{}", json!({"schema": "slacktide/pki-refresh/1", "revocations_end_s": end_s}));
            } else {
                say!("revocation lists signed, good until {}", day(end_s));
            }
        }
    }
    Ok(Outcome::Good)
}

fn init(args: &Init) -> Result<()> {
    let days = |field: &str, days: u32| {
        days.checked_mul(DAY_S).with_context(|| format!("{field} {days}: is too long, at most 825 days"))
    };
    let lifetimes = Lifetimes {
        device_s: days("--device-days", args.device_days)?,
        operator_s: days("--operator-days", args.operator_days)?,
        controller_s: days("--controller-days", args.controller_days)?,
        revocations_s: days("--revocation-days", args.revocation_days)?,
    };
    let authority = Authority::init(&args.folder.dir, &args.trust_domain.parse()?, lifetimes)?;
    let fingerprint = fingerprint(&authority)?;
    if args.folder.json {
        say!(
            "{}",
            json!({"schema": "slacktide/pki-init/1", "trust_domain": args.trust_domain, "fingerprint": fingerprint})
        );
        return Ok(());
    }
    say!("authority of {} in {}", args.trust_domain, args.folder.dir.display());
    say!("fingerprint {fingerprint}");
    say!("keep the folder secret: whoever has {}/keys is the authority", args.folder.dir.display());
    Ok(())
}

fn issue(args: &Issue) -> Result<()> {
    let authority = Authority::open(&args.folder.dir)?;
    let identity = match (&args.device, &args.operator, &args.controller) {
        (Some(id), None, None) => Identity::Device(id.clone()),
        (None, Some(name), None) => {
            let role = args.role.as_deref().unwrap_or_default().parse::<Role>().context("--role")?;
            Identity::Operator { name: name.clone(), role }
        }
        (None, None, Some(name)) => Identity::Controller(name.clone()),
        _ => bail!("say for whom: one of --device, --operator, --controller"),
    };
    let subject = Subject { identity, hosts: args.host.clone(), life_s: seconds("--valid", args.valid.as_deref())? };
    let files = ClientFiles::in_folder(&args.out);
    // Before anything is issued, or it would stand in the list and nobody would have it.
    for path in [&files.certificate, &files.key] {
        if path.exists() && (args.csr.is_none() || path == &files.certificate) {
            bail!("{} is there already: `pki renew` renews it, or choose another --out", path.display());
        }
    }
    let is_new = !args.out.exists();
    files.try_folder()?;
    let issued = sign(args, &authority, &subject, &files);
    if is_new && issued.is_err() {
        // Taken back only while nothing is in it.
        let _ = std::fs::remove_dir(&args.out);
    }
    tell("issue", &args.folder, &issued?, &args.out)
}

/// Issues the certificate and writes it.
fn sign(args: &Issue, authority: &Authority, subject: &Subject, files: &ClientFiles) -> Result<Issued> {
    let authorities = authority.authorities_pem()?;
    if let Some(request) = &args.csr {
        let issued = authority.sign_request(subject, &read(request)?).with_context(|| request.display().to_string())?;
        files.write_certificate(&issued.certificate, &authorities)?;
        return Ok(issued);
    }
    let new = authority.issue(subject)?;
    files.write_new(&new.key, &new.issued.certificate, &authorities)?;
    Ok(new.issued)
}

fn renew(args: &Renew) -> Result<()> {
    let authority = Authority::open(&args.folder.dir)?;
    let life_s = seconds("--valid", args.valid.as_deref())?;
    let issued = authority
        .renew_certificate(&read(&args.certificate)?, life_s)
        .with_context(|| args.certificate.display().to_string())?;
    let out = args.out.as_ref().unwrap_or(&args.certificate);
    // After a rotation its owner must know the new authority too; elsewhere only the certificate is asked for.
    match (&args.out, args.certificate.parent()) {
        (None, Some(folder)) if folder.join("authorities.pem").exists() => {
            ClientFiles { certificate: args.certificate.clone(), ..ClientFiles::in_folder(folder) }
                .write_certificate(&issued.certificate, &authority.authorities_pem()?)?;
        }
        _ => ClientFiles::write_alone(out, &issued.certificate)?,
    }
    tell("renew", &args.folder, &issued, out)
}

fn tell(verb: &str, folder: &Folder, issued: &Issued, out: &Path) -> Result<()> {
    let entry = &issued.entry;
    if folder.json {
        let mut document = certificate(entry);
        document["schema"] = format!("slacktide/pki-{verb}/1").into();
        document["out"] = out.display().to_string().into();
        say!("{document}");
    } else {
        say!("{}: certificate {} until {} in {}", entry.identity, entry.serial, day(entry.not_after_s), out.display());
    }
    Ok(())
}

fn revoke(args: &Revoke) -> Result<()> {
    let authority = Authority::open(&args.folder.dir)?;
    if args.what.contains('/') {
        args.what.parse::<Identity>()?;
    }
    let revoked = authority.revoke(&args.what, args.reason.as_deref())?;
    if args.folder.json {
        let revoked: Vec<_> = revoked.iter().map(certificate).collect();
        say!("{}", json!({"schema": "slacktide/pki-revoke/1", "revoked": revoked}));
        return Ok(());
    }
    if revoked.is_empty() {
        say!("nothing of {} is in force", args.what);
    }
    revoked.iter().for_each(|entry| say!("{}: {} is revoked", entry.identity, entry.serial));
    Ok(())
}

fn list(args: &List) -> Result<()> {
    let authority = Authority::open(&args.folder.dir)?;
    let now_s = clock::now().as_secs();
    let listed = authority.list()?;
    let shown: Vec<&Entry> = listed.iter().filter(|entry| args.all || entry.in_force(now_s)).collect();
    if args.folder.json {
        say!("{}", show::document(&authority, &shown)?);
    } else {
        show::table(&authority, &shown, now_s)?.iter().for_each(|line| say!("{line}"));
    }
    Ok(())
}

fn token(args: &Token) -> Result<()> {
    let authority = Authority::open(&args.folder.dir)?;
    let life_s = seconds("--valid", Some(&args.valid))?.unwrap_or(DAY_S);
    let token = authority.make_token(&args.device, life_s)?;
    let fingerprint = fingerprint(&authority)?;
    if args.folder.json {
        let document = json!({
            "schema": "slacktide/pki-token/1", "device": token.device, "token": token.text,
            "expires_at_s": token.expires_at_s, "fingerprint": fingerprint,
        });
        say!("{document}");
        return Ok(());
    }
    if args.bare {
        say!("{}", token.text);
        return Ok(());
    }
    say!("token for {}, once, until {}:", token.device, day(token.expires_at_s));
    say!("{}", token.text);
    say!("authority's fingerprint, by which the device knows the controller:");
    say!("{fingerprint}");
    Ok(())
}

fn rotate(args: &Rotate) -> Result<()> {
    let authority = Authority::open(&args.folder.dir)?;
    let standing = if args.finish { authority.retire(args.force)? } else { authority.rotate()? };
    if args.folder.json {
        let generations = show::generations(&standing.generations)?;
        say!(
            "{}",
            json!({"schema": "slacktide/pki-rotate/1", "generations": generations, "old_in_force": standing.old_in_force})
        );
        return Ok(());
    }
    let numbers: Vec<String> = standing.generations.iter().map(|g| g.number.to_string()).collect();
    say!("trusted: generation {}; {} signs", numbers.join(" and "), numbers.last().map_or("none", String::as_str));
    if standing.old_in_force > 0 {
        say!("{} certificates of the old one are in force; when they are renewed: --finish", standing.old_in_force);
    }
    Ok(())
}

/// Of the generation that signs.
fn fingerprint(authority: &Authority) -> Result<String> {
    let generations = authority.generations()?;
    Ok(generations.last().context("the authority has no generation")?.fingerprint()?)
}

fn seconds(field: &str, text: Option<&str>) -> Result<Option<u32>> {
    let Some(text) = text else { return Ok(None) };
    let span =
        slacktide_engine::document::parse_span(text).map_err(|why| anyhow::anyhow!("{field} `{text}`: {why}"))?;
    let life_s = u32::try_from(span.as_millis() / 1000).ok();
    life_s.map(Some).with_context(|| format!("{field} `{text}`: is too long, at most 825d"))
}

fn read(path: &Path) -> Result<String> {
    let size = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if size > FILE_BYTES_MAX {
        bail!("{} has {size} bytes, at most {FILE_BYTES_MAX}", path.display());
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
