"""Documents name what there is."""

import re
import subprocess
from pathlib import Path

from conftest import PROGRAM

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def test_every_setting_that_documents_name_exists() -> None:
    help_text = subprocess.run([*PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
    help_text += subprocess.run([*PROGRAM, "trace", "--help"], capture_output=True, text=True, check=True).stdout
    variables = set(re.findall(r"CHATPIC_[A-Z_]+", help_text)) | {"CHATPIC_LOG"}
    flags = set(re.findall(r"--[a-z][a-z-]+", help_text))
    documents = [*DEPLOY.iterdir(), ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for document in documents:
        text = document.read_text()
        for variable in re.findall(r"\bCHATPIC_[A-Z_]+", text):
            assert variable in variables or variable.startswith(("CHATPIC_TEST_", "CHATPIC_BENCH_")), f"{document.name}: {variable}"
        for line in re.findall(r"(?:chatpic|chatpic serve|python -m chatpic [a-z]+) (--[^\n`]*)", text):
            for flag in re.findall(r"(?<!\S)--[a-z][a-z-]+", line):
                assert flag in flags, f"{document.name}: {flag}"


def named_tests() -> set[str]:
    sources = subprocess.run(
        ["git", "ls-files", "*.rs", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    there: set[str] = set()
    for source in sources:
        there |= set(re.findall(r"^\s*(?:pub )?(?:async )?(?:fn|def) (\w+)", (ROOT / source).read_text(), re.M))
    return there


def test_every_test_that_the_threat_model_names_exists() -> None:
    there = named_tests()
    rows = re.findall(r"^\| .* \| (`\w+`.*) \|$", (ROOT / "docs/threat-model.md").read_text(), re.M)
    assert len(rows) >= 7, "one for each invariant"
    for row in rows:
        for name in re.findall(r"`(\w+)`", row):
            assert name in there, name


def test_every_test_that_the_formats_name_exists() -> None:
    there = named_tests()
    names = re.findall(r"`(?:\w+::)+([a-z]+_\w+)`", (ROOT / "docs/formats.md").read_text())
    assert len(names) >= 20, "one for each row"
    for name in names:
        assert name in there, name
