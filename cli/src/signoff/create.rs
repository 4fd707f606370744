//! `sign-off create`: run everything, judge, sign.

use super::evidence::{self, Ran, Subject, signed_policy};
use super::{now, program, refused, show};
use crate::{Outcome, say, worlds};
use anyhow::{Result, anyhow, bail};
use slacktide_engine::document::parse_span;
use slacktide_engine::time::Span;
use slacktide_live_bridge::signoff::{Chaos, Demand, Document, Fleet, Limit, Package, SCHEMA, SignOff, signer_of};
use slacktide_live_bridge::trust::{ClientFiles, Identity, Role};
use slacktide_reports::files::write_aside;
use std::path::PathBuf;

/// Arguments of `sign-off create`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Limits are judged on the unfavourable end of the 95 % interval, in the scenario where that is worst. A measure that no run shows is no limit met.\nThe policy is used as it stands: a scenario's own policy and overrides do not count. The fleet carries the load of the scenario's first group of pools.\n\nExamples:\n  slacktide sign-off create --policy predictive --package greeting-1.1.stp --fleet fleet.csv --scenario busy-evening --limit 'overload_caused_device_minutes<=10' --identity alice --out greeting.sign-off.toml\n  slacktide sign-off create --policy ours.toml --package greeting-1.1.stp --fleet fleet.csv --scenario busy-evening --scenario bad-release --replications 40 --chaos-worlds 200 --limit 'stop_delay_s<=900' --limit 'updated_capacity_min_points>=20' --valid 3d --identity alice --out greeting.sign-off.toml"
)]
pub(crate) struct Args {
    /// Policy of the library, or the path of a .toml file
    #[arg(long, value_name = "P")]
    policy: String,
    /// Archive made by `slacktide package build`
    #[arg(long, value_name = "FILE")]
    package: PathBuf,
    /// Fleet, CSV or TOML
    #[arg(long, value_name = "FILE")]
    fleet: PathBuf,
    /// Scenario of the library, or the path of a .toml file; may be repeated
    #[arg(long, value_name = "NAME", required = true)]
    scenario: Vec<String>,
    /// Runs of every scenario
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    replications: u32,
    /// First seed; replication i uses seed + i. Random worlds are drawn from it too
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = worlds::seed)]
    seed: u64,
    /// Random worlds in which the policy must keep its promises
    #[arg(long, value_name = "N", default_value_t = 20)]
    chaos_worlds: u64,
    /// What the results must give, such as 'makespan_s<=86400' or 'updated_capacity_min_points>=20'; may be repeated
    #[arg(long, value_name = "MEASURE<=BOUND", required = true, value_parser = evidence::demand)]
    limit: Vec<Demand>,
    /// While it is live, the rollout is paused once it is worse than the worst run by more than this share of it, 0 to 1000
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0, value_parser = evidence::margin)]
    guard_margin_percent: f64,
    /// How long it is good, 1m to 90d
    #[arg(long, value_name = "TIME", default_value = "7d")]
    valid: String,
    /// Your folder, made by `slacktide pki issue --operator NAME --role operator`
    #[arg(long, value_name = "DIR")]
    identity: PathBuf,
    /// The file to write; one that is there is not written over
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Threads (default: all cores); results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

/// Longest time a sign-off may be good.
const VALID_MAX: Span = Span::from_secs(90 * 86_400);

/// Runs the verb.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    worlds::start_threads(args.threads)?;
    worlds::check_seeds(args.seed, args.replications)?;
    // Everything that can be wrong is found before hours of simulation, not after.
    let files = ClientFiles::in_folder(&args.identity);
    let maker = maker(&files)?;
    let valid = valid(&args.valid)?;
    if args.out.exists() {
        bail!("{} is there already and is not written over", args.out.display());
    }
    for (i, name) in args.scenario.iter().enumerate() {
        worlds::scenario(name)?;
        if args.scenario[..i].contains(name) {
            bail!("--scenario {name} is given twice");
        }
    }
    let subject = Subject::read(worlds::policy(&args.policy)?, &args.package, &args.fleet)?;
    let ran: Vec<Ran> =
        args.scenario.iter().map(|name| subject.run(name, args.seed, args.replications)).collect::<Result<_>>()?;
    let (chaos, broken) = evidence::chaos(&subject.policy, args.seed, args.chaos_worlds);
    let mut problems: Vec<String> =
        ran.iter().flat_map(Ran::violations).map(|v| format!("promise broken: {v}")).collect();
    for world in broken {
        let texts = world.texts.join("; ");
        problems.push(format!("promise broken in random world {} of seed {}: {texts}", world.world, args.seed));
    }
    let promises = problems.len();
    let mut sign_off = SignOff::new(document(args, &subject, &ran, chaos, &maker, valid))?;
    for limit in sign_off.document().limits.iter().filter(|limit| !limit.met) {
        problems.push(format!("{limit}"));
    }
    if !problems.is_empty() {
        let name = if promises > 0 { "promise-broken" } else { "limits-not-met" };
        return Ok(tell_refused(args, &sign_off, name, &problems));
    }
    sign_off.sign(&files, now())?;
    write_aside(&args.out, sign_off.text().as_bytes())?;
    if args.json {
        let mut document = show::document(&sign_off);
        document["schema"] = "slacktide/sign-off-create/1".into();
        document["good"] = true.into();
        document["file"] = args.out.display().to_string().into();
        say!("{document}");
    } else {
        show::lines(sign_off.document(), now()).iter().for_each(|line| say!("{line}"));
        say!(
            "\n{} is signed by {maker}; a second person: slacktide sign-off sign {0} --identity DIR",
            args.out.display()
        );
    }
    Ok(Outcome::Good)
}

fn tell_refused(args: &Args, sign_off: &SignOff, name: &str, problems: &[String]) -> Outcome {
    if args.json {
        let mut document = refused("create", name, problems);
        document["limits"] = show::document(sign_off)["limits"].take();
        say!("{document}");
    } else {
        say!("no sign-off is written ({name}):");
        problems.iter().for_each(|problem| say!("  {problem}"));
    }
    Outcome::Bad
}

fn document(args: &Args, subject: &Subject, ran: &[Ran], chaos: Chaos, maker: &Identity, valid: Span) -> Document {
    let evidence: Vec<_> = ran.iter().map(|ran| ran.evidence.clone()).collect();
    Document {
        schema: SCHEMA.to_owned(),
        program: program(),
        made_at: now(),
        valid_until: now() + valid,
        made_by: maker.path(),
        guard_margin_percent: args.guard_margin_percent,
        policy: signed_policy(&subject.policy),
        package: Package {
            name: subject.package.name.clone(),
            version: subject.package.version.to_string(),
            sha256: subject.package_sha256.clone(),
        },
        fleet: Fleet { devices: subject.fleet.len() as u64, fingerprint: subject.fingerprint.clone() },
        chaos,
        limits: args.limit.iter().map(|demand| Limit::judge(demand, &evidence)).collect(),
        envelope: evidence::envelope(ran),
        evidence,
        signers: Vec::new(),
    }
}

fn maker(files: &ClientFiles) -> Result<Identity> {
    let identity = signer_of(files)?;
    match &identity {
        Identity::Operator { role, .. } if role.may(Role::Operator) => Ok(identity),
        _ => bail!("--identity: {identity} may not make a sign-off, an operator or approver may"),
    }
}

fn valid(text: &str) -> Result<Span> {
    let span = parse_span(text).map_err(|why| anyhow!("--valid {text}: {why}"))?;
    if span < Span::from_secs(60) || span > VALID_MAX {
        bail!("--valid {text}: must be 1m to 90d");
    }
    Ok(span)
}
