"""A Space gets what the app needs and nothing else. The hub is a small server on this machine that keeps what it is sent."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from packaging.requirements import Requirement
from test_layers import imported

from genrec.cli import main
from genrec.deploy import deploy, space_files
from genrec.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # huggingface_hub to its own client
FILES = [path.as_posix() for path in space_files()]
_ZEROGPU_TORCH = ("2.8.0", "2.9.1", "2.10.0", "2.11.0")  # the versions that ZeroGPU lists


class FakeHub(BaseHTTPRequestHandler):
    """As much of the hub's API as creating a Space and committing to it takes: repository, upload modes, large files, commits."""

    repos: dict[str, dict[str, bytes]]
    large: dict[str, bytes]
    tokens: set[str]
    is_full = False

    def log_message(self, *args):
        pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, content) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0]
        found = re.match(r"/api/spaces/([\w-]+/[\w-]+)", path)
        if not found or found.group(1) not in self.repos:
            return self._answer(404, {"error": "Repository not found"})
        if found := re.fullmatch(r"/api/spaces/([\w-]+/[\w-]+)/tree/main", path):
            files = self.repos[found.group(1)]
            return self._answer(
                200, [{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in files.items()]
            )
        if found := re.fullmatch(r"/api/spaces/([\w-]+/[\w-]+)(/revision/main)?", path):
            siblings = [{"rfilename": name} for name in self.repos[found.group(1)]]
            return self._answer(200, {"id": found.group(1), "sha": "1" * 40, "siblings": siblings})
        self._answer(404, {"error": self.path})

    def do_PUT(self):
        self.large[self.path.rsplit("/", 1)[1]] = self._body()
        self._answer(200, {})

    def do_POST(self):
        body, path = self._body(), self.path.split("?")[0]
        if self.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return self._answer(401, {"error": "Invalid username or password."})
        if path == "/api/validate-yaml":
            return self._answer(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            told = json.loads(body)
            name = f"{told.get('organization') or 'ann'}/{told['name']}"
            assert told["type"] == "space" and told["sdk"] == "gradio"
            self.repos.setdefault(name, {".gitattributes": b"", "genrec/stale.py": b"old", "notes.txt": b"his own"})
            return self._answer(200, {"url": f"http://{self.headers['Host']}/spaces/{name}", "name": name})
        if path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            modes = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"].endswith((".safetensors", ".ckpt")) else "regular",
                    "shouldIgnore": False,
                }
                for one in files
            ]
            return self._answer(200, {"files": modes})
        if path.endswith("/info/lfs/objects/batch"):
            host = f"http://{self.headers['Host']}/large/"
            objects = [
                {**one, "actions": {"upload": {"href": host + one["oid"]}}} for one in json.loads(body)["objects"]
            ]
            return self._answer(200, {"transfer": "basic", "objects": objects})
        if found := re.fullmatch(r"/api/spaces/(.+)/commit/main", path):
            if type(self).is_full:
                return self._answer(507, {"error": "No space is left for you."})
            repo = self.repos[found.group(1)]
            for line in map(json.loads, body.decode().splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    repo[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    repo[value["path"]] = self.large[value["oid"]]
                elif line["key"] == "deletedFile":
                    del repo[value["path"]]
            return self._answer(
                200,
                {
                    "commitUrl": f"http://{self.headers['Host']}/spaces/{found.group(1)}/commit/{'1' * 40}",
                    "commitOid": "1" * 40,
                    "success": True,
                },
            )
        self._answer(404, {"error": self.path})


@pytest.fixture
def hub(monkeypatch):
    """(address, repositories) of a hub that knows the token hf_good."""
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_HUB_DISABLE_XET", True
    )  # its storage protocol is not the hub's API
    handler = type("Hub", (FakeHub,), {"repos": {}, "large": {}, "tokens": {"hf_good"}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    handler.address = f"http://127.0.0.1:{server.server_port}"
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def clone(tmp_path):
    """A repository as small as can be."""
    for name, text in {
        "README.md": "---\nsdk: gradio\n---\n", "LICENSE": "free", "app.py": "print()", "requirements.txt": "gradio", ".gitattributes": "* text",
        ".env": "SECRET=1", "genrec.sqlite3": "ratings", "tests/test_a.py": "", "docs/LOG.md": "", "assets/images/chat.png": "", ".git/config": "",
        "genrec/__init__.py": "", "genrec/cli.py": "", "genrec/train/writer.py": "", "genrec/evaluate/a.py": "", "genrec/bench/a.py": "",
        "genrec/ui/app.py": "code", "genrec/ui/__pycache__/app.pyc": "", "genrec/ui/.hidden": "",
        "assets/catalogue/film.jsonl": "{}", "assets/models/writer/model.safetensors": "weights",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


WANTED = [
    ".gitattributes", "LICENSE", "README.md", "app.py", "assets/catalogue/film.jsonl", "assets/models/writer/model.safetensors", "genrec/__init__.py",
    "genrec/ui/app.py", "requirements.txt",
]  # fmt: skip


def test_a_space_gets_its_files_and_nothing_else(hub, clone):
    url = deploy("ann/genrec", HfApi(endpoint=hub.address, token="hf_good"), root=clone)
    assert url.endswith("ann/genrec")
    space = hub.repos["ann/genrec"]
    assert sorted(space) == sorted([*WANTED, "notes.txt"])  # what the owner put there stays, a stale module goes
    assert all(space[name] == (clone / name).read_bytes() for name in WANTED)
    assert list(hub.large) == [hashlib.sha256(b"weights").hexdigest()]


def test_a_second_deployment_brings_what_changed(hub, clone):
    api = HfApi(endpoint=hub.address, token="hf_good")
    deploy("ann/genrec", api, root=clone)
    (clone / "app.py").write_text("print(2)")
    (clone / "genrec/ui/app.py").unlink()
    deploy("ann/genrec", api, root=clone)
    assert hub.repos["ann/genrec"]["app.py"] == b"print(2)" and "genrec/ui/app.py" not in hub.repos["ann/genrec"]


def test_a_refusal_of_the_hub_is_told_in_one_line(hub, clone):
    with pytest.raises(InputError, match="^The hub did not take it: .*401") as told:
        deploy("ann/genrec", HfApi(endpoint=hub.address, token="hf_bad"), root=clone)
    assert "\n" not in str(told.value) and "hf_bad" not in str(told.value)
    hub.is_full = True
    with pytest.raises(InputError, match="507"):
        deploy("ann/genrec", HfApi(endpoint=hub.address, token="hf_good"), root=clone)


def test_a_hub_that_is_not_there_is_told(clone):
    with pytest.raises(InputError, match="^The hub did not take it"):
        deploy("ann/genrec", HfApi(endpoint="http://127.0.0.1:9", token="hf_good"), root=clone)


def test_without_a_token_it_says_where_one_is_looked_for(clone, monkeypatch):
    monkeypatch.setattr("genrec.deploy._stored_token", lambda: None)
    with pytest.raises(InputError, match="HF_TOKEN"):
        deploy("ann/genrec", HfApi(endpoint="http://127.0.0.1:9"), root=clone)


def test_the_token_is_read_from_the_environment(hub, clone, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    deploy("ann/genrec", HfApi(endpoint=hub.address), root=clone)
    assert "app.py" in hub.repos["ann/genrec"]


def test_a_clone_that_is_not_whole_is_told(clone):
    (clone / "requirements.txt").unlink()
    with pytest.raises(InputError, match=r"requirements\.txt is missing"):
        space_files(clone)


def test_a_dry_run_lists_every_file_with_its_size_and_sends_nothing(capsys):
    assert main(["deploy", "ann/genrec", "--dry-run"]) == 0
    *lines, total = capsys.readouterr().out.splitlines()
    listed = {line.split()[1]: int(line.split()[0].replace(",", "")) for line in lines}
    assert listed == {name: (ROOT / name).stat().st_size for name in FILES}
    assert int(total.split()[0].replace(",", "")) == sum(listed.values())


@pytest.mark.parametrize(
    "name", ["genrec", "ann/", "/genrec", "a/b/c", "ann/gen rec", "https://huggingface.co/ann/x", ""]
)
def test_a_name_that_is_no_space_is_told(name, capsys):
    assert main(["deploy", name, "--dry-run"]) == 2
    assert "USER/SPACE" in capsys.readouterr().err


def test_every_import_of_the_uploaded_files_is_uploaded_too():
    modules = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in FILES if name.endswith(".py")
    }
    missing = {
        (name, needed)
        for name in FILES
        if name.endswith(".py")
        for needed in imported((ROOT / name).read_text("utf-8"))
        if needed
        and f"genrec.{needed}" not in modules
        and f"genrec.{needed.rpartition('.')[0]}".rstrip(".") not in modules
    }
    assert not missing


def test_the_upload_has_every_model_and_catalogue_and_no_tests_training_or_pictures():
    for folder in ("writer", "encoder", "ranker", "toxicity"):
        card = json.loads((ROOT / "assets/models" / folder / "card.json").read_text("utf-8"))
        assert {f"assets/models/{folder}/{name}" for name in (*card["sha256"], "card.json")} <= set(FILES)
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "assets/catalogue").iterdir()} <= set(FILES)
    assert not [name for name in FILES if re.match(r"tests|docs|assets/images|genrec/(train|evaluate|bench|cli)", name)]


def test_the_requirements_accept_a_torch_that_zerogpu_lists():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    torch = next(Requirement(line.split("#")[0].strip()) for line in lines if line.startswith("torch"))
    assert any(torch.specifier.contains(version) for version in _ZEROGPU_TORCH)


def test_the_front_matter_is_what_the_hub_reads():
    import yaml

    front = yaml.safe_load((ROOT / "README.md").read_text("utf-8").split("---")[1])
    assert front["sdk"] == "gradio" and front["app_file"] == "app.py" and front["python_version"] == "3.12"
    assert len(front["short_description"]) <= 60 and front["license"] == "apache-2.0"
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {front["colorFrom"], front["colorTo"]} <= colours and front["header"] in ("mini", "default")
    assert Path(ROOT / front["app_file"]).is_file() and isinstance(front["tags"], list) and front["suggested_hardware"]
