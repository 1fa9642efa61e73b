"""Machine code of a kernel (SASS), and how many of its instructions a launch executes.

Trips are known of the PTX (``supernet.fused.ptx``). A loop's machine code was executed as often as its PTX: the share
that ran, times over. Loops are matched in their order and nesting, each with one of about its size; a loop of machine
code that is left over is a copy that the assembler has unrolled, which runs in place of the other. Where a loop of the
PTX has no counterpart, executed PTX instructions are multiplied by the ratio of all machine to all PTX instructions,
but by 1 at most: more machine code than PTX is then copies too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from supernet.fused.prediction.loops import Region, nest
from supernet.fused.resources import inspected

LINE = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(@!?U?P\w+\s+)?([A-Z][\w.]*)([^;]*);", re.MULTILINE)
ENDS = ("BRA", "BRX", "EXIT", "RET", "JMP", "JMX")


@dataclass(frozen=True)
class MachineCode:
    """The basic blocks of a kernel.

    Attributes:
        sizes: instructions of each block.
        loops: of the blocks.
    """

    sizes: tuple[int, ...]
    loops: Region

    @property
    def instructions(self) -> int:
        """All of them, without what fills the end."""
        return sum(self.sizes[block] for block in self.loops.body)


def disassembled(cubin: bytes, name: str) -> MachineCode:
    """Return the machine code of one of a cubin's kernels."""
    text = inspected(cubin, "cuobjdump", "-sass")
    functions = re.split(r"Function : ", text)
    own = next(function for function in functions[1:] if function.split()[0].strip("_") == name.strip("_"))
    return _blocks([(int(at, 16), guard, word, rest) for at, guard, word, rest in LINE.findall(own)])


def _blocks(code: list[tuple[int, str, str, str]]) -> MachineCode:
    places = {at: number for number, (at, *_) in enumerate(code)}
    targets: dict[int, int] = {}
    for number, (_, _, word, rest) in enumerate(code):
        found = re.search(r"\b0x([0-9a-f]+)\s*$", rest.strip())
        if word.split(".")[0] == "BRA" and found and int(found[1], 16) in places:
            targets[number] = places[int(found[1], 16)]
    leaders = {0, *targets.values()}
    leaders |= {number + 1 for number, (_, _, word, _) in enumerate(code) if word.split(".")[0] in ENDS}
    starts = sorted(leader for leader in leaders if leader < len(code))
    block_of = {start: block for block, start in enumerate(starts)}
    sizes, successors = [], []
    for block, start in enumerate(starts):
        end = starts[block + 1] if block + 1 < len(starts) else len(code)
        _, guard, word, rest = code[end - 1]
        kind, conditional = word.split(".")[0], bool(guard) or bool(re.match(r"\s*!?U?P\d", rest))
        following = [block + 1] if block + 1 < len(starts) and (kind not in ENDS or conditional) else []
        if end - 1 in targets:
            following.append(block_of[targets[end - 1]])
        elif kind in ("BRX", "JMX"):  # an indexed branch goes to one of the blocks behind it
            following = [other for other in range(block + 1, len(starts))]
        sizes.append(end - start)
        successors.append(following)
    return MachineCode(tuple(sizes), nest(successors))


def executed(code: MachineCode, loops: Region, sizes: Sequence[int], counts: Sequence[float]) -> tuple[float, bool]:
    """Return the machine instructions that warps execute, and whether each loop was matched.

    Args:
        loops: of the PTX.
        sizes: instructions of each block of the PTX.
        counts: how many warps ran each.
    """
    pairs = _matched(code.loops, loops, code.sizes, sizes)
    if pairs is not None:
        total = 0.0
        for ours, theirs in pairs:
            written = sum(sizes[block] for block in theirs.own)
            ran = sum(sizes[block] * counts[block] for block in theirs.own)
            total += sum(code.sizes[block] for block in ours.own) * ran / max(written, 1)
        return total, True
    ratio = min(1.0, code.instructions / max(sum(sizes[block] for block in loops.body), 1))
    return ratio * sum(size * count for size, count in zip(sizes, counts)), False


def _matched(
    ours: Region, theirs: Region, our_sizes: Sequence[int], their_sizes: Sequence[int]
) -> list[tuple[Region, Region]] | None:
    """Return the pairs of regions of machine code and of PTX; ``None`` where one of PTX is left over."""
    found: dict[tuple[int, int], tuple[float, list[tuple[Region, Region]]] | None] = {}
    for first in range(len(ours.inner), -1, -1):
        found[first, len(theirs.inner)] = 0.0, []
        for second in range(len(theirs.inner) - 1, -1, -1):
            best = found.get((first + 1, second))
            rest = found.get((first + 1, second + 1))
            if first < len(ours.inner) and rest is not None:
                pair = ours.inner[first], theirs.inner[second]
                inside = _matched(*pair, our_sizes, their_sizes)
                if inside is not None:
                    a, b = (sum(all_[n] for n in each.body) for each, all_ in zip(pair, (our_sizes, their_sizes)))
                    cost = abs(math.log(max(a, 1) / max(b, 1))) + rest[0]
                    if best is None or cost < best[0]:
                        best = cost, inside + rest[1]
            found[first, second] = best
    whole = found[0, 0]
    return None if whole is None else [(ours, theirs), *whole[1]]
