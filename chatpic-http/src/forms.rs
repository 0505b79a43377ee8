//! What forms, JSON and pasted links look like before they are read.

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use chatpic_core::ShareId;
use chatpic_core::secret::Secret;
use percent_encoding::percent_decode_str;

/// Characters of a share id, which is 12 bytes in base64url.
const ID_CHARS: usize = 16;
/// Characters of a link or dashboard key, which is 16 bytes in base64url.
const KEY_CHARS: usize = 22;

/// The share id at the beginning of a path's part: a messenger may have put something behind it.
pub(crate) fn id_in(part: &str) -> Option<ShareId> {
    part.get(..ID_CHARS)?.parse().ok()
}

/// The key in a pasted text: a key alone, or a link with whatever a messenger made of it. The key is what stands first
/// after the `#`; the rest is cut off.
pub(crate) fn key_in<K>(text: &str) -> Option<Secret<K, 16>> {
    let text = percent_decode_str(text).decode_utf8_lossy();
    let text: String = text.chars().filter(|c| !is_invisible(*c)).collect();
    // A keyboard for Chinese or Japanese writes a wide one.
    let mut pieces = text.split(['#', '＃']);
    let before = pieces.next();
    pieces.chain(before).find_map(|piece| {
        let from_key = piece.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
        from_key.get(..KEY_CHARS)?.parse().ok()
    })
}

/// Spaces and line breaks, and what has no width at all: messengers put them where a line may break.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Takes the spaces away that may stand around a header's semicolons (RFC 9110, 5.6.6), and that the readers of forms and
/// JSON refuse.
pub(crate) async fn tidy_content_type(mut request: Request) -> Request {
    if let Some(kind) = request.headers_mut().get_mut(header::CONTENT_TYPE)
        && let Some(tidy) = kind.to_str().ok().and_then(|kind| HeaderValue::from_str(&tidy(kind)).ok())
    {
        *kind = tidy;
    }
    request
}

fn tidy(header: &str) -> String {
    let mut quoted = false;
    let parts = header.split(|c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use chatpic_core::LinkKey;
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Option<String> {
        key_in(text).map(|key: LinkKey| key.reveal())
    }

    #[test]
    fn links_as_messengers_bend_them_give_their_key() {
        let (id, key) = ("AAECAwQFBgcICQoL", "_-ECAwQFBgcICQoLDA0ODw");
        for text in [
            "KEY",
            " KEY\n",
            "#KEY",
            "(KEY).",
            "KEY#top",
            "https://pics.example/s/ID#KEY",
            "https://pics.example/s/ID#KEY.",
            "(https://pics.example/s/ID#KEY)",
            "<https://pics.example/s/ID#KEY>,",
            "https://pics.example/s/ID#KEY。",
            "https://pics.example/s/ID#KEY%E3%80%82",
            "https://pics.example/s/ID＃KEY，",
            "https://pics.example/s/ID#KEY&utm_source=x",
            "https://pics.example/s/ID?utm_source=x#KEY",
            "https://pics.example/s/ID#KEY#:~:text=x",
            "https://pics.example/s/ID/#KEY",
            "https://pics.example/s/ID%23KEY",
            "https://pics.example/s/ID%23KEY%26utm_source=x",
            "https://pics.example/s/ID#\u{200b}KEY\u{200b}",
            "https://pics.example/s/ID#%E2%80%8BKEY",
            "Look, #1: https://pics.example/s/ID#KEY, please",
            "https://a-long-name-without-a-dot:8080/s/ID#KEY",
        ] {
            let link = text.replace("KEY", key).replace("ID", id);
            assert_eq!(found(&link).as_deref(), Some(key), "{link}");
        }
        let (one, other) = key.split_at(7);
        assert_eq!(
            found(&format!("/s/{id}#{one}\r\n\u{200b}{other}")).as_deref(),
            Some(key),
            "a broken line"
        );
        for text in [
            "",
            "#",
            "https://pics.example/s/AAECAwQFBgcICQoL",
            "#_-ECAwQFBgcICQoLDA0OD",
            "#_-ECAwQFBgcICQoLDA0OD.",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
        // As much as a form may hold: each part of it is looked at once.
        assert_eq!(found(&"#".repeat(64 * 1024)), None);
    }

    proptest! {
        #[test]
        fn whatever_stands_around_a_whole_link_its_key_is_found(
            bytes: [u8; 16],
            before in "[^#%＃]{0,20}",
            hash in "(#|%23|＃|/#)[ \u{200b}\u{feff}]?",
            after: String,
        ) {
            let key = LinkKey::from_bytes(bytes).reveal();
            prop_assert_eq!(found(&format!("{before}/s/AAECAwQFBgcICQoL{hash}{key}{after}")), Some(key));
        }

        #[test]
        fn a_key_alone_is_found_before_anything_but_another(bytes: [u8; 16], after in "[^#%＃]{0,40}") {
            let key = LinkKey::from_bytes(bytes).reveal();
            prop_assert_eq!(found(&format!("{key}{after}")), Some(key));
        }

        #[test]
        fn an_id_is_found_before_anything(bytes: [u8; 12], after: String) {
            let id = ShareId::from_bytes(bytes);
            prop_assert_eq!(id_in(&format!("{id}{after}")), Some(id));
        }

        #[test]
        fn any_text_is_read(text: String) {
            let _ = (found(&text), id_in(&text));
        }
    }

    #[test]
    fn spaces_around_semicolons_are_taken_away_but_for_those_in_quotes() {
        for (given, tidied) in [
            ("multipart/form-data ; boundary=b", "multipart/form-data; boundary=b"),
            (
                "multipart/form-data;boundary=b ; charset=utf-8;",
                "multipart/form-data; boundary=b; charset=utf-8",
            ),
            ("multipart/form-data; boundary=\"a ; b\"", "multipart/form-data; boundary=\"a ; b\""),
            ("application/json", "application/json"),
        ] {
            assert_eq!(tidy(given), tidied);
        }
    }
}
