"""The operator's own database of countries, and whose word on addresses and countries is believed."""

from collections.abc import Callable
from pathlib import Path

import requests
from conftest import Site, bearer, share
from requests.adapters import HTTPAdapter


class From(HTTPAdapter):
    """Connects from this address of the loopback."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__()

    def init_poolmanager(self, *arguments: object, **options: object) -> None:
        super().init_poolmanager(*arguments, source_address=(self.address, 0), **options)


def country(site: str, made: dict[str, str], headers: dict[str, str], address: str = "127.0.0.1") -> str | None:
    """Opens the share and answers the country that the dashboard then tells."""
    api = f"{site}/api/v1/shares/{made['share_id']}"
    with requests.Session() as session:
        session.mount("http://", From(address))
        opened = session.post(f"{api}/sessions", json={"key": made["link_key"]}, headers=headers, timeout=60)
    assert opened.status_code == 201, opened.text
    told = requests.get(f"{api}/dashboard", headers=bearer(made["dashboard_key"]), timeout=60).json()
    [row] = [row for row in told["sessions"] if row["session"] == opened.json()["session"]]
    found: str | None = row["country"]
    return found


def test_countries_come_from_the_operators_database(
    serve: Callable[..., Site], database: Path, picture: bytes
) -> None:
    site = serve("--trusted-proxy", "127.0.0.1/32", "--country-db", str(database))
    made = share(site.url, picture)
    for address, expected in {
        "203.0.113.5": "DE",
        "2001:db8:1::5": "DE",
        "::ffff:203.0.113.5": "DE",
        "198.51.100.7": "BR",
        "192.0.2.7": None,
        "8.8.8.8": None,
        "6.6.6.6, 203.0.113.5": "DE",
        "203.0.113.5:5555": "DE",
        '"[2001:db8:1::5]:443"': "DE",
        # Whoever that is, the proxy's own country is not theirs.
        "nonsense": None,
    }.items():
        assert country(site.url, made, {"X-Forwarded-For": address}) == expected, address
    assert country(site.url, made, {}) == "NZ"
    # The same words from a peer that is no proxy of ours are a stranger's.
    spoofed = {"X-Forwarded-For": "203.0.113.5", "CF-IPCountry": "FR"}
    assert country(site.url, made, spoofed, "127.0.0.2") == "NZ"


def test_a_trusted_proxys_country_goes_before_the_database(
    serve: Callable[..., Site], database: Path, picture: bytes
) -> None:
    site = serve(
        "--trusted-proxy", "127.0.0.1/32", "--country-db", str(database), "--country-header", "CF-IPCountry"
    )
    made = share(site.url, picture)
    assert country(site.url, made, {"CF-IPCountry": "FR", "X-Forwarded-For": "203.0.113.5"}) == "FR"
    assert country(site.url, made, {"CF-IPCountry": "XX", "X-Forwarded-For": "203.0.113.5"}) == "DE"
    assert country(site.url, made, {"CF-IPCountry": "FR"}, "127.0.0.2") == "NZ"
