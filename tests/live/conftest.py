"""The site as an operator runs it: a process of its own, reached over the network."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pytest
import requests

PROGRAM = [sys.executable, "-m", "chatpic"]


class Site:
    """A running site."""

    def __init__(self, folder: Path, flags: list[str]) -> None:
        self.log = folder / "site.log"
        command = [*PROGRAM, "serve", "--listen", "127.0.0.1:0", "--data", str(folder / "data"), *flags]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.fullmatch(r"listening on (http://127\.0\.0\.1:(\d+))\n", line)
        assert found is not None, line + self.log.read_text()
        self.url, self.port = found[1], int(found[2])

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait() == 0, self.log.read_text()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Starts a site with these flags, in a folder of its own; it is stopped at the end."""
    sites: list[Site] = []

    def start(*flags: str) -> Site:
        folder = tmp_path / f"site{len(sites)}"
        folder.mkdir()
        sites.append(Site(folder, list(flags)))
        return sites[-1]

    yield start
    for site in sites:
        site.stop()


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A small PNG file."""
    return png(240, 320)


def png(height: int, width: int, seed: int = 1, level: int = 6) -> bytes:
    """A PNG file of noise; at level 0 its bytes are as many as its pixels', and a little more."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    noise = numpy.random.default_rng(seed).integers(0, 256, (height, width, 3), numpy.uint8)
    rows = numpy.concatenate([numpy.zeros((height, 1), numpy.uint8), noise.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), level)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def share(url: str, *pictures: bytes, **options: object) -> dict[str, str]:
    """Makes a share over HTTP."""
    files = [("images", ("a.png", picture)) for picture in pictures]
    answer = requests.post(f"{url}/api/v1/shares", files=files, data=options, timeout=300)
    assert answer.status_code == 201, answer.text
    made: dict[str, str] = answer.json()
    return made


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}
