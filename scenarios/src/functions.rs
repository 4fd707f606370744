//! What devices do is free text; where it is nearly a word the policy knows, somebody may have meant that word.

use slacktide_engine::document::nearest;
use slacktide_engine::policy::Policy;
use std::collections::{BTreeMap, BTreeSet};

/// Letters that one word has and the other has not, at most, for one to be taken for the other: a letter more, less or another.
const LETTERS_APART_MAX: i32 = 2;

/// Says so of each function that a policy gives no criticality and that is nearly one it does.
pub fn nearly_known<'a>(functions: impl IntoIterator<Item = &'a str>, policy: &Policy) -> Vec<String> {
    let known: BTreeSet<&str> = policy.scores.criticality.iter().map(|(function, _)| function.as_str()).collect();
    let given: BTreeSet<&str> = functions.into_iter().filter(|function| !known.contains(function)).collect();
    let near = |function: &&str| {
        let lower = function.to_lowercase();
        let meant = nearest(&lower, known.iter().copied()).filter(|meant| letters_apart(&lower, meant))?;
        Some(format!(
            "the policy knows no function `{function}`, so those devices have the criticality {}; did you mean `{meant}`?",
            policy.scores.criticality_default
        ))
    };
    given.iter().filter_map(near).collect()
}

/// The nearest of a few words may still be another word altogether, such as `worker` for `router`.
fn letters_apart(a: &str, b: &str) -> bool {
    let mut counts: BTreeMap<char, i32> = BTreeMap::new();
    a.chars().for_each(|letter| *counts.entry(letter).or_default() += 1);
    b.chars().for_each(|letter| *counts.entry(letter).or_default() -= 1);
    counts.values().map(|count| count.abs()).sum::<i32>() <= LETTERS_APART_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use slacktide_engine::policy::library;

    #[test]
    fn slips_of_the_pen_are_told_and_other_words_are_not() {
        let policy = library::named("predictive").unwrap();
        let said = |function: &str| nearly_known([function, function, "web"], &policy);
        for (function, meant) in [
            ("databse", "database"),
            ("Database", "database"),
            ("webs", "web"),
            ("sensors", "sensor"),
            ("cashe", "cache"),
        ] {
            let said = said(function);
            assert_eq!(said.len(), 1, "{function}");
            assert!(
                said[0].contains(&format!("`{function}`")) && said[0].ends_with(&format!("`{meant}`?")),
                "{said:?}"
            );
        }
        for function in ["web", "router", "kiosk", "sender", "payments", "api", ""] {
            assert!(said(function).is_empty(), "{function}");
        }
    }
}
