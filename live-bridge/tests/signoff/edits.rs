//! Whatever byte of the file is changed, taken out or put in: refused.

use crate::name;
use crate::world::World;
use proptest::prelude::*;
use slacktide_live_bridge::signoff::{Refusal, SignOff};
use std::sync::OnceLock;

fn signed() -> &'static (World, String) {
    static SIGNED: OnceLock<(World, String)> = OnceLock::new();
    SIGNED.get_or_init(|| {
        let world = World::new();
        let text = world.signed().text();
        (world, text)
    })
}

fn check(bytes: Vec<u8>) -> Result<(), Refusal> {
    let text = String::from_utf8(bytes).map_err(|e| Refusal::NotReadable(e.to_string()))?;
    signed().0.check(&SignOff::parse(&text)?)
}

#[test]
fn every_byte_counts() {
    let (_, text) = signed();
    check(text.clone().into_bytes()).unwrap();
    for at in 0..text.len() {
        for change in [|b: u8| b ^ 1, |b: u8| b ^ 0x20, |b: u8| if b == b' ' { b'\t' } else { b' ' }] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = change(bytes[at]);
            assert!(check(bytes).is_err(), "byte {at} of {text}");
        }
        let mut shorter = text.clone().into_bytes();
        shorter.remove(at);
        assert!(check(shorter).is_err(), "without byte {at}");
    }
    for more in ["\n", " ", "#", "\r\n"] {
        assert_eq!(name(check(format!("{text}{more}").into_bytes())), "edited");
        assert_eq!(name(check(format!("{more}{text}").into_bytes())), "edited");
    }
    assert_eq!(name(check(text.replace('\n', "\r\n").into_bytes())), "edited");
}

#[test]
fn an_edit_that_is_written_well_is_seen_by_its_signatures() {
    let (_, text) = signed();
    let raised = text.replacen("bound = 86400.0", "bound = 96400.0", 1);
    assert_ne!(&raised, text);
    assert_eq!(name(check(raised.into_bytes())), "edited");
    let swapped = text.replacen("operator/operator/maker", "operator/operator/other", 1);
    assert_eq!(name(check(swapped.into_bytes())), "edited");
    let more = text.replacen("schema = ", "extra = 1\nschema = ", 1);
    assert_eq!(name(check(more.into_bytes())), "not-readable");
    let other = text.replacen("slacktide/sign-off/1", "slacktide/sign-off/2", 1);
    assert_eq!(name(check(other.into_bytes())), "not-readable");
}

proptest! {
    #[test]
    fn any_text_is_refused_and_no_panic(text in ".{0,200}") {
        prop_assert!(SignOff::parse(&text).is_err());
    }

    #[test]
    fn anything_put_in_anywhere_is_refused(at in 0.0_f64..1.0, what in "[ -~\n]{1,6}") {
        let (_, text) = signed();
        let at = (at * text.len() as f64) as usize;
        prop_assume!(text.is_char_boundary(at));
        let mut edited = text.clone();
        edited.insert_str(at, &what);
        prop_assert!(check(edited.into_bytes()).is_err());
    }
}
