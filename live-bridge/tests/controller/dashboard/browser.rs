//! The page in a real browser, as an operator and as a viewer.

use super::api::running;
use super::devtools::Browser;
use super::door::{Door, person};
use slacktide_live_bridge::trust::Role;
use std::time::Duration;

const STATE: &str = "document.querySelector('.card .state')?.textContent ?? ''";
const BUTTONS: &str = "[...document.querySelectorAll('main button')].map((b) => b.textContent).join('|')";
/// As long as a person may have to wait for what they did to be seen.
const SEEN: Duration = Duration::from_secs(2);
const LOADED: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_pauses_and_resumes_with_the_mouse_and_a_viewer_only_looks() {
    let folder = tempfile::tempdir().unwrap();
    let world = running(folder.path()).await;
    let door = Door::open(&world);
    let olga = door.client(person("olga", Role::Operator)).forward().await;
    let vera = door.client(person("vera", Role::Viewer)).forward().await;
    let mut browser = Browser::start().await;
    let looks = browser.open(&format!("http://{vera}/")).await;
    browser.wait_for(&looks, STATE, "running", LOADED).await;
    let acts = browser.open(&format!("http://{olga}/")).await;
    browser.wait_for(&acts, STATE, "running", LOADED).await;
    for (verb, state) in [("pause", "paused"), ("resume", "running")] {
        browser.click(&acts, &format!("[data-verb={verb}]")).await;
        browser.wait_for(&acts, STATE, state, SEEN).await;
        browser.wait_for(&looks, STATE, state, SEEN).await;
        assert_eq!(world.state(0).await, state);
    }
    // What cannot be undone asks once more, and is left alone when that is left alone.
    browser.click(&acts, "[data-verb=abort]").await;
    browser.wait_for(&acts, "String(document.getElementById('sure').open)", "true", SEEN).await;
    browser.click(&acts, "#sure-no").await;
    browser.wait_for(&acts, "String(document.getElementById('sure').open)", "false", SEEN).await;
    assert_eq!(world.state(0).await, "running");
    let words = browser.evaluate(&acts, "document.getElementById('news').textContent").await;
    assert_eq!(words, "Rollout 0 is now: running.", "said to those who do not see");
    let cells = "[...document.querySelectorAll('.cells button')].map((b) => b.textContent).join('')";
    assert_eq!(browser.evaluate(&looks, cells).await, "WWW");
    let buttons = browser.evaluate(&acts, BUTTONS).await;
    assert!(buttons.as_str().unwrap().contains("Stop everything …|Pause|Abort …"), "{buttons}");
    let buttons = browser.evaluate(&looks, BUTTONS).await;
    assert_eq!(buttons, "W|W|W", "nothing but the cells of the map");
}

/// Of serious and critical weight, by the rules of WCAG that axe-core knows; `cargo xtask pages` fetches that.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs axe-core: run by `cargo xtask pages`"]
async fn axe_finds_no_serious_fault_in_the_dashboard() {
    let axe = std::env::var("SLACKTIDE_AXE").expect("run it by `cargo xtask pages`");
    let axe = std::fs::read_to_string(axe).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let world = running(folder.path()).await;
    let door = Door::open(&world);
    let mut browser = Browser::start().await;
    for role in [Role::Operator, Role::Viewer] {
        let person = door.client(person("olga", role)).forward().await;
        let tab = browser.open(&format!("http://{person}/")).await;
        browser.wait_for(&tab, STATE, "running", LOADED).await;
        browser.evaluate(&tab, &format!("{axe}; 0")).await;
        for scheme in ["light", "dark"] {
            let features = serde_json::json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
            browser.command(Some(&tab), "Emulation.setEmulatedMedia", features).await;
            let said = browser.evaluate(&tab, FAULTS).await;
            assert!(said["passes"].as_u64().unwrap() > 20, "axe looked at nothing: {said}");
            assert_eq!(said["faults"], serde_json::json!([]), "{role:?}, {scheme}");
        }
    }
}

const FAULTS: &str = "axe.run().then((r) => ({passes: r.passes.length, faults: r.violations
    .filter((v) => ['serious', 'critical'].includes(v.impact))
    .map((v) => v.id + ': ' + v.nodes.map((n) => n.target.join(' ')).join(', '))}))";
