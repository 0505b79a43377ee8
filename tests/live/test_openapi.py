"""Schemathesis finds no call that does other than the OpenAPI document tells, by a stranger or by an uploader."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import requests
from conftest import Site, bearer, share

HERE = Path(__file__).parent
NO_CAPS = tuple(f"--{call}-per-hour=0" for call in ("uploads", "opens", "traces", "reports"))


def run(site: Site, folder: Path, config: str, *flags: str) -> str:
    """Runs schemathesis with all of its checks and answers what it says."""
    file = folder / "schemathesis.toml"
    file.write_text(config)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(file)]
    command += ["run", f"{site.url}/api/v1/openapi.json", "--checks", "all", "--seed", "1", *flags]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_data", "PYTHONPATH": str(HERE)}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    print(ended.stdout)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_stranger_finds_every_call_as_documented(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(*NO_CAPS)
    said = run(site, tmp_path, "", "--max-examples", "10")
    assert "Tested: 15" in said


def test_an_uploader_finds_every_call_as_documented(
    serve: Callable[..., Site], tmp_path: Path, picture: bytes
) -> None:
    site = serve(*NO_CAPS, "--traces-per-day", "10000")
    made = share(site.url, picture)
    opened = requests.post(
        f"{site.url}/api/v1/shares/{made['share_id']}/sessions", json={"key": made["link_key"]}, timeout=60
    )
    config = f"""
[parameters]
"path.id" = "{made['share_id']}"

# No schema can tell that a share's end lies at most 30 days ahead however often it is moved away.
[[operations]]
include-path = "/shares/{{id}}/extend"
checks.positive_data_acceptance.expected-statuses = ["2xx", "422"]

[auth.openapi.dashboard_key]
bearer = "{made['dashboard_key']}"

[auth.openapi.session_token]
bearer = "{opened.json()['token']}"
"""
    # Calls that follow each other are the stranger's business, whose shares are many.
    flags = ("--max-examples", "10", "--phases", "examples,coverage,fuzzing")
    run(site, tmp_path, config, *flags, "--exclude-method", "DELETE")
    run(site, tmp_path, config, *flags, "--include-method", "DELETE")
    told = requests.get(
        f"{site.url}/api/v1/shares/{made['share_id']}/dashboard", headers=bearer(made["dashboard_key"]), timeout=60
    )
    assert told.json()["status"] == "burned", "the calls reached the share"
