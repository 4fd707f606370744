//! Every field of scenarios and policies with every kind of mistake: refused, and told where it stands and what would be right.

use serde_json::Value;
use slacktide_engine::document::InputError;
use slacktide_engine::policy::{Policy, library as policies};
use slacktide_scenarios::{Scenario, library};
use std::fmt::Write as _;
use toml::Value as Toml;

/// Stands for a bad value until the text is made, so that its line can be found without the reader under test.
const MARK: &str = "@@bad@@";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Number,
    Whole,
    Text,
    Truth,
    Word,
    NumberOrWord,
    Numbers,
    Words,
    Table,
}

#[derive(Debug, Clone)]
struct Field {
    /// Steps: keys, `0` for the first of a list, `*` for a free name.
    path: Vec<String>,
    kind: Kind,
    /// Keys of a table.
    keys: Vec<String>,
}

fn resolved<'a>(root: &'a Value, node: &'a Value) -> &'a Value {
    if let Some(name) = node["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
        return resolved(root, &root["$defs"][name]);
    }
    match node["anyOf"].as_array().map(|any| any.iter().filter(|n| n["type"] != "null").collect::<Vec<_>>()) {
        Some(any) if any.len() == 1 => resolved(root, any[0]),
        _ => node,
    }
}

fn is_type(node: &Value, name: &str) -> bool {
    node["type"] == name || node["type"].as_array().is_some_and(|all| all.iter().any(|t| t == name))
}

/// All fields of a JSON schema, tables too.
fn fields(root: &Value, node: &Value, path: &[String], found: &mut Vec<Field>) {
    let node = resolved(root, node);
    let below = |name: &str| [path, &[name.to_owned()]].concat();
    let mut leaf = |kind| found.push(Field { path: path.to_vec(), kind, keys: Vec::new() });
    if let Some(properties) = node["properties"].as_object() {
        found.push(Field { path: path.to_vec(), kind: Kind::Table, keys: properties.keys().cloned().collect() });
        properties.iter().for_each(|(name, below_it)| fields(root, below_it, &below(name), found));
    } else if node["additionalProperties"].is_object() {
        fields(root, &node["additionalProperties"], &below("*"), found);
    } else if is_type(node, "array") {
        let item = resolved(root, &node["items"]);
        if item["properties"].is_object() {
            fields(root, item, &below("0"), found);
        } else {
            leaf(if is_type(item, "string") { Kind::Words } else { Kind::Numbers });
        }
    } else if node["anyOf"].is_array() {
        leaf(Kind::NumberOrWord);
    } else if node["oneOf"].is_array() || node["enum"].is_array() {
        leaf(Kind::Word);
    } else if is_type(node, "integer") {
        leaf(Kind::Whole);
    } else if is_type(node, "number") {
        leaf(Kind::Number);
    } else if is_type(node, "boolean") {
        leaf(Kind::Truth);
    } else {
        assert!(is_type(node, "string"), "{path:?}: {node}");
        leaf(Kind::Text);
    }
}

fn all_fields(schema: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    fields(schema, schema, &[], &mut found);
    found
}

/// Texts that may say anything.
const FREE: [&str; 8] = ["name", "summary", "teaches", "function", "demand_metric", "only", "variants", "regions"];

/// Bad values of a field as a file writes them, and what the answer must hold beside the place.
fn mistakes(field: &Field) -> Vec<(&'static str, &'static str)> {
    let free = field.path.last().is_some_and(|last| FREE.contains(&last.as_str()));
    match field.kind {
        Kind::Number => {
            ["1e300", "-1e300", "nan", "inf", "\"many\"", "[1]"].map(|bad| (bad, "must be a number in ")).to_vec()
        }
        // The one whole number with a type of its own, of 8 bits.
        Kind::Whole if field.path.last().is_some_and(|last| last == "priority") => {
            ["-1", "256", "1.5", "\"many\""].map(|bad| (bad, "must be a whole number in 0..=255")).to_vec()
        }
        Kind::Whole => {
            ["-1", "99999999999", "1.5", "nan", "\"many\""].map(|bad| (bad, "must be a whole number in ")).to_vec()
        }
        Kind::Text if free => vec![("7", "must be text in quotation marks")],
        Kind::Text => ["\"-5m\"", "\"5 parsecs\"", "\"\"", "7"].map(|bad| (bad, "")).to_vec(),
        Kind::Truth => vec![("\"yes\"", "must be true or false"), ("1", "must be true or false")],
        Kind::Word => vec![("\"guess\"", "must be one of "), ("7", "must be one of ")],
        Kind::NumberOrWord => {
            vec![("-1", "must be a"), ("nan", "must be a"), ("\"guess\"", "must be a"), ("true", "must be a")]
        }
        Kind::Numbers => vec![("[nan, 1]", "must "), ("\"x\"", "must be a list"), ("[]", "must ")],
        Kind::Words if free => vec![("7", "must be a list"), ("[7]", "")],
        Kind::Words => vec![("7", "must be a list"), ("[\"guess\"]", "")],
        Kind::Table => vec![("7", "must be a table of keys"), ("\"x\"", "must be a table of keys")],
    }
}

fn put(into: &mut Toml, path: &[String], value: Toml) {
    let Some((step, rest)) = path.split_first() else {
        *into = value;
        return;
    };
    if step == "0" {
        if !into.is_array() {
            *into = Toml::Array(vec![Toml::Table(toml::Table::new())]);
        }
        put(&mut into.as_array_mut().unwrap()[0], rest, value);
    } else {
        if !into.is_table() {
            *into = Toml::Table(toml::Table::new());
        }
        put(into.as_table_mut().unwrap().entry(step.clone()).or_insert(Toml::Integer(0)), rest, value);
    }
}

/// The path as an error writes it.
fn written(path: &[String]) -> String {
    path.iter().fold(String::new(), |mut text, step| {
        let dot = if text.is_empty() { "" } else { "." };
        let _ = if step == "0" { write!(text, "[0]") } else { write!(text, "{dot}{step}") };
        text
    })
}

/// Fields that must stand beside another for it to be looked at.
fn companions(path: &[String]) -> Vec<(&'static str, Toml)> {
    let last = path.last().map(String::as_str).unwrap_or_default();
    let number = Toml::Float(1.0);
    match path.iter().rev().nth(1).map(String::as_str) {
        Some("bad_release") if matches!(last, "ramp" | "variants" | "version") => {
            vec![("regression_cpu_points", number)]
        }
        Some("rate") if last != "base_per_minute" => vec![("base_per_minute", number)],
        Some("0") if path.iter().any(|step| step == "waves") && last != "share_percent" => {
            vec![("share_percent", Toml::Float(100.0))]
        }
        Some("0") if path.iter().any(|step| step == "stones") && last != "version" => vec![("version", "1.5".into())],
        _ => Vec::new(),
    }
}

/// The file with a value put in, and the line it stands in.
fn spoilt(base: &toml::Table, path: &[String], bad: &str) -> (String, usize) {
    let mut document = Toml::Table(base.clone());
    if let Some((_, parent)) = path.split_last().filter(|(_, parent)| !parent.is_empty() && parent != &["pools", "0"]) {
        put(&mut document, parent, Toml::Table(toml::Table::new()));
        for (key, value) in companions(path) {
            put(&mut document, &[parent, &[key.to_owned()]].concat(), value);
        }
    }
    put(&mut document, path, MARK.into());
    let text = toml::to_string(&document).unwrap();
    let line = text.lines().position(|line| line.contains(MARK)).unwrap() + 1;
    (text.replace(&format!("\"{MARK}\""), bad), line)
}

struct Tally {
    files: usize,
    failures: Vec<String>,
}

impl Tally {
    fn judge(&mut self, text: &str, read: Result<(), InputError>, line: usize, field: &str, says: &str) {
        self.files += 1;
        let shown = text.lines().nth(line - 1).unwrap_or_default();
        let mut complain = |what: String| self.failures.push(format!("{field} in `{shown}`: {what}"));
        match read {
            Ok(()) => complain("accepted".to_owned()),
            Err(error) => {
                let at = error.field == field || error.field.starts_with(&format!("{field}["));
                let whole = at && error.line == Some(line) && error.source_name == "bad.toml";
                if !whole || !error.problem.contains(says) || error.problem.contains("invalid type") {
                    complain(format!("line {line}, wanted `{says}`; said {error}"));
                } else if error.value.is_empty()
                    && ![shown.contains("\"\""), says.contains("did you mean"), says == "missing"].contains(&true)
                {
                    complain(format!("the value is not named: {error}"));
                }
            }
        }
    }

    #[expect(clippy::print_stdout, reason = "how many files there were")]
    fn done(self, at_least: usize) {
        println!("{} bad files", self.files);
        assert!(self.failures.is_empty(), "{} of {}:\n{}", self.failures.len(), self.files, self.failures.join("\n"));
        assert!(self.files >= at_least, "only {} files", self.files);
    }
}

/// Every field, every mistake of its kind; bases take turns.
fn every_field(
    schema: &Value,
    bases: &[toml::Table],
    read: impl Fn(&str) -> Result<(), InputError>,
    tally: &mut Tally,
) {
    for (i, field) in all_fields(schema).into_iter().enumerate() {
        let base = &bases[i % bases.len()];
        let region = base.get("pools").and_then(|p| p[0].get("regions")).and_then(|r| r[0].as_str()).unwrap_or("eu");
        let free = |step: &String| match (step.as_str(), field.path.iter().any(|s| s == "versions")) {
            ("*", true) => "1".to_owned(),
            ("*", false) => region.to_owned(),
            (step, _) => step.to_owned(),
        };
        let path: Vec<String> = field.path.iter().map(free).collect();
        if !path.is_empty() && path.last().is_some_and(|last| last != "0") {
            for (bad, says) in mistakes(&field) {
                let (text, line) = spoilt(base, &path, bad);
                tally.judge(&text, read(&text), line, &written(&path), says);
            }
        }
        if let Some(key) = field.keys.iter().max_by_key(|key| key.len()) {
            let typo = key.replacen(|c: char| c.is_ascii_lowercase(), "", 1);
            let path = [path.as_slice(), &[typo]].concat();
            let (text, line) = spoilt(base, &path, "1");
            tally.judge(&text, read(&text), line, &written(&path), &format!("did you mean `{key}`?"));
        }
    }
}

fn scenario(text: &str) -> Result<(), InputError> {
    Scenario::from_toml("bad.toml", text).map(|_| ())
}

fn policy(text: &str) -> Result<(), InputError> {
    Policy::from_toml("bad.toml", text).map(|_| ())
}

#[test]
fn every_field_of_a_scenario_refuses_every_mistake_and_says_where() {
    let bases: Vec<toml::Table> =
        library::names().into_iter().map(|name| library::text(name).unwrap().parse().unwrap()).collect();
    let mut tally = Tally { files: 0, failures: Vec::new() };
    every_field(&Scenario::schema(), &bases, scenario, &mut tally);
    tally.done(400);
}

#[test]
fn every_field_of_a_policy_refuses_every_mistake_and_says_where() {
    let bases: Vec<toml::Table> =
        policies::names().into_iter().map(|name| policies::text(name).unwrap().parse().unwrap()).collect();
    let mut tally = Tally { files: 0, failures: Vec::new() };
    every_field(&Policy::schema(), &bases, policy, &mut tally);
    tally.done(150);
}

/// Mistakes that take more than one field: text, line, field, and what the answer must hold.
const TOGETHER: [(&str, usize, &str, &str); 24] = [
    ("tick = \"7m\"\n[[pools]]\n", 1, "tick", "must divide the policy's slot of 15m"),
    (
        "[[pools]]\n[policy_overrides.plan]\nslot = \"16m\"\n",
        3,
        "policy_overrides.plan.slot",
        "multiple of the scenario's tick",
    ),
    ("start = \"2024-02-30T00:00:00Z\"\n[[pools]]\n", 1, "start", "such as 2024-03-04T00:00:00Z"),
    ("start = \"9999-12-31T00:00:00Z\"\n[[pools]]\n", 1, "start", "to 2199-12-31"),
    ("[[pools]]\nname = \"van\"\n[[pools]]\nname = \"van\"\n", 4, "pools[1].name", "is the name of pools[0] already"),
    ("[[pools]]\nname = \"pool2\"\n[[pools]]\n", 3, "pools[1].name", "is the name of pools[0] already"),
    ("pools = []\n", 1, "pools", "at least one"),
    ("[[pools]]\nregions = []\n", 2, "pools[0].regions", "at least one"),
    ("[[pools]]\nweight = [3, 1]\n", 2, "pools[0].weight[1]", "in 3..="),
    ("[[pools]]\nvariants = { a = 0 }\n", 2, "pools[0].variants", "above 0"),
    ("[[pools]]\n[pools.versions]\n\"1.0\" = 1\n\"x.y\" = 1\n", 4, "pools[0].versions.\"x.y\"", "version"),
    ("policy = \"predictiv\"\n[[pools]]\n", 1, "policy", "did you mean `predictive`?"),
    ("[[pools]]\n[package]\nversion = 2.0\n", 3, "package.version", "must be a version in quotation marks"),
    ("[[pools]]\n[package]\ntarget = \"version <\"\n", 3, "package.target", "column"),
    ("[[pools]]\n[package]\nversion = \"1.0\"\nversion = \"2.0\"\n", 4, "package.version", "each key stands once"),
    ("[[pools]]\n[package]\n[package]\n", 3, "package", "each key stands once"),
    (
        "[[pools]]\n[[failures.outages]]\nevery = \"3d\"\nafter = \"1h\"\n",
        4,
        "failures.outages[0].after",
        "one of them",
    ),
    (
        "[[pools]]\n[[failures.outages]]\nonly = [\n\"eu-1\",\n\"eu-9\"]\n",
        5,
        "failures.outages[0].only[1]",
        "did you mean",
    ),
    (
        "[[pools]]\n[failures.bad_release]\nregression_cpu_points = 3\ncrash_loop_percent = 5\n",
        2,
        "failures.bad_release",
        "needs one of",
    ),
    (
        "[[pools]]\n[failures.bad_release]\ncrash_loop_percent = 5\nramp = \"1h\"\n",
        4,
        "failures.bad_release.ramp",
        "regression_cpu_points only",
    ),
    (
        "[[pools]]\n[failures.bad_release]\ncrash_loop_percent = 5\nvariants = [\"z\"]\n",
        4,
        "failures.bad_release.variants[0]",
        "There are a",
    ),
    (
        "[[pools]]\n[policy_overrides]\nwaves = [{ share_percent = 50 }]\n",
        3,
        "policy_overrides.waves[0].share_percent",
        "must have 100",
    ),
    (
        "[[pools]]\n[policy_overrides]\n[[policy_overrides.windows]]\nto = \"25:00\"\n",
        4,
        "policy_overrides.windows[0].to",
        "HH:MM",
    ),
    (
        "[[pools]]\n[policy_overrides]\n[[policy_overrides.windows]]\ndays = [\"mon\", \"day\"]\n",
        4,
        "policy_overrides.windows[0].days[1]",
        "write mon",
    ),
];

#[test]
fn fields_that_do_not_go_together_are_refused_where_they_stand() {
    let mut tally = Tally { files: 0, failures: Vec::new() };
    for (text, line, field, says) in TOGETHER {
        let read = scenario(text).map_err(|mut error| {
            // A key that stands twice has no value of its own.
            if says.contains("once") {
                error.value = "twice".to_owned();
            }
            error
        });
        tally.judge(text, read, line, field, says);
    }
    tally.judge(
        "[[waves]]\nsoak = \"1h\"\n",
        policy("[[waves]]\nsoak = \"1h\"\n"),
        1,
        "waves[0].share_percent",
        "missing",
    );
    tally.done(TOGETHER.len());
}

#[test]
fn a_file_that_was_cut_off_is_read_as_far_as_it_goes_or_names_its_last_line() {
    let text = library::text("everything-at-once").unwrap();
    let (mut refused, mut read) = (0, 0);
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        match Scenario::from_toml("bad.toml", &text[..end]) {
            Ok(_) => read += 1,
            Err(error) => {
                refused += 1;
                assert!(!error.problem.is_empty() && error.source_name == "bad.toml");
                let lines = text[..end].lines().count().max(1);
                assert!(error.line.is_none_or(|line| line <= lines + 1), "cut at {end}: {error}");
                assert!(error.line.is_some() || error.field == "pools", "cut at {end}: {error}");
            }
        }
    }
    assert!(refused > 100 && read > 100, "{refused} refused, {read} read");
}
