//! The OpenAPI description of what is served, made from the handlers themselves: each
//! route is registered once, for both.

pub(crate) mod documents;
pub(crate) mod ofrep;

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref,
    ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};

/// What a role is called in an operation.
const ROLE: &str = "x-crossfade-role";

/// The scheme of bearer tokens.
const BEARER: &str = "bearer";

/// The document that routes are added to.
pub(crate) fn skeleton() -> OpenApi {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Crossfade's control plane")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Holds the policy, takes in what edges and nodes saw, and runs the rollout. \
             `x-crossfade-role` of an operation is the role that it needs: `none`, `read`, \
             `report`, `edge` (`read` or `report`), `operate` or `admin`. Bodies are JSON and need \
             `content-type: application/json`; every error is a problem document (RFC 9457), \
             except OpenFeature's.",
        ))
        .license(Some(license))
        .build();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = ComponentsBuilder::new()
        .security_scheme(BEARER, bearer)
        .schema(documents::Problem::name(), documents::Problem::schema())
        .schema(documents::Wrong::name(), documents::Wrong::schema())
        .build();
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// Adds what every operation has: the token that it needs, and problems.
pub(crate) fn complete(mut document: OpenApi) -> OpenApi {
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        operations.into_iter().flatten().for_each(complete_operation);
    }
    document
}

fn complete_operation(operation: &mut Operation) {
    if role(operation) != "none" {
        let token = SecurityRequirement::new::<_, [String; 0], String>(BEARER, []);
        // On loopback without a token file, reading and reporting are open.
        let open =
            (!matches!(role(operation), "operate" | "admin")).then(SecurityRequirement::default);
        operation.security = Some([token].into_iter().chain(open).collect());
    }
    let problem = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(documents::Problem::name())))
        .build();
    let answer = ResponseBuilder::new()
        .description("What is wrong, and what to do")
        .content("application/problem+json", problem)
        .build();
    operation.responses.responses.insert("default".to_owned(), answer.into());
}

fn role(operation: &Operation) -> &str {
    let extensions = operation.extensions.as_ref();
    extensions.and_then(|all| all.get(ROLE)).and_then(|role| role.as_str()).unwrap_or("none")
}
