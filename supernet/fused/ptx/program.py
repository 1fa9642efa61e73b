"""The text of a PTX kernel as a program: parameters, registers, instructions, basic blocks.

The dialect is what NVRTC and Triton's compiler write: one entry, no calls, names of registers that are unique in the
entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

WIDTHS = {"pred": 1, "16": 16, "32": 32, "64": 64}
"""Ending of a register's type -> its bits."""

BARRIERS = ("bar.sync", "barrier.sync")
ENDS = ("bra", "brx", "ret", "exit", *BARRIERS)
"""Beginnings of the opcodes that end a basic block."""


class PtxError(RuntimeError):
    """A text that is not understood, or a fault of the kernel that runs."""


@dataclass(frozen=True)
class Register:
    """A register: its index among those of the program, and its bits, 1 for a predicate."""

    index: int
    bits: int


@dataclass(frozen=True)
class Constant:
    """A number: an integer, or a floating-point number by its bits."""

    value: int


@dataclass(frozen=True)
class Name:
    """A special register, a label, or a variable of shared memory or of the parameters."""

    text: str


@dataclass(frozen=True)
class Address:
    """A base plus bytes."""

    base: Register | Constant | Name
    offset: int


@dataclass(frozen=True)
class Group:
    """Registers and constants in braces."""

    parts: tuple[Register | Constant | Name, ...]


Operand = Register | Constant | Name | Address | Group


@dataclass(frozen=True)
class Instruction:
    """An instruction.

    Attributes:
        opcode: with all its modifiers.
        guard: predicate that it runs under, and the value that the predicate must have.
    """

    opcode: str
    operands: tuple[Operand, ...]
    guard: tuple[Register, bool] | None
    text: str

    @property
    def registers(self) -> tuple[set[int], set[int]]:
        """Indices of the registers that it writes, and of those that it reads."""
        writes = not self.opcode.startswith(("st.", "cp.async", "bra", "brx", "bar", "ret", "exit"))
        first, rest = (self.operands[:1], self.operands[1:]) if writes else ((), self.operands)
        read = set(_registers(rest))
        if self.guard is not None:
            read.add(self.guard[0].index)
        return set(_registers(first)), read

    @property
    def variable(self) -> str | None:
        """The variable whose place is the instruction's address; ``None`` where there is none."""
        bases = (operand.base for operand in self.operands if isinstance(operand, Address))
        return next((base.text for base in bases if isinstance(base, Name)), None)


def _registers(operands: tuple[Operand, ...]) -> Iterator[int]:
    for operand in operands:
        if isinstance(operand, Register):
            yield operand.index
        elif isinstance(operand, Address):
            yield from _registers((operand.base,))
        elif isinstance(operand, Group):
            yield from _registers(operand.parts)


@dataclass
class Block:
    """A basic block: instructions, of which only the last may branch, wait or end.

    Attributes:
        successors: numbers of the blocks that may follow.
    """

    instructions: list[Instruction] = field(default_factory=list)
    successors: tuple[int, ...] = ()


@dataclass
class Program:
    """A kernel.

    Attributes:
        parameters: name -> offset and bytes in the space of parameters.
        shared: variable of shared memory -> its offset; those of unknown size begin at ``static_shared``.
        bits: of each register.
        blocks: in the order of the text.
        labels: label -> number of its block; tables: name -> labels that an indexed branch chooses from.
    """

    name: str
    parameters: dict[str, tuple[int, int]]
    shared: dict[str, int]
    static_shared: int
    bits: list[int]
    blocks: list[Block]
    labels: dict[str, int]
    tables: dict[str, tuple[str, ...]]

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all parameters."""
        return max((offset + size for offset, size in self.parameters.values()), default=0)

    def control(self) -> set[int]:
        """Return the ``id`` of the instructions that decide which instructions run.

        What is stored to a variable of shared memory decides where it is loaded; where anything else in shared memory
        decides, all instructions are returned.
        """
        instructions = [instruction for block in self.blocks for instruction in block.instructions]
        needed: set[int] = set()
        for instruction in instructions:
            if instruction.opcode.startswith(("bra", "brx")):
                needed |= instruction.registers[1]
        found: set[int] = set()
        variables: set[str] = set()  # of shared memory, that are loaded
        before = -1
        while before != len(found):
            before = len(found)
            for instruction in instructions:
                written, read = instruction.registers
                variable = instruction.variable
                stored = instruction.opcode.startswith("st.shared") and variable in variables
                if id(instruction) not in found and (written & needed or stored):
                    found.add(id(instruction))
                    needed |= read
                    if "shared" in instruction.opcode and variable is not None:
                        variables.add(variable)
        other = (i for i in instructions if id(i) in found and i.variable is None)
        if any("shared" in i.opcode or "mma" in i.opcode for i in other):
            return {id(instruction) for instruction in instructions}
        return found


def parse(text: str, name: str | None = None) -> Program:
    """Return the program of a kernel.

    Args:
        text: of PTX.
        name: of the kernel, where the text has several.

    Raises:
        PtxError: where the text has no such kernel.
    """
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL).split(".section", 1)[0]
    text = re.sub(r"^\s*\.(loc|file|pragma)\b[^\n]*$", "", text, flags=re.MULTILINE)
    before, *entries = re.split(r"\.entry\s+", text)
    for entry in entries:
        found = re.match(r"([\w$]+)\s*\((.*?)\)([^{]*)\{(.*)\}", entry, re.DOTALL)
        if found is None or name not in (None, found[1]):
            continue
        shared, size = _shared(before + found[4])
        program = Program(found[1], _parameters(found[2]), shared, size, [], [Block()], {}, {})
        _Body(program).read(found[4])
        _connect(program)
        return program
    raise PtxError(f"the text has no kernel {name or ''}".strip())


def _parameters(text: str) -> dict[str, tuple[int, int]]:
    found, at = {}, 0
    for line in filter(None, map(str.strip, text.split(","))):
        kind = re.search(r"\.[busf](8|16|32|64)\b", line)
        named = re.search(r"([\w$]+)\s*(?:\[(\d+)\])?\s*$", line)
        assert kind and named
        width = int(kind[1]) // 8
        own = re.search(r"\.align\s+(\d+)\s+\.b8", line)
        align = int(own[1]) if own else width
        at = -(-at // align) * align
        size = width * int(named[2] or 1)
        found[named[1]] = at, size
        at += size
    return found


def _shared(text: str) -> tuple[dict[str, int], int]:
    found, at, unsized = {}, 0, []
    for align, width, name, count in re.findall(
        r"\.shared\s+(?:\.align\s+(\d+)\s+)?\.[busf](\d+)\s+([\w$]+)\s*(?:\[(\d*)\])?\s*;", text
    ):
        step = int(align or int(width) // 8)
        at = -(-at // step) * step
        if count == "" and f"{name}[" in text:
            unsized.append(name)
        else:
            found[name] = at
            at += int(width) // 8 * int(count or 1)
    at = -(-at // 16) * 16
    return found | dict.fromkeys(unsized, at), at


class _Body:
    """Reads the statements of an entry."""

    def __init__(self, program: Program):
        self.program = program
        self.kinds: dict[str, int] = {}
        self.known: dict[str, Register] = {}

    def read(self, body: str) -> None:
        program = self.program
        for statement in body.split(";"):
            rest = statement.strip()
            while True:
                rest = rest.lstrip("{} \t\n")
                label = re.match(r"([\w$]+)\s*:\s*", rest)
                if label is None:
                    break
                rest = rest[label.end() :]
                targets = re.match(r"\.branchtargets\s+(.*)", rest, re.DOTALL)
                if targets:
                    program.tables[label[1]] = tuple(map(str.strip, targets[1].split(",")))
                    rest = ""
                else:
                    self._begin(label[1])
            if rest.startswith(".reg"):
                self._declare(rest)
            elif rest and not rest.startswith("."):
                self._add(rest)

    def _begin(self, label: str | None = None) -> None:
        blocks = self.program.blocks
        if blocks[-1].instructions:
            blocks.append(Block())
        if label is not None:
            self.program.labels[label] = len(blocks) - 1

    def _declare(self, text: str) -> None:
        kind, names = re.match(r"\.reg\s+\.\w*?(pred|16|32|64)\s+(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
        for name in map(str.strip, names.split(",")):
            self.kinds[name.split("<")[0]] = WIDTHS[kind]

    def _add(self, text: str) -> None:
        found = re.match(r"(?:@(!?)\s*(%?[\w$]+)\s+)?([a-z][\w.:]*)\s*(.*)", text, re.DOTALL)
        if found is None:
            raise PtxError(f"not understood: {text[:80]}")
        negated, guard, opcode, rest = found.groups()
        operands = tuple(map(self._operand, _split(rest)))
        under = None
        if guard:
            predicate = self._simple(guard)
            assert isinstance(predicate, Register)
            under = predicate, not negated
        block = self.program.blocks[-1]
        block.instructions.append(Instruction(opcode, operands, under, " ".join(text.split())))
        if opcode.startswith(ENDS):
            self._begin()

    def _operand(self, text: str) -> Operand:
        if text.startswith("{"):
            return Group(tuple(self._simple(part.strip()) for part in text.strip("{} \t\n").split(",")))
        if text.startswith("["):
            base, _, offset = text.strip("[] \t\n").partition("+")
            return Address(self._simple(base.strip()), int(offset.strip() or "0", 0))
        return self._simple(text.split("|")[0]) if "|" not in text else Group(tuple(map(self._simple, text.split("|"))))

    def _simple(self, text: str) -> Register | Constant | Name:
        text = text.strip()
        if text in self.known:
            return self.known[text]
        kind = self.kinds.get(text, self.kinds.get(text.rstrip("0123456789")))
        if kind is not None:
            self.known[text] = Register(len(self.program.bits), kind)
            self.program.bits.append(kind)
            return self.known[text]
        if re.match(r"0[fd][0-9a-fA-F]+$", text):
            return Constant(int(text[2:], 16))
        if re.match(r"-?\d", text):
            return Constant(int(text.rstrip("Uu"), 0))
        return Name(text)


def _split(text: str) -> list[str]:
    """Return the operands of an instruction: parts between commas that stand in no braces or brackets."""
    found, depth, part = [], 0, ""
    for letter in text:
        depth += (letter in "{[") - (letter in "}]")
        if letter == "," and not depth:
            found.append(part)
            part = ""
        else:
            part += letter
    return [part.strip() for part in [*found, part] if part.strip()]


def _connect(program: Program) -> None:
    """Find the successors of every block."""
    blocks = program.blocks
    if not blocks[-1].instructions:
        blocks.pop()
    for number, block in enumerate(blocks):
        last = block.instructions[-1]
        following = (number + 1,) if number + 1 < len(blocks) else ()
        if last.opcode.startswith("bra"):
            target = last.operands[0]
            assert isinstance(target, Name)
            block.successors = (program.labels[target.text], *(following if last.guard else ()))
        elif last.opcode.startswith("brx"):
            table = last.operands[1]
            assert isinstance(table, Name)
            block.successors = tuple(program.labels[label] for label in program.tables[table.text])
        elif last.opcode.startswith(("ret", "exit")):
            block.successors = following if last.guard else ()
        else:
            block.successors = following
