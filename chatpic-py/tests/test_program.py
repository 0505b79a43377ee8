"""`python -m chatpic` is the program `chatpic`."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import chatpic
from pictures import picture, png

PROGRAM = [sys.executable, "-m", "chatpic"]


def test_it_serves_the_site_and_ends_at_a_signal(tmp_path: Path) -> None:
    for stop in (signal.SIGTERM, signal.SIGINT):
        command = [*PROGRAM, "serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as site:
            assert site.stdout is not None and site.stderr is not None
            found = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", site.stdout.readline())
            assert found is not None
            with urllib.request.urlopen(f"{found[1]}/healthz") as answer:
                assert answer.read() == b"ok\n"
            site.send_signal(stop)
            log = site.stderr.read()
        assert site.returncode == 0, log
        assert "Traceback" not in log


def test_it_traces_what_was_shared_from_python(tmp_path: Path) -> None:
    app = chatpic.ChatPic.open(tmp_path / "data")
    share = app.create([png(picture(1))])
    view = app.view(share.id, share.link_key)
    leak = tmp_path / "leak.jpg"
    leak.write_bytes(view.image(0))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*PROGRAM, *arguments, "--data", str(tmp_path / "data")]
        return subprocess.run(command, capture_output=True, text=True)

    traced = run("trace", str(leak), "--json")
    assert traced.returncode == 0, traced.stderr
    assert json.loads(traced.stdout)["matches"][0]["session"] == view.session
    leak.write_bytes(png(picture(2)))
    assert run("trace", str(leak)).returncode == 1
    assert run("no-such-command").returncode == 2
