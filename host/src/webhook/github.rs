//! The events of GitHub, Gitea and Forgejo that end a scope.

use serde::Deserialize;

/// A scope that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// The platform's number of the repository.
    pub(super) repository_id: u64,
    /// `owner/name`.
    pub(super) repository_name: String,
    pub(super) scope: String,
}

/// The delivery is not what its event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

#[derive(Deserialize)]
struct Repository {
    id: u64,
    full_name: String,
}

#[derive(Deserialize)]
struct PullRequest {
    action: String,
    number: u64,
    repository: Repository,
}

#[derive(Deserialize)]
struct Delete {
    #[serde(rename = "ref")]
    name: String,
    ref_type: String,
    repository: Repository,
}

/// Returns the scope that the event ends; `None` if it ends none, or is another event.
pub(super) fn ended(event: &[u8], body: &[u8]) -> Result<Option<Ended>, Malformed> {
    let (repository, scope) = match event {
        b"pull_request" => {
            let PullRequest { action, number, repository } = parse(body)?;
            if action != "closed" {
                return Ok(None);
            }
            (repository, format!("refs/pull/{number}/merge"))
        }
        b"delete" => {
            let Delete { name, ref_type, repository } = parse(body)?;
            // Gitea names the whole ref.
            let name = name.strip_prefix("refs/heads/").or(name.strip_prefix("refs/tags/")).unwrap_or(&name);
            match &*ref_type {
                "branch" => (repository, format!("refs/heads/{name}")),
                "tag" => (repository, format!("refs/tags/{name}")),
                _ => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(Ended { repository_id: repository.id, repository_name: repository.full_name, scope }))
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Malformed> {
    serde_json::from_slice(body).map_err(|_| Malformed)
}

/// Returns why a delivery is malformed. GitHub sends a form where nothing else is chosen.
pub(super) fn explain(body: &[u8]) -> &'static str {
    if body.starts_with(b"payload=") {
        "the delivery is a form: choose the content type application/json for the webhook"
    } else {
        "the delivery is not JSON of such an event"
    }
}
