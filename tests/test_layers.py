"""A module imports lower layers only, found by reading every import, also those inside functions (`if TYPE_CHECKING` aside)."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "genrec"
LAYERS = (
    ("constraints", "errors", "schema", "settings", "text", "tfidf", "vocabulary", "wire"),
    (
        "catalogue",
        "language",
        "safety",
        "interests",
        "onboarding",
        "retrieval",
        "prompt",
        "engines",
        "grounding",
        "attribution",
        "report",
        "store",
        "vectors",
        "static_encoder",
    ),
    ("explaining",),
    ("assistant",),
    ("deploy", "load"),
    ("ui", "cli", "bench", "train"),
    ("evaluate",),  # measures on the dialogues that train composes
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
STARTERS = ("__init__", "__main__")  # the package's own doors
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imported(source: str) -> set[str]:
    """The dotted names below `genrec` that a source imports at run time, at any level of nesting."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                visit(child)
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.split(".")[0] == "genrec")
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports would escape this test"
            if node.module == "genrec":
                found.update(f"genrec.{alias.name}" for alias in node.names)
            elif (node.module or "").startswith("genrec."):
                found.add(node.module or "")
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(source))
    return {name.removeprefix("genrec").removeprefix(".") for name in found}


def unit(name: str) -> str:
    """The module or folder directly below `genrec`."""
    return name.replace("/", ".").removesuffix(".py").split(".")[0]


def breaches(path: Path, source: str) -> list[str]:
    """The imports of a file that go sideways or up. Within a folder, and among the definitions of layer 0, siblings are allowed."""
    own = unit(str(path))
    found = []
    for name in sorted(imported(source)):
        other = unit(name)
        is_sibling = own == other or LAYER[own] == LAYER[other] == 0
        if not is_sibling and LAYER[other] >= LAYER[own]:
            found.append(f"{path} (layer {LAYER[own]}) imports genrec.{name} (layer {LAYER[other]})")
    return found


@pytest.mark.parametrize("path", [path for path in FILES if unit(str(path)) not in STARTERS], ids=str)
def test_a_module_imports_lower_layers_only(path):
    assert breaches(path, (PACKAGE / path).read_text("utf-8")) == []


def test_every_module_has_a_layer_and_every_layer_its_modules():
    there = {unit(str(path)) for path in FILES} - set(STARTERS)
    assert there - set(LAYER) == set()
    assert set(LAYER) - {unit(path.name) for path in PACKAGE.iterdir()} == set()


def test_no_modules_import_each_other_in_a_circle():
    graph = {}
    for path in FILES:
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        graph[name] = imported((PACKAGE / path).read_text("utf-8")) - {name}
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_the_app_and_the_command_line_never_import_training():
    """The command line names evaluate, bench and train as text and imports them when they are called."""
    for path in FILES:
        if unit(str(path)) not in ("train", "evaluate", "bench"):
            assert {unit(name) for name in imported((PACKAGE / path).read_text("utf-8"))} & {
                "train",
                "evaluate",
                "bench",
            } == set(), path


@pytest.mark.parametrize(
    "source",
    [
        "from genrec.catalogue import Catalogue",
        "import genrec.catalogue",
        "from genrec import assistant",
        "def work():\n    if True:\n        from genrec.load import load_assistant",
        "class A:\n    def work(self):\n        import genrec.ui.app as app",
        "if TYPE_CHECKING:\n    pass\nelse:\n    from genrec import cli",
        "try:\n    pass\nexcept OSError:\n    from genrec.prompt import build_messages",
    ],
)
def test_a_breach_is_found_wherever_it_hides(source):
    assert len(breaches(Path("retrieval.py"), source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from genrec.schema import Item",
        "from __future__ import annotations\nif TYPE_CHECKING:\n    from genrec.catalogue import Catalogue",
        "import json",
    ],
)
def test_what_is_allowed_is_not_called_a_breach(source):
    assert breaches(Path("retrieval.py"), source) == []
