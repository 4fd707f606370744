//! When the next wave opens.

use crate::rig::{Rig, Script, fleet, package, policy};
use slacktide_engine::journal::Entry;
use slacktide_engine::time::{Instant, Span};
use std::cell::Cell;

/// When each wave opened, and when each attempt ended.
fn course(rig: &Rig) -> (Vec<Instant>, Vec<Instant>) {
    let opened = |(at, entry): &(Instant, Entry)| matches!(entry, Entry::WaveOpened { .. }).then_some(*at);
    let settled = |(at, entry): &(Instant, Entry)| match entry {
        Entry::Settled { attempts, .. } => vec![*at; attempts.len()],
        _ => Vec::new(),
    };
    (rig.journal.iter().filter_map(opened).collect(), rig.journal.iter().flat_map(settled).collect())
}

/// Ten canaries, one of them out for longer than the rest: the wave soaks from the moment that eight have come through, and who comes
/// later begins nothing anew.
#[test]
fn a_straggler_does_not_begin_the_soak_anew() {
    let more =
        "[[waves]]\nshare_percent = 25\nsoak = \"1h\"\n[[waves]]\nshare_percent = 100\n[attempts]\ntimeout = \"6h\"\n";
    for slow_s in [300, 3000, 10_000] {
        let mut rig = Rig::new(&policy(more), fleet(40, 40));
        let told = Cell::new(0);
        rig.play = Box::new(move |_, _, _| {
            told.set(told.get() + 1);
            Script { out_s: if told.get() == 1 { slow_s } else { 240 }, ..Script::GOOD }
        });
        let rollout = rig.start(package("2.0"), 0);
        rig.until_end(rollout);
        let (opened, settled) = course(&rig);
        // Two ticks more at most: not every end of an attempt is looked at.
        let soaked = opened[1].since(settled[7]);
        let hour = Span::from_secs(3600);
        assert!(soaked >= hour && soaked <= hour + Span::from_secs(600), "{slow_s}: {soaked}\n{}", rig.told());
    }
}

/// Two per cent of twenty devices are a tenth of them; three per cent are nobody more.
#[test]
fn a_wave_of_nobody_is_not_soaked() {
    let more = "[[waves]]\nshare_percent = 2\ndevices_min = 10\nsoak = \"10m\"\n\
                [[waves]]\nshare_percent = 3\nsoak = \"5h\"\n[[waves]]\nshare_percent = 100\n";
    let mut rig = Rig::new(&policy(more), fleet(20, 20));
    let rollout = rig.start(package("2.0"), 0);
    rig.until_end(rollout);
    let (opened, _) = course(&rig);
    assert_eq!(opened.len(), 3, "{}", rig.told());
    assert!(opened[2].since(opened[1]) < Span::from_secs(600), "{}", rig.told());
}

/// The wave of nobody stands after one that asks for half of its two devices only: it opens the next at once all the same.
#[test]
fn a_wave_of_nobody_waits_for_nobody() {
    let more = "[[waves]]\nshare_percent = 2\ndevices_min = 10\nsuccess_percent_min = 50\n\
                [[waves]]\nshare_percent = 3\nsuccess_percent_min = 50\nsoak = \"5h\"\n[[waves]]\nshare_percent = 100\n\
                [attempts]\ntimeout = \"6h\"\n";
    let mut rig = Rig::new(&policy(more), fleet(20, 20));
    let told = Cell::new(0);
    rig.play = Box::new(move |_, _, _| {
        told.set(told.get() + 1);
        Script { out_s: if told.get() == 1 { 7200 } else { 240 }, ..Script::GOOD }
    });
    let rollout = rig.start(package("2.0"), 0);
    rig.until_end(rollout);
    let (opened, settled) = course(&rig);
    assert_eq!((opened[1], opened[2]), (settled[0], settled[0]), "{}", rig.told());
}
