"""What `deploy/` holds works: nginx in front of the site, the service's unit, containers."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import yaml
from conftest import Site, bearer, png
from test_countries import database  # noqa: F401

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
# As little as may be: nginx must not run as root here either.
NOBODY = 65534


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


class Nginx:
    """nginx with the recipe of `deploy/`: only its ports, its certificate and the site's port are other ones."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.port, self.plain = free_port(), free_port()
        self.certificate = folder / "certificate.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
            + ["-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", self.certificate],
            check=True,
            capture_output=True,
        )
        recipe = (DEPLOY / "nginx.conf").read_text()
        for ours, theirs in (
            ("listen 80;", f"listen 127.0.0.1:{self.plain};"),
            ("listen 443 ssl http2;", f"listen 127.0.0.1:{self.port} ssl http2;"),
            ("server_name pics.example;", "server_name localhost;"),
            ("/etc/letsencrypt/live/pics.example/fullchain.pem", str(self.certificate)),
            ("/etc/letsencrypt/live/pics.example/privkey.pem", str(folder / "key.pem")),
            ("http://127.0.0.1:8080", f"http://127.0.0.1:{site.port}"),
        ):
            assert ours in recipe, ours
            recipe = recipe.replace(ours, theirs)
        (folder / "site.conf").write_text(recipe)
        temporary = "\n".join(
            f"{kind}_temp_path {folder}/temporary;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log stderr notice;\nevents {{}}\n"
            f"http {{ {temporary}\naccess_log {folder}/access.log; include {folder}/site.conf; }}\n"
        )
        command = [shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") or "nginx"]
        command += ["-p", str(folder), "-c", str(folder / "nginx.conf")]
        options: dict[str, int] = {}
        if os.getuid() == 0:
            folder.chmod(0o755)
            for path in (folder, *folder.iterdir()):
                os.chown(path, NOBODY, NOBODY)
            options = {"user": NOBODY, "group": NOBODY}
        self.folder, self.url = folder, f"https://localhost:{self.port}"
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, extra_groups=[], **options)
        assert self.process.stderr is not None
        log = ""
        # It tells that its workers start when it listens.
        while "start worker processes" not in log:
            line = self.process.stderr.readline()
            assert line, log
            log += line

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait() == 0
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def behind(serve: Callable[..., Site], database: Path) -> Iterator[Nginx]:  # noqa: F811
    """A site behind nginx, which alone is believed."""
    site = serve(
        *("--trusted-proxy", "127.0.0.1/32", "--country-db", str(database), "--country-header", "CF-IPCountry"),
        *("--base-url", "https://pics.example"),
    )
    with tempfile.TemporaryDirectory() as folder:
        nginx = Nginx(Path(folder), site)
        yield nginx
        nginx.stop()


@pytest.fixture
def client(behind: Nginx) -> Iterator[requests.Session]:
    with requests.Session() as session:
        # No proxy or authority that this computer's environment names.
        session.trust_env = False
        session.verify = str(behind.certificate)
        yield session


def upload(client: requests.Session, url: str, pictures: list[bytes]) -> requests.Response:
    files = [("images", ("a.png", picture)) for picture in pictures]
    return client.post(f"{url}/api/v1/shares", files=files, timeout=600)


def test_a_spoofed_address_or_country_is_not_believed_behind_nginx(
    behind: Nginx, client: requests.Session, picture: bytes
) -> None:
    answer = upload(client, behind.url, [picture])
    assert answer.status_code == 201, answer.text
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    made = answer.json()
    assert made["link"].startswith(f"https://pics.example/s/{made['share_id']}#")
    api = f"{behind.url}/api/v1/shares/{made['share_id']}"
    spoofed = {
        "X-Forwarded-For": "203.0.113.5",
        "X-Real-IP": "203.0.113.5",
        "Forwarded": "for=203.0.113.5",
        "CF-IPCountry": "FR",
    }
    opened = client.post(f"{api}/sessions", json={"key": made["link_key"]}, headers=spoofed, timeout=60)
    assert opened.status_code == 201, opened.text
    told = client.get(f"{api}/dashboard", headers=bearer(made["dashboard_key"]), timeout=60).json()
    assert [row["country"] for row in told["sessions"]] == ["NZ"], "where this computer is"

    page = client.get(f"http://localhost:{behind.plain}/s/{made['share_id']}", allow_redirects=False, timeout=60)
    assert (page.status_code, page.headers["Location"]) == (301, f"https://localhost/s/{made['share_id']}")
    assert not (behind.folder / "access.log").exists() or (behind.folder / "access.log").read_text() == ""


def test_events_come_through_nginx_as_they_happen(
    behind: Nginx, client: requests.Session, picture: bytes
) -> None:
    made = upload(client, behind.url, [picture]).json()
    api = f"{behind.url}/api/v1/shares/{made['share_id']}"
    with client.get(f"{api}/events", headers=bearer(made["dashboard_key"]), stream=True, timeout=60) as stream:
        lines = (line for line in stream.iter_lines(chunk_size=1) if line.startswith(b"data:"))
        assert b'"views":0' in next(lines)
        # The stream goes on; a proxy that kept what it has would never show this.
        opened = requests.post(
            f"{api}/sessions", json={"key": made["link_key"]}, verify=str(behind.certificate), timeout=60
        )
        assert opened.status_code == 201
        assert b'"views":1' in next(lines)


def test_ten_images_of_ten_megabytes_pass_through_nginx(behind: Nginx, client: requests.Session) -> None:
    limit = 10 * 1024 * 1024
    with ThreadPoolExecutor() as pool:
        pictures = list(pool.map(lambda seed: png(1878, 1860, seed, level=0), range(10)))
    assert all(limit - 10_000 < len(picture) <= limit for picture in pictures)
    answer = upload(client, behind.url, pictures)
    assert answer.status_code == 201, answer.text
    assert len(answer.json()["images"]) == 10

    # What is too much is told by ChatPic, in its own words, and not by nginx.
    for refused in ([*pictures, png(8, 8)], [pictures[0] + bytes(limit)]):
        answer = upload(client, behind.url, refused)
        assert answer.headers["Content-Type"] == "application/problem+json", answer.text
        assert answer.status_code in (413, 422)


def test_the_units_settings_are_right_and_leave_it_little_power(tmp_path: Path) -> None:
    unit = (DEPLOY / "chatpic.service").read_text()
    there = shutil.which("chatpic") or str(shutil.which("true"))
    assert "/usr/local/bin/chatpic" in unit
    file = tmp_path / "chatpic.service"
    file.write_text(unit.replace("/usr/local/bin/chatpic", there))
    for command in (["verify", "--man=no", file], ["security", "--offline=yes", "--threshold=15", file]):
        ended = subprocess.run(["systemd-analyze", *command], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_compose_files_are_whole() -> None:
    networks = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["networks"]
    trusted = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["chatpic"]["environment"]
    assert trusted["CHATPIC_TRUSTED_PROXY"] == networks["inside"]["ipam"]["config"][0]["subnet"]
    for name in ("compose.postgres.yaml", "compose.s3.yaml", "traefik.yaml"):
        assert yaml.safe_load((DEPLOY / name).read_text())
