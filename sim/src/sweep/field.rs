//! A value put into the text of a policy or of a scenario, which is then read as if somebody had written it there.

use super::axis::Axis;
use serde_json::Value;
use slacktide_engine::document::{InputError, nearest};
use slacktide_engine::policy::Policy;
use slacktide_scenarios::Scenario;
use std::collections::BTreeSet;
use toml::Value as Toml;

/// What fields of the scenario begin with.
pub const SCENARIO: &str = "scenario.";

/// Fields that can be varied, dotted: those of the policy, and those of the scenario after `scenario.`. Lists have no part of their own
/// (`pools.share`), a free name is `*` (`regions.*.out_max`).
pub fn fields() -> Vec<String> {
    let mut all = BTreeSet::new();
    walk(&Policy::schema(), "", &mut all);
    let mut of_scenario = BTreeSet::new();
    walk(&Scenario::schema(), "", &mut of_scenario);
    // What a scenario lays over its policy is the policy's business.
    let own = of_scenario.into_iter().filter(|field| !field.starts_with("policy_overrides"));
    all.into_iter().chain(own.map(|field| format!("{SCENARIO}{field}"))).collect()
}

/// Collects the leaves of a JSON schema.
fn walk(root: &Value, prefix: &str, found: &mut BTreeSet<String>) {
    fn visit(root: &Value, node: &Value, path: &str, found: &mut BTreeSet<String>) {
        if let Some(name) = node["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
            return visit(root, &root["$defs"][name], path, found);
        }
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let any = node["anyOf"].as_array().into_iter().flatten();
        let mut any = any.filter(|n| n["type"] != "null").peekable();
        if any.peek().is_some() {
            any.for_each(|n| visit(root, n, path, found));
        } else if let Some(properties) = node["properties"].as_object() {
            properties.iter().for_each(|(name, n)| visit(root, n, &below(name), found));
        } else if node["additionalProperties"].is_object() {
            visit(root, &node["additionalProperties"], &below("*"), found);
        } else if node["items"]["$ref"].is_string() {
            visit(root, &node["items"], path, found);
        } else {
            found.insert(path.to_owned());
        }
    }
    visit(root, root, prefix, found);
}

/// Is there such a field? Numbers that choose one of a list may stand in it.
fn is_known(fields: &[String], path: &str) -> bool {
    let parts: Vec<&str> = path.split('.').filter(|part| part.parse::<usize>().is_err()).collect();
    fields.iter().any(|field| {
        let known: Vec<&str> = field.split('.').collect();
        known.len() == parts.len() && known.iter().zip(&parts).all(|(k, p)| k == p || *k == "*" && !p.is_empty())
    })
}

/// Checks that every axis names a field, that no two name the same, and finds out which take whole numbers only: those that will have
/// an end of their range but nothing between two whole numbers.
///
/// # Errors
/// [`InputError`] naming the nearest field.
pub fn check_axes(axes: &mut [Axis], takes: impl Fn(&Axis, &Value) -> bool) -> Result<(), InputError> {
    let fields = fields();
    for i in 0..axes.len() {
        let field = axes[i].field.clone();
        let wrong = |problem: String| InputError {
            source_name: "--vary".to_owned(),
            line: None,
            field: field.clone(),
            value: String::new(),
            problem,
        };
        if !is_known(&fields, &field) {
            let scenario = format!("{SCENARIO}{field}");
            let near = if is_known(&fields, &scenario) {
                Some(scenario.as_str())
            } else {
                nearest(&field, fields.iter().map(String::as_str))
            };
            let hint = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            let whole = "`slacktide policy show predictive --full` prints a policy's fields, `slacktide scenario schema` a scenario's (after `scenario.`)";
            return Err(wrong(format!("there is no such field{hint} {whole}")));
        }
        if axes[..i].iter().any(|other| other.field == field) {
            return Err(wrong("is varied twice".to_owned()));
        }
        if let Some(fraction) = axes[i].fraction()
            && !takes(&axes[i], &fraction)
        {
            let mut whole = axes[i].clone();
            whole.make_whole();
            if takes(&whole, &whole.first()) {
                axes[i] = whole;
            }
        }
    }
    Ok(())
}

/// A TOML text with values put in at dotted paths. A number in a path chooses one of a list; a list without one has the value put into
/// all its members. Where the text has a list of words, the value is one of words joined by `+`.
///
/// # Errors
/// The field whose path leads nowhere, and why.
pub fn with_values<'a>(
    text: &str,
    values: impl IntoIterator<Item = (&'a str, &'a Value)>,
) -> Result<String, (String, String)> {
    let table = text.parse::<toml::Table>().map_err(|e| (String::new(), e.message().to_owned()))?;
    let mut document = Toml::Table(table);
    for (path, value) in values {
        let parts: Vec<&str> = path.split('.').collect();
        put(&mut document, &parts, value).map_err(|problem| (path.to_owned(), problem))?;
    }
    toml::to_string(&document).map_err(|e| (String::new(), e.to_string()))
}

fn put(into: &mut Toml, path: &[&str], value: &Value) -> Result<(), String> {
    let Some((part, rest)) = path.split_first() else {
        *into = match (&*into, value) {
            (Toml::Array(_), Value::String(words)) => {
                Toml::Array(words.split('+').map(|word| Toml::String(word.trim().to_owned())).collect())
            }
            _ => toml_of(value),
        };
        return Ok(());
    };
    match into {
        Toml::Table(table) => put(table.entry(*part).or_insert_with(|| Toml::Table(toml::Table::new())), rest, value),
        Toml::Array(items) => match part.parse::<usize>() {
            Ok(index) => {
                let count = items.len();
                let item = items.get_mut(index).ok_or_else(|| format!("there are {count}, counted from 0"))?;
                put(item, rest, value)
            }
            Err(_) => items.iter_mut().try_for_each(|item| put(item, path, value)),
        },
        _ => Err(format!("`{part}` is looked for in a plain value")),
    }
}

fn toml_of(value: &Value) -> Toml {
    match value {
        Value::Bool(truth) => Toml::Boolean(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Toml::Integer(whole),
            (None, number) => Toml::Float(number.unwrap_or(f64::NAN)),
        },
        Value::String(text) => Toml::String(text.clone()),
        other => Toml::String(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_both_languages() {
        let fields = fields();
        for field in [
            "plan.device_load_max",
            "monitor.lookahead",
            "waves.0.soak",
            "scores.criticality.web",
            "scenario.devices",
            "scenario.pools.load.base_percent",
            "scenario.pools.1.load.base_percent",
            "scenario.updates.install.median",
            "forecast.models",
        ] {
            assert!(is_known(&fields, field), "{field}");
        }
        for field in
            ["plan", "plan.device_load", "scenario.pools.load", "devices", "scenario.policy_overrides.plan.slot"]
        {
            assert!(!is_known(&fields, field), "{field}");
        }
    }

    #[test]
    fn values_are_put_where_the_path_says() {
        let text = "a = 1\n[[pools]]\nload = { base = 1 }\n[[pools]]\n";
        let put = |path: &str, value: Value| with_values(text, [(path, &value)]);
        let read = |text: String| text.parse::<toml::Table>().unwrap();
        let all = read(put("pools.load.base", 7.into()).unwrap());
        assert_eq!(
            (all["pools"][0]["load"]["base"].as_integer(), all["pools"][1]["load"]["base"].as_integer()),
            (Some(7), Some(7))
        );
        let one = read(put("pools.0.load.base", 7.5.into()).unwrap());
        assert_eq!((one["pools"][0]["load"]["base"].as_float(), one["pools"][1].get("load")), (Some(7.5), None));
        let new = read(put("updates.install.median", "9m".into()).unwrap());
        assert_eq!(new["updates"]["install"]["median"].as_str(), Some("9m"));
        let words = with_values("models = [\"naive\"]\n", [("models", &"arima+theta".into())]).unwrap();
        assert_eq!(read(words)["models"].as_array().map(Vec::len), Some(2));
        assert!(put("pools.2.share", 1.into()).unwrap_err().1.contains("there are 2"));
        assert!(put("a.b", 1.into()).unwrap_err().1.contains("plain value"));
    }

    #[test]
    fn mistakes_name_the_nearest_field() {
        let said = |field: &str| {
            let mut axes = [Axis::parse(&format!("{field}=1..2")).unwrap()];
            check_axes(&mut axes, |_, _| true).unwrap_err().to_string()
        };
        assert!(said("plan.device_load_mx").contains("did you mean `plan.device_load_max`?"));
        assert!(said("devices").contains("did you mean `scenario.devices`?"));
        let mut twice = ["a", "a"].map(|_| Axis::parse("plan.device_load_max=1..2").unwrap());
        assert!(check_axes(&mut twice, |_, _| true).unwrap_err().to_string().contains("varied twice"));
    }
}
