//! `slacktide scenario …` and `slacktide policy …`: the libraries and their schemas.

use crate::{Outcome, worlds};
use anyhow::Result;
use serde_json::json;
use slacktide_engine::policy::{Policy, library as policies};
use slacktide_reports::text;
use slacktide_scenarios::functions::nearly_known;
use slacktide_scenarios::{Scenario, library as scenarios};

/// What can be done with a library.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Names, with a line each
    #[command(after_help = "Examples:\n  slacktide scenario list\n  slacktide policy list --json")]
    List {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// The file of one, comments and all
    #[command(
        after_help = "Examples:\n  slacktide scenario show busy-evening > mine.toml\n  slacktide policy show predictive --full"
    )]
    Show {
        /// Name, or path of a .toml file
        name: String,
        /// With every default spelled out (policies)
        #[arg(long)]
        full: bool,
    },
    /// Read a file and say what is wrong with it
    #[command(after_help = "Examples:\n  slacktide scenario validate mine.toml\n  slacktide policy validate ours.toml")]
    Validate {
        /// Name, or path of a .toml file
        name: String,
    },
    /// JSON schema of the file, for an editor that checks while you write
    #[command(
        after_help = "Examples:\n  slacktide scenario schema > scenario.schema.json\n  slacktide policy schema > policy.schema.json"
    )]
    Schema,
}

/// `slacktide scenario …`
pub(crate) fn scenario(verb: Verb) -> Result<Outcome> {
    match verb {
        Verb::List { json } => {
            let all: Vec<Scenario> = scenarios::names().into_iter().map(scenarios::named).collect::<Result<_, _>>()?;
            if json {
                let one = |s: &Scenario| json!({"name": s.name, "summary": s.summary, "teaches": s.teaches, "devices": s.devices, "policy": s.policy});
                crate::say!(
                    "{}",
                    json!({"schema": "slacktide/scenario-list/1", "scenarios": all.iter().map(one).collect::<Vec<_>>()})
                );
            } else {
                let rows: Vec<_> = all
                    .iter()
                    .map(|s| vec![s.name.clone(), s.devices.to_string(), s.summary.clone(), s.teaches.clone()])
                    .collect();
                crate::say!("{}", text::table(&["scenario", "devices", "what happens", "what it teaches"], &rows));
            }
        }
        Verb::Show { name, .. } => crate::say!("{}", worlds::scenario(&name)?.text.trim_end()),
        Verb::Validate { name } => {
            let scenario = worlds::scenario(&name)?;
            // Here it must go with the policy that it names.
            let scenario = Scenario::from_toml(&name, &scenario.text)?;
            crate::say!(
                "{name} is a valid scenario: {} devices, {} groups of pools, policy {}",
                scenario.devices,
                scenario.pools.len(),
                scenario.policy
            );
            let functions = scenario.pools.iter().map(|group| group.function.as_str());
            nearly_known(functions, &scenario.policy()?).iter().for_each(|remark| crate::say!("  {remark}"));
        }
        Verb::Schema => crate::say!("{:#}", Scenario::schema()),
    }
    Ok(Outcome::Good)
}

/// `slacktide policy …`
pub(crate) fn policy(verb: Verb) -> Result<Outcome> {
    match verb {
        Verb::List { json } => {
            let all: Vec<Policy> = policies::names().into_iter().map(policies::named).collect::<Result<_, _>>()?;
            if json {
                let one = |p: &Policy| json!({"name": p.name, "summary": p.summary});
                crate::say!(
                    "{}",
                    json!({"schema": "slacktide/policy-list/1", "policies": all.iter().map(one).collect::<Vec<_>>()})
                );
            } else {
                let rows: Vec<_> = all.iter().map(|p| vec![p.name.clone(), p.summary.clone()]).collect();
                crate::say!("{}", text::table(&["policy", "what it does"], &rows));
            }
        }
        Verb::Show { name, full } => match policies::text(&name).filter(|_| !full) {
            Some(text) => crate::say!("{}", text.trim_end()),
            None => crate::say!("{}", worlds::policy(&name)?.to_toml().trim_end()),
        },
        Verb::Validate { name } => {
            worlds::policy(&name)?;
            crate::say!("{name} is a valid policy");
        }
        Verb::Schema => crate::say!("{:#}", Policy::schema()),
    }
    Ok(Outcome::Good)
}
