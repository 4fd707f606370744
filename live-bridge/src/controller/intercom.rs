//! What a door other than gRPC may ask: the same questions to the same engine, by the same rules.

use super::desk::{Answer, Ask};
use super::driver::Told;
use super::front::Front;
use super::overview::Overview;
use crate::trust::{Peer, Role};
use crate::wire::RolloutStatus;
use slacktide_engine::ids::RolloutId;
use std::str::FromStr;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use tonic::Status;

/// What a person does to one rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Approve,
    Start,
    Pause,
    Resume,
    Abort,
}

impl Verb {
    pub(crate) const ALL: [Self; 5] = [Self::Approve, Self::Start, Self::Pause, Self::Resume, Self::Abort];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Abort => "abort",
        }
    }

    /// The least role that may do it.
    pub(crate) const fn least(self) -> Role {
        match self {
            Self::Approve => Role::Approver,
            Self::Start | Self::Pause | Self::Resume | Self::Abort => Role::Operator,
        }
    }

    fn of(self, rollout: RolloutId) -> Ask {
        match self {
            Self::Approve => Ask::Approve(rollout),
            Self::Start => Ask::Start { rollout, sign_off: String::new() },
            Self::Pause => Ask::Pause(rollout),
            Self::Resume => Ask::Resume(rollout),
            Self::Abort => Ask::Abort(rollout),
        }
    }
}

impl FromStr for Verb {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|verb| verb.name() == text).ok_or(())
    }
}

/// A line to the engine's thread.
#[derive(Debug, Clone)]
pub(crate) struct Intercom(Arc<Front>);

impl Intercom {
    pub(super) const fn new(front: Arc<Front>) -> Self {
        Self(front)
    }

    /// Of the installation.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// Must somebody else approve than who created?
    pub(crate) fn two_persons(&self) -> bool {
        self.0.two_persons
    }

    /// The person at the other end, if they may do what `least` may. Their name.
    pub(crate) fn person(&self, peer: &Peer, least: Role) -> Result<String, Status> {
        self.0.operator(Some(peer), least)
    }

    /// Counts a refusal that was decided at the door.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.0.metrics.refused(reason);
    }

    /// Does something to a rollout, in the peer's name.
    pub(crate) async fn act(&self, peer: &Peer, verb: Verb, rollout: u32) -> Result<RolloutStatus, Status> {
        let by = self.person(peer, verb.least())?;
        match self.0.ask(verb.of(RolloutId(rollout)), by).await? {
            Answer::Rollout(status) => Ok(status),
            Answer::Fleet(_) => Err(Status::internal("a status of the fleet is no answer to this")),
        }
    }

    /// Stops everything, with a reason; or releases the stop, without one.
    pub(crate) async fn andon(&self, peer: &Peer, stop: Option<String>) -> Result<(), Status> {
        let by = self.person(peer, Role::Operator)?;
        let ask = stop.map_or(Ask::Release, |reason| Ask::Stop { reason });
        self.0.ask(ask, by).await.map(drop)
    }

    /// Everything, as it stands after all that was said before.
    pub(crate) async fn overview(&self) -> Result<Overview, Status> {
        let (reply, overview) = oneshot::channel();
        self.0.tell(Told::Overview { reply })?;
        overview.await.map_err(|_| self.0.away())
    }

    /// Counts changes.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.clone()
    }

    /// Ends once the controller goes away.
    pub(crate) async fn over(&self) {
        super::stopped(self.0.stop.clone()).await;
    }
}
