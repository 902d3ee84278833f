//! What the fields of a JSON log are called.

use super::entry::Part;
use super::json::Json;

/// For every part of a request the names to look for, the first that is there counts.
#[derive(Debug, Clone)]
pub struct Names {
    time: Vec<String>,
    status: Vec<String>,
    client: Vec<String>,
    agent: Vec<String>,
    method: Vec<String>,
    path: Vec<String>,
    headers: Vec<String>,
}

impl Default for Names {
    /// The names of nginx (as commonly configured), Envoy, Caddy, Traefik, Google Cloud
    /// and the usual logging libraries.
    fn default() -> Names {
        let list = |names: &str| names.split_ascii_whitespace().map(str::to_owned).collect();
        Names {
            time: list(
                "time time_iso8601 timestamp @timestamp ts time_local msec start_time StartUTC \
                 datetime date",
            ),
            status: list(
                "status response_code status_code statusCode code DownstreamStatus \
                 httpRequest.status response.status http.response.status_code response",
            ),
            client: list(
                "remote_addr client_ip client remote_ip clientip clientIp ClientHost ip \
                 address remote_address downstream_remote_address request.client_ip \
                 request.remote_ip httpRequest.remoteIp client.ip source.ip remote_host host",
            ),
            agent: list(
                "http_user_agent user_agent userAgent agent user-agent request_User-Agent \
                 httpRequest.userAgent user_agent.original",
            ),
            method: list(
                "request_method method RequestMethod httpRequest.requestMethod request.method \
                 http.request.method verb",
            ),
            path: list(
                "request_uri uri path url RequestPath httpRequest.requestUrl request.uri \
                 url.path target",
            ),
            headers: list("headers request_headers request.headers requestHeaders http_headers"),
        }
    }
}

impl Names {
    /// Reads `time=ts,status=code,client=user`: those parts are looked for under these
    /// names alone.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right.
    pub fn read(text: &str) -> Result<Names, String> {
        let mut names = Names::default();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let Some((part, name)) = pair.split_once('=').filter(|(_, name)| !name.is_empty())
            else {
                return Err(format!("`{pair}` is not PART=FIELD, such as time=ts"));
            };
            let list = match part {
                "time" => &mut names.time,
                "status" => &mut names.status,
                "client" | "address" => &mut names.client,
                "agent" => &mut names.agent,
                "method" => &mut names.method,
                "path" => &mut names.path,
                "headers" => &mut names.headers,
                _ => {
                    return Err(format!(
                        "`{part}` is no part of a request: known are time, status, client, \
                         agent, method, path, headers"
                    ));
                }
            };
            *list = vec![name.to_owned()];
        }
        Ok(names)
    }

    /// The part of a request in a line; a field that is null is not there.
    pub(super) fn find<'j, 'a>(&self, json: &'j Json<'a>, part: Part) -> Option<&'j Json<'a>> {
        let names = match part {
            Part::Time => &self.time,
            Part::Status => &self.status,
            Part::Client => &self.client,
            Part::Agent => &self.agent,
            Part::Method => &self.method,
            Part::Path => &self.path,
            Part::Headers => &self.headers,
        };
        let found = names.iter().filter_map(|name| json.at(name));
        found.into_iter().find(|value| !matches!(value, Json::Null))
    }
}
