//! How an operator's site looks: a logo, links at the foot of pages, and an accent colour that stays readable.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

/// A red, green and blue of a screen, 0 to 255 each.
type Rgb = [u8; 3];

/// What the accent stands on in a scheme, as `assets/site.css` has it, and how it is made to stand out.
struct Scheme {
    /// Ground, card, sunk, and the ground of warnings.
    grounds: [Rgb; 4],
    /// Black or white: where the accent goes until it reads.
    towards: Rgb,
    /// Its contrast with each ground, at least; on dark ground it looks dull below 6.
    contrast: f64,
}

/// Contrast of text with its ground, at least (WCAG 2.2, 1.4.3).
const AA: f64 = 4.5;

const LIGHT: Scheme = Scheme {
    grounds: [[0xf6, 0xf6, 0xf3], [0xff; 3], [0xf1, 0xf1, 0xed], [0xff, 0xf3, 0xd1]],
    towards: [0; 3],
    contrast: AA,
};

const DARK: Scheme = Scheme {
    grounds: [[0x12, 0x14, 0x17], [0x1a, 0x1d, 0x22], [0x14, 0x17, 0x1b], [0x36, 0x2d, 0x14]],
    towards: [0xff; 3],
    contrast: 6.0,
};

/// Why a logo, colour or link is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrandError(&'static str);

impl fmt::Display for BrandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BrandError {}

/// The colour of buttons and links, written as `#2450c8`. Each scheme takes it as light or as dark as its text needs to
/// be read (contrast of at least 4.5), so any colour will do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accent(Rgb);

impl Default for Accent {
    fn default() -> Self {
        Self([0x24, 0x50, 0xc8])
    }
}

impl FromStr for Accent {
    type Err = BrandError;

    fn from_str(text: &str) -> Result<Self, BrandError> {
        let wrong = BrandError("a colour is written as #2450c8");
        let digits = text.strip_prefix('#').filter(|digits| digits.is_ascii() && digits.len() == 6);
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or(wrong)?;
        let [_, red, green, blue] = number.to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

impl fmt::Display for Accent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0))
    }
}

/// The accent as one scheme shows it.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Shades {
    accent: Rgb,
    /// A quiet ground for accented text.
    soft: Rgb,
    /// Text on the accent.
    on: Rgb,
}

impl Accent {
    /// The nearest shade that can be read in a scheme.
    fn shades(self, scheme: &Scheme) -> Shades {
        let [_, card, ..] = scheme.grounds;
        let at = |percent: u32| {
            let accent = mix(self.0, scheme.towards, f64::from(percent) / 100.0);
            let soft = mix(card, accent, 0.12);
            let on = if luminance(accent) > 0.18 { mix(accent, [0; 3], 0.85) } else { [0xff; 3] };
            Shades { accent, soft, on }
        };
        let reads = |shades: &Shades| {
            let on_grounds =
                scheme.grounds.iter().all(|ground| contrast(shades.accent, *ground) >= scheme.contrast);
            on_grounds && [shades.soft, shades.on].iter().all(|ground| contrast(shades.accent, *ground) >= AA)
        };
        // The last is black or white, which reads on every ground.
        (0..100).map(at).find(reads).unwrap_or_else(|| at(100))
    }

    /// Custom properties for `assets/site.css`, in both schemes.
    pub(crate) fn css(self) -> String {
        let properties = |scheme| {
            let Shades { accent, soft, on } = self.shades(scheme);
            format!(
                ":root {{ --accent: {}; --accent-soft: {}; --on-accent: {}; }}",
                hex(accent),
                hex(soft),
                hex(on)
            )
        };
        let (light, dark) = (properties(&LIGHT), properties(&DARK));
        format!("{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n")
    }
}

fn hex(colour: Rgb) -> String {
    let [red, green, blue] = colour;
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn mix(from: Rgb, to: Rgb, part: f64) -> Rgb {
    let channel = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * part).round() as u8;
    [channel(from[0], to[0]), channel(from[1], to[1]), channel(from[2], to[2])]
}

/// Relative luminance, 0 to 1 (WCAG 2.2).
fn luminance(colour: Rgb) -> f64 {
    let [red, green, blue] = colour.map(|channel| {
        let channel = f64::from(channel) / 255.0;
        if channel <= 0.04045 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// Contrast of two colours, 1 to 21 (WCAG 2.2).
fn contrast(one: Rgb, other: Rgb) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// A logo of at most 256 KiB: SVG, PNG, WebP or JPEG, told by content.
#[derive(Clone, PartialEq, Eq)]
pub struct Logo {
    media_type: &'static str,
    bytes: Bytes,
}

impl Logo {
    const BYTES: usize = 256 * 1024;

    /// The logo in these bytes.
    ///
    /// # Errors
    /// When they are none of the formats, or too many.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, BrandError> {
        let bytes = bytes.into();
        if bytes.len() > Self::BYTES {
            return Err(BrandError("a logo has at most 256 KiB"));
        }
        let text = String::from_utf8_lossy(bytes.get(..1024).unwrap_or(&bytes)).into_owned();
        let media_type = if bytes.starts_with(b"\x89PNG") {
            "image/png"
        } else if bytes.starts_with(b"\xff\xd8") {
            "image/jpeg"
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            "image/webp"
        } else if text.contains("<svg") {
            "image/svg+xml"
        } else {
            return Err(BrandError("a logo is SVG, PNG, WebP or JPEG"));
        };
        Ok(Self { media_type, bytes })
    }

    /// ChatPic's own, in this colour.
    pub(crate) fn own(accent: Accent) -> Self {
        let icon =
            include_str!("../assets/icon.svg").replace(&Accent::default().to_string(), &accent.to_string());
        Self { media_type: "image/svg+xml", bytes: icon.into() }
    }

    pub(crate) fn media_type(&self) -> &'static str {
        self.media_type
    }

    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }
}

impl fmt::Debug for Logo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Logo({}, {} bytes)", self.media_type, self.bytes.len())
    }
}

/// Where a link leads: an address with `https:`, `http:` or `mailto:`, or a path of the same host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Href(String);

impl FromStr for Href {
    type Err = BrandError;

    fn from_str(text: &str) -> Result<Self, BrandError> {
        let text = text.trim();
        let leads = text.split_once(':').is_some_and(|(scheme, rest)| match &*scheme.to_ascii_lowercase() {
            "https" | "http" => rest.strip_prefix("//").is_some_and(|host| !host.is_empty()),
            "mailto" => rest.contains('@'),
            _ => false,
        });
        let is_path = text.starts_with('/') && !text.starts_with("//");
        if (leads || is_path) && !text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BrandError("a link begins with https://, http:// or mailto:, or is a path such as /terms"))
        }
    }
}

impl fmt::Display for Href {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Href {
    /// What a reader is told of it: an address of mail without its scheme.
    pub(crate) fn in_words(&self) -> &str {
        self.0.strip_prefix("mailto:").unwrap_or(&self.0)
    }
}

/// A link at the foot of every page, written as `Imprint=https://pics.example/imprint`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FooterLink {
    /// What it says.
    pub label: String,
    /// Where it leads.
    pub url: Href,
}

impl FromStr for FooterLink {
    type Err = BrandError;

    fn from_str(text: &str) -> Result<Self, BrandError> {
        match text.split_once('=') {
            Some((label, url)) if !label.trim().is_empty() => {
                Ok(Self { label: label.trim().to_owned(), url: url.parse()? })
            }
            _ => Err(BrandError("a link is written as LABEL=URL")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accent_can_be_read_in_both_schemes() {
        let steps = [0, 51, 102, 153, 204, 255];
        for red in steps {
            for green in steps {
                for blue in steps {
                    let accent = Accent([red, green, blue]);
                    for scheme in [LIGHT, DARK] {
                        let shades = accent.shades(&scheme);
                        for ground in scheme.grounds.iter().chain([&shades.soft, &shades.on]) {
                            let ratio = contrast(shades.accent, *ground);
                            assert!(ratio >= AA, "{accent}: {shades:?} on {ground:?} is {ratio:.2}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_colour_that_reads_is_left_as_it_is() {
        let css = Accent::default().css();
        assert!(css.starts_with(":root { --accent: #2450c8;"), "{css}");
        assert_eq!(contrast([0; 3], [255; 3]), 21.0);
    }

    #[test]
    fn the_grounds_are_the_style_sheets() {
        let css = include_str!("../assets/site.css");
        for Scheme { grounds: [ground, card, sunk, warn], .. } in [LIGHT, DARK] {
            let card = if card == [0xff; 3] { "#fff".to_owned() } else { hex(card) };
            let line = format!("--ground: {}; --card: {card}; --sunk: {};", hex(ground), hex(sunk));
            assert!(css.contains(&line), "{line}");
            assert!(css.contains(&format!("--warn: {};", hex(warn))));
        }
        assert!(include_str!("../assets/icon.svg").contains(&Accent::default().to_string()));
    }

    #[test]
    fn what_is_no_colour_logo_or_link_is_refused() {
        for text in ["2450c8", "#2450c", "#2450cg", "#éé", "red", ""] {
            assert!(text.parse::<Accent>().is_err(), "{text}");
        }
        for bytes in [&b"GIF89a"[..], b"", b"<html>"] {
            assert!(Logo::new(bytes).is_err());
        }
        assert!(Logo::new(vec![b' '; 300_000]).is_err());
        assert_eq!(Logo::new(&b"<?xml?><svg/>"[..]).unwrap().media_type(), "image/svg+xml");
        for text in ["Imprint", "=https://a.example", "Imprint=", "Mail=op@x.org", "Run=javascript:alert(1)"]
        {
            assert!(text.parse::<FooterLink>().is_err(), "{text}");
        }
        let link: FooterLink = "Imprint=https://a.example/?a=b".parse().unwrap();
        assert_eq!(link.url.to_string(), "https://a.example/?a=b");
        for leads in ["mailto:op@x.org", "https://a.example", "HTTP://a.example", "/terms"] {
            assert!(leads.parse::<Href>().is_ok(), "{leads}");
        }
        for broken in ["op@x.org", "pics.example", "//pics.example", "mailto:", "https://", "https://a b", ""]
        {
            assert!(broken.parse::<Href>().is_err(), "{broken}");
        }
    }
}
