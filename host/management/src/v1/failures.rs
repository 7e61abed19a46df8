//! The errors that routes may respond with, for the description.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses, ToSchema as _,
    openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder},
};

use crate::problem::ErrorBody;

fn responses(statuses: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let one = |(status, description): &(&str, &str)| {
        let schema = Ref::from_schema_name(ErrorBody::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response =
            ResponseBuilder::new().description(*description).content("application/json", content).build();
        ((*status).to_owned(), RefOr::T(response))
    };
    statuses.iter().map(one).collect()
}

const BAD: (&str, &str) = ("400", "A parameter or the body cannot be read");
const NO_KEY: (&str, &str) = ("401", "No valid key");
const FORBIDDEN: (&str, &str) = ("403", "The key lacks the role, or is for another tenant");
const MISSING: (&str, &str) = ("404", "There is no such thing, repository or tenant");
const CONFLICT: (&str, &str) = ("409", "The name is taken");
const BUSY: (&str, &str) = ("409", "Another exchange is under way, or nothing was in force before");
const REFUSED: (&str, &str) =
    ("422", "It cannot be used, and nothing changes; the message is for its author");
const LARGE: (&str, &str) = ("413", "The body is too long");
const MANY: (&str, &str) = ("429", "There are too many live streams");
const UNSUPPORTED: (&str, &str) = ("501", "This database, or this way to ask, does not do that");
const UNAVAILABLE: (&str, &str) =
    ("503", "Database or storage failed, or no key is configured at all; try again");

/// Makes a type that stands for some errors.
macro_rules! failures {
    ($($name:ident, $statuses:expr;)*) => {
        $(pub(crate) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                responses($statuses)
            }
        })*
    };
}

failures! {
    Tenant, &[BAD, NO_KEY, FORBIDDEN, MISSING, UNSUPPORTED, UNAVAILABLE];
    Live, &[BAD, NO_KEY, FORBIDDEN, MISSING, MANY, UNSUPPORTED, UNAVAILABLE];
    Admin, &[NO_KEY, FORBIDDEN, UNSUPPORTED, UNAVAILABLE];
    Keys, &[BAD, NO_KEY, FORBIDDEN, MISSING, CONFLICT, LARGE, UNSUPPORTED, UNAVAILABLE];
    Exchange, &[BAD, NO_KEY, FORBIDDEN, MISSING, BUSY, LARGE, REFUSED, UNSUPPORTED, UNAVAILABLE];
    Body, &[BAD, NO_KEY, FORBIDDEN, MISSING, LARGE, UNSUPPORTED, UNAVAILABLE];
}
