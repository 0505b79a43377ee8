//! The OpenAPI document tells of every call, and every call does what it tells.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};

use crate::site::{Answer, Shared, Site, photograph};

/// The document, and which of its calls were made.
struct Contract {
    document: Value,
    made: BTreeSet<(String, String)>,
}

impl Contract {
    fn resolve<'a>(&'a self, mut schema: &'a Value) -> &'a Value {
        while let Some(reference) = schema["$ref"].as_str() {
            schema = self.document.pointer(reference.trim_start_matches('#')).unwrap();
        }
        schema
    }

    /// Checks that a value has the schema's properties, and no others.
    fn assert_fits(&self, value: &Value, schema: &Value, place: &str) {
        let schema = self.resolve(schema);
        if value.is_null() {
            return;
        }
        if let Some(items) = schema.get("items") {
            for (n, item) in
                value.as_array().unwrap_or_else(|| panic!("{place} is a list")).iter().enumerate()
            {
                self.assert_fits(item, items, &format!("{place}[{n}]"));
            }
        } else if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            let object = value.as_object().unwrap_or_else(|| panic!("{place} is an object"));
            let (told, found): (BTreeSet<_>, BTreeSet<_>) =
                (properties.keys().collect(), object.keys().collect());
            assert_eq!(told, found, "{place}");
            for (name, schema) in properties {
                self.assert_fits(&object[name], schema, &format!("{place}.{name}"));
            }
        } else if let Some(words) = schema["enum"].as_array() {
            assert!(words.contains(value), "{place}: {value} is none of {words:?}");
        } else if let Some(first) =
            schema["oneOf"].as_array().and_then(|all| all.iter().find(|s| s["type"] != "null"))
        {
            self.assert_fits(value, first, place);
        }
    }

    /// Checks an answer against what the document tells of the call.
    fn check(&mut self, method: &str, path: &str, answer: &Answer) {
        let call = &self.document["paths"][path][method];
        assert!(call.is_object(), "{method} {path} is not told");
        let responses = call["responses"].as_object().unwrap();
        let status = answer.status.as_u16();
        let told = responses.get(&status.to_string());
        let told =
            told.filter(|_| status < 400).or_else(|| responses.get("default").filter(|_| status >= 400));
        let told = told.unwrap_or_else(|| panic!("{method} {path}: {status} is not told: {}", answer.text()));
        if let Some(content) = told["content"].as_object() {
            let kind = answer.headers[header::CONTENT_TYPE].to_str().unwrap();
            let kind = kind.split(';').next().unwrap();
            let any = format!("{}/*", kind.split('/').next().unwrap());
            let schema = content.get(kind).or_else(|| content.get(&any));
            let schema = schema.unwrap_or_else(|| panic!("{method} {path}: {kind} is not told"));
            if kind.ends_with("json") {
                self.assert_fits(&answer.json(), &schema["schema"], &format!("{method} {path} {status}"));
            }
        }
        if status < 400 {
            self.made.insert((method.to_owned(), path.to_owned()));
        }
    }
}

#[tokio::test]
async fn every_type_of_problem_is_written_down() {
    let document = Site::new().await.get("/api/v1/openapi.json", None).await.expect(200).json();
    let told = &document["components"]["schemas"]["ProblemDocument"]["properties"]["type"]["enum"];
    let told: Vec<_> = told.as_array().unwrap().iter().map(|urn| urn.as_str().unwrap().to_owned()).collect();
    let text = include_str!("../../docs/problems.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let written: Vec<_> = rows.map(|(kind, _)| format!("urn:chatpic:problem:{kind}")).collect();
    assert_eq!(written, told);
}

#[tokio::test]
async fn every_documented_call_is_made_and_answers_as_documented() {
    let site = Site::new().await;
    let document = site.get("/api/v1/openapi.json", None).await.expect(200).json();
    let mut contract = Contract { document, made: BTreeSet::new() };

    let created = site.upload(&[("max_views", "3")], &[&photograph()]).await.expect(201);
    contract.check("post", "/shares", &created);
    contract.check("post", "/shares", &site.upload(&[], &[]).await.expect(422));
    let shared = Shared::from(created.json());
    let path = |rest: &str| format!("/api/v1/shares/{}{rest}", shared.id);
    let (post, key) = (Method::POST, Some(shared.dashboard_key.as_str()));

    contract.check("get", "/shares/{id}", &site.get(&path(""), None).await.expect(200));
    let opened = site.open_session(&shared, json!({})).await.expect(201);
    contract.check("post", "/shares/{id}/sessions", &opened);
    let wrong = site.call(post.clone(), &path("/sessions"), None, json!({ "key": "x" })).await.expect(401);
    contract.check("post", "/shares/{id}/sessions", &wrong);
    let session = opened.json();
    let token = session["token"].as_str();
    contract.check(
        "get",
        "/shares/{id}/sessions/current",
        &site.get(&path("/sessions/current"), token).await,
    );
    let seen = site.call(post.clone(), &path("/sessions/current/seen"), token, Value::Null).await.expect(200);
    contract.check("post", "/shares/{id}/sessions/current/seen", &seen);
    let image = site.get(&path("/images/0?width=640"), token).await.expect(200);
    contract.check("get", "/shares/{id}/images/{index}", &image);
    contract.check(
        "get",
        "/shares/{id}/images/{index}",
        &site.get(&path("/images/9"), token).await.expect(404),
    );
    contract.check("get", "/shares/{id}/dashboard", &site.get(&path("/dashboard"), key).await.expect(200));
    contract.check("get", "/shares/{id}/dashboard", &site.get(&path("/dashboard"), None).await.expect(401));
    contract.check(
        "get",
        "/shares/{id}/sessions.csv",
        &site.get(&path("/sessions.csv"), key).await.expect(200),
    );
    let preview = site.call(post.clone(), &path("/preview"), key, Value::Null).await.expect(201);
    assert_eq!(preview.json()["session"], "UPLOADER");
    contract.check("post", "/shares/{id}/preview", &preview);
    for by in [json!(3600), json!(3600.0), json!("PT1H")] {
        let body = json!({ "extend_by": by });
        let extended = site.call(post.clone(), &path("/extend"), key, body).await.expect(200);
        contract.check("post", "/shares/{id}/extend", &extended);
    }
    let keep = json!({ "keep_ledger": "P30D" });
    contract.check(
        "patch",
        "/shares/{id}",
        &site.call(Method::PATCH, &path(""), key, keep).await.expect(200),
    );
    contract.check("post", "/shares/{id}/trace", &site.trace(&shared, &image.body).await.expect(200));
    contract.check("post", "/shares/{id}/trace", &site.trace(&shared, b"no picture").await.expect(415));
    let report = site.call(post, &path("/reports"), None, json!({ "reason": "look" })).await.expect(202);
    contract.check("post", "/shares/{id}/reports", &report);

    let request = Request::get(path("/events"))
        .header(header::AUTHORIZATION, format!("Bearer {}", shared.dashboard_key));
    let stream = site.begin(request.body(Body::empty()).unwrap()).await;
    let answer = Answer { status: stream.status(), headers: stream.headers().clone(), body: Vec::new() };
    contract.check("get", "/shares/{id}/events", &answer);

    contract.check("delete", "/shares/{id}", &site.burn(&shared).await.expect(200));
    contract.check("get", "/shares/{id}", &site.get(&path(""), None).await.expect(404));
    let ended = site.get(&path("/dashboard"), key).await.expect(200);
    contract.check("get", "/shares/{id}/dashboard", &ended);

    let told: BTreeSet<_> = contract.document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, calls)| {
            let calls = calls.as_object().unwrap().keys();
            calls
                .filter(|name| ["get", "post", "patch", "delete", "put"].contains(&name.as_str()))
                .map(move |method| (method.clone(), path.clone()))
        })
        .collect();
    assert_eq!(contract.made, told, "every documented call was made and succeeded");
}
