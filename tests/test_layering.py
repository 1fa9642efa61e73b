"""The direction of the arrows: scripts, then darts, then supernet, then genotypes; no circles; rules of the house."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from supernet.spaces import SPACES

ROOT = Path(__file__).parent.parent
LAYERS = ("genotypes", "supernet", "darts")
SOURCES = [*ROOT.glob("*.py"), *(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))]
SCRIPTS = {"__main__.py", "bench.py"}


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path):
    """Modules of this project that a file imports; those for types only are left out."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(node)
        for check in ast.walk(tree)
        if isinstance(check, ast.If) and ast.unparse(check.test) == "TYPE_CHECKING"
        for node in ast.walk(check)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.split(".")[0] in (*LAYERS, "train_search", "train_final"):
                yield name


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_upward_arrow(path):
    layer = name_of(path).split(".")[0]
    below = LAYERS[: LAYERS.index(layer) + 1] if layer in LAYERS and path.name not in SCRIPTS else LAYERS
    assert {name.split(".")[0] for name in imports_of(path)} <= set(below)


def test_no_circle():
    modules = {name_of(path) for path in SOURCES}
    graph = {}
    for path in SOURCES:
        wanted = {name if name in modules else name.rpartition(".")[0] for name in imports_of(path)}
        graph[name_of(path)] = wanted - {name_of(path)}
    assert list(TopologicalSorter(graph).static_order())


def test_genotypes_know_no_torch():
    for path in (ROOT / "genotypes").rglob("*.py"):
        roots = {
            node.names[0].name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
        }
        assert not roots & {"torch", "numpy"}, path


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_house_rules(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a file opens with a docstring"
    assert len(text.splitlines()) <= 400
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
"""What only ``supernet/spaces`` may speak of. Genotypes are cells, and their library is of cells."""

EXEMPT = {"cells.svg", "FactorizedReduce", "cell_width", "cell_height"}
"""The name of a picture's file, of an operation, and the fields of a heat map."""


OUTSIDE = [p for p in SOURCES if name_of(p).split(".")[0] != "genotypes" and "spaces" not in p.parts]
DARTS_EDGES = 14
PIXELS = {"darts.heatmap", "darts.report.charts"}
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


def test_a_space_is_one_file_and_one_row():
    """No module but the table of spaces imports a space to search in; benchmarks name the one that they measure."""
    rows = {f"supernet.spaces.{name}" for name in SPACES if (ROOT / "supernet" / "spaces" / f"{name}.py").is_file()}
    assert len(rows) == len(SPACES)
    for path in (path for path in OUTSIDE if path.name not in SCRIPTS):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in rows:
                assert all(alias.name.endswith("Shape") for alias in node.names), path
