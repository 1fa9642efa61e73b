"""The command line as a user meets it: what is printed where, and the exit code."""

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from genotypes import FORMS, from_text, library_entry, library_names, load, to_json
from genotypes.__main__ import COMMANDS, main
from genotypes.commands import Convert, Draw, List
from genotypes.draw.svg import THEMES
from genotypes.formats.json_document import SCHEMA
from genotypes.library import SORT_FIELDS, rows
from genotypes.types.cell import OPERATIONS, CellOperation

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def run(capsys):
    """Runs a command in this process: exit code, standard output, standard error."""

    def command(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return command


@pytest.fixture
def faulty(tmp_path):
    path = tmp_path / "faulty.json"
    text = to_json(load("DARTS_V2")).replace("sep_conv_3x3", "sep_conv_3x4", 1).replace('"from": 1}', '"from": 7}', 1)
    path.write_text(text)
    return path


def test_options_are_those_of_the_modules():
    assert get_args(get_type_hints(Convert)["to"]) == FORMS
    assert get_args(get_type_hints(Draw)["theme"]) == THEMES
    assert get_args(get_type_hints(List)["sort"]) == SORT_FIELDS


def test_list_has_every_figure(run):
    code, out, err = run("list")
    assert code == 0 and not err
    found = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert found["DARTS_V2"] == ["2.76", "0.09", "3.3", "4", "26.7", "3,349,342"]
    assert found["DARTSPT_darts_pt_s5_0"] == ["2.61*", "0.08*", "0.8", "2,851,246"]
    assert set(library_names()) <= set(found)
    for name in library_names():
        assert found[name][-1] == f"{library_entry(name)['exact_parameters']['cifar_c36_l20_10classes']:,}"


@pytest.mark.parametrize("field", SORT_FIELDS)
def test_list_sorts(run, field):
    names = [line.split()[0] for line in run("list", "--sort", field)[1].splitlines() if line.strip()]
    names = [name for name in names if name in library_names()]
    assert names == [row.name for row in rows(field)] and len(names) == len(library_names())
    values = [getattr(row, field) if field in ("name", "exact") else row.figures.get(field) for row in rows(field)]
    given = [value for value in values if value is not None]
    assert given == sorted(given) and values[: len(given)] == given


def test_show_draws_and_counts(run):
    code, out, err = run("show", "DARTS_V2")
    assert code == 0 and not err
    assert "Liu et al. 2019" in out and "node 0  ── dil_conv_3x3 ──┘" in out
    assert "parameters           3,349,342       3.35 M" in out
    assert "multiply-adds      528,359,040     528.36 M" in out
    code, out, err = run("show", "PDARTS", "--channels", 48, "--layers", 14, "--size", 224, "--classes", 1000)
    assert "parameters           4,944,352" in out and "multiply-adds      542,819,328" in out
    small = ["show", "NASNet_A", "--channels", 2, "--layers", 1, "--size", 1, "--classes", 1]
    assert all(run(*small, "--stem", stem)[0] == 0 for stem in ("auto", "cifar", "imagenet"))


def test_check_names_every_fault_of_every_file(run, faulty, tmp_path):
    torn = tmp_path / "torn.txt"
    torn.write_text("Genotype(normal=[('none', 0)")
    code, out, err = run("check", faulty, torn, tmp_path / "absent.json", "PDARTS")
    assert code == 2 and out == "PDARTS: ok, hash cbafb01b5c9b\n"
    assert err.splitlines() == [
        f"error: {faulty}: line 9, normal.nodes[0][0].op: found 'sep_conv_3x4', allowed 'sep_conv_3x3' (nearest)",
        f"error: {faulty}: line 10, normal.nodes[0][1].from: found 7, allowed an earlier state, 0 to 1",
        f"error: {torn}: line 1, column 29: found the end of the text, allowed ','",
        f"error: {tmp_path / 'absent.json'}: file: found no such file, allowed a genotype file or a library name",
    ]


def test_check_warns_of_what_is_seldom_meant(run, tmp_path):
    path = tmp_path / "odd.txt"
    path.write_text(
        "G(normal=[[('none', 0)],\n[],\n[('none', 3)],\n[('none', 1)]],normal_concat=[2],"
        "reduce=[[('none', 0)]], reduce_concat=[2])"
    )
    code, out, err = run("check", path)
    assert code == 0 and out.startswith(f"{path}: ok, hash ")
    assert err.splitlines() == [
        f"warning: {path}: line 2, normal.nodes[1]: state 3 has no input and is left out",
        f"warning: {path}: line 3, normal.nodes[2]: state 4 has inputs from empty states only and is left out",
        f"warning: {path}: line 4, normal.nodes[3]: the value of state 5 is never used",
    ]
    code, out, err = run("check", *library_names())
    assert code == 0 and {line.split()[1] for line in err.splitlines()} <= {f"FairDARTS_{x}:" for x in "aeg"}


def test_diff(run, tmp_path):
    copy = tmp_path / "copy.json"
    copy.write_text(to_json(load("DARTS_V1").named("another")))
    assert run("diff", "DARTS_V1", copy) == (0, "", "")
    code, out, err = run("diff", "DARTS_V1", "DARTS_V2")
    assert code == 1 and not err
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "reduce.nodes[3] avg_pool_3x3 from 0 max_pool_3x3 from 1" in lines
    assert "normal.nodes[3] skip_connect from 2 dil_conv_3x3 from 2" in lines
    assert run("diff", "DARTS_V1", "DARTS_V3")[0] == 2


@pytest.mark.parametrize("form", FORMS)
def test_convert_there_and_back(run, tmp_path, monkeypatch, form):
    path = tmp_path / "folder" / "out"
    genotype = load("DARTS_V1")
    assert run("convert", "DARTS_V1", "--to", form, "--output", path) == (0, "", "")
    monkeypatch.chdir(path.parent)
    assert run("convert", "DARTS_V1", "--to", form) == (0, path.read_text(), "")
    assert load(path) == genotype and load(path).hash == genotype.hash and load(path).name == "DARTS_V1"
    assert [file.name for file in path.parent.iterdir()] == ["out"]
    if form == "json":
        document = json.loads(path.read_text())
        assert document["reported"] == library_entry("DARTS_V1")["reported"]
        assert (path.parent / document["$schema"]).resolve() == SCHEMA


def test_convert_spares_what_is_there(run, tmp_path):
    path = tmp_path / "cell.json"
    path.write_text("mine")
    code, out, err = run("convert", "PDARTS", "--to", "json", "--output", path)
    assert (code, out, path.read_text()) == (2, "", "mine")
    wanted = "--output: found an existing file, allowed a new one, or --force"
    assert err == f"error: {path}: {wanted}\n"
    assert run("convert", "PDARTS", "--to", "json", "--output", path, "--force")[0] == 0
    assert load(path) == load("PDARTS") and [file.name for file in tmp_path.iterdir()] == ["cell.json"]


def test_convert_says_what_a_form_cannot_hold(run):
    code, out, err = run("convert", "AmoebaNet_A", "--to", "edges")
    wanted = "normal.nodes[3]: found two edges from one state, allowed one; text, nested or triples hold more"
    assert (code, out, err) == (2, "", f"error: AmoebaNet_A as edges: {wanted}\n")


def test_architectures_of_nasbench201(run, tmp_path):
    string = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|"
    path = tmp_path / "cell.json"
    assert run("convert", string, "--to", "json", "--output", path) == (0, "", "")
    assert json.loads(path.read_text())["architecture"] == string
    assert run("convert", path, "--to", "text") == (0, f"{string}\n", "")
    code, out, err = run("convert", path, "--to", "triples")
    assert (code, out) == (2, "") and "--to: found triples, allowed json or text" in err
    code, out, err = run("show", "+".join(["|nor_conv_3x3~0|", "|nor_conv_3x3~0|nor_conv_3x3~1|", string[45:]]))
    assert code == 2 and "block 3" in err
    full = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    code, out, err = run("show", full)
    assert code == 0 and "  2 to 3  nor_conv_3x3\n" in out and "parameters           1,531,546" in out
    assert run("check", path)[0] == 0 and run("diff", path, string) == (0, "", "")
    code, out, err = run("diff", path, full)
    assert code == 1 and [line.split()[:3] for line in out.splitlines() if " to " in line] == [
        [str(source), "to", str(node)] for source, node in ((0, 2), (1, 2), (0, 3), (1, 3))
    ]
    assert run("diff", path, "DARTS_V2")[0] == 2
    found = run("mutate", path, "--count", 24)[1].split()
    assert len(set(found)) == 24 and string not in found
    assert run("mutate", path, "--count", 25)[0] == 2
    assert run("draw", path, "--output", tmp_path / "cell.svg") == (0, "", "")
    assert "nor_conv_1x1" in (tmp_path / "cell.svg").read_text()
    assert ".svg, of NASBench201Genotype" in run("draw", path, "--output", tmp_path / "cell.png")[2]
    cut = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|"
    assert run("check", cut)[2] == f"warning: {cut}: no path from the input to the output\n"
    path.write_text(path.read_text().replace("nor_conv_1x1", "nor_conv_1x2"))
    assert run("check", path)[2].startswith(
        f"error: {path}: line 5, architecture, block 3, entry 1: found 'nor_conv_1x2'"
    )


def test_recurrent_cells_and_choices(run, tmp_path):
    cell, other, choices = (tmp_path / name for name in ("cell.txt", "other.json", "choices.json"))
    cell.write_text("BEST = Genotype(recurrent=[('tanh', 0), ('relu', 1)], concat=range(1, 3))")
    assert run("convert", cell, "--to", "json", "--output", other) == (0, "", "")
    assert run("diff", cell, other) == (0, "", "")
    other.write_text(other.read_text().replace("relu", "sigmoid"))
    assert "relu from 1" in run("diff", cell, other)[1] and "nodes[1]  sigmoid from 1" in run("show", other)[1]
    choices.write_text('{"format": "choices-genotype",\n "version": 1,\n "choices": {"kernel": ["3x3"],\n "depth": 3}}')
    wanted = f"error: {choices}: line 4, choices.depth: found 3, allowed a list of names\n"
    assert run("check", choices) == (2, "", wanted)
    choices.write_text(choices.read_text().replace("3}", '["2"]}'))
    assert run("show", choices)[1].count("  kernel  3x3\n") == 1
    assert run("mutate", choices)[0] == 2


def test_mutate_is_decided_by_its_seed(run):
    first = run("mutate", "DARTS_V2", "--seed", 5, "--count", 30)
    assert first == run("mutate", "DARTS_V2", "--seed", 5, "--count", 30)
    assert first != run("mutate", "DARTS_V2", "--seed", 6, "--count", 30)
    found = [from_text(line) for line in first[1].splitlines()]
    assert len({genotype.hash for genotype in found} - {load("DARTS_V2").hash}) == 30
    code, out, err = run("mutate", "DARTS_V2", "--count", 500)
    assert (code, out) == (2, "") and err == (
        "error: mutate: --count: found 500, allowed at most 120: DARTS_V2 has no more neighbours\n"
    )


@pytest.mark.parametrize(("suffix", "start"), [(".svg", "<svg"), (".dot", "digraph"), (".SVG", "<svg")])
def test_draw(run, tmp_path, suffix, start):
    path = tmp_path / f"cell{suffix}"
    for theme in THEMES:
        assert run("draw", "FairDARTS_g", "--output", path, "--theme", theme) == (0, "", "")
        assert path.read_text().startswith(start)


def test_schema_is_printed(run):
    assert run("schema") == (0, SCHEMA.read_text(), "")


def test_schema_is_updated(run, tmp_path, monkeypatch):
    """An operation that is added stands in the schema's file, and nothing else changes."""
    path = tmp_path / "genotype.schema.json"
    path.write_text(SCHEMA.read_text())
    for module in ("genotypes.__main__", "genotypes.formats.schema"):
        monkeypatch.setattr(f"{module}.SCHEMA", path)
    monkeypatch.setitem(OPERATIONS, "ghost", CellOperation("Half of the channels."))
    before = json.loads(path.read_text())
    assert run("schema", "--update") == (0, "", "")
    after = json.loads(path.read_text())
    for key, value in (("enum", "ghost"), ("enumDescriptions", "Half of the channels.")):
        assert after["$defs"]["op"].pop(key) == [*before["$defs"]["op"].pop(key), value]
    assert after == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Expected one of {list, show, check, diff, convert, mutate, draw, schema}"),
        (["lst"], "lst; Available subcommands: list, show"),
        (["show"], "NAME|FILE"),
        (["show", "DARTS_v2"], "genotype: name: found 'DARTS_v2', allowed 'DARTS_V2' (nearest)"),
        (["show", "DARTS_V2", "--layers", "ten"], "Error parsing --layers"),
        (["show", "DARTS_V2", "--layers", "0"], "--layers: found 0, allowed 1 to 1000"),
        (["show", "DARTS_V2", "--depth", "3"], "Unrecognized options: --depth"),
        (["check"], "FILE: found none"),
        (["convert", "DARTS_V2", "--to", "xml"], "'xml'"),
        (["convert", "DARTS_V2", "--to", "json", "--output", "/dev/null/x"], "/dev/null/x: --output: found"),
        (["convert", "DARTS_V2", "--to", "json", "--output", "/", "--force"], "/: --output: found"),
        (["mutate", "DARTS_V2", "--count", "0"], "--count: found 0, allowed 1 or more"),
        (["mutate", "DARTS_V2", "--ops", "sep_conv_3x4"], "'sep_conv_3x3' (nearest)"),
        (["draw", "DARTS_V2", "--output", "cell.gif"], "cell.gif: --output: found '.gif', allowed .svg, .dot or .png"),
        (["draw", "DARTS_V2"], "--output"),
        (["list", "--sort", "size"], "'size'"),
        (["diff", "x" * 5000, "y"], "genotype: name: found 'xxx"),
    ],
)
def test_a_mistake_is_one_line(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert err.startswith("error: ") and message in err and not set("╭╮│─") & set(err)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert not stopped.value.code and "python -m genotypes" in capsys.readouterr().out


def test_as_a_process_without_torch(tmp_path):
    """A script that hides torch, as on a machine without it; and a reader that goes away."""
    (tmp_path / "torch.py").write_text("raise ImportError")
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "", "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "genotypes"]
    for arguments, code in ((["list"], 0), (["diff", "DARTS_V1", "PDARTS"], 1), (["check", "NASNet_A", "nothing"], 2)):
        done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == code and "Traceback" not in done.stderr
    process = subprocess.Popen([*command, "schema"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.wait() == 0 and not process.stderr.read()


@pytest.mark.parametrize(
    "arguments", [["list"], ["check", "DARTS_V2"], ["convert", "DARTS_V2", "--to", "json"], ["--help"]]
)
def test_a_closed_or_full_standard_output(arguments):
    command = " ".join([sys.executable, "-m", "genotypes", *arguments])
    for redirection, code, message in (
        (">&-", 0, ""),
        (">/dev/full", 2, "error: standard output: No space left on device\n"),
        (">&- 2>&-", 0, ""),
    ):
        if not Path("/dev/full").exists() and "full" in redirection:
            continue
        done = subprocess.run(f"{command} {redirection}", shell=True, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        assert (done.returncode, done.stderr) == (code, message)


def test_without_docstrings_and_assertions():
    done = subprocess.run(
        [sys.executable, "-OO", "-m", "genotypes", "check", "DARTS_V2"], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "DARTS_V2: ok, hash 23aee99f4eae\n", "")
