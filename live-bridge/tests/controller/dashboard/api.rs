//! What the dashboard answers to clients without a browser.

use super::door::{Door, OURS, person};
use crate::agent::{everybody, three};
use crate::world::{Plan, World, device};
use slacktide_engine::ids::{PoolId, RegionId};
use slacktide_engine::time::Span;
use slacktide_live_bridge::trust::{Identity, Role};
use std::time::{Duration, Instant};

/// Three devices and a rollout that runs.
pub(crate) async fn running(folder: &std::path::Path) -> World {
    let world = World::start(folder, &Plan::default()).await;
    let mut agents = three();
    everybody(&world, &mut agents).await;
    world.go_on(Span::from_secs(60)).await;
    world.create("2.0").await;
    world.approve(0).await;
    world.begin(0).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_why_and_nothing_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let world = running(folder.path()).await;
    let door = Door::open(&world);
    let vera = door.client(person("vera", Role::Viewer));
    let me = vera.get("/api/me").await.json();
    assert_eq!((me["name"].as_str(), me["role"].as_str()), (Some("vera"), Some("viewer")));
    assert_eq!(me["may"].as_array().unwrap().len(), 0, "no button for a viewer");
    for path in ["/api/rollouts/0/pause", "/api/rollouts/0/abort", "/api/rollouts/0/approve", "/api/release"] {
        let refused = vera.post(path).await;
        assert_eq!((refused.status, refused.reason().as_str()), (403, "role"), "{path}");
        assert!(refused.message().contains("vera is viewer"), "{refused:?}");
    }
    let json = format!("{OURS}content-type: application/json\r\n");
    assert_eq!(vera.ask("POST", "/api/stop", &json, "{\"reason\":\"no\"}").await.reason(), "role");
    assert_eq!(world.controller.metrics().refusals("role"), 5);
    // An operator may not approve, and nobody their own.
    let olga = door.client(person("olga", Role::Operator));
    assert_eq!(olga.post("/api/rollouts/0/approve").await.reason(), "role");
    world.create("3.0").await;
    let refused = door.client(person("olga", Role::Approver)).post("/api/rollouts/1/approve").await;
    assert_eq!((refused.status, refused.reason().as_str()), (403, "not-allowed"));
    assert!(refused.message().contains("somebody else must approve it"), "{refused:?}");
    assert_eq!(door.client(person("anna", Role::Approver)).post("/api/rollouts/1/approve").await.status, 200);
    // A device looks in vain, and does not stay.
    let thing = door.client(Identity::Device("d0".to_owned()));
    for path in ["/", "/api/status", "/api/events", "/page.js"] {
        let refused = thing.get(path).await;
        assert_eq!((refused.status, refused.reason().as_str()), (403, "not-a-person"), "{path}");
    }
    assert_eq!(world.state(0).await, "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_may_ask_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let world = running(folder.path()).await;
    let door = Door::open(&world);
    let olga = door.client(person("olga", Role::Operator));
    let foreign = [
        String::new(),
        format!("{OURS}origin: https://evil.example\r\n"),
        format!("{OURS}origin: null\r\n"),
        format!("{OURS}sec-fetch-site: cross-site\r\n"),
        format!("{OURS}sec-fetch-site: same-site\r\norigin: https://{}\r\n", door.address),
    ];
    for headers in &foreign {
        let refused = olga.ask("POST", "/api/rollouts/0/pause", headers, "").await;
        assert_eq!((refused.status, refused.reason().as_str()), (403, "cross-site"), "{headers}");
    }
    assert_eq!(world.controller.metrics().refusals("cross-site"), foreign.len() as u64);
    assert_eq!(world.state(0).await, "running");
    // A preflight gets no leave either, and a page may not be framed, cached or scripted from elsewhere.
    let preflight = olga.ask("OPTIONS", "/api/rollouts/0/pause", "origin: https://evil.example\r\n", "").await;
    assert!(!preflight.head.contains("access-control"), "{preflight:?}");
    let page = olga.get("/").await;
    assert_eq!(page.status, 200);
    for rule in ["frame-ancestors 'none'", "script-src 'self'", "x-frame-options: deny", "cache-control: no-store"] {
        assert!(page.head.contains(rule), "{rule}: {}", page.head);
    }
    assert!(!page.body.contains("<style") && !page.body.contains(" on"), "nothing inline");
    let own = format!("{OURS}sec-fetch-site: same-origin\r\norigin: https://{}\r\n", door.address);
    assert_eq!(olga.ask("POST", "/api/rollouts/0/pause", &own, "").await.status, 200);
    assert_eq!(world.state(0).await, "paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_pauses_and_resumes_and_the_events_show_it_within_two_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let world = running(folder.path()).await;
    let door = Door::open(&world);
    let olga = door.client(person("olga", Role::Operator));
    let mut events = door.client(person("vera", Role::Viewer)).events("").await;
    let (first, _) = events.next("status").await;
    assert_eq!(first["rollouts"][0]["state"], "running");
    assert_eq!(first["rollouts"][0]["actions"], serde_json::json!(["pause", "abort"]));
    assert_eq!(first["sentence"], "Rollout 0 (app 2.0) is running: 0 of 3 devices are updated.");
    let waiting = &first["rollouts"][0]["waiting"][0];
    assert_eq!((waiting["reason"].as_str(), waiting["devices"].as_u64()), (Some("not-requested"), Some(3)));
    let (map, _) = events.next("map").await;
    assert_eq!(map["groups"][0]["devices"][2]["id"], "d2");
    assert_eq!(map["groups"][0]["devices"][2]["at"], "waiting");
    let (lines, mut heard) = events.next("decisions").await;
    assert_eq!(lines["whole"], true);
    for (verb, state) in [("pause", "paused"), ("resume", "running")] {
        let asked = Instant::now();
        let done = olga.post(&format!("/api/rollouts/0/{verb}")).await;
        assert_eq!((done.status, done.json()["state"].as_str()), (200, Some(state)));
        loop {
            let (status, _) = events.next("status").await;
            if status["rollouts"][0]["state"] == state {
                break;
            }
        }
        assert!(asked.elapsed() < Duration::from_secs(2), "{verb} was seen after {:?}", asked.elapsed());
        let (lines, id) = events.next("decisions").await;
        assert!(lines["whole"] == false && lines.to_string().contains(state), "{lines}");
        heard = id;
    }
    // A browser that was cut off hears what it has missed, and no more.
    olga.post("/api/rollouts/0/pause").await;
    let mut again = olga.events(&format!("last-event-id: {}\r\n", heard.unwrap())).await;
    let (lines, _) = again.next("decisions").await;
    assert_eq!(lines["lines"].as_array().unwrap().len(), 1, "{lines}");
    // What cannot be done is said.
    let refused = olga.post("/api/rollouts/0/pause").await;
    assert_eq!((refused.status, refused.reason().as_str()), (409, "not-now"));
    assert_eq!(refused.message(), "rollout 0 is paused: it cannot pause");
    assert_eq!(olga.post("/api/rollouts/9/pause").await.status, 404);
    assert_eq!(olga.post("/api/rollouts/0/burn").await.reason(), "bad-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_andon_switch_is_there_and_a_revoked_person_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let world = running(folder.path()).await;
    let door = Door::open(&world);
    let olga = door.client(person("olga", Role::Operator));
    let mut events = olga.events("").await;
    events.next("status").await;
    let json = format!("{OURS}content-type: application/json\r\n");
    let stopped = olga.ask("POST", "/api/stop", &json, "{\"reason\":\"smoke\"}").await;
    assert_eq!(stopped.status, 200);
    let status = olga.get("/api/status").await.json();
    assert_eq!(status["stopped"], "smoke (by olga)");
    assert_eq!(status["rollouts"][0]["actions"], serde_json::json!(["abort"]));
    let refused = olga.post("/api/rollouts/0/resume").await;
    assert!(refused.status == 409 && refused.message().contains("everything is stopped: smoke"), "{refused:?}");
    assert_eq!(olga.ask("POST", "/api/stop", &json, "{\"why\":1}").await.reason(), "bad-request");
    assert_eq!(olga.post("/api/release").await.status, 200);
    assert_eq!(olga.post("/api/rollouts/0/resume").await.status, 200);
    door.authority.revoke(&olga.serial, None).unwrap();
    assert_eq!(door.trust.reload().unwrap().cut, 1, "the events are cut");
    // Over HTTP/2 too, as browsers would have it.
    let vera = door.authority.issue(&slacktide_live_bridge::trust::authority::Subject::new(person("v", Role::Viewer)));
    let files = slacktide_live_bridge::trust::ClientFiles::in_folder(&door.folder().join("vera"));
    let vera = vera.unwrap();
    files.write_new(&vera.key, &vera.issued.certificate, &door.authority.authorities_pem().unwrap()).unwrap();
    let trust = slacktide_live_bridge::trust::ClientTrust::open(files).unwrap();
    let mut channel = trust.channel(&format!("https://{}", door.address)).unwrap();
    let request = axum::http::Request::get("/api/me").body(tonic::body::Body::empty()).unwrap();
    std::future::poll_fn(|cx| tonic::codegen::Service::poll_ready(&mut channel, cx)).await.unwrap();
    let answer = tonic::codegen::Service::call(&mut channel, request).await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (axum::http::Version::HTTP_2, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_devices_are_a_small_status() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = |n: usize| {
        let mut facts = device(n);
        facts.pool = PoolId::from(format!("pool-{:03}", n / 200).as_str());
        facts.region = RegionId::from(format!("region-{}", n / 20_000).as_str());
        facts
    };
    let plan = Plan { fleet: Some((0..100_000).map(fleet).collect()), ..Plan::default() };
    let world = World::start(folder.path(), &plan).await;
    let mut agents = three();
    everybody(&world, &mut agents).await;
    let door = Door::open(&world);
    let vera = door.client(person("vera", Role::Viewer));
    let status = vera.get("/api/status").await;
    assert_eq!(status.json()["devices"]["total"], 100_000);
    assert!(status.body.len() < 64 * 1024, "{} bytes", status.body.len());
    let (map, _) = vera.events("").await.next("map").await;
    assert_eq!(map["kind"], "counts");
    let devices: u64 = map["groups"].as_array().unwrap().iter().map(|one| one["devices"].as_u64().unwrap()).sum();
    assert_eq!(devices, 100_000, "nobody is lost in the sums");
    assert!(map.to_string().len() < 64 * 1024, "{} bytes", map.to_string().len());
}
