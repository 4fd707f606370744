//! Who may do what, and the andon switch.

use super::agent::{everybody, live, three};
use super::world::{Plan, World, start};
use slacktide_engine::time::Span;
use slacktide_live_bridge::trust::{Identity, Role};
use slacktide_live_bridge::wire::operator_client::OperatorClient;
use slacktide_live_bridge::wire::{
    CreateRolloutRequest, JournalRequest, RolloutRequest, StatusRequest, StopEverythingRequest,
};
use tonic::Code;

const ONE: RolloutRequest = RolloutRequest { rollout: 0 };

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &Plan::default()).await;
    world.create("2.0").await;
    let denied = |result: Result<tonic::Response<_>, tonic::Status>| {
        let _: tonic::Response<slacktide_live_bridge::wire::RolloutReply> = match result {
            Ok(response) => response,
            Err(status) => return status.code() == Code::PermissionDenied,
        };
        false
    };
    assert!(denied(world.operator("vera", Role::Viewer).pause_rollout(ONE).await));
    assert!(denied(world.operator("olga", Role::Operator).approve_rollout(ONE).await));
    let mut device = OperatorClient::new(world.channel(Identity::Device("d0".to_owned())));
    assert!(denied(device.pause_rollout(ONE).await));
    assert_eq!(device.status(StatusRequest::default()).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(world.controller.metrics().refusals("role"), 2);
    assert_eq!(world.controller.metrics().refusals("not-a-person"), 2);
    // Who creates may not approve, whatever their role.
    let mut anna = world.operator("anna", Role::Approver);
    let request = CreateRolloutRequest {
        package: "app".to_owned(),
        version: "3.0".to_owned(),
        ..CreateRolloutRequest::default()
    };
    anna.create_rollout(request).await.unwrap();
    assert!(denied(anna.approve_rollout(RolloutRequest { rollout: 1 }).await));
    world.operator("bert", Role::Approver).approve_rollout(RolloutRequest { rollout: 1 }).await.unwrap();
    // What makes no sense is refused with a reason, and changes nothing.
    let early = world.operator("olga", Role::Operator).start_rollout(start(0)).await.unwrap_err();
    assert_eq!(
        (early.code(), early.message()),
        (Code::FailedPrecondition, "rollout 0 is waiting_for_approval: it cannot start")
    );
    let nobody = world.operator("olga", Role::Operator).start_rollout(start(7)).await.unwrap_err();
    assert_eq!(nobody.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_andon_switch_holds_everything_until_it_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &Plan::default()).await;
    let mut agents = three();
    everybody(&world, &mut agents).await;
    world.create("2.0").await;
    world.approve(0).await;
    world.begin(0).await;
    let stop = StopEverythingRequest { release: false, reason: "smoke".to_owned() };
    let status = world.operator("olga", Role::Operator).stop_everything(stop).await.unwrap().into_inner();
    assert_eq!(status.stopped.as_deref(), Some("smoke (by olga)"));
    assert_eq!(status.rollouts[0].state, "paused");
    // It outlives the controller.
    let now = world.kill().await;
    let world = World::start_at(folder.path(), &Plan::default(), now).await;
    let mut olga = world.operator("olga", Role::Operator);
    let refused = olga.resume_rollout(ONE).await.unwrap_err();
    assert!(refused.message().contains("everything is stopped: smoke"), "{refused}");
    for agent in &mut agents {
        agent.asks(world.now().as_millis());
    }
    assert_eq!(live(&world, &mut agents, 20, "finished").await, "paused");
    olga.stop_everything(StopEverythingRequest { release: true, reason: String::new() }).await.unwrap();
    assert_eq!(world.state(0).await, "paused", "released is not resumed");
    olga.resume_rollout(ONE).await.unwrap();
    assert_eq!(live(&world, &mut agents, 60, "finished").await, "finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_sees_changes_and_the_journal_grows() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &Plan::default()).await;
    let mut vera = world.operator("vera", Role::Viewer);
    let mut statuses = vera.watch(StatusRequest { summary: true }).await.unwrap().into_inner();
    assert!(statuses.message().await.unwrap().unwrap().rollouts.is_empty());
    world.create("2.0").await;
    let seen = statuses.message().await.unwrap().unwrap();
    assert_eq!(seen.rollouts[0].state, "waiting_for_approval");
    let mut lines = vera.journal(JournalRequest { from: 0, follow: true }).await.unwrap().into_inner();
    let first = lines.message().await.unwrap().unwrap();
    assert!(first.number == 0 && first.line.contains("\"kind\":\"header\""));
    world.approve(0).await;
    world.go_on(Span::from_secs(1)).await;
    loop {
        let line = lines.message().await.unwrap().unwrap();
        if line.line.contains("\"to\":\"ready\"") {
            break;
        }
    }
}
