//! The OpenAPI document, made from the handlers and told with the limits as they are set.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chatpic_core::Limits;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type,
};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, RefOr, Server};
use utoipa::{Modify, OpenApi};

use crate::client::Origin;
use crate::{App, Options, answers, api, events};

#[derive(OpenApi)]
#[openapi(
    info(title = "ChatPic", description = "Private, temporary image sharing in which every view can be traced", license(name = "MIT OR Apache-2.0")),
    modifiers(&Keys),
    tags(
        (name = "uploading", description = "Making a share; needs no key"),
        (name = "viewing", description = "What a link key and a session's token open"),
        (name = "dashboard", description = "What a dashboard key opens"),
        (name = "tracing", description = "From a leaked picture to a viewing session; needs a dashboard key"),
        (name = "reports", description = "Telling the operator of a share"),
    ),
    components(schemas(answers::Counts, answers::CurrentSession)),
    paths(
        api::create,
        api::cover,
        api::open,
        api::current,
        api::seen,
        api::image,
        api::dashboard,
        api::sessions_csv,
        api::preview,
        api::extend,
        api::keep_ledger,
        api::burn,
        api::trace,
        api::report,
        events::events,
    )
)]
struct Api;

struct Keys;

const UPLOAD_PASSWORD: &str = "upload_password";

impl Modify for Keys {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        for (name, description) in [
            ("dashboard_key", "The dashboard key of the share"),
            ("session_token", "The token of a viewing session of the share"),
            (
                UPLOAD_PASSWORD,
                "The password that the site asks uploaders for; it may stand in the form instead",
            ),
        ] {
            let scheme =
                HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
    }
}

pub(crate) async fn show(State(app): State<App>, origin: Origin) -> Json<Document> {
    let mut document = document(app.chatpic.limits(), &app.options);
    document.servers = Some(vec![Server::new(origin.api())]);
    Json(document)
}

/// The document of a site with these limits and options.
fn document(limits: &Limits, options: &Options) -> Document {
    let mut document = Api::openapi();
    let components = document.components.get_or_insert_default();
    for (schema, field, told) in limited(limits) {
        if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(schema) {
            object.properties.insert(field.to_owned(), told.into());
        }
    }
    let create: Option<&mut Operation> =
        document.paths.paths.get_mut("/shares").and_then(|path| path.post.as_mut());
    if let Some(create) = create.filter(|_| options.upload_password.is_some()) {
        let either = [
            SecurityRequirement::new::<_, [&str; 0], _>(UPLOAD_PASSWORD, []),
            SecurityRequirement::default(),
        ];
        create.security = Some(either.into());
    }
    document
}

/// The fields that limits bound, each with its schema.
fn limited(limits: &Limits) -> [(&'static str, &'static str, Schema); 10] {
    let Limits { images, image_bytes, min_expiry, max_expiry, max_ledger, .. } = limits;
    let file = || {
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new().schema_type(Type::String).format(Some(binary))
    };
    let files = ArrayBuilder::new().items(file()).min_items(Some(1)).max_items(Some(*images));
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let views = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(u64::from(limits.max_views)));
    let none = Duration::ZERO;
    let second = Duration::from_secs(1);
    [
        (
            "ShareForm",
            "images",
            files
                .description(Some(format!(
                    "1 to {images} images of at most {image_bytes} bytes each: JPEG, PNG, GIF or WebP."
                )))
                .into(),
        ),
        (
            "ShareForm",
            "expires_in",
            or_empty(length(*min_expiry, *max_expiry))
                .description(Some(format!(
                    "How long it lives; {} when absent or empty.",
                    days(limits.default_expiry)
                )))
                .into(),
        ),
        (
            "ShareForm",
            "max_views",
            or_empty(OneOfBuilder::new().item(views))
                .description(Some("No limit when absent or empty."))
                .into(),
        ),
        (
            "ShareForm",
            "password",
            text()
                .max_length(Some(limits.password_chars))
                .description(Some("None when absent or empty."))
                .into(),
        ),
        (
            "ShareForm",
            "keep_ledger",
            or_empty(length(none, *max_ledger))
                .description(Some(format!(
                    "How long a leak can be traced after the end; {} when absent or empty.",
                    days(limits.default_ledger)
                )))
                .into(),
        ),
        (
            "ExtendRequest",
            "extend_by",
            length(second, *max_expiry)
                .description(Some(format!("The new end lies at most {} ahead.", days(*max_expiry))))
                .into(),
        ),
        ("LedgerRequest", "keep_ledger", length(none, *max_ledger).into()),
        (
            "ReportRequest",
            "reason",
            text()
                .pattern(Some("\\S"))
                .max_length(Some(limits.report_chars))
                .description(Some(format!("Why, in 1 to {} characters.", limits.report_chars)))
                .into(),
        ),
        (
            "TraceForm",
            "image",
            file().description(Some(format!("The leaked picture, of at most {image_bytes} bytes."))).into(),
        ),
        (
            "TraceForm",
            "original",
            file().description(Some("The picture that was uploaded, which makes the search surer.")).into(),
        ),
    ]
}

/// A length of time: whole seconds from `min` to `max`, or as long in ISO 8601.
fn length(min: Duration, max: Duration) -> OneOfBuilder {
    let seconds = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(min.as_secs()))
        .maximum(Some(max.as_secs()))
        .description(Some("Whole seconds."))
        .examples([min.as_secs()]);
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Duration)))
        .description(Some("ISO 8601 with weeks, days, hours, minutes, seconds."))
        .examples(["PT1H"]);
    OneOfBuilder::new().item(seconds).item(text)
}

/// A field that counts as absent when it is empty.
fn or_empty(field: OneOfBuilder) -> OneOfBuilder {
    field.item(ObjectBuilder::new().schema_type(Type::String).max_length(Some(0)))
}

/// A length of time in words.
fn days(length: Duration) -> String {
    match length.as_secs() {
        86_400 => "1 day".to_owned(),
        seconds if seconds.is_multiple_of(86_400) => format!("{} days", seconds / 86_400),
        seconds => format!("{seconds} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use chatpic_core::mark::Evidence;
    use chatpic_core::{Device, Status};
    use serde_json::{Value, json};

    use super::*;
    use crate::UploadPassword;

    fn told(limits: &Limits, options: &Options) -> Value {
        serde_json::to_value(document(limits, options)).unwrap()
    }

    #[test]
    fn limits_are_told_as_they_are_set() {
        let limits = Limits {
            images: 3,
            image_bytes: 1234,
            min_expiry: Duration::from_secs(90),
            default_expiry: Duration::from_secs(100),
            max_expiry: Duration::from_secs(2 * 86_400),
            max_views: 7,
            password_chars: 20,
            default_ledger: Duration::from_secs(86_400 * 4),
            max_ledger: Duration::from_secs(86_400 * 5),
            report_chars: 30,
            ..Limits::default()
        };
        let document = told(&limits, &Options::default());
        let field = |schema: &str, field: &str| {
            document["components"]["schemas"][schema]["properties"][field].clone()
        };
        let images = field("ShareForm", "images");
        assert_eq!((&images["maxItems"], &images["items"]["format"]), (&json!(3), &json!("binary")));
        assert!(images["description"].as_str().unwrap().contains("1 to 3 images of at most 1234 bytes"));
        let bounds = |told: Value| (told["oneOf"][0]["minimum"].clone(), told["oneOf"][0]["maximum"].clone());
        assert_eq!(bounds(field("ShareForm", "expires_in")), (json!(90), json!(172_800)));
        assert!(field("ShareForm", "expires_in")["description"].as_str().unwrap().contains("100 seconds"));
        assert_eq!(bounds(field("ShareForm", "max_views")), (json!(1), json!(7)));
        assert_eq!(field("ShareForm", "password")["maxLength"], 20);
        assert_eq!(bounds(field("ShareForm", "keep_ledger")), (json!(0), json!(432_000)));
        assert!(field("ShareForm", "keep_ledger")["description"].as_str().unwrap().contains("4 days"));
        assert_eq!(bounds(field("ExtendRequest", "extend_by")), (json!(1), json!(172_800)));
        assert_eq!(bounds(field("LedgerRequest", "keep_ledger")), (json!(0), json!(432_000)));
        assert_eq!(field("ReportRequest", "reason")["maxLength"], 30);
        assert!(field("TraceForm", "image")["description"].as_str().unwrap().contains("1234"));
        assert_eq!(field("TraceForm", "original")["format"], "binary");
    }

    #[test]
    fn every_limited_field_is_one_of_the_document() {
        let document = serde_json::to_value(Api::openapi()).unwrap();
        for (schema, field, _) in limited(&Limits::default()) {
            let there = &document["components"]["schemas"][schema]["properties"][field];
            assert!(there.is_object(), "{schema}.{field}");
        }
    }

    #[test]
    fn an_upload_password_is_asked_for_where_one_is_set() {
        let security = |options: &Options| {
            told(&Limits::default(), options)["paths"]["/shares"]["post"]["security"].clone()
        };
        assert_eq!(security(&Options::default()), Value::Null);
        let asked = Options { upload_password: Some(UploadPassword::new("swordfish")), ..Options::default() };
        assert_eq!(security(&asked), json!([{ "upload_password": [] }, {}]));
    }

    #[test]
    fn words_are_enums_and_every_call_has_a_tag_that_is_described() {
        let document = told(&Limits::default(), &Options::default());
        let words = |name: &str| document["components"]["schemas"][name]["enum"].clone();
        let statuses = [Status::Active, Status::Exhausted, Status::Expired, Status::Burned];
        assert_eq!(words("ShareStatus"), json!(statuses.map(Status::as_str)));
        let devices = [Device::Phone, Device::Tablet, Device::Desktop, Device::Unknown];
        assert_eq!(words("DeviceKind"), json!(devices.map(Device::as_str)));
        let evidence = [Evidence::Blind, Evidence::Original, Evidence::Inverse, Evidence::Triple];
        assert_eq!(words("EvidenceKind"), json!(evidence.map(Evidence::as_str)));
        assert_eq!(words("Verdict"), json!(["match", "no_match"]));
        assert_eq!(words("EventName"), json!(["counts", "trace", "session", "end"]));
        let types = &document["components"]["schemas"]["ProblemDocument"]["properties"]["type"]["enum"];
        assert_eq!(types.as_array().unwrap().len(), crate::problem::KINDS.len());
        let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
        let calls = document["paths"].as_object().unwrap().values();
        for call in calls.flat_map(|calls| calls.as_object().unwrap().values()) {
            assert!(tags.contains(&&call["tags"][0]), "{}", call["operationId"]);
        }
    }
}
