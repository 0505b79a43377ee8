//! Which country an address belongs to; nothing is asked of anybody else.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use chatpic_core::Country;
use maxminddb::{MaxMindDbError, PathElement, Reader};

/// Where countries are looked up.
#[derive(Clone)]
pub struct Countries(Source);

#[derive(Clone)]
enum Source {
    Nowhere,
    #[cfg(feature = "countries")]
    Embedded,
    Database(Arc<Reader<Vec<u8>>>),
}

impl fmt::Debug for Countries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Nowhere => "Countries(nowhere)",
            #[cfg(feature = "countries")]
            Source::Embedded => "Countries(embedded)",
            Source::Database(_) => "Countries(database)",
        })
    }
}

/// The embedded table with the feature `countries`, which knows where an address was registered; nothing without.
#[cfg(feature = "countries")]
impl Default for Countries {
    fn default() -> Self {
        Self(Source::Embedded)
    }
}

/// The embedded table with the feature `countries`, which knows where an address was registered; nothing without.
#[cfg(not(feature = "countries"))]
impl Default for Countries {
    fn default() -> Self {
        Self::nowhere()
    }
}

impl Countries {
    /// Every country is unknown.
    pub fn nowhere() -> Self {
        Self(Source::Nowhere)
    }

    /// A database in MaxMind's format (MMDB) of countries or cities, read into memory.
    ///
    /// # Errors
    /// When the file can't be read or is no such database.
    pub fn open(path: &Path) -> Result<Self, MaxMindDbError> {
        Reader::open_readfile(path).map(|reader| Self(Source::Database(Arc::new(reader))))
    }

    /// The country of an address, if it is known.
    pub(crate) fn find(&self, address: IpAddr) -> Option<Country> {
        let address = address.to_canonical();
        match &self.0 {
            Source::Nowhere => None,
            #[cfg(feature = "countries")]
            Source::Embedded => iptocc::country_code(address)?.parse().ok(),
            Source::Database(reader) => {
                let found = reader.lookup(address).ok()?;
                // MaxMind's and DB-IP's own layout, then the flat one of others.
                let nested = [PathElement::Key("country"), PathElement::Key("iso_code")];
                let flat = [PathElement::Key("country_code")];
                let code = |path: &[PathElement<'_>]| found.decode_path::<&str>(path).ok().flatten();
                code(&nested).or_else(|| code(&flat))?.parse().ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn country(countries: &Countries, address: &str) -> Option<String> {
        countries.find(address.parse().unwrap()).map(|country| country.to_string())
    }

    #[test]
    #[cfg(feature = "countries")]
    fn the_embedded_table_knows_public_addresses_only() {
        let countries = Countries::default();
        assert_eq!(country(&countries, "8.8.8.8").as_deref(), Some("US"));
        assert_eq!(country(&countries, "::ffff:8.8.8.8").as_deref(), Some("US"));
        assert_eq!(country(&countries, "2001:4860:4860::8888").as_deref(), Some("US"));
        for private in ["127.0.0.1", "10.1.2.3", "192.168.1.1", "::1", "fe80::1"] {
            assert_eq!(country(&countries, private), None, "{private}");
        }
    }

    #[test]
    fn nowhere_knows_nothing() {
        assert_eq!(country(&Countries::nowhere(), "8.8.8.8"), None);
    }

    #[test]
    fn what_is_no_database_is_refused() {
        assert!(Countries::open(Path::new("Cargo.toml")).is_err());
        assert!(Countries::open(Path::new("no such file")).is_err());
    }
}
