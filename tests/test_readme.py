"""The README is true: its commands run, its files exist, its front matter is what a Space reads."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from genrec.cli import main

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.S) for line in block.splitlines()]
GENREC = [line for line in COMMANDS if line.startswith("python -m genrec")]


def test_the_first_commands_are_the_two_that_do_everything():
    assert COMMANDS[:2] == [
        "pip install -r requirements.txt && python app.py",
        "pip install -r requirements-dev.txt && python -m pytest -n 2 --dist loadfile",
    ]
    assert (
        (ROOT / "requirements.txt").is_file()
        and (ROOT / "requirements-dev.txt").is_file()
        and (ROOT / "app.py").is_file()
    )


@pytest.mark.parametrize("command", GENREC)
def test_every_command_of_the_readme_runs(command, monkeypatch, capsys, assistant):
    monkeypatch.setattr("genrec.cli._load", lambda args: assistant)
    assert main(shlex.split(command)[3:]) == 0
    out = capsys.readouterr().out
    assert len(out.strip()) > 10
    if "--json" in command:
        assert json.loads(out)["reply"]


def test_every_file_the_readme_lists_exists_and_every_module_or_its_folder_is_listed():
    tree = re.search(r"```text\n(app\.py.*?)```", TEXT, re.S)
    assert tree
    listed = [line.split()[0] for line in tree.group(1).splitlines() if line.strip()]
    assert [name for name in listed if not (ROOT / name).exists()] == []
    modules = {
        str(path.relative_to(ROOT)) for path in (ROOT / "genrec").rglob("*.py") if not path.name.startswith("__")
    }
    folders = tuple(name for name in listed if name.endswith("/"))
    missing = [name for name in sorted(modules) if name not in listed and not name.startswith(folders)]
    assert missing == []


def test_links_and_pictures_point_at_files():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert targets and all((ROOT / target).exists() for target in targets)


def test_the_front_matter_suits_a_space():
    front = dict(line.split(": ", 1) for line in TEXT.split("---")[1].strip().splitlines())
    assert front["sdk"] == "gradio" and front["app_file"] == "app.py" and front["python_version"] == '"3.12"'
    assert len(front["short_description"]) <= 60
    import gradio

    assert front["sdk_version"].rsplit(".", 1)[0] == gradio.__version__.rsplit(".", 1)[0]


def test_no_placeholder_is_left():
    assert "@@" not in TEXT and "TODO" not in TEXT
