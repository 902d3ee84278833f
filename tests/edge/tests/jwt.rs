//! A key that is a claim: Envoy checks the token and puts the claim in a header, the
//! filter finds it there. What a client sends in that header is nobody's claim.

use crossfade_edge_tests::client::{self, Connection, Response};
use crossfade_edge_tests::config::{self, Module};
use crossfade_edge_tests::envoy::Envoy;
use crossfade_edge_tests::upstream::Upstream;
use serde_json::json;

const VERSIONS: [&str; 2] = ["v1", "v2"];

/// "a key that only this test has, and every reader of it"; HMAC with SHA-256.
const SECRET: &str = "YSBrZXkgdGhhdCBvbmx5IHRoaXMgdGVzdCBoYXMsIGFuZCBldmVyeSByZWFkZXIgb2YgaXQ";
/// `{"iss":"tests","sub":"user3"}`, signed with it.
const USER3: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJ0ZXN0cyIsInN1YiI6InVzZXIzIn0.vquO5CC6tidUTeEF6tVAm-r2jubF6Pl5RHyRtiJhBeA";
/// `{"iss":"tests","sub":"user123"}`, signed with it.
const USER123: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJ0ZXN0cyIsInN1YiI6InVzZXIxMjMifQ.KOCrVTZTmCNDyrG5BBqUpu2UW7oahuMolXaLycmbdnU";

/// `user3` is in the canary of 10 %, `user123` is not.
#[test]
fn a_claim_that_envoy_has_checked_is_a_key_and_what_a_client_says_it_is_is_none() {
    let keys = json!({ "keys": [{ "kty": "oct", "alg": "HS256", "k": SECRET }] });
    let provider = json!({
        "issuer": "tests",
        "local_jwks": { "inline_string": keys.to_string() },
        "claim_to_headers": [{ "claim_name": "sub", "header_name": "x-jwt-sub" }],
    });
    let jwt = json!({ "name": "jwt", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": { "tests": provider },
        "rules": [{ "match": { "prefix": "/" }, "requires": { "requires_any": { "requirements": [
            { "provider_name": "tests" }, { "allow_missing": {} },
        ] } } }],
    } });
    let plugin = json!({
        "policy": { "api": "a", "versions": VERSIONS, "key": { "header": "x-jwt-sub" },
                    "canary_percentage": 10 },
        "reason_header": "x-why",
    });
    let upstream = Upstream::start(&VERSIONS);
    let listener = config::filtered_after(&[jwt], "edge", Module::Shipped, &VERSIONS, &plugin);
    let envoy =
        Envoy::start("jwt", 1, &config::bootstrap(vec![listener], config::clusters(&upstream)));
    let envoy = envoy.watched();
    let ask = |token: Option<&str>, forged: Option<&str>| -> Response {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers = [("authorization", bearer.as_deref()), ("x-jwt-sub", forged)];
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let mut connection = Connection::open(envoy.address("edge")).unwrap();
        connection.ask(&client::get(headers)).unwrap()
    };
    let outcome =
        |response: &Response| (response.version().to_owned(), response.header("x-why").to_owned());
    let canary = |version: &str| (version.to_owned(), "canary".to_owned());
    let no_key = ("v1".to_owned(), "no_key".to_owned());

    assert_eq!(outcome(&ask(Some(USER3), None)), canary("v2"));
    assert_eq!(outcome(&ask(Some(USER123), None)), canary("v1"));
    assert_eq!(outcome(&ask(None, None)), no_key);
    // Who has a token is who it says, whatever else he says.
    let response = ask(Some(USER123), Some("user3"));
    assert_eq!(outcome(&response), canary("v1"));
    assert_eq!(response.received("x-jwt-sub"), ["user123"]);
    // And without one he is nobody.
    assert_eq!(outcome(&ask(None, Some("user3"))), no_key);
    let wrong = USER3.replace("eyJpc3MiOiJ0", "eyJpc3MiOiJ1");
    assert_eq!(ask(Some(&wrong), None).status, 401);
}
