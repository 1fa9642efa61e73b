"""The benchmark of the mixed operations: its comparison with the reference, its accounts, its output."""

import json

import pytest
import torch
from rich.console import Console

from supernet.bench import kernels as bench
from supernet.bench.machine import backends_on
from supernet.errors import SpaceError
from supernet.fused.cuda import library
from supernet.mixed.backends import BACKENDS, BackendRow


def test_measured_and_written(tmp_path):
    pytest.importorskip("triton")
    file = tmp_path / "b.json"
    small = f"--batch-size 1 --rounds 1 --device cpu --json {file}"
    bench.main(small.split(), Console(quiet=True))
    content = json.loads(file.read_text())
    assert [row["backend"] for row in content["passes"]] == list(backends_on(torch.device("cpu")))
    assert all(row["seconds"] > 0 for row in content["passes"])
    functions = {row["function"]: row for row in content["functions"]}
    by_cuda = library.can_compile()
    forward, backward = ("convs_forward", "state_gradient") if by_cuda else ("forward", "input_gradient")
    assert {forward, "pools", "combine", backward} <= set(functions)
    state = 16 * 32 * 32 * 2
    assert functions[forward]["bytes"] > 100 * state and functions[forward]["operations"] > 1e8


def test_nothing_is_measured_where_a_backend_differs_from_the_reference(monkeypatch):
    right = BACKENDS["batched"].edge_outputs
    wrong = BackendRow(lambda source, x, gates: [1.01 * y for y in right(source, x, gates)])
    monkeypatch.setitem(BACKENDS, "batched", wrong)
    with pytest.raises(SpaceError, match="not equal"):
        bench.main(["--device", "cpu"], Console(quiet=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("gpu --out x", "Unrecognized options: gpu, --out, x"),
        ("--rounds 0", "--rounds is 0; it must be 1 to 1000000"),
        ("--batch-size -1", "--batch-size is -1; it must be 1 to 65536"),
        ("--device x", "--device is 'x'; this machine has no such device"),
        ("--json /", "/: Is a directory"),
    ],
)
def test_a_mistake_is_one_line(options, message, capsys):
    assert bench.run(options.split()) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and message in line and line.count("\n") == 1


def test_one_launch():
    """The account of a forward launch, by hand: a state read once, its planes written; taps and products."""
    traffic = pytest.importorskip("supernet.fused.traffic")
    resources = pytest.importorskip("supernet.fused.resources")
    launches = resources.record(("dil_conv_3x3",), 16, 1, batch=2, size=8, inputs=1, nodes=1, dtype=torch.bfloat16)
    (forward,) = (launch for launch in launches if launch.kernel.__name__ == "_forward_kernel")
    pixels = 2 * 8 * 8
    assert traffic.work_of(forward) == traffic.Work(2 * pixels * 16 * 2, 2 * 9 * 16 * pixels * 16)
