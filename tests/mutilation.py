"""Files as accidents and hands leave them: bytes torn, turned and repeated; values of JSON and tables exchanged."""

import copy
import io
import json
import random
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path

import torch

ODD = [
    None, True, False, 0, -1, 1, 2, 3.5, -0.0, 1e308, 2**31, 2**63, 10**30, "", "x", "1", "ä\u202e", "\ud800", "[b]",
    "[/x]", "../x", "a\nb", "\0", "darts", "x" * 300, [], {}, [[]], [1, 2], ["x"], {"a": 1}, {"rows": 5}, float("nan"),
    float("inf"), float("-inf"),
]  # fmt: skip
"""Values that may stand where another is expected."""

TEXTS = [b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"{", b"]", b'"', b",", b"NaN", b"1e999", b"-", b"null", b"[" * 3000]
"""Bytes that may stand anywhere."""

FIELDS = [b"", b"x", b"nan", b"inf", b"-1", b'"', b"\0", b"1e999"]
"""Fields of a table that may stand where another is expected."""


def bytes_of(content, rng):
    """Return a file's content with one to three places torn, turned, doubled, cut out or overwritten."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        start = rng.randrange(len(content) + 1)
        length = rng.choice([1, 2, 8, 64, 500])
        kind = rng.randrange(7)
        if kind == 0:
            del content[start:]
        elif kind == 1:
            del content[start : start + length]
        elif kind == 2:
            content[start:start] = content[start : start + length]
        elif kind == 3 and start < len(content):
            content[start] ^= 1 << rng.randrange(8)
        elif kind == 4:
            content[start:start] = rng.choice(TEXTS)
        elif kind == 5:
            content[start : start + length] = rng.randbytes(length)
        else:
            other = rng.randrange(len(content) + 1)
            piece = content[other : other + length]
            content[start : start + len(piece)] = piece
    return bytes(content)


def _places(tree):
    """Yield each container of a tree with each of its keys."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield tree, key
        yield from _places(value)


def tree_of(tree, rng, odd=ODD):
    """Return a tree of dictionaries and lists with one to three values exchanged, taken away or renamed."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        places = list(_places(tree))
        if not places:
            return rng.choice(odd)
        container, key = rng.choice(places)
        kind = rng.randrange(8)
        if kind == 0:
            del container[key]
        elif kind == 1:
            other, place = rng.choice(places)
            container[key] = copy.deepcopy(other[place])
        elif kind == 2 and isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        elif kind == 3 and isinstance(container, dict):
            container[rng.choice(["x", "", "kind", "rows", "epoch", "seed"])] = container.pop(key)
        elif kind == 4 and type(container[key]) in (int, float):
            container[key] *= rng.choice([-1, 2, 1000, 10**12])
        else:
            container[key] = copy.deepcopy(rng.choice(odd))
    return rng.choice(odd) if rng.random() < 0.02 else tree


def json_of(content, rng):
    """Return a JSON file with values exchanged, or its bytes mutilated."""
    if rng.random() < 0.4:
        return bytes_of(content, rng)
    return json.dumps(tree_of(json.loads(content), rng)).encode()


def lines_of(content, rng):
    """Return JSON lines with values exchanged in one of them, lines exchanged, or bytes mutilated."""
    lines = content.splitlines()
    if not lines or rng.random() < 0.3:
        return bytes_of(content, rng)
    index = rng.randrange(len(lines))
    if rng.random() < 0.2:
        lines[index] = rng.choice(lines)
    else:
        lines[index] = json.dumps(tree_of(json.loads(lines[index]), rng)).encode()
    return b"\n".join(lines) + b"\n"


def checkpoint_of(content, rng):
    """Return a PyTorch file with values of its state exchanged, or its bytes mutilated."""
    if rng.random() < 0.3:
        return bytes_of(content, rng)
    tensors = [torch.zeros(()), torch.ones(3), torch.tensor(float("nan")), torch.zeros(2, 0), torch.tensor(True)]
    state = tree_of(torch.load(io.BytesIO(content), weights_only=True), rng, [*ODD, *tensors])
    written = io.BytesIO()
    torch.save(state, written)
    return written.getvalue()


def table_of(content, rng):
    """Return a CSV file with fields exchanged, or its bytes mutilated."""
    if rng.random() < 0.5:
        return bytes_of(content, rng)
    lines = [line.split(b",") for line in content.splitlines()]
    line = rng.choice(lines[: rng.choice([1, len(lines)])])
    place = rng.randrange(len(line))
    line[place : place + rng.choice([0, 1, 1, 1])] = [
        rng.choice([b"", b"x", b"nan", b"inf", b"-1", b'"', b"\0", b"1e999"])
    ]
    return b"\n".join(b",".join(line) for line in lines) + b"\n"


def seeded(seed):
    """Return a generator of its own for a case."""
    return random.Random(seed)


def database_of(content, rng):
    """Return an SQLite file with values of a table exchanged or rows taken away, or its bytes mutilated."""
    if rng.random() < 0.3:
        return bytes_of(content, rng)
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        with sqlite3.connect(file.name) as database:
            database.execute("PRAGMA journal_mode=DELETE")
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for _ in range(rng.choice([1, 1, 2])):
                table = rng.choice(tables)
                columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
                rows = [row for (row,) in database.execute(f"SELECT rowid FROM {table}")]
                chosen = rng.choice(rows) if rows and rng.random() < 0.7 else -1
                where = f"rowid = {chosen}" if chosen >= 0 else "1"
                if rng.random() < 0.2:
                    database.execute(f"DELETE FROM {table} WHERE {where}")
                    continue
                value = rng.choice([None, -1, 0, 7, 2**40, 1e308, "x", "", "{", "3", "[]", '{"a": 1}', "NaN", "\ud7ff"])
                with suppress(sqlite3.IntegrityError):  # a key of another type
                    database.execute(f"UPDATE OR IGNORE {table} SET {rng.choice(columns)} = ? WHERE {where}", (value,))
        database.close()
        return Path(file.name).read_bytes()
