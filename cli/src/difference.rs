//! Where two lines of a journal part: the field, and what stands around it. A header is thousands of characters long, and the one that
//! differs is hard to find among them.

/// Characters shown on either side of the first that differs.
const AROUND: usize = 60;

/// The first difference of two texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Dotted, where the first text is JSON.
    pub(crate) field: Option<String>,
    /// Its place, from 1.
    pub(crate) character: usize,
    /// What stands around it in the first text, and in the second.
    pub(crate) around: [String; 2],
}

/// Compares two texts that are not the same.
pub(crate) fn difference(one: &str, other: &str) -> Difference {
    let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    Difference { field: field_at(one, same), character: same + 1, around: [one, other].map(|text| around(text, same)) }
}

fn around(text: &str, middle: usize) -> String {
    let first = middle.saturating_sub(AROUND);
    let shown: String = text.chars().skip(first).take(middle - first + AROUND).collect();
    let before = if first > 0 { "…" } else { "" };
    let after = if text.chars().nth(middle + AROUND).is_some() { "…" } else { "" };
    format!("{before}{shown}{after}")
}

/// An object or a list that is open, and what stands open in it.
enum Open {
    /// The newest key, and whether the next text is one.
    Object(String, bool),
    /// The place of the element.
    List(usize),
}

/// The field that a character of a JSON text lies in. It is read by eye: a text that was changed need not be JSON any more.
fn field_at(text: &str, place: usize) -> Option<String> {
    let mut open: Vec<Open> = Vec::new();
    let (mut quoted, mut escaped) = (None::<String>, false);
    for c in text.chars().take(place) {
        if let Some(word) = &mut quoted {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    if let Some(Open::Object(key, true)) = open.last_mut() {
                        key.clone_from(word);
                    }
                    quoted = None;
                }
                c => word.push(c),
            }
            continue;
        }
        match (c, open.last_mut()) {
            ('"', _) => quoted = Some(String::new()),
            ('{', _) => open.push(Open::Object(String::new(), true)),
            ('[', _) => open.push(Open::List(0)),
            ('}' | ']', _) => drop(open.pop()),
            (':', Some(Open::Object(_, is_key))) => *is_key = false,
            (',', Some(Open::Object(key, is_key))) => (*key, *is_key) = (String::new(), true),
            (',', Some(Open::List(place))) => *place += 1,
            _ => {}
        }
    }
    let mut path = String::new();
    for step in &open {
        match step {
            Open::Object(key, _) if key.is_empty() => {}
            Open::Object(key, _) => path.push_str(&format!("{}{key}", if path.is_empty() { "" } else { "." })),
            Open::List(place) => path.push_str(&format!("[{place}]")),
        }
    }
    (!path.is_empty()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_and_its_neighbourhood_are_named() {
        let filler = "x".repeat(4000);
        let line = |traces: &str| {
            format!(
                "{{\"n\":0,\"entry\":{{\"policy\":\"{filler}\",\"metrics\":[\"a,{{\",\"b \\\" c\"],\"world\":{{\"traces\":[\"a\",{traces}],\"fleet\":null}}}}}}"
            )
        };
        let found = difference(&line("\"20 machines\""), &line("\"21 machines\""));
        assert_eq!(found.field.as_deref(), Some("entry.world.traces[1]"));
        assert!(found.character > 4000, "{found:?}");
        let [recorded, replayed] = &found.around;
        assert!(recorded.contains("20 machines") && replayed.contains("21 machines"), "{found:?}");
        assert!(recorded.chars().count() <= 2 * AROUND + 2 && recorded.starts_with('…'), "{found:?}");
    }

    #[test]
    fn texts_that_are_no_json_or_end_are_compared_too() {
        let found = difference("{\"n\":1}", "nothing");
        assert_eq!((found.field, found.character), (None, 1));
        assert_eq!(difference("{\"n\":1", "{\"n\":1}").field.as_deref(), Some("n"));
        assert_eq!(difference("äö", "äü").around, ["äö", "äü"].map(str::to_owned));
    }
}
