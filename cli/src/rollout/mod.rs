//! `slacktide rollout …`: people and a controller that runs.

mod show;

use crate::Outcome;
use anyhow::{Context, Result, anyhow};
use slacktide_engine::time::Instant;
use slacktide_live_bridge::clock::this_second as now;
use slacktide_live_bridge::signoff::SignOff;
use slacktide_live_bridge::trust::{ClientFiles, ClientTrust, unanswered};
use slacktide_live_bridge::wire::operator_client::OperatorClient;
use slacktide_live_bridge::wire::{
    CreateRolloutRequest, JournalRequest, RolloutRequest, StartRolloutRequest, StatusRequest, StopEverythingRequest,
};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use tonic::transport::Channel;

/// Where the controller is and who asks.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct To {
    /// Host and port of the controller (`listen.devices` of its file); https:// may stand before them
    #[arg(long, value_name = "HOST:PORT")]
    controller: String,
    /// Folder with certificate.pem, key.pem and authorities.pem of the person who asks
    #[arg(long, value_name = "DIR")]
    identity: PathBuf,
    /// Print JSON documents
    #[arg(long)]
    json: bool,
}

/// One rollout.
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// Its number, as `rollout status` shows it
    #[arg(value_parser = number)]
    rollout: u32,
    #[command(flatten)]
    to: To,
}

/// What can be asked of a controller.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Make a rollout of a package in the controller's repository; it waits for approval
    #[command(
        after_help = "Examples:\n  slacktide rollout create greeting 1.1 --sign-off greeting.sign-off.toml --controller https://controller.example:7443 --identity olive\n  slacktide rollout create greeting 1.1 --target 'region == \"north\"' --sign-off greeting.sign-off.toml --controller https://controller.example:7443 --identity olive"
    )]
    Create {
        /// Name of the package
        package: String,
        /// Its version
        version: String,
        /// Of several rollouts at once the higher goes first, 0-255
        #[arg(long, default_value_t = 0)]
        priority: u8,
        /// Which devices, as a filter, such as 'region == "north"'
        #[arg(long, default_value = "")]
        target: String,
        /// What was simulated and signed for it: a file of `slacktide sign-off`; can also be given when it starts
        #[arg(long, value_name = "FILE")]
        sign_off: Option<PathBuf>,
        #[command(flatten)]
        to: To,
    },
    /// Consent to a rollout (approvers; by default not who created it)
    #[command(
        after_help = "Example:\n  slacktide rollout approve 0 --controller https://controller.example:7443 --identity ada"
    )]
    Approve(One),
    /// Begin; by default only what a sign-off fits
    #[command(
        after_help = "Example:\n  slacktide rollout start 0 --controller https://controller.example:7443 --identity olive"
    )]
    Start {
        #[command(flatten)]
        one: One,
        /// A sign-off in the place of the one that was given before, such as when its days are over
        #[arg(long, value_name = "FILE")]
        sign_off: Option<PathBuf>,
    },
    /// Hold: nothing new goes out, what is under way ends
    #[command(
        after_help = "Example:\n  slacktide rollout pause 0 --controller https://controller.example:7443 --identity olive"
    )]
    Pause(One),
    /// Go on
    #[command(
        after_help = "Example:\n  slacktide rollout resume 0 --controller https://controller.example:7443 --identity olive"
    )]
    Resume(One),
    /// Stop for good; what is updated stays
    #[command(
        after_help = "Example:\n  slacktide rollout abort 0 --controller https://controller.example:7443 --identity olive"
    )]
    Abort(One),
    /// Every rollout and every device, with why it is where it is
    #[command(
        after_help = "Examples:\n  slacktide rollout status --controller https://controller.example:7443 --identity olive\n  slacktide rollout status --summary --json --controller https://controller.example:7443 --identity olive"
    )]
    Status {
        #[command(flatten)]
        to: To,
        /// Leave out the devices
        #[arg(long)]
        summary: bool,
    },
    /// The status, again after every change. Redraws on a terminal; prints what changed elsewhere
    #[command(
        after_help = "Example:\n  slacktide rollout watch --until-over --controller https://controller.example:7443 --identity olive"
    )]
    Watch {
        #[command(flatten)]
        to: To,
        /// Leave out the devices
        #[arg(long)]
        summary: bool,
        /// End once every rollout is over (exit 1 when one that went on meanwhile, or else the newest, did not finish)
        #[arg(long)]
        until_over: bool,
    },
    /// Pause everything at once and let nothing resume until the stop is released
    #[command(
        after_help = "Examples:\n  slacktide rollout stop-everything --reason 'smoke in hall 3' --controller https://controller.example:7443 --identity olive\n  slacktide rollout stop-everything --release --controller https://controller.example:7443 --identity olive"
    )]
    StopEverything {
        /// Why, for the others
        #[arg(long, default_value = "")]
        reason: String,
        /// Release the stop; rollouts stay paused until they are resumed
        #[arg(long)]
        release: bool,
        #[command(flatten)]
        to: To,
    },
}

fn number(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("must be the number of a rollout in 0..={}, as `rollout status` shows it", u32::MAX))
}

/// What the controller said, or why it did not.
fn said(to: &To, status: &tonic::Status) -> anyhow::Error {
    let dir = to.identity.display();
    let ended_s = ClientTrust::open(ClientFiles::in_folder(&to.identity)).map(|trust| trust.facts().not_after_s);
    let cut = match ended_s.map(Instant::from_secs) {
        Ok(ended) if ended < now() => {
            format!("the certificate in {dir} ended at {ended}: `slacktide pki issue` gives another")
        }
        _ => format!(
            "it may have gone away, or it refuses the certificate in {dir}: `slacktide pki list` shows whether that one is revoked, and of which \
             authority; the controller's log says why"
        ),
    };
    anyhow!("{}", unanswered(&to.controller, status, &cut))
}

async fn connect(to: &To) -> Result<OperatorClient<Channel>> {
    let trust = ClientTrust::open(ClientFiles::in_folder(&to.identity))?;
    let channel = trust.channel(&to.controller).with_context(|| format!("--controller {}", to.controller))?;
    // A status of a large fleet is large; whoever asks trusts the controller.
    Ok(OperatorClient::new(channel).max_decoding_message_size(1 << 30))
}

/// `slacktide rollout …`
pub(crate) fn run(verb: Verb) -> Result<Outcome> {
    crate::wait(ask(verb))?
}

async fn ask(verb: Verb) -> Result<Outcome> {
    match verb {
        Verb::Create { package, version, priority, target, sign_off, to } => {
            let (priority, sign_off) = (u32::from(priority), sign_off_text(sign_off.as_deref())?);
            let request = CreateRolloutRequest { package, version, priority, target, sign_off };
            let reply = connect(&to).await?.create_rollout(request).await.map_err(|status| said(&to, &status))?;
            show::reply("create", &reply.into_inner(), to.json)
        }
        Verb::Approve(one) => act("approve", one).await,
        Verb::Start { one, sign_off } => {
            let request = StartRolloutRequest { rollout: one.rollout, sign_off: sign_off_text(sign_off.as_deref())? };
            let reply =
                connect(&one.to).await?.start_rollout(request).await.map_err(|status| said(&one.to, &status))?;
            show::reply("start", &reply.into_inner(), one.to.json)
        }
        Verb::Pause(one) => act("pause", one).await,
        Verb::Resume(one) => act("resume", one).await,
        Verb::Abort(one) => act("abort", one).await,
        Verb::Status { to, summary } => {
            let status = connect(&to).await?.status(StatusRequest { summary }).await.map_err(|s| said(&to, &s))?;
            show::status("status", &status.into_inner(), to.json);
            Ok(Outcome::Good)
        }
        Verb::Watch { to, summary, until_over } => watch(&to, summary, until_over).await,
        Verb::StopEverything { reason, release, to } => {
            let request = StopEverythingRequest { release, reason };
            let status = connect(&to).await?.stop_everything(request).await.map_err(|status| said(&to, &status))?;
            show::status("stop-everything", &status.into_inner(), to.json);
            Ok(Outcome::Good)
        }
    }
}

/// The text of a sign-off file; empty without one.
fn sign_off_text(path: Option<&Path>) -> Result<String> {
    let Some(path) = path else { return Ok(String::new()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("--sign-off {}", path.display()))?;
    SignOff::parse(&text).map_err(|refusal| anyhow!("--sign-off {}: it {refusal}", path.display()))?;
    Ok(text)
}

async fn act(verb: &str, one: One) -> Result<Outcome> {
    let (mut client, request) = (connect(&one.to).await?, RolloutRequest { rollout: one.rollout });
    let reply = match verb {
        "approve" => client.approve_rollout(request).await,
        "pause" => client.pause_rollout(request).await,
        "resume" => client.resume_rollout(request).await,
        _ => client.abort_rollout(request).await,
    };
    show::reply(verb, &reply.map_err(|status| said(&one.to, &status))?.into_inner(), one.to.json)
}

async fn watch(to: &To, summary: bool, until_over: bool) -> Result<Outcome> {
    let asked = connect(to).await?.watch(StatusRequest { summary }).await;
    let mut statuses = asked.map_err(|status| said(to, &status))?.into_inner();
    let mut watched = show::Watched::default();
    let mut view = show::View::new(std::io::stdout().is_terminal() && !to.json);
    while let Some(status) = statuses.message().await.map_err(|status| said(to, &status))? {
        if to.json {
            show::status("watch", &status, true);
        } else {
            view.show(&status);
        }
        if let Some(is_good) = watched.over(&status).filter(|_| until_over) {
            return Ok(if is_good { Outcome::Good } else { Outcome::Bad });
        }
    }
    Ok(Outcome::Good)
}

/// The journal of a controller that runs, as text. It is not closed: the controller goes on.
pub(crate) fn journal_of(controller: &str, identity: &Path) -> Result<String> {
    let to = To { controller: controller.to_owned(), identity: identity.to_owned(), json: false };
    crate::wait(async {
        let request = JournalRequest { from: 0, follow: false };
        let asked = connect(&to).await?.journal(request).await;
        let mut lines = asked.map_err(|status| said(&to, &status))?.into_inner();
        let mut text = String::new();
        while let Some(line) = lines.message().await.map_err(|status| said(&to, &status))? {
            text.push_str(&line.line);
            text.push('\n');
        }
        Ok(text)
    })?
}
