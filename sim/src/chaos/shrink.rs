//! Makes a world that breaks a promise smaller, as long as it breaks the same one: whole sections first, then fields, then numbers.

use super::World;
use super::examine::{Broken, Examiner};
use toml::{Table, Value};

/// Fields that say by when a rollout must have ended: without them a world that runs out of time proves nothing.
const TIMES: [&str; 7] =
    ["until_max", "until", "timeout", "rollout_timeout", "hold_max", "approves_after", "starts_after"];

/// A smaller world.
pub(super) struct Smaller {
    pub(super) world: World,
    /// What it breaks; `None` where nothing smaller was found.
    pub(super) broken: Option<Vec<Broken>>,
    pub(super) tries: u32,
}

/// Fields whose defaults make a world larger or dearer.
const SIZES: [&str; 7] = ["name", "pools", "devices", "history", "tick", "models", "dear_series_max"];

struct Search<'a> {
    examiner: &'a Examiner,
    kind: &'a Broken,
    number: u64,
    tries: u32,
    tries_max: u32,
    stop: &'a (dyn Fn() -> bool + Sync),
    best: Table,
    broken: Option<Vec<Broken>>,
    keeps_times: bool,
}

/// A place in a document: keys of tables and positions in arrays.
type Path = Vec<Step>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    At(usize),
}

/// Makes a world smaller by at most `tries_max` runs.
pub(super) fn shrink(
    examiner: &Examiner,
    world: &World,
    kind: &Broken,
    tries_max: u32,
    stop: &(dyn Fn() -> bool + Sync),
) -> Smaller {
    let Ok(best) = world.text.parse::<Table>() else {
        return Smaller { world: world.clone(), broken: None, tries: 0 };
    };
    let keeps_times = kind.text.contains("did not end") || kind.text.contains("have no end");
    let number = world.number;
    let mut search = Search { examiner, kind, number, tries: 0, tries_max, stop, best, broken: None, keeps_times };
    while search.tries < tries_max && search.pass() {}
    Smaller { world: World { number, text: search.best.to_string() }, broken: search.broken, tries: search.tries }
}

impl Search<'_> {
    /// Tries every change once. Was any of use?
    fn pass(&mut self) -> bool {
        let mut changed = self.devices();
        let mut paths = Vec::new();
        collect(&Value::Table(self.best.clone()), &mut Vec::new(), &mut paths);
        // The broad ones first, and of arrays the last element first so that positions stay.
        paths.sort_by_key(|path| (path.len(), std::cmp::Reverse(position(path))));
        for path in paths {
            changed |= self.remove(&path) || self.halve(&path);
            if self.tries >= self.tries_max {
                break;
            }
        }
        changed
    }

    fn devices(&mut self) -> bool {
        let mut changed = false;
        while let Some(count) = self.best.get("devices").and_then(Value::as_integer).filter(|count| *count > 1) {
            let mut smaller = self.best.clone();
            smaller.insert("devices".to_owned(), Value::Integer(count / 2));
            if !self.accept(smaller) {
                break;
            }
            changed = true;
        }
        changed
    }

    fn remove(&mut self, path: &Path) -> bool {
        let mut document = Value::Table(self.best.clone());
        let Some(value) = find(&mut document, path) else { return false };
        if self.keeps_times && holds_any(&TIMES, path, value) {
            return false;
        }
        if holds_any(&SIZES, path, value) || (path.len() == 1 && holds_any(&["until_max"], path, value)) {
            return false;
        }
        take(&mut document, path) && self.accept_value(document)
    }

    fn halve(&mut self, path: &Path) -> bool {
        let mut document = Value::Table(self.best.clone());
        let Some(value) = find(&mut document, path) else { return false };
        if self.keeps_times && holds_any(&TIMES, path, value) {
            return false;
        }
        let smaller = match value {
            Value::Integer(number) if *number > 1 => Value::Integer(*number / 2),
            Value::String(text) => match text.strip_suffix('m').and_then(|minutes| minutes.parse::<i64>().ok()) {
                Some(minutes) if minutes > 1 => Value::String(super::dice::span(minutes / 2)),
                _ => return false,
            },
            _ => return false,
        };
        *value = smaller;
        self.accept_value(document)
    }

    fn accept_value(&mut self, document: Value) -> bool {
        let Value::Table(table) = document else { return false };
        self.accept(table)
    }

    /// Keeps a document that is valid and breaks the same promise.
    fn accept(&mut self, document: Table) -> bool {
        if self.tries >= self.tries_max || document == self.best || (self.stop)() {
            return false;
        }
        let world = World { number: self.number, text: document.to_string() };
        if self.examiner.setup(&world).is_err() {
            return false;
        }
        self.tries += 1;
        let verdict = self.examiner.examine(&world, self.kind.deep);
        let is_same = verdict.broken.iter().any(|broken| broken.kind == self.kind.kind);
        if is_same {
            self.best = document;
            self.broken = Some(verdict.broken);
        }
        is_same
    }
}

fn position(path: &Path) -> usize {
    match path.last() {
        Some(Step::At(at)) => *at,
        _ => 0,
    }
}

fn collect(value: &Value, path: &mut Path, paths: &mut Vec<Path>) {
    let mut visit = |step: Step, inner: &Value| {
        path.push(step);
        paths.push(path.clone());
        collect(inner, path, paths);
        path.pop();
    };
    match value {
        Value::Table(table) => table.iter().for_each(|(key, inner)| visit(Step::Key(key.clone()), inner)),
        Value::Array(array) => array.iter().enumerate().for_each(|(at, inner)| visit(Step::At(at), inner)),
        _ => {}
    }
}

fn find<'a>(value: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    let Some((step, rest)) = path.split_first() else { return Some(value) };
    let inner = match (value, step) {
        (Value::Table(table), Step::Key(key)) => table.get_mut(key)?,
        (Value::Array(array), Step::At(at)) => array.get_mut(*at)?,
        _ => return None,
    };
    find(inner, rest)
}

fn take(value: &mut Value, path: &[Step]) -> bool {
    let Some((last, before)) = path.split_last() else { return false };
    match (find(value, before), last) {
        (Some(Value::Table(table)), Step::Key(key)) => table.remove(key).is_some(),
        (Some(Value::Array(array)), Step::At(at)) if *at < array.len() && array.len() > 1 => {
            array.remove(*at);
            true
        }
        _ => false,
    }
}

/// Is a place one of these fields, or does it hold one?
fn holds_any(fields: &[&str], path: &[Step], value: &Value) -> bool {
    let is_one = |key: &str| fields.contains(&key);
    let own = matches!(path.last(), Some(Step::Key(key)) if is_one(key));
    own || match value {
        Value::Table(table) => table.iter().any(|(key, inner)| is_one(key) || holds_any(fields, &[], inner)),
        Value::Array(array) => array.iter().any(|inner| holds_any(fields, &[], inner)),
        _ => false,
    }
}
