//! The people's service: rollouts, the andon switch, looking on, the journal.

use super::desk::{Answer, Ask};
use super::front::Front;
use super::writer::Job;
use crate::trust::Role;
use crate::wire::operator_server::Operator;
use crate::wire::{
    CreateRolloutRequest, FleetStatus, JournalLine, JournalRequest, RolloutReply, RolloutRequest, StartRolloutRequest,
    StatusRequest, StopEverythingRequest,
};
use slacktide_engine::filter::Filter;
use slacktide_engine::ids::RolloutId;
use slacktide_engine::version::Version;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// A status at most this often.
const WATCH_EVERY: Duration = Duration::from_millis(250);
/// Lines of a journal read at a time.
const LINES_AT_ONCE: u32 = 256;

/// [`Operator`] for the people of a fleet.
#[derive(Debug, Clone)]
pub(super) struct People(pub(super) Arc<Front>);

impl People {
    async fn ask(&self, ask: Ask, by: String) -> Result<Answer, Status> {
        self.0.ask(ask, by).await
    }

    async fn rollout(&self, ask: Ask, by: String) -> Result<Response<RolloutReply>, Status> {
        match self.ask(ask, by).await? {
            Answer::Rollout(status) => Ok(Response::new(RolloutReply { rollout: Some(status) })),
            Answer::Fleet(_) => Err(Status::internal("a status of the fleet is no answer to this")),
        }
    }

    async fn act(
        &self,
        request: &Request<RolloutRequest>,
        least: Role,
        ask: impl FnOnce(RolloutId) -> Ask,
    ) -> Result<Response<RolloutReply>, Status> {
        let by = self.0.person(request, least)?;
        self.rollout(ask(RolloutId(request.get_ref().rollout)), by).await
    }

    async fn look(&self, summary: bool, by: String) -> Result<FleetStatus, Status> {
        match self.ask(Ask::Look { with_devices: !summary }, by).await? {
            Answer::Fleet(status) => Ok(*status),
            Answer::Rollout(_) => Err(Status::internal("one rollout is no answer to this")),
        }
    }

    async fn lines(&self, from: u64) -> Result<Vec<(u64, String)>, Status> {
        let (to, lines) = oneshot::channel();
        self.0.write(Job::Read { from, lines: LINES_AT_ONCE, to })?;
        lines.await.map_err(|_| self.0.away())?.map_err(Status::unavailable)
    }
}

#[tonic::async_trait]
impl Operator for People {
    type WatchStream = ReceiverStream<Result<FleetStatus, Status>>;
    type JournalStream = ReceiverStream<Result<JournalLine, Status>>;

    async fn create_rollout(&self, request: Request<CreateRolloutRequest>) -> Result<Response<RolloutReply>, Status> {
        let by = self.0.person(&request, Role::Operator)?;
        let CreateRolloutRequest { package, version, priority, target, sign_off } = request.into_inner();
        let priority = u8::try_from(priority)
            .map_err(|_| Status::invalid_argument(format!("priority {priority}: must be in 0..=255")))?;
        let version = version.parse::<Version>().map_err(|error| Status::invalid_argument(error.to_string()))?;
        let mut package = self.0.shelf.find(&package, version).await.map_err(Status::not_found)?;
        if !target.is_empty() {
            // Never wider than what the package itself is for.
            let text = format!("({}) && ({target})", package.target);
            Filter::parse(&target).map_err(|error| Status::invalid_argument(format!("target `{target}`: {error}")))?;
            package.target = Filter::parse(&text).map_err(|error| Status::invalid_argument(error.to_string()))?;
        }
        self.rollout(Ask::Create { package: Box::new(package), priority, sign_off }, by).await
    }

    async fn approve_rollout(&self, request: Request<RolloutRequest>) -> Result<Response<RolloutReply>, Status> {
        self.act(&request, Role::Approver, Ask::Approve).await
    }

    async fn start_rollout(&self, request: Request<StartRolloutRequest>) -> Result<Response<RolloutReply>, Status> {
        let by = self.0.person(&request, Role::Operator)?;
        let StartRolloutRequest { rollout, sign_off } = request.into_inner();
        self.rollout(Ask::Start { rollout: RolloutId(rollout), sign_off }, by).await
    }

    async fn pause_rollout(&self, request: Request<RolloutRequest>) -> Result<Response<RolloutReply>, Status> {
        self.act(&request, Role::Operator, Ask::Pause).await
    }

    async fn resume_rollout(&self, request: Request<RolloutRequest>) -> Result<Response<RolloutReply>, Status> {
        self.act(&request, Role::Operator, Ask::Resume).await
    }

    async fn abort_rollout(&self, request: Request<RolloutRequest>) -> Result<Response<RolloutReply>, Status> {
        self.act(&request, Role::Operator, Ask::Abort).await
    }

    async fn stop_everything(&self, request: Request<StopEverythingRequest>) -> Result<Response<FleetStatus>, Status> {
        let by = self.0.person(&request, Role::Operator)?;
        let StopEverythingRequest { release, reason } = request.into_inner();
        let ask = if release { Ask::Release } else { Ask::Stop { reason } };
        match self.ask(ask, by).await? {
            Answer::Fleet(status) => Ok(Response::new(*status)),
            Answer::Rollout(_) => Err(Status::internal("one rollout is no answer to this")),
        }
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<FleetStatus>, Status> {
        let by = self.0.person(&request, Role::Viewer)?;
        Ok(Response::new(self.look(request.get_ref().summary, by).await?))
    }

    async fn watch(&self, request: Request<StatusRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let by = self.0.person(&request, Role::Viewer)?;
        let summary = request.get_ref().summary;
        let (out, statuses) = mpsc::channel(2);
        let (people, over, mut changes) = (self.clone(), super::stopped(self.0.stop.clone()), self.0.changes.clone());
        tokio::spawn(async move {
            tokio::pin!(over);
            loop {
                changes.borrow_and_update();
                let status = people.look(summary, by.clone()).await;
                let is_over = status.is_err();
                if out.send(status).await.is_err() || is_over {
                    return;
                }
                tokio::time::sleep(WATCH_EVERY).await;
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { return },
                    () = &mut over => return,
                    () = out.closed() => return,
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(statuses)))
    }

    async fn journal(&self, request: Request<JournalRequest>) -> Result<Response<Self::JournalStream>, Status> {
        self.0.person(&request, Role::Viewer)?;
        let JournalRequest { from, follow } = request.into_inner();
        let (out, lines) = mpsc::channel(8);
        let (people, over, mut changes) = (self.clone(), super::stopped(self.0.stop.clone()), self.0.changes.clone());
        tokio::spawn(async move {
            tokio::pin!(over);
            let mut next = from;
            loop {
                changes.borrow_and_update();
                let read = match people.lines(next).await {
                    Ok(read) => read,
                    Err(status) => {
                        let _ = out.send(Err(status)).await;
                        return;
                    }
                };
                let is_all = read.is_empty();
                for (number, line) in read {
                    next = number + 1;
                    if out.send(Ok(JournalLine { number, line })).await.is_err() {
                        return;
                    }
                }
                if is_all && !follow {
                    return;
                }
                if is_all {
                    tokio::select! {
                        changed = changes.changed() => if changed.is_err() { return },
                        () = &mut over => return,
                        () = out.closed() => return,
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(lines)))
    }
}
