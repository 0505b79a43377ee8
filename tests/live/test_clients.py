"""Clients that are generated from the OpenAPI document share, open, fetch and trace, with nothing written by hand."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from conftest import Site, png

HERE = Path(__file__).parent
PASSWORD = "swordfish"


@pytest.fixture
def site(serve: Callable[..., Site], tmp_path: Path) -> Site:
    """A site that asks uploaders for a password, and says so in its document."""
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    return serve("--upload-password-file", str(password))


@pytest.fixture
def photograph() -> bytes:
    """A picture in which a mark can be found."""
    return png(480, 640)


def call(command: list[str], folder: Path) -> None:
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_client_in_python(
    site: Site, photograph: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.yml"
    # The generator knows the types of bytes only by name.
    config.write_text("content_type_overrides:\n  image/*: application/octet-stream\npost_hooks: []\n")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"]
    command += ["--url", f"{site.url}/api/v1/openapi.json", "--config", str(config), "--output-path", "chatpic_client"]
    call(command, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    from chatpic_client import AuthenticatedClient, Client, models, types
    from chatpic_client.api.dashboard import dashboard
    from chatpic_client.api.tracing import trace
    from chatpic_client.api.uploading import create
    from chatpic_client.api.viewing import image, open_

    address = site.url + requests.get(f"{site.url}/api/v1/openapi.json", timeout=60).json()["servers"][0]["url"]

    def file(content: bytes) -> Any:
        return types.File(payload=BytesIO(content), file_name="a.png")

    with ExitStack() as clients:
        anyone = clients.enter_context(Client(address, timeout=300))

        def bearer(secret: str) -> Any:
            return clients.enter_context(AuthenticatedClient(address, token=secret, timeout=300))

        refused = create.sync(client=anyone, body=models.ShareForm(images=[file(photograph)]))
        assert refused.type_ == models.ProblemDocumentType.URNCHATPICPROBLEMUPLOAD_PASSWORD
        by_header = create.sync(client=bearer(PASSWORD), body=models.ShareForm(images=[file(photograph)]))
        assert isinstance(by_header, models.CreatedShare)
        # The generator sends fields in an order of its own: the password comes after the images.
        form = models.ShareForm(images=[file(photograph)], max_views=3, upload_password=PASSWORD)
        made = create.sync(client=anyone, body=form)
        assert isinstance(made, models.CreatedShare)

        opened = open_.sync(made.share_id, client=anyone, body=models.OpenRequest(key=made.link_key))
        copy = image.sync(made.share_id, 0, client=bearer(opened.token)).payload.read()
        assert len(copy) > 10_000
        uploader = bearer(made.dashboard_key)
        told = dashboard.sync(made.share_id, client=uploader)
        assert told.status == models.ShareStatus.ACTIVE
        assert told.sessions[0].device in models.DeviceKind
        found = trace.sync(made.share_id, client=uploader, body=models.TraceForm(image=file(copy)))
        assert found.verdict == models.Verdict.MATCH
        assert found.matches[0].session == opened.session
        assert found.matches[0].evidence == models.EvidenceKind.BLIND


def test_a_client_in_typescript(site: Site, photograph: bytes, tmp_path: Path) -> None:
    tools = HERE / "typescript"
    (tmp_path / "client.ts").write_text((tools / "client.ts").read_text())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(tools / "node_modules")
    (tmp_path / "a.png").write_bytes(photograph)
    call(["node", str(tools / "generate.mjs"), f"{site.url}/api/v1/openapi.json", str(tmp_path / "api.ts")], tmp_path)
    compiler = ["node", str(tools / "node_modules/typescript/bin/tsc"), "client.ts"]
    call([*compiler, "--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck"], tmp_path)
    call(["node", "client.js", f"{site.url}/api/v1", "a.png", PASSWORD], tmp_path)
