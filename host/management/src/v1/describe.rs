//! The description of the API (OpenAPI 3.1), made of the code.

use utoipa::{
    PartialSchema as _, ToSchema as _,
    openapi::{
        Components, Info, OpenApi, OpenApiBuilder, SecurityRequirement, ServerBuilder,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::problem::ErrorBody;

/// What is not said by a route.
pub(super) fn base() -> OpenApi {
    let mut components = Components::new();
    // Named by the errors of all routes (`failures.rs`).
    let mut schemas = vec![(ErrorBody::name().into_owned(), ErrorBody::schema())];
    ErrorBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    components.add_security_scheme(
        "bearer",
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
    );
    components.add_security_scheme(
        "api_key",
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Api-Key"))),
    );
    let mut info = Info::new("Larder management API", "1");
    info.description = Some(
        "Every route needs a key with the role `read`, `delete` or `admin`; each includes those before it. A key is for one \
         tenant or for all; `tenant` selects one for a key of all. Times are milliseconds since 1970."
            .to_owned(),
    );
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url("/api/v1").build()]))
        .components(Some(components))
        .security(Some([
            SecurityRequirement::new::<_, [&str; 0], &str>("bearer", []),
            SecurityRequirement::new::<_, [&str; 0], &str>("api_key", []),
        ]))
        .build()
}

/// Returns the description of the API.
#[must_use]
pub fn openapi() -> OpenApi {
    super::described().split_for_parts().1
}
