//! Every address in an answer, page or header leads to the site again, wherever the site stands.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use chatpic_core::testing::samples;
use chatpic_core::{ChatPic, InstallationSecret};
use serde_json::{Map, Value, json};
use tower::ServiceExt;

use crate::{Options, router, site_routes};

const HOST: &str = "example.org";

/// A site that is reached under a path of `example.org`.
struct Place {
    router: Router,
    /// The path.
    prefix: &'static str,
    /// Whether a proxy takes the path away before the site sees it.
    stripped: bool,
    /// Links begin with it.
    scheme: &'static str,
}

/// Every way in which a site can stand somewhere.
async fn places() -> Vec<(&'static str, Place)> {
    let at_root = |router| Place { router, prefix: "", stripped: false, scheme: "http" };
    let with_path = |router| Place { router, prefix: "/pics", stripped: false, scheme: "https" };
    let named =
        || Options { base_url: Some(format!("https://{HOST}/pics/").parse().unwrap()), ..Options::default() };
    let plain = Options::default;
    let nested = Router::new().nest("/pics", site(plain()).await);
    let nested_service = Router::new().nest_service("/pics", site(plain()).await);
    let nested_and_named = Router::new().nest_service("/pics", site(named()).await);
    vec![
        ("at the root", at_root(site(plain()).await)),
        ("nested", Place { scheme: "http", ..with_path(nested) }),
        ("nested as a service", Place { scheme: "http", ..with_path(nested_service) }),
        ("nested and named", with_path(nested_and_named)),
        ("behind a proxy that leaves the path", with_path(site(named()).await)),
        ("behind a proxy that strips the path", Place { stripped: true, ..with_path(site(named()).await) }),
    ]
}

async fn site(options: Options) -> Router {
    let chatpic = ChatPic::builder(InstallationSecret::from_bytes([42; 32])).build().await.unwrap();
    router(chatpic, options)
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Place {
    /// Asks for a public address, as the world would.
    async fn ask(&self, mut request: Request<Body>) -> Answer {
        if self.stripped {
            let uri = request.uri().to_string();
            let inner = uri.strip_prefix(self.prefix).unwrap();
            let slash = if inner.starts_with('/') { "" } else { "/" };
            *request.uri_mut() = format!("{slash}{inner}").parse().unwrap();
        }
        request.headers_mut().insert(header::HOST, HOST.parse().unwrap());
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        // A stream has no end.
        let is_stream =
            parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        let bytes = if is_stream {
            Default::default()
        } else {
            axum::body::to_bytes(body, usize::MAX).await.unwrap()
        };
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// The path and query of an address in an answer; it must be the site's own.
    fn own(&self, address: &str, found_in: &str) -> String {
        let path = address.strip_prefix(&format!("{}://{HOST}", self.scheme)).unwrap_or(address);
        let path = path.split('#').next().unwrap().to_owned();
        let rest = path.strip_prefix(self.prefix);
        let is_own =
            rest.is_some_and(|rest| rest.starts_with('/') || (rest.is_empty() && !self.prefix.is_empty()));
        assert!(is_own, "{address:?} leads out of the site, in {found_in}");
        path
    }
}

/// A page's tags, each with its name and attributes.
fn tags(html: &str) -> Vec<(&str, BTreeMap<&str, String>)> {
    html.split('<')
        .skip(1)
        .map(|tag| {
            let tag = tag.split('>').next().unwrap();
            let (name, rest) = tag.split_once(' ').unwrap_or((tag, ""));
            let pieces: Vec<_> = rest.split('"').collect();
            let attribute = |pair: &[&'_ str]| pair[1].replace("&#38;", "&").replace("&amp;", "&");
            let named = pieces.chunks_exact(2);
            let named = named
                .map(|pair| (pair[0].trim_end_matches('=').rsplit(' ').next().unwrap(), attribute(pair)));
            (name, named.collect())
        })
        .collect()
}

/// The texts in a JSON value that are addresses.
fn addresses_in(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if text.starts_with('/') || text.starts_with("http") => vec![text.clone()],
        Value::Array(all) => all.iter().flat_map(addresses_in).collect(),
        Value::Object(all) => all.values().flat_map(addresses_in).collect(),
        _ => Vec::new(),
    }
}

/// A form's file fields and others.
#[derive(Default)]
struct Form {
    action: String,
    multipart: bool,
    texts: Vec<(String, String)>,
    files: Vec<String>,
}

/// A picture that is quickly marked and traced.
fn picture() -> Vec<u8> {
    samples::jpeg(&samples::photograph(96, 64, 7), 80)
}

fn multipart(texts: &[(String, String)], files: &[String]) -> (&'static str, Vec<u8>) {
    let mut body = Vec::new();
    for (name, value) in texts {
        body.extend(
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes(),
        );
    }
    for name in files {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a\"\r\n\r\n");
        body.extend([head.as_bytes(), &picture(), b"\r\n"].concat());
    }
    body.extend(b"--b--\r\n");
    ("multipart/form-data; boundary=b", body)
}

/// A browser that follows everything.
struct Visitor<'a> {
    place: &'a Place,
    cookies: BTreeMap<(String, String), String>,
    visited: BTreeSet<String>,
    posted: BTreeSet<String>,
    /// What pages said in fields that hold links: the share link, then the dashboard link.
    links: Vec<String>,
}

impl Visitor<'_> {
    async fn send(&mut self, method: Method, path: &str, kind: Option<&str>, body: Vec<u8>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for ((under, name), value) in &self.cookies {
            if path.starts_with(under) {
                request = request.header(header::COOKIE, format!("{name}={value}"));
            }
        }
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let answer = self.place.ask(request.body(Body::from(body)).unwrap()).await;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let (pair, rest) = cookie.to_str().unwrap().split_once("; Path=").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let under = self.place.own(rest.split(';').next().unwrap(), path);
            self.cookies.insert((under, name.to_owned()), value.to_owned());
        }
        answer
    }

    /// Reads an answer; gives the addresses and forms in it.
    fn read(&mut self, path: &str, answer: &Answer) -> (Vec<String>, Vec<Form>) {
        let own = |address: &str| self.place.own(address, path);
        let mut found: Vec<_> = answer
            .headers
            .get(header::LOCATION)
            .map(|location| own(location.to_str().unwrap()))
            .into_iter()
            .collect();
        let kind = answer.headers.get(header::CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap());
        let mut forms: Vec<Form> = Vec::new();
        if kind.contains("json") {
            found.extend(
                addresses_in(&serde_json::from_str(&answer.text).unwrap()).iter().map(|address| own(address)),
            );
        }
        if !kind.starts_with("text/html") {
            return (found, forms);
        }
        for (tag, attributes) in tags(&answer.text) {
            for name in ["href", "src", "data-path", "data-events", "data-full", "data-still"] {
                let address =
                    attributes.get(name).filter(|address| !address.is_empty() && !address.starts_with('#'));
                found.extend(address.map(|address| own(address)));
            }
            let widths = attributes.get("srcset").into_iter().flat_map(|set| set.split(", "));
            found.extend(widths.map(|one| own(one.split(' ').next().unwrap())));
            let text = |name: &str| attributes.get(name).cloned().unwrap_or_default();
            if tag == "form" {
                let action = attributes.get("action").map_or(path.to_owned(), |action| own(action));
                forms.push(Form { action, multipart: !text("enctype").is_empty(), ..Form::default() });
            }
            let link = text("value");
            if link.starts_with("http") {
                found.push(own(&link));
                self.links.push(link);
            }
            if let (Some(form), "input" | "button" | "select" | "textarea") = (forms.last_mut(), tag)
                && let Some(name) = attributes.get("name")
            {
                match name.as_str() {
                    "images" | "image" => form.files.push(name.clone()),
                    "original" => {}
                    _ if form.texts.iter().any(|(other, _)| other == name) => {}
                    _ => form.texts.push((name.clone(), text("value"))),
                }
            }
        }
        (found, forms)
    }

    /// Fills a form in, and sends it.
    async fn post(&mut self, mut form: Form) -> Answer {
        let link =
            |kind: &str| self.links.iter().find(|link| link.contains(kind)).cloned().unwrap_or_default();
        let is_dashboard = form.action.contains("/d/");
        for (name, value) in &mut form.texts {
            *value = match name.as_str() {
                "key" if is_dashboard => link("/d/"),
                "key" | "link" => link("/s/"),
                "reason" => "a reason".to_owned(),
                "keep_ledger" => "2592000".to_owned(),
                _ => continue,
            };
        }
        let (kind, body) = if form.multipart {
            multipart(&form.texts, &form.files)
        } else {
            let escape = |text: &str| {
                percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
            };
            let pairs: Vec<_> =
                form.texts.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
            ("application/x-www-form-urlencoded", pairs.join("&").into_bytes())
        };
        self.posted.insert(form.action.clone());
        self.send(Method::POST, &form.action, Some(kind), body).await
    }

    /// Follows everything that can be reached from an address. What burns comes last.
    async fn walk(&mut self, from: String) {
        let mut addresses = vec![from];
        let mut forms: Vec<Form> = Vec::new();
        loop {
            let (path, answer) = if let Some(address) = addresses.pop() {
                (address.clone(), self.send(Method::GET, &address, None, Vec::new()).await)
            } else {
                let next = forms.iter().position(|form| !form.action.ends_with("/burn"));
                if next.is_none() && !forms.is_empty() {
                    self.ask_for_every_route(&forms).await;
                }
                let Some(form) = next.or(Some(0)).filter(|at| *at < forms.len()).map(|at| forms.remove(at))
                else {
                    return;
                };
                (form.action.clone(), self.post(form).await)
            };
            assert!(
                answer.status.is_success() || answer.status.is_redirection(),
                "{path}: {} {}",
                answer.status,
                answer.text
            );
            let (found, sent) = self.read(&path, &answer);
            if answer.status.is_redirection() {
                // It may look different now.
                self.visited.remove(&found[0]);
            }
            addresses.extend(found.into_iter().filter(|address| self.visited.insert(address.clone())));
            for form in sent {
                if !self.posted.contains(&form.action)
                    && !forms.iter().any(|other| other.action == form.action)
                {
                    forms.push(form);
                }
            }
        }
    }

    /// Whether each of the site's routes is answered here: by a page, or a form that was found.
    async fn ask_for_every_route(&mut self, unsent: &[Form]) {
        let id = self.links[0].split('#').next().unwrap().rsplit('/').next().unwrap().to_owned();
        for (pattern, _) in site_routes() {
            let path = match pattern {
                "/" => self.place.prefix.to_owned(),
                _ => format!("{}{}", self.place.prefix, pattern.replace("{id}", &id).replace("{index}", "0")),
            };
            let path = if path.is_empty() { "/".to_owned() } else { path };
            let answer = self.send(Method::GET, &path, None, Vec::new()).await;
            match answer.status {
                StatusCode::METHOD_NOT_ALLOWED => {
                    if !self.posted.contains(&path) && !unsent.iter().any(|form| form.action == path) {
                        // A script's, which no form of a page leads to.
                        let posted = self.send(Method::POST, &path, None, Vec::new()).await;
                        assert!(![404, 405].contains(&posted.status.as_u16()), "{path}: {}", posted.status);
                    }
                }
                status => assert!(status.is_success() || status.is_redirection(), "{path}: {status}"),
            }
            self.read(&path, &answer);
        }
    }
}

/// Makes every call that the document tells of; what deletes comes last.
async fn call_everything(place: &Place) {
    let file = format!("{}/api/v1/openapi.json", place.prefix);
    let document: Value = serde_json::from_str(&place.get(&file).await.text).unwrap();
    let api = place.own(document["servers"][0]["url"].as_str().unwrap(), &file);
    let resolve = |schema: &Value| match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap().clone(),
        None => schema.clone(),
    };
    // What callers know, by the names that the document has for it.
    let mut known = Map::new();
    let mut told = json!({ "extend_by": 60, "keep_ledger": 60, "reason": "a reason" });
    known.append(told.as_object_mut().unwrap());
    let calls = document["paths"].as_object().unwrap().iter();
    let calls = calls.flat_map(|(path, calls)| {
        calls.as_object().unwrap().iter().map(move |(method, call)| (path, method, call))
    });
    let mut calls: Vec<_> = calls.filter(|(_, _, call)| call.is_object()).collect();
    let creates = |path: &str, method: &str| method == "post" && path == "/shares";
    calls.sort_by_key(|(path, method, _)| match () {
        () if creates(path, method) => 0,
        () if method.as_str() == "post" && path.ends_with("/sessions") => 1,
        () if method.as_str() == "delete" => 3,
        () => 2,
    });
    for (path, method, call) in calls {
        let text = |name: &str| known[name].as_str().unwrap().to_owned();
        let mut address = format!("{api}{path}").replace("{index}", "0");
        if address.contains("{id}") {
            address = address.replace("{id}", &text("share_id"));
        }
        let mut request = Request::builder().method(method.to_uppercase().as_str()).uri(&address);
        for scheme in call["security"][0].as_object().into_iter().flat_map(Map::keys) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", text(scheme)));
        }
        let content = &call["requestBody"]["content"];
        let mut body = Vec::new();
        for (kind, told) in content.as_object().into_iter().flatten() {
            let schema = resolve(&told["schema"]);
            let required =
                schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
            if kind.starts_with("multipart") {
                let (kind, form) = multipart(&[], &required.collect::<Vec<_>>());
                (request, body) = (request.header(header::CONTENT_TYPE, kind), form);
            } else {
                let json: Map<_, _> = required.map(|name| (name.clone(), known[&name].clone())).collect();
                (request, body) =
                    (request.header(header::CONTENT_TYPE, kind), Value::from(json).to_string().into_bytes());
            }
        }
        let answer = place.ask(request.body(Body::from(body)).unwrap()).await;
        assert!(answer.status.is_success(), "{method} {address}: {} {}", answer.status, answer.text);
        let Ok(json) = serde_json::from_str::<Value>(&answer.text) else { continue };
        for found in addresses_in(&json) {
            // An image is the session's; everything else can be looked at without a key.
            let path = place.own(&found, &address);
            let mut request = Request::get(&path);
            if let Some(token) = json["token"].as_str() {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let followed = place.ask(request.body(Body::empty()).unwrap()).await;
            assert_eq!(followed.status, 200, "{found} in {method} {address}: {}", followed.text);
        }
        for (name, theirs) in [
            ("share_id", "share_id"),
            ("key", "link_key"),
            ("dashboard_key", "dashboard_key"),
            ("session_token", "token"),
        ] {
            if let Some(value) = json[theirs].as_str().filter(|_| !known.contains_key(name)) {
                known.insert(name.to_owned(), value.into());
            }
        }
    }
}

#[tokio::test]
async fn every_address_in_every_answer_holds_wherever_the_site_stands() {
    for (name, place) in places().await {
        println!("{name}");
        call_everything(&place).await;
        let home = if place.prefix.is_empty() { "/" } else { place.prefix };
        let mut visitor = Visitor {
            place: &place,
            cookies: BTreeMap::new(),
            visited: BTreeSet::new(),
            posted: BTreeSet::new(),
            links: Vec::new(),
        };
        visitor.walk(home.to_owned()).await;
        assert!(visitor.posted.iter().any(|action| action.ends_with("/burn")), "it came to the end");
    }
}

#[tokio::test]
async fn the_front_page_is_found_with_and_without_a_slash_and_by_search_engines() {
    for (name, place) in places().await {
        for path in [place.prefix.to_owned(), format!("{}/", place.prefix)] {
            // `Router::nest` leaves the slash to the host.
            if path.is_empty() || (name == "nested" && path.ends_with('/')) {
                continue;
            }
            let front = place.get(&path).await;
            assert_eq!(front.status, 200, "{name}: {path}");
            assert!(!front.headers.contains_key("x-robots-tag"), "{name}: {path}");
        }
        let privacy = place.get(&format!("{}/privacy", place.prefix)).await;
        assert_eq!(privacy.headers["x-robots-tag"], "noindex", "{name}");
    }
}

#[tokio::test]
async fn what_operators_ask_for_is_at_the_root_alone_unless_asked() {
    for path in ["/healthz", "/readyz", "/metrics"] {
        let nested = async |options| {
            let router = Router::new().nest_service("/pics", site(options).await);
            Place { router, prefix: "/pics", stripped: false, scheme: "http" }
                .get(&format!("/pics{path}"))
                .await
                .status
        };
        assert_eq!(nested(Options::default()).await, 404, "{path}");
        assert_eq!(nested(Options { nested_health: true, ..Options::default() }).await, 200, "{path}");
        let named =
            Options { base_url: Some("https://example.org/pics".parse().unwrap()), ..Options::default() };
        let router = site(named).await;
        let place = Place { router, prefix: "", stripped: false, scheme: "https" };
        assert_eq!(place.get(path).await.status, 200, "{path}");
        assert_eq!(place.get(&format!("/pics{path}")).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_bent_link_leads_to_its_page() {
    for (name, place) in places().await {
        for kind in ["s", "d"] {
            let share = format!("{}/{kind}/AAECAwQFBgcICQoL", place.prefix);
            let slash = place.get(&format!("{share}/")).await;
            assert_eq!(
                (slash.status, slash.headers[header::LOCATION].to_str().unwrap()),
                (StatusCode::SEE_OTHER, &*share),
                "{name}"
            );
            for bent in ["%23_-ECAwQFBgcICQoLDA0ODw", "%23_-ECAwQFBgcICQoLDA0ODw/", ".", "%E2%80%8B"] {
                let shell = place.get(&format!("{share}{bent}")).await;
                assert_eq!(shell.status, 200, "{name}: {bent}");
                assert!(shell.text.contains(&format!("action=\"{share}\"")), "{name}: {bent}");
                assert!(!shell.text.contains("_-ECAwQ"), "{name}: {bent}");
            }
        }
    }
}
