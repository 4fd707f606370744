//! A sign-off lets a rollout go live only as it was written, for what it was written, and with the right people behind it.

mod edits;
mod people;
mod world;

use slacktide_live_bridge::signoff::{Demand, Limit, Refusal, SignOff, sha256};
use slacktide_live_bridge::trust::Role;
use world::{World, later, now};

fn name(result: Result<(), Refusal>) -> &'static str {
    result.map_or_else(|refusal| refusal.name(), |()| "good")
}

#[test]
fn what_was_written_reads_back_and_holds() {
    let world = World::new();
    let signed = world.signed();
    let text = signed.text();
    assert!(text.contains("\nmakespan_s = [7200.0, 7000.5, 7399.5]\n") && text.contains("\nmade_by = "), "{text}");
    assert!(text.contains("\n[plan]\n"), "the policy stands there line by line: {text}");
    let read = SignOff::parse(&text).unwrap();
    assert_eq!(read, signed);
    assert_eq!(read.text(), text);
    world.check(&read).unwrap();
    let people: Vec<&str> = read.document().signers.iter().map(|s| s.identity.as_str()).collect();
    assert_eq!(people, ["operator/operator/maker", "operator/approver/checker"]);
}

#[test]
fn it_holds_for_one_policy_one_package_and_one_fleet() {
    let world = World::new();
    let signed = world.signed();
    let other = sha256(b"other");
    let policy = world.policy.replacen("= 5", "= 6", 1) + "\n";
    assert_eq!(name(world.check_as(&signed, |e| e.policy = policy)), "wrong-policy");
    assert_eq!(name(world.check_as(&signed, |e| e.package = other.clone())), "wrong-package");
    assert_eq!(name(world.check_as(&signed, |e| e.fleet = other.clone())), "wrong-fleet");
    let said = world.check_as(&signed, |e| e.package = other.clone()).unwrap_err().to_string();
    assert!(said.contains(&other) && said.contains(&sha256(b"archive")), "{said}");
}

#[test]
fn it_holds_for_a_time() {
    let world = World::new();
    let signed = world.signed();
    let until = signed.document().valid_until;
    assert_eq!(name(world.check_as(&signed, |e| e.now = until)), "good");
    assert_eq!(name(world.check_as(&signed, |e| e.now = later(until, 1))), "expired");
    let mut document = world.document();
    document.made_at = later(now(), 3000);
    let mut early = SignOff::new(document).unwrap();
    let error = early.sign(&world.operator("early", Role::Approver), now()).unwrap_err();
    assert!(error.to_string().contains("clocks"), "{error}");
}

#[test]
fn limits_are_judged_anew() {
    let world = World::new();
    let maker = world.operator("maker", Role::Operator);
    // It claims that a limit is met which the evidence beside it does not give; nobody can sign that.
    let mut document = world.document();
    document.limits[0].bound = 7200.0;
    let mut claims = SignOff::new(document).unwrap();
    let error = claims.sign(&maker, now()).unwrap_err();
    assert!(error.to_string().contains("makespan_s <= 7200: 7399.5 in first-rollout, not met"), "{error}");
    let mut document = world.document();
    document.limits.clear();
    assert!(SignOff::new(document).unwrap().sign(&maker, now()).unwrap_err().to_string().contains("no limits"));
    let mut document = world.document();
    document.chaos.broken = 1;
    assert!(SignOff::new(document).unwrap().sign(&maker, now()).unwrap_err().to_string().contains("promise"));
    let mut document = world.document();
    document.limits.push(Limit::judge(&"stop_delay_s<=900".parse::<Demand>().unwrap(), &document.evidence));
    assert!(SignOff::new(document).unwrap().sign(&maker, now()).unwrap_err().to_string().contains("no run shows it"));
}

#[test]
fn what_is_no_number_is_refused_and_large_seeds_are_kept() {
    let world = World::new();
    let mut document = world.document();
    document.chaos.seed = u64::MAX;
    let large = SignOff::new(document).unwrap();
    assert_eq!(SignOff::parse(&large.text()).unwrap().document().chaos.seed, u64::MAX);
    let mut document = world.document();
    document.limits[0].unfavourable = Some(f64::NAN);
    assert_eq!(SignOff::new(document).unwrap_err().name(), "not-readable");
}
