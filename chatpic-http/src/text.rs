//! What pages and their script say: one catalogue in the JSON format of i18next (version 4), which tools for
//! translators read.
//!
//! A text stands under a path such as `cover.views`; `{{name}}` is filled in, and a text that counts has one form for
//! each plural category of its language, as `images_one` and `images_other`. What pages say may hold simple HTML; what
//! is filled in is escaped. The parts `time` and `script` are plain text, for the script writes them too.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display};

use askama::filters::{Escaper, Html, HtmlSafe};
use icu_locale_core::Locale;
use icu_plurals::{PluralCategory, PluralRules};
use serde_json::{Map, Value};

const ENGLISH: &str = include_str!("../text/en.json");

/// The texts of pages and script in one language.
#[derive(Clone, Debug)]
pub struct Text {
    language: String,
    phrases: HashMap<String, String>,
    locale: Locale,
}

/// Why a file is no catalogue.
#[derive(Debug)]
pub struct TextError(String);

impl Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TextError {}

impl Default for Text {
    fn default() -> Self {
        Self::read(ENGLISH).expect("the embedded catalogue is whole")
    }
}

impl Text {
    /// A translation of `text/en.json`; what it leaves out stays English.
    ///
    /// # Errors
    /// What is wrong with the JSON, its `language`, or a path that the English catalogue does not have.
    pub fn parse(json: &str) -> Result<Self, TextError> {
        let english = Self::default().phrases;
        let translation = Self::read(json)?;
        for path in translation.phrases.keys() {
            // A language may have more plural forms than English.
            let counts = path.rsplit_once('_').map(|(stem, _)| format!("{stem}_other"));
            if !english.contains_key(path) && !counts.is_some_and(|path| english.contains_key(&path)) {
                return Err(TextError(format!("there is no text {path}")));
            }
        }
        let phrases = english.into_iter().chain(translation.phrases).collect();
        Ok(Self { phrases, ..translation })
    }

    fn read(json: &str) -> Result<Self, TextError> {
        let catalogue: Map<String, Value> =
            serde_json::from_str(json).map_err(|error| TextError(error.to_string()))?;
        let mut phrases = HashMap::new();
        flatten("", &catalogue, &mut phrases)?;
        let language = phrases.get("language").cloned().unwrap_or_default();
        let wrong = |what: &dyn Display| TextError(format!("language {language:?}: {what}"));
        let locale: Locale = language.parse().map_err(|error| wrong(&error))?;
        PluralRules::try_new_cardinal((&locale).into()).map_err(|error| wrong(&error))?;
        Ok(Self { language, phrases, locale })
    }

    /// The language as HTML names it.
    pub(crate) fn language(&self) -> &str {
        &self.language
    }

    /// The text at a path.
    pub(crate) fn say(&self, path: &str) -> Phrase {
        Phrase(self.phrases.get(path).map_or(path, String::as_str).to_owned())
    }

    /// The text at a path in the form that this number takes, with the number filled in as `count`.
    pub(crate) fn count(&self, path: &str, number: impl Number) -> Phrase {
        // The rules are static data; they are not kept here, for they are no `Sync`.
        let form = match PluralRules::try_new_cardinal((&self.locale).into()) {
            Ok(rules) => match rules.category_for(number.number()) {
                PluralCategory::Zero => "zero",
                PluralCategory::One => "one",
                PluralCategory::Two => "two",
                PluralCategory::Few => "few",
                PluralCategory::Many => "many",
                PluralCategory::Other => "other",
            },
            Err(_) => "other",
        };
        let phrase = self.phrases.get(&format!("{path}_{form}"));
        let phrase = phrase.or_else(|| self.phrases.get(&format!("{path}_other")));
        // What only names a number has one form.
        let phrase = phrase.or_else(|| self.phrases.get(path));
        Phrase(phrase.map_or(path, String::as_str).to_owned()).with("count", number.number())
    }

    /// A length of time in words, the two largest units.
    pub(crate) fn time(&self, seconds: u64) -> Phrase {
        let units = [
            ("time.day", seconds / 86_400),
            ("time.hour", seconds / 3600 % 24),
            ("time.minute", seconds / 60 % 60),
            ("time.second", seconds % 60),
        ];
        let largest = units.iter().skip_while(|(_, n)| *n == 0).take(2).filter(|(_, n)| *n > 0);
        let parts: Vec<String> = largest.map(|(unit, n)| self.count(unit, *n).0).collect();
        if parts.is_empty() { self.say("time.none") } else { Phrase(parts.join(" ")) }
    }

    /// The texts that the script says, as a script.
    pub(crate) fn script(&self) -> String {
        let own = |path: &str| path.starts_with("script.") || path.starts_with("time.");
        let texts: BTreeMap<_, _> = self.phrases.iter().filter(|(path, _)| own(path)).collect();
        let texts = serde_json::to_string(&texts).unwrap_or_default();
        format!("\"use strict\";\nconst LANGUAGE = {:?};\nconst TEXTS = {texts};\n", self.language)
    }
}

fn flatten(
    above: &str,
    part: &Map<String, Value>,
    phrases: &mut HashMap<String, String>,
) -> Result<(), TextError> {
    for (name, value) in part {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match value {
            Value::String(text) => drop(phrases.insert(path, text.clone())),
            Value::Object(part) => flatten(&path, part, phrases)?,
            _ => return Err(TextError(format!("{path} is neither a text nor a group of texts"))),
        }
    }
    Ok(())
}

/// Something that was said; HTML, with everything that was filled in escaped.
#[derive(Clone, Debug)]
pub(crate) struct Phrase(String);

impl Phrase {
    /// Fills in `{{name}}`.
    pub(crate) fn with(self, name: &str, value: impl Display) -> Self {
        self.fill(name, &escape(&value.to_string()))
    }

    /// Fills in `{{name}}` with something that was said.
    pub(crate) fn put(self, name: &str, phrase: impl AsRef<Phrase>) -> Self {
        self.fill(name, &phrase.as_ref().0)
    }

    /// An instant for machines and in words.
    pub(crate) fn instant(at: &str, words: &str) -> Self {
        Self(format!("<time datetime=\"{}\">{} UTC</time>", escape(at), escape(words)))
    }

    /// A country that scripts name in the reader's language.
    pub(crate) fn country(code: &str, name: &str) -> Self {
        Self(format!("<span data-country=\"{}\">{}</span>", escape(code), escape(name)))
    }

    fn fill(self, name: &str, html: &str) -> Self {
        Self(self.0.replace(&format!("{{{{{name}}}}}"), html))
    }
}

/// As the templates escape what they fill in.
fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    // A string takes everything.
    Html.write_escaped_str(&mut html, text).unwrap_or_default();
    html
}

impl Display for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Phrase {}

impl AsRef<Phrase> for Phrase {
    fn as_ref(&self) -> &Phrase {
        self
    }
}

/// What can be counted.
pub(crate) trait Number {
    fn number(&self) -> u64;
}

impl Number for u32 {
    fn number(&self) -> u64 {
        u64::from(*self)
    }
}

impl Number for u64 {
    fn number(&self) -> u64 {
        *self
    }
}

impl Number for usize {
    fn number(&self) -> u64 {
        *self as u64
    }
}

impl<T: Number> Number for &T {
    fn number(&self) -> u64 {
        (*self).number()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_words() {
        let text = Text::default();
        let said = |seconds| text.time(seconds).to_string();
        assert_eq!(said(0), "no time");
        assert_eq!(said(61), "1 minute 1 second");
        assert_eq!(said(7 * 86_400), "7 days");
        assert_eq!(said(90_000), "1 day 1 hour");
    }

    #[test]
    fn a_translation_is_one_file_and_what_it_lacks_stays_english() {
        let polish = r#"{"language": "pl", "images_one": "{{count}} obraz", "images_few": "{{count}} obrazy",
            "images_many": "{{count}} obrazów", "images_other": "{{count}} obrazu", "script": {"copy": "Kopiuj"}}"#;
        let text = Text::parse(polish).unwrap();
        assert_eq!(text.language(), "pl");
        let images = [1_u32, 2, 5, 22].map(|count| text.count("images", count).to_string());
        assert_eq!(images, ["1 obraz", "2 obrazy", "5 obrazów", "22 obrazy"]);
        assert_eq!(text.say("frame.copy").to_string(), "Copy");
        assert_eq!(text.count("dashboard.seen_of", 2_u32).with("seen", 1).to_string(), "1 of 2");
        assert!(text.script().contains("\"script.copy\":\"Kopiuj\""));
    }

    #[test]
    fn what_is_no_catalogue_is_refused() {
        for (json, what) in [
            ("{", "EOF"),
            ("[]", "map"),
            (r#"{"images": "x"}"#, "language"),
            (r#"{"language": "not a language"}"#, "language"),
            (r#"{"language": "de", "frame": {"copi": "x"}}"#, "frame.copi"),
            (r#"{"language": "de", "frame": {"copy": 1}}"#, "frame.copy"),
        ] {
            let error = Text::parse(json).unwrap_err().to_string();
            assert!(error.contains(what), "{json}: {error}");
        }
    }

    #[test]
    fn what_is_filled_in_is_escaped() {
        let said = Phrase("<b>{{name}}</b>".to_owned()).with("name", "<i>\"&").to_string();
        assert_eq!(said, "<b>&#60;i&#62;&#34;&#38;</b>");
    }

    /// The sources that speak: templates, pages, and the script.
    fn sources() -> Vec<String> {
        let crate_folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        ["templates", "src/pages", "assets", "src"]
            .iter()
            .flat_map(|folder| std::fs::read_dir(crate_folder.join(folder)).unwrap())
            .map(|file| file.unwrap().path())
            .filter(|path| ["html", "rs", "js"].iter().any(|end| path.extension().is_some_and(|e| e == *end)))
            .filter(|path| !path.ends_with("text.rs"))
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect()
    }

    #[test]
    fn every_text_is_said_somewhere_and_everything_said_is_a_text() {
        let text = Text::default();
        let parts: std::collections::BTreeSet<&str> =
            text.phrases.keys().filter_map(|path| path.split_once('.').map(|(part, _)| part)).collect();
        let all = sources().join("\n");
        // Whatever looks like a path of the catalogue, between quotes.
        let quoted = all.split(['"', '`']).filter(|word| {
            word.split_once('.').is_some_and(|(part, rest)| {
                parts.contains(part)
                    && !rest.is_empty()
                    && rest.chars().all(|c| c.is_ascii_lowercase() || "_-.123456789".contains(c))
            })
        });
        for path in quoted {
            let known =
                text.phrases.contains_key(path) || text.phrases.contains_key(&format!("{path}_other"));
            assert!(
                known || path.ends_with(['_', '.']) || path.ends_with(".html"),
                "{path} is said but is no text"
            );
        }
        // Texts whose paths are put together from parts.
        let composed = [
            "problem.",
            "privacy.",
            "dashboard.status_",
            "dashboard.device_",
            "time.",
            "script.",
            "language",
        ];
        for path in text.phrases.keys() {
            let stem = path.rsplit_once('_').filter(|(_, form)| ["one", "other"].contains(form));
            let path = stem.map_or(path.as_str(), |(stem, _)| stem);
            let said =
                all.contains(&format!("\"{path}\"")) || composed.iter().any(|part| path.starts_with(part));
            assert!(said, "{path} is never said");
        }
    }

    #[test]
    fn every_kind_of_problem_has_a_page() {
        let text = Text::default();
        for kind in crate::problem::KINDS {
            for part in ["title", "what", "do"] {
                let path = format!("problem.{kind}.{part}");
                assert!(text.phrases.contains_key(&path), "{path}");
            }
        }
    }

    #[test]
    fn texts_hold_simple_html_only() {
        for (path, phrase) in Text::default().phrases {
            let mut plain = phrase.clone();
            for tag in ["<b>", "</b>", "<i>", "</i>", "<code>", "</code>"] {
                plain = plain.replace(tag, "");
            }
            assert!(!plain.contains(['<', '>', '&', '"']), "{path}: {phrase}");
            let is_plain = plain == phrase;
            assert!(
                is_plain || !(path.starts_with("script.") || path.starts_with("time.")),
                "{path}: {phrase}"
            );
        }
    }
}
