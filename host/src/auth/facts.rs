//! The facts of a token: what it says about the job that has it. They are stored with what the job
//! saves, and grant nothing.

use serde_json::{Map, Value};

use super::{CLAIMS, Facts, claims::text};

/// Names of the same facts in the tokens of Gitea and Forgejo.
const OTHER_NAMES: [(&str, &str); 3] = [("run_id", "RunID"), ("job_id", "JobID"), ("task_id", "TaskID")];

/// Returns the claims that are kept, the most useful first: those that `configured` names.
pub(super) fn kept(configured: &[String]) -> Vec<&'static str> {
    CLAIMS.into_iter().filter(|name| configured.iter().any(|kept| kept == name)).collect()
}

/// Reads the claims `kept` of a token: from the token itself, else from its `oidc_extra`, the text
/// of a JSON object. `payload` is its claims. All of them are optional: what is missing, of another
/// form or too long is left out.
pub(super) fn read(payload: &[u8], kept: &[&'static str]) -> Facts {
    if kept.is_empty() {
        return Facts::default();
    }
    let claims: Map<String, Value> = serde_json::from_slice(payload).unwrap_or_default();
    let extra = extra(&claims);
    let mut facts = Facts::default();
    for name in kept {
        let other = OTHER_NAMES.iter().find(|(known, _)| known == name);
        let other = other.and_then(|(_, other)| claims.get(*other));
        if let Some(value) = [claims.get(*name), other, extra.get(*name)].into_iter().find_map(value) {
            let _ = facts.insert(name, &value);
        }
    }
    facts.shrink_to_fit();
    facts
}

/// Returns the further claims; none where they are missing or malformed.
pub(super) fn extra(claims: &Map<String, Value>) -> Map<String, Value> {
    match claims.get("oidc_extra") {
        Some(Value::String(json)) => serde_json::from_str(json).unwrap_or_default(),
        Some(Value::Object(extra)) => extra.clone(),
        _ => Map::new(),
    }
}

fn value(claim: Option<&Value>) -> Option<String> {
    match claim {
        Some(Value::Bool(is_so)) => Some(is_so.to_string()),
        other => text(other),
    }
}
