"""Running a program: every thread of some blocks is a lane, and all lanes that stand at a basic block run it together.

Of the basic blocks at which lanes stand, the first in the text runs next, so that lanes that parted meet again as soon
as the compiler's order of blocks allows. A barrier holds lanes until all of their block that have not ended are at one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from supernet.fused.ptx.instructions import Step, decode
from supernet.fused.ptx.lanes import Lanes, Mask
from supernet.fused.ptx.program import BARRIERS, Instruction, Name, PtxError, Register


class Machine(Lanes):
    """Some blocks of a launch, and how they run; arguments as of ``Lanes``.

    Attributes:
        only: ``id`` of the instructions that run, where not all do.
        counts: how many warps of every block ran each basic block, ``(basic block, block)``.
    """

    only: set[int] | None = None

    def __init__(self, *given: Any, **named: Any):
        super().__init__(*given, **named)
        blocks = self.program.blocks
        self.counts = np.zeros((len(blocks), self.lanes // self.threads), np.int64)
        self.decoded: list[list[tuple[Instruction, Step]] | None] = [None] * len(blocks)
        self.standing: dict[int, Mask] = {0: None}
        self.waiting: dict[int, NDArray[np.bool_]] = {}
        self.ended = np.zeros(self.lanes, bool)

    def run(self) -> None:
        """Run until all lanes have ended.

        Raises:
            PtxError: for an instruction that is not known, and for a fault of the kernel.
        """
        with np.errstate(all="ignore"):
            while self.standing:
                number = min(self.standing)
                self._run_block(number, self.standing.pop(number))

    def _run_block(self, number: int, mask: Mask) -> None:
        block = self.program.blocks[number]
        if self.decoded[number] is None:
            self.decoded[number] = [
                (instruction, decode(instruction, self))
                for instruction in block.instructions
                if not _ends(instruction) and (self.only is None or id(instruction) in self.only)
            ]
        warps = self.threads // 32 if mask is None else mask.reshape(-1, self.threads // 32, 32).any(2).sum(1)
        self.counts[number] += warps
        for instruction, step in self.decoded[number] or ():
            try:
                step(self, mask)
            except PtxError as error:
                raise PtxError(f"{self.program.name}: {error} ({instruction.text})") from None
        self._leave(block.instructions[-1], number, mask)

    def _leave(self, last: Instruction, number: int, mask: Mask) -> None:
        """Send lanes to the basic blocks that follow."""
        following = number + 1
        if not _ends(last):
            self._stand(following, mask)
            return
        going = mask
        if last.guard is not None:
            register, wanted = last.guard
            going = self.registers[register.index] if wanted else ~self.registers[register.index]
            going = going if mask is None else going & mask
            self._stand(following, ~going if mask is None else mask & ~going)
        if last.opcode.startswith(BARRIERS):
            self._wait(following, going)
        elif last.opcode.startswith("brx"):
            choice, table = last.operands
            assert isinstance(choice, Register) and isinstance(table, Name)
            for place, label in enumerate(self.program.tables[table.text]):
                chosen = self.registers[choice.index] == place
                self._stand(self.program.labels[label], chosen if going is None else chosen & going)
        elif last.opcode.startswith("bra"):
            target = last.operands[0]
            assert isinstance(target, Name)
            self._stand(self.program.labels[target.text], going)
        else:
            self.ended |= True if going is None else going
            self._release()

    def _stand(self, number: int, mask: Mask) -> None:
        if mask is not None:
            if not mask.any():
                return
            if number in self.standing:
                before = self.standing[number]
                mask = None if before is None else before | mask
            if mask is not None and mask.all():
                mask = None
        self.standing[number] = mask

    def _wait(self, number: int, mask: Mask) -> None:
        if mask is None:
            self.shared.pass_barrier(slice(None))
            self._stand(number, None)
            return
        before = self.waiting.get(number)
        self.waiting[number] = mask if before is None else before | mask
        self._release()

    def _release(self) -> None:
        """Let the lanes of blocks go on of which all are at the barrier or have ended."""
        if not self.waiting:
            return
        there = np.any(list(self.waiting.values()), axis=0)
        free = (there | self.ended).reshape(-1, self.threads).all(1) & there.reshape(-1, self.threads).any(1)
        if not free.any():
            return
        self.shared.pass_barrier(free)
        lanes, waiting, self.waiting = np.repeat(free, self.threads), self.waiting, {}
        for number, mask in waiting.items():
            self._stand(number, mask & lanes)
            if (mask & ~lanes).any():
                self.waiting[number] = mask & ~lanes


def _ends(instruction: Instruction) -> bool:
    return instruction.opcode.startswith(("bra", "brx", "ret", "exit", *BARRIERS))
