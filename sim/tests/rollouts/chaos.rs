//! Random worlds, every promise checked; and worlds that once broke one.

use slacktide_sim::chaos::{Chaos, Examiner, World};

#[test]
fn random_worlds_keep_every_promise() {
    let chaos = Chaos {
        seed: 1,
        from: 0,
        worlds: Some(40),
        findings_max: 1,
        shrink_tries_max: 0,
        examiner: Examiner::default(),
    };
    let tally = chaos.run(&|| false, &|_| {});
    assert!(tally.findings.is_empty(), "{:?}", tally.findings);
    assert!(tally.worlds == 40 && tally.figures.commands > 200 && tally.figures.faults.len() > 6);
}

#[test]
fn a_world_is_drawn_again_alike() {
    assert_eq!(World::draw(3, 7), World::draw(3, 7));
    assert_ne!(World::draw(3, 7).text, World::draw(4, 7).text);
}

/// After an hour without a controller nobody has been heard: that is no reason to send everybody.
#[test]
fn silence_of_all_is_not_taken_for_everybody_being_out() {
    let text = "devices = 5\nhistory = \"420m\"\nname = \"w\"\nstart = \"2024-10-26T12:15:00Z\"\ntick = \"10m\"\nuntil_max = \"4000m\"\n\
        [[failures.controller]]\nafter = \"245m\"\ndown_for = \"57m\"\n\
        [failures.telemetry]\nlate_percent = 22.7\nlate_by = { median = \"111m\", sigma = 0.0781 }\n\
        [policy_overrides.forecast]\nhistory = \"2160m\"\nmodels = [\"naive\"]\n\
        [policy_overrides.plan]\nslot = \"10m\"\ntelemetry_age_max = \"98m\"\n\
        [[policy_overrides.windows]]\nfrom = \"23:30\"\nto = \"16:31\"\n[[pools]]\nname = \"p0\"\n[[pools]]\nname = \"p1\"\n";
    let verdict = Examiner::default().examine(&World { number: 177, text: text.to_owned() }, false);
    assert!(verdict.broken.is_empty(), "{:?}", verdict.broken);
    assert!(verdict.figures.commands >= 5);
}

/// A rollback takes longer than the policy waits, and an old report of the device comes meanwhile: it seems to serve, and the next one is told
/// to go back. The engine cannot know better.
#[test]
fn a_rollback_given_up_while_old_reports_come_is_not_held_against_the_engine() {
    let text = "devices = 16\nhistory = \"780m\"\nname = \"w\"\npolicy = \"cautious\"\ntick = \"5m\"\nuntil_max = \"564m\"\n\
        [failures.telemetry]\nlate_percent = 12.7\nlost_percent = 18.9\n[operator]\napproves_after = \"81m\"\n\
        [policy_overrides.attempts]\ntimeout = \"5m\"\n\
        [policy_overrides.forecast]\ndear_series_max = 0\nhistory = \"1440m\"\nmodels = [\"naive\"]\n\
        [policy_overrides.plan]\nbasis = \"ignore\"\nslot = \"30m\"\n[[pools]]\nname = \"p0\"\n[updates.rollback]\nmedian = \"8m\"\n";
    let verdict = Examiner::default().examine(&World { number: 4219, text: text.to_owned() }, false);
    assert!(verdict.broken.is_empty(), "{:?}", verdict.broken);
    assert!(verdict.figures.commands >= 6);
}

/// A controller died between a round of forecasts and the next: the room that answers are made in is no part of its state.
#[test]
fn room_for_answers_is_no_part_of_a_rebuilt_controller() {
    let verdict = Examiner::default().examine(&World::draw(20_261_128, 2490), false);
    assert!(verdict.broken.is_empty(), "{:?}", verdict.broken);
}

/// A device that came by two hops goes back in two steps. The second began between a plan and another rollout's batch, which went although the
/// pool's only place was taken.
#[test]
fn a_second_step_back_is_known_to_the_batches_of_other_rollouts() {
    let verdict = Examiner::default().examine(&World::draw(20_261_126, 635), false);
    assert!(verdict.broken.is_empty(), "{:?}", verdict.broken);
    assert!(verdict.figures.commands >= 10);
}
