"""The parts of every page of a report: its frame, its style, its tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from darts.report.charts import COLOURS

STYLE = """
:root { color-scheme: light dark; --text: #1b2733; --soft: #5b6b7a; --line: #d3dae0; --ground: #ffffff; --card: #f5f7f9;
  --c0: #1f6fb5; --c1: #c2571a; --c2: #2b8a4b; --c3: #a03a8f; --c4: #8a6d00; --c5: #0b8a94; --c6: #b3263e;
  --c7: #5f6b76 }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --soft: #9dabb8; --line: #3a4550; --ground: #14191f;
  --card: #1d242b; --c0: #6cb2f0; --c1: #f0935a; --c2: #6fce8e; --c3: #dd86cf; --c4: #d9bd4a; --c5: #5fd0da;
  --c6: #f0798c; --c7: #aab6c1 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 20px 16px 48px; max-width: 1160px; background: var(--ground); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif }
h1 { font-size: 24px; margin: 0 0 2px; overflow-wrap: anywhere } h2 { font-size: 18px; margin: 34px 0 10px }
h3 { font-size: 15px; margin: 20px 0 8px; overflow-wrap: anywhere }
p { margin: 6px 0 } .soft { color: var(--soft) }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 10px; margin: 16px 0 0;
  padding: 0 }
.cards div { background: var(--card); border-radius: 8px; padding: 8px 12px } .cards dt { color: var(--soft);
  font-size: 13px } .cards dd { margin: 0; font-size: 18px; font-weight: 600 }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 14px 22px }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)); gap: 12px 22px }
figure { margin: 0; min-width: 0 } figcaption { font-weight: 600; font-size: 14px; margin-bottom: 2px }
.genotype, .predictions { display: block; max-width: 100%; height: auto }
.chart { display: block; width: 100%; height: auto }
.chart text { font: 11px system-ui, sans-serif; fill: var(--soft); dominant-baseline: central }
.chart .y { text-anchor: end } .chart .x { text-anchor: middle }
.chart .grid { stroke: var(--line); stroke-width: 0.7 } .chart g path { fill: none; stroke-width: 1.8 }
.lines { display: block; height: auto } .lines path { fill: none; stroke-width: 1.2; opacity: 0.75 }
.lines text { font: 10px system-ui, sans-serif; fill: var(--soft); text-anchor: middle; dominant-baseline: central }
.lines .axis { stroke: var(--line); stroke-width: 1 } .lines .best { stroke-width: 2.6; opacity: 1 }
.lines .value { paint-order: stroke; stroke: var(--ground); stroke-width: 3px; fill: var(--text) }
.bar { display: inline-block; height: 10px; border-radius: 2px; background: var(--c0) }
.chart .dashed path { stroke-dasharray: 5 3 } .chart circle { stroke: none }
.legend { display: flex; flex-wrap: wrap; gap: 0 14px; font-size: 13px; color: var(--soft); margin: 0 0 0 12px }
.legend span { overflow-wrap: anywhere } .legend b { color: var(--text) }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px }
.map div { display: grid; grid-template-columns: auto minmax(60px, 1fr) auto; gap: 0 6px; font-size: 11px;
  line-height: 14px; color: var(--soft) }
.map b { color: var(--text) } .map .names { text-align: right } .map img { width: 100%;
  image-rendering: pixelated; border: 1px solid var(--line) } .map figcaption { font-size: 12px }
.scale img { width: 180px; height: 11px; image-rendering: pixelated; vertical-align: middle }
.scroll { overflow-x: auto } .scroll + .grid { margin-top: 20px } table { border-collapse: collapse; font-size: 14px }
th, td { text-align: left; padding: 3px 14px 3px 0; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-weight: 600 } td { overflow-wrap: anywhere } .number { text-align: right; white-space: nowrap }
th.number { white-space: normal; overflow-wrap: anywhere; min-width: 104px }
th:first-child, td:first-child { white-space: nowrap; position: sticky; left: 0; background: var(--ground) }
.narrow { display: none } @media (max-width: 700px) { pre.narrow { display: block; font-size: 11px } }
pre { background: var(--card); border-radius: 8px; padding: 10px 12px; font-size: 13px; white-space: pre-wrap;
  overflow-wrap: anywhere; margin: 8px 0 }
""" + "".join(
    f".legend .c{k} {{ background: var(--c{k}) }} .chart .c{k} path {{ stroke: var(--c{k}) }} "
    f".chart .c{k} circle {{ fill: var(--c{k}) }} .chart .c{k} polygon {{ fill: var(--c{k}); opacity: 0.18 }}\n"
    for k in range(COLOURS)
)


def document(name: str, parts: Iterable[str]) -> str:
    """Return a whole page. Its content security policy forbids the browser to load or run anything."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(name)}</title>\n<style>{STYLE}</style></head><body>\n"
        + "\n".join(filter(None, parts))
        + "\n</body></html>\n"
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = False) -> str:
    """Return a table of texts; with ``numbers`` all columns but the first are aligned right."""
    kinds = ["", *([' class="number"' if numbers else ""] * (len(heads) - 1))]
    head = "".join(f"<th{kind}>{escape(text)}</th>" for text, kind in zip(heads, kinds))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(entry)}</td>" for entry, kind in zip(row, kinds)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table>{f"<tr>{head}</tr>" if any(heads) else ""}{body}</table></div>'
