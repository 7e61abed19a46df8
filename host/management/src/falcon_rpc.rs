//! The typed client of the known server (oRPC): a procedure for each route. Input and output are in a
//! field `json`.

use std::sync::Arc;

use axum::{
    Json as Answer,
    extract::{FromRequest as _, FromRequestParts as _, Request, State},
    response::{IntoResponse as _, Response},
};
use larder_index::AccessRole;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    access::{Deleter, Reader, Session},
    app::App,
    falcon,
    params::{Json, Names},
    problem::{Problem, falcon_body},
};

/// What the client sends.
#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    json: Value,
}

#[derive(Deserialize)]
struct ById {
    id: String,
}

/// The procedures, and the roles that they need.
const PROCEDURES: [(&str, &str, AccessRole); 7] = [
    ("cacheEntries", "get", AccessRole::Read),
    ("cacheEntries", "match", AccessRole::Read),
    ("cacheEntries", "findMany", AccessRole::Read),
    ("cacheEntries", "delete", AccessRole::Delete),
    ("cacheEntries", "deleteMany", AccessRole::Delete),
    ("storageLocations", "get", AccessRole::Read),
    ("storageLocations", "delete", AccessRole::Delete),
];

pub(crate) async fn call(State(app): State<Arc<App>>, request: Request) -> Response {
    match answer(&app, request).await {
        Ok(json) => Answer(json!({ "json": json })).into_response(),
        Err(problem) => {
            let body = json!({ "json": falcon_body(&problem) });
            (problem.status(), Answer(body)).into_response()
        }
    }
}

async fn answer(app: &Arc<App>, request: Request) -> Result<Value, Problem> {
    let (mut parts, body) = request.into_parts();
    let names = Names::from_request_parts(&mut parts, app).await?;
    let (router, procedure) = (names.get("router"), names.get("procedure"));
    let known = PROCEDURES.iter().find(|(of, name, _)| (*of, *name) == (router, procedure));
    let Some((.., role)) = known else { return Err(Problem::not_found("there is no such procedure")) };
    let session = match role {
        AccessRole::Read => Reader::from_request_parts(&mut parts, app).await?.0,
        AccessRole::Delete | AccessRole::Admin => Deleter::from_request_parts(&mut parts, app).await?.0,
    };
    let Json(Call { json }) = Json::from_request(Request::from_parts(parts, body), app).await?;
    run(&session, (router, procedure), json).await
}

async fn run(session: &Session, procedure: (&str, &str), input: Value) -> Result<Value, Problem> {
    match procedure {
        ("cacheEntries", "get") => falcon::find(session, &read::<ById>(input)?.id).await,
        ("cacheEntries", "match") => falcon::find_match(session, read(input)?).await,
        ("cacheEntries", "findMany") => falcon::find_many(session, &read(input)?).await,
        ("cacheEntries", "delete") => {
            falcon::delete_one(session, &read::<ById>(input)?.id).await.map(|()| Value::Null)
        }
        ("cacheEntries", _) => falcon::delete_selected(session, &read(input)?).await.map(|()| Value::Null),
        (_, "get") => falcon::find_location(session, &read::<ById>(input)?.id).await,
        _ => falcon::delete_one(session, &read::<ById>(input)?.id).await.map(|()| Value::Null),
    }
}

fn read<T: DeserializeOwned>(input: Value) -> Result<T, Problem> {
    serde_json::from_value(input)
        .map_err(|error| Problem::bad_request(format!("the input cannot be read: {error}")))
}
