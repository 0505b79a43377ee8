//! The OpenAPI document, made from the handlers.

use axum::Json;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::{api, events};

#[derive(OpenApi)]
#[openapi(
    info(title = "ChatPic", description = "Private, temporary image sharing in which every view can be traced", license(name = "MIT OR Apache-2.0")),
    servers((url = "/api/v1")),
    modifiers(&Keys),
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

impl Modify for Keys {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        for (name, description) in [
            ("dashboard_key", "The dashboard key of the share"),
            ("session_token", "The token of a viewing session of the share"),
        ] {
            let scheme =
                HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
    }
}

pub(crate) async fn show() -> Json<Document> {
    Json(Api::openapi())
}
