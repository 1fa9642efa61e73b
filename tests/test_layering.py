"""The structure of the tree: the direction of imports, the order of folders, no circles, and the rules of the house.

All imports count: those for types only, those inside functions, and names given to ``import_module``.
"""

import ast
import re
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from supernet.spaces import SPACES

ROOT = Path(__file__).parent.parent
LAYERS = ("genotypes", "supernet", "darts")
SOURCES = [*ROOT.glob("*.py"), *(path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py")))]

ORDER = (
    {"errors", "processes", "standard_streams", "config", "artifacts", "data"},
    {"training"},
    {"bilevel"},
    {"methods"},
    {"benchmarks", "oneshot", "blackbox", "retraining"},
    {"recipes", "report", "cli", "api", "results", "arguments", "automatic"},
    {"experiments", "bench", "sklearn"},
)
"""Folders and files of ``darts``, the lowest first; a file imports from its own row and from those below it."""

COMMANDS = {"__main__.py", "table.py", "compare.py", "export.py"}
"""Modules that only start a command; they may look anywhere."""

ONE_KIND = {"methods", "recipes", "library"}
"""Folders whose files are all of one kind, however many they are."""

MAX_FILES, MAX_LINES = 20, 350


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path) for path in SOURCES}


def imports_of(path):
    """Modules of this project that a file imports, for whatever purpose and wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "run_module")):
            names = [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]
        for name in names:
            if name.split(".")[0] in (*LAYERS, "train_search", "train_final"):
                yield name if name in MODULES else name.rpartition(".")[0]


def row_of(name):
    """The row of ``ORDER`` that a module of ``darts`` stands in; that of the package itself is the last."""
    part = (*name.split("."), "")[1]
    return next((row for row, names in enumerate(ORDER) if part in names), len(ORDER))


def is_command(path):
    return path.name == "__main__.py" or (path.parent.name == "darts" and path.name in COMMANDS)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_down(path):
    name, (layer, *_) = name_of(path), name_of(path).split(".")
    if layer not in LAYERS or is_command(path):
        return
    below = set(LAYERS[: LAYERS.index(layer) + 1])
    for imported in imports_of(path):
        assert imported.split(".")[0] in below, imported
        if layer == "darts" and imported.startswith("darts."):
            assert row_of(imported) <= row_of(name), imported


def test_no_circle_of_files():
    graph = {name_of(path): set(imports_of(path)) - {name_of(path)} for path in SOURCES}
    try:
        assert list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_a_hidden_import_is_seen(tmp_path, monkeypatch):
    hidden = tmp_path / "hidden.py"
    hidden.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from darts.api.search import search\n"
        "def f():\n    from darts import cli\n    import_module('darts.data.registry')\n"
    )
    assert set(imports_of(hidden)) == {"darts.api.search", "darts.cli", "darts.data.registry"}


def test_no_folder_of_many_kinds():
    counts = Counter(path.parent for path in SOURCES)
    crowded = {folder: count for folder, count in counts.items() if count > MAX_FILES and folder.name not in ONE_KIND}
    assert not crowded


@pytest.mark.parametrize("path", sorted((ROOT / "genotypes").rglob("*.py")), ids=name_of)
def test_genotypes_know_no_torch(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {name.split(".")[0] for name in names} & {"torch", "torchvision", "numpy"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_house_rules(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a file opens with a docstring"
    assert len(text.splitlines()) <= MAX_LINES
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not called & {"eval", "exec", "pickle.load", "pickle.loads"}
    assert not re.search(r"except:|import \*|weights_only=False", text)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


def named_in(tree):
    """Identifiers, and strings that are no docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented)
                  if node.body and isinstance(node.body[0], ast.Expr)}  # fmt: skip
    fields = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg | ast.alias | ast.FunctionDef | ast.ClassDef):
            yield getattr(node, "arg", None) or node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | fields:
            yield node.value


SPACES_ALONE = re.compile(r"(?i)(?<![a-z])cells?(?![a-z])|cell(?=genotype)|reduction|\breduce\b")
"""Words that only ``supernet/spaces`` may use. Genotypes are cells, and their library is of cells."""

EXEMPT = {"cells.svg", "FactorizedReduce", "cell_width", "cell_height"}
"""The name of a picture's file, of an operation, and the fields of a heat map."""


OUTSIDE = [p for p in SOURCES if name_of(p).split(".")[0] != "genotypes" and "spaces" not in p.parts]
DARTS_EDGES = 14
PIXELS = {"darts.artifacts.gate_heatmaps", "darts.report.charts"}
"""Files in which that number is a distance in a picture."""


@pytest.mark.parametrize("path", OUTSIDE, ids=name_of)
def test_no_file_outside_the_spaces_knows_a_cell(path):
    found = {name for name in named_in(ast.parse(path.read_text())) if SPACES_ALONE.search(name)}
    assert not {name for name in found if name not in EXEMPT and not any(part in name for part in EXEMPT)}


def edge_counts(tree):
    """The number of edges of DARTS's cells where it is no depth, and formulas of such numbers: n (n + k) / 2."""
    depths = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "layers"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value == DARTS_EDGES and id(node) not in depths:
            yield ast.unparse(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.FloorDiv):
            product, two = node.left, node.right
            halved = isinstance(two, ast.Constant) and two.value == 2 and isinstance(product, ast.BinOp)
            if halved and isinstance(product.op, ast.Mult):
                names = [
                    {n.id for n in ast.walk(side) if isinstance(n, ast.Name)} for side in (product.left, product.right)
                ]
                if names[0] & names[1]:
                    yield ast.unparse(node)


@pytest.mark.parametrize("path", [p for p in OUTSIDE if name_of(p) not in PIXELS], ids=name_of)
def test_no_file_outside_the_spaces_knows_how_many_edges_there_are(path):
    assert not list(edge_counts(ast.parse(path.read_text())))


@pytest.mark.parametrize("code", ["torch.zeros(14, 8)", "rows = steps * (steps + 3) // 2", "e = (2 + n) * (n - 1) / 2"])
def test_an_edge_count_is_recognized(code):
    assert list(edge_counts(ast.parse(code)))
    assert not list(edge_counts(ast.parse("f(layers=14); g((a - b) * (1 + c) / 2)")))


def test_a_space_is_imported_by_the_table_of_spaces_alone():
    """No module but ``supernet.spaces`` imports a space to search in; benchmarks name the one that they measure."""
    table = ROOT / "supernet" / "spaces" / "__init__.py"
    spaces = {name for name in imports_of(table) if name.startswith("supernet.spaces.")} - {"supernet.spaces.space"}
    assert len(spaces) == len(SPACES)
    for path in (path for path in OUTSIDE if not {"bench", "benchmarks"} & set(path.parts)):
        assert not spaces & set(imports_of(path)), path
