//! `sign-off verify`: who signed what, and does it come out the same again?

use super::evidence::{self, Ran, Subject, read_package};
use super::{now, program, read, refuse, refused, show};
use crate::{Outcome, say, worlds};
use anyhow::{Context, Result};
use slacktide_engine::policy::Policy;
use slacktide_live_bridge::signoff::{
    Authorities, Document, Evidence, Persons, Refusal, SignOff, fleet_fingerprint, sha256,
};
use slacktide_scenarios::recorded::read_fleet;
use std::path::PathBuf;

/// Arguments of `sign-off verify`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The journals' hashes and all measures must come out the same, bit for bit. That takes the same version of slacktide, the same scenarios, and the package and the fleet it was made with.\n\nExamples:\n  slacktide sign-off verify greeting.sign-off.toml --authorities bob/authorities.pem --package greeting-1.1.stp --fleet fleet.csv\n  slacktide sign-off verify greeting.sign-off.toml --authorities pki/authorities.pem --revocations pki/revocations.pem --policy ours.toml --signatures-only"
)]
pub(crate) struct Args {
    /// The sign-off
    file: PathBuf,
    /// Certificates of the authorities whose operators count, PEM
    #[arg(long, value_name = "PEM")]
    authorities: PathBuf,
    /// Revocation lists of these authorities, PEM (default: nobody is revoked)
    #[arg(long, value_name = "PEM")]
    revocations: Option<PathBuf>,
    /// So many different people must have signed, an approver among them
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    persons: u8,
    /// It must hold for this policy: a name of the library, or the path of a .toml file
    #[arg(long, value_name = "P")]
    policy: Option<String>,
    /// It must hold for this archive
    #[arg(long, value_name = "FILE", required_unless_present = "signatures_only")]
    package: Option<PathBuf>,
    /// It must hold for this fleet, CSV or TOML
    #[arg(long, value_name = "FILE", required_unless_present = "signatures_only")]
    fleet: Option<PathBuf>,
    /// Run nothing again
    #[arg(long)]
    signatures_only: bool,
    /// Threads (default: all cores); results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    worlds::start_threads(args.threads)?;
    let authorities = Authorities::open(&args.authorities, args.revocations.as_deref())?;
    let checked = match read(&args.file)? {
        Ok(sign_off) => holds(args, &sign_off, &authorities)?.map(|()| sign_off),
        Err(refusal) => Err(refusal),
    };
    let sign_off = match checked {
        Ok(sign_off) => sign_off,
        Err(refusal) => return Ok(refuse("verify", &args.file, &refusal, args.json)),
    };
    let document = sign_off.document();
    let differences = match (&args.package, &args.fleet) {
        (Some(package), Some(fleet)) if !args.signatures_only => {
            if let Some((name, reason)) = cannot(document)? {
                return Ok(tell_refused(args, name, &[reason]));
            }
            let policy = Policy::from_toml("the sign-off's policy", &document.policy.text)?;
            again(document, &Subject::read(policy, package, fleet)?)?
        }
        _ => Vec::new(),
    };
    if !differences.is_empty() {
        return Ok(tell_refused(args, "not-reproduced", &differences));
    }
    tell(args, &sign_off);
    Ok(Outcome::Good)
}

/// Everything that can be checked without running anything.
fn holds(args: &Args, sign_off: &SignOff, authorities: &Authorities) -> Result<Result<(), Refusal>> {
    let policy = args.policy.as_deref().map(worlds::policy).transpose()?.map(|policy| policy.to_toml());
    let package = args.package.as_deref().map(read_package).transpose()?.map(|(_, hash, _)| hash);
    let fleet = args.fleet.as_deref().map(read_fleet).transpose()?.map(|devices| fleet_fingerprint(&devices));
    let check = || -> Result<(), Refusal> {
        sign_off.check_signatures(authorities, Persons { min: usize::from(args.persons) }, now())?;
        policy.as_deref().map_or(Ok(()), |text| sign_off.is_for_policy(text))?;
        package.as_deref().map_or(Ok(()), |hash| sign_off.is_for_package(hash))?;
        fleet.as_deref().map_or(Ok(()), |fingerprint| sign_off.is_for_fleet(fingerprint))
    };
    Ok(check())
}

/// Why it could not come out the same here.
fn cannot(document: &Document) -> Result<Option<(&'static str, String)>> {
    if document.program != program() {
        let reason = format!("it was made by {}, this is {}: results may differ", document.program, program());
        return Ok(Some(("other-program", reason)));
    }
    for each in &document.evidence {
        let found = worlds::scenario(&each.scenario)
            .with_context(|| format!("cannot run again what was run in {}", each.scenario))?;
        let found = sha256(found.text.as_bytes());
        if found != each.scenario_sha256 {
            let reason =
                format!("the scenario {} is another: {} was run, {found} is here", each.scenario, each.scenario_sha256);
            return Ok(Some(("scenario-changed", reason)));
        }
    }
    Ok(None)
}

/// Runs everything again and says what came out differently.
fn again(document: &Document, subject: &Subject) -> Result<Vec<String>> {
    let mut said = Vec::new();
    let mut ran: Vec<Ran> = Vec::new();
    for claimed in &document.evidence {
        let found = subject.run(&claimed.scenario, claimed.first_seed, claimed.replications)?;
        compare(claimed, &found.evidence, &mut said);
        ran.push(found);
    }
    if evidence::envelope(&ran) != document.envelope {
        said.push("the envelope is another".to_owned());
    }
    let (chaos, _) = evidence::chaos(&subject.policy, document.chaos.seed, document.chaos.worlds);
    if chaos != document.chaos {
        said.push(format!(
            "{} of {} random worlds broke a promise, not {}",
            chaos.broken, chaos.worlds, document.chaos.broken
        ));
    }
    Ok(said)
}

fn compare(claimed: &Evidence, found: &Evidence, said: &mut Vec<String>) {
    let scenario = &claimed.scenario;
    if claimed.journals.len() != found.journals.len() {
        said.push(format!(
            "{scenario}: {} journals are claimed, {} runs",
            claimed.journals.len(),
            found.journals.len()
        ));
    }
    for (i, (a, b)) in claimed.journals.iter().zip(&found.journals).enumerate().filter(|(_, (a, b))| a != b) {
        said.push(format!("{scenario}, seed {}: journal {b}, claimed {a}", claimed.first_seed.wrapping_add(i as u64)));
    }
    let names: std::collections::BTreeSet<&String> = claimed.measures.keys().chain(found.measures.keys()).collect();
    for name in names {
        let (a, b) = (claimed.measures.get(name), found.measures.get(name));
        if a != b {
            let mean = |m: Option<&slacktide_live_bridge::signoff::Measure>| {
                m.map_or_else(|| "none".to_owned(), |m| m.mean.to_string())
            };
            said.push(format!("{scenario}: {name} is {}, claimed {} (mean, or its interval)", mean(b), mean(a)));
        }
    }
    if claimed.missing != found.missing {
        said.push(format!("{scenario}: other runs lack a measure than claimed"));
    }
}

fn tell_refused(args: &Args, name: &str, reasons: &[String]) -> Outcome {
    if args.json {
        say!("{}", refused("verify", name, reasons));
    } else {
        say!("not good ({name}):");
        reasons.iter().for_each(|reason| say!("  {reason}"));
    }
    Outcome::Bad
}

fn tell(args: &Args, sign_off: &SignOff) {
    let document = sign_off.document();
    if args.json {
        let mut said = show::document(sign_off);
        said["schema"] = "slacktide/sign-off-verify/1".into();
        said["good"] = true.into();
        said["ran_again"] = (!args.signatures_only).into();
        say!("{said}");
        return;
    }
    let people: Vec<&str> = document.signers.iter().map(|signer| signer.identity.as_str()).collect();
    say!("good: signed by {}, until {}", people.join(" and "), document.valid_until);
    if args.signatures_only {
        say!("nothing was run again");
    } else {
        let runs: u32 = document.evidence.iter().map(|each| each.replications).sum();
        say!("{runs} runs and {} random worlds came out the same, bit for bit", document.chaos.worlds);
    }
}
