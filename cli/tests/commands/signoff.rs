//! `slacktide sign-off`, from a simulation to a file that two people stand behind.

use crate::{json, refused, slacktide};
use serde_json::Value;
use slacktide_live_bridge::signoff::SignOff;
use slacktide_live_bridge::trust::ClientFiles;
use std::path::Path;

const ABOUT: [&str; 4] = ["--package", "greeting-1.1.stp", "--fleet", "fleet.csv"];

fn done(arguments: &[&str], dir: &Path) -> String {
    let output = slacktide(arguments, dir);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Exit code 1 and the document that says why.
fn bad(arguments: &[&str], dir: &Path) -> Value {
    let output = slacktide(&[arguments, &["--json"]].concat(), dir);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["good"], false);
    document
}

/// An authority, alice who operates, bob who approves, walt who looks; the package of the examples; twelve devices.
fn prepared() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    done(&["pki", "init", "--dir", "pki", "--trust-domain", "fleet.test"], dir.path());
    for (name, role) in [("alice", "operator"), ("bob", "approver"), ("walt", "viewer")] {
        done(&["pki", "issue", "--dir", "pki", "--operator", name, "--role", role, "--out", name], dir.path());
    }
    let example = format!("{}/../examples/package", env!("CARGO_MANIFEST_DIR"));
    done(&["package", "build", &example], dir.path());
    std::fs::write(dir.path().join("fleet.csv"), fleet(12)).unwrap();
    dir
}

fn fleet(devices: u32) -> String {
    let rows = (1..=devices).map(|d| format!("d{d},shop-{},eu,1.0\n", d % 2));
    "device_id,pool,region,version\n".to_owned() + &rows.collect::<String>()
}

fn create<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let run = ["--policy", "all-at-once", "--replications", "2", "--chaos-worlds", "2", "--identity", "alice"];
    [&["sign-off", "create"], &ABOUT[..], &run, more].concat()
}

const GOOD: [&str; 6] = ["--scenario", "first-rollout", "--limit", "makespan_s<=864000", "--out", "good.toml"];
const VERIFY: [&str; 5] = ["sign-off", "verify", "good.toml", "--authorities", "pki/authorities.pem"];

fn verify<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&VERIFY[..], &ABOUT, more].concat()
}

#[test]
fn what_is_created_and_signed_by_two_comes_out_the_same_again() {
    let dir = prepared();
    let made = json(&create(&[&GOOD[..], &["--json"]].concat()), dir.path());
    assert_eq!((&made["schema"], &made["good"]), (&"slacktide/sign-off-create/1".into(), &true.into()), "{made}");
    assert_eq!(made["evidence"][0]["journals"].as_array().unwrap().len(), 2);
    assert!(made["envelope"]["install_p99_s"]["high"].as_f64().unwrap() > 60.0, "{made}");
    assert_eq!(made["limits"][0]["worst_in"], "first-rollout");
    // One person is not two, and a viewer is none.
    let few = bad(&verify(&[]), dir.path());
    assert_eq!(
        (&few["refused"], &few["reasons"][0]),
        (&"too-few-signers".into(), &"is signed by 1 of the 2 people it needs".into())
    );
    let sign = ["sign-off", "sign", "good.toml", "--identity"];
    assert_eq!(bad(&[&sign[..], &["walt"]].concat(), dir.path())["refused"], "wrong-role");
    assert_eq!(bad(&[&sign[..], &["alice"]].concat(), dir.path())["refused"], "same-person");
    let signed = json(&[&sign[..], &["bob", "--json"]].concat(), dir.path());
    assert_eq!(signed["signers"], serde_json::json!(["operator/operator/alice", "operator/approver/bob"]));
    let said = done(&verify(&["--threads", "1", "--policy", "all-at-once"]), dir.path());
    assert!(said.contains("2 runs and 2 random worlds came out the same, bit for bit"), "{said}");
    let said = done(&["sign-off", "show", "good.toml"], dir.path());
    assert!(
        said.contains("limit        makespan_s <= 864000: ") && said.contains("signed by    operator/approver/bob"),
        "{said}"
    );
    let again = json(&verify(&["--json"]), dir.path());
    assert_eq!((&again["schema"], &again["ran_again"]), (&"slacktide/sign-off-verify/1".into(), &true.into()));
    assert_eq!(again["evidence"], made["evidence"]);
    is_for_nothing_else(dir.path());
}

/// The same sign-off against another policy, fleet and package, and edited.
fn is_for_nothing_else(dir: &Path) {
    assert_eq!(bad(&verify(&["--policy", "predictive"]), dir)["refused"], "wrong-policy");
    std::fs::write(dir.join("other.csv"), fleet(13)).unwrap();
    let with = |package, fleet| [&VERIFY[..], &["--package", package, "--fleet", fleet]].concat();
    assert_eq!(bad(&with("greeting-1.1.stp", "other.csv"), dir)["refused"], "wrong-fleet");
    std::fs::create_dir(dir.join("changed")).unwrap();
    let manifest = "name = \"greeting\"\nversion = \"1.1\"\n[scripts]\ninstall = \"install.sh\"\n";
    std::fs::write(dir.join("changed/package.toml"), manifest).unwrap();
    let script = dir.join("changed/install.sh");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    done(&["package", "build", "changed", "--out", "changed.stp"], dir);
    assert_eq!(bad(&with("changed.stp", "fleet.csv"), dir)["refused"], "wrong-package");
    let text = std::fs::read_to_string(dir.join("good.toml")).unwrap();
    std::fs::write(dir.join("good.toml"), text.replacen("bound = 864000.0", "bound = 964000.0", 1)).unwrap();
    assert_eq!(bad(&verify(&[]), dir)["refused"], "edited");
    // Nobody adds a name to it either.
    done(&["pki", "issue", "--dir", "pki", "--operator", "cleo", "--role", "approver", "--out", "cleo"], dir);
    assert_eq!(bad(&["sign-off", "sign", "good.toml", "--identity", "cleo"], dir)["refused"], "edited");
}

#[test]
fn a_limit_that_is_not_met_leaves_no_file() {
    let dir = prepared();
    let limits = ["--scenario", "first-rollout", "--limit", "makespan_s<=60", "--limit", "updated_devices>=1"];
    let said = bad(&create(&[&limits[..], &["--out", "none.toml"]].concat()), dir.path());
    assert_eq!(said["refused"], "limits-not-met", "{said}");
    let reason = said["reasons"][0].as_str().unwrap();
    assert!(reason.starts_with("makespan_s <= 60: ") && reason.ends_with(" in first-rollout, not met"), "{reason}");
    assert_eq!((&said["limits"][0]["met"], &said["limits"][1]["met"]), (&false.into(), &true.into()));
    assert!(!dir.path().join("none.toml").exists());
}

#[test]
fn a_bad_release_that_is_never_stopped_has_no_good_delay() {
    let dir = prepared();
    let arguments = ["--scenario", "bad-release", "--limit", "stop_delay_s<=9e9", "--out", "none.toml"];
    let said = bad(&create(&arguments), dir.path());
    assert_eq!(
        said["reasons"][0],
        "stop_delay_s <= 9000000000: no run shows it, 2 runs that should show it do not, not met"
    );
}

/// Two people may sign what is not true; it does not come out again.
#[test]
fn what_was_never_run_is_found_out() {
    let dir = prepared();
    done(&create(&GOOD), dir.path());
    let path = dir.path().join("good.toml");
    let honest = SignOff::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let mut document = honest.document().clone();
    document.evidence[0].journals.swap(0, 1);
    let measure = document.evidence[0].measures.get_mut("bytes_moved").unwrap();
    measure.mean = f64::from_bits(measure.mean.to_bits() + 1);
    let made_at = document.made_at;
    let mut false_one = SignOff::new(document).unwrap();
    for person in ["alice", "bob"] {
        false_one.sign(&ClientFiles::in_folder(&dir.path().join(person)), made_at).unwrap();
    }
    std::fs::write(&path, false_one.text()).unwrap();
    let said = bad(&verify(&[]), dir.path());
    assert_eq!(said["refused"], "not-reproduced", "{said}");
    let reasons: Vec<&str> = said["reasons"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
    assert_eq!(reasons.len(), 3, "two journals and the last bit of a mean: {reasons:?}");
    assert!(reasons[2].starts_with("first-rollout: bytes_moved is "), "{reasons:?}");
}

#[test]
fn what_was_claimed_and_cannot_come_out_again_is_told() {
    let dir = prepared();
    let library = slacktide(&["scenario", "show", "first-rollout"], dir.path()).stdout;
    std::fs::write(dir.path().join("ours.toml"), &library).unwrap();
    let ours = ["--scenario", "ours.toml", "--limit", "makespan_s<=864000", "--out", "good.toml"];
    done(&create(&ours), dir.path());
    done(&["sign-off", "sign", "good.toml", "--identity", "bob"], dir.path());
    done(&verify(&[]), dir.path());
    std::fs::write(dir.path().join("ours.toml"), [&library[..], b"\n# another\n"].concat()).unwrap();
    assert_eq!(bad(&verify(&[]), dir.path())["refused"], "scenario-changed");
    done(&[&VERIFY[..], &["--signatures-only"]].concat(), dir.path());
}

#[test]
fn mistakes_are_told_before_anything_runs() {
    let dir = prepared();
    let limits = |limit| create(&["--scenario", "first-rollout", "--out", "x.toml", "--limit", limit]);
    refused(&limits("makespan<=60"), dir.path(), &["makespan", "did you mean `makespan_s`"]);
    refused(&limits("makespan_s<60"), dir.path(), &["MEASURE<=BOUND"]);
    let with = |more: &[&'static str]| create(&[&GOOD[..], more].concat());
    refused(&with(&["--valid", "1y"]), dir.path(), &["--valid"]);
    refused(&with(&["--valid", "100d"]), dir.path(), &["--valid 100d", "1m to 90d"]);
    refused(&with(&["--scenario", "first-rollout"]), dir.path(), &["first-rollout is given twice"]);
    let walt: Vec<&str> = with(&[]).into_iter().map(|a| if a == "alice" { "walt" } else { a }).collect();
    refused(&walt, dir.path(), &["operator/viewer/walt may not make a sign-off"]);
    let newer = fleet(2).replace("1.0", "3.0");
    std::fs::write(dir.path().join("fleet.csv"), newer).unwrap();
    refused(&with(&[]), dir.path(), &["no device of fleet.csv would get greeting 1.1"]);
    refused(&VERIFY, dir.path(), &["--package", "--fleet"]);
}

/// It is long over, but says what one says, and names the package that the examples build to this day.
#[test]
fn the_example_is_a_sign_off_of_the_example_package() {
    let dir = prepared();
    let example = format!("{}/../examples/sign-off/greeting-1.1.sign-off.toml", env!("CARGO_MANIFEST_DIR"));
    let shown = json(&["sign-off", "show", &example, "--json"], dir.path());
    assert_eq!(shown["signers"], serde_json::json!(["operator/operator/olive", "operator/approver/ada"]));
    let inspected = json(&["package", "inspect", "greeting-1.1.stp", "--json"], dir.path());
    assert_eq!(shown["package"]["sha256"], inspected["sha256"], "{inspected}");
}
