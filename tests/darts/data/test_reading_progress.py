"""The progress of reading many files is shown where it takes long."""

import io

from rich.console import Console

from darts.data.reading_progress import FEW, with_progress


def test_a_line_every_20_seconds_without_a_terminal(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("darts.data.reading_progress.time.monotonic", lambda: now[0])
    file = io.StringIO()
    items = list(range(2 * FEW))
    seen = []
    for item in with_progress(items, "reading images", Console(file=file, soft_wrap=True)):
        now[0] += 0.0101
        seen.append(item)
    assert seen == items
    assert (
        file.getvalue()
        == "reading images: 1,981 of 4,000, about 20 s left\nreading images: 3,962 of 4,000, about 0 s left\n"
    )


def test_few_files_are_read_without_a_word(monkeypatch):
    monkeypatch.setattr("darts.data.reading_progress.LINE_SECONDS", -1.0)
    file = io.StringIO()
    assert list(with_progress(range(FEW), "reading", Console(file=file))) == list(range(FEW)) and not file.getvalue()


def test_ranks_but_the_first_are_silent(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("darts.data.reading_progress.LINE_SECONDS", -1.0)
    file = io.StringIO()
    assert len(list(with_progress(range(FEW + 1), "reading", Console(file=file)))) == FEW + 1 and not file.getvalue()
