"""TFRecord files and protocol buffers, read without TensorFlow.

A TFRecord is a sequence of records: the length of the data in 8 bytes, a masked CRC-32C of the length in 4, the data, a
masked CRC-32C of the data in 4; all little-endian. A protocol buffer is a sequence of fields: a number and a wire type
in a varint, then a varint (type 0), 8 bytes (1), a length and as many bytes (2), or 4 bytes (5).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from darts.errors import UserError
from genotypes.devices import refuse_device

POLYNOMIAL = 0x82F63B78
"""Of CRC-32C (Castagnoli), reflected."""

MASK = 0xA282EAD8
LARGEST = 1 << 24
"""Bytes of a record; a longer one is taken for damage."""

Wire = int | float | bytes


@cache
def _table() -> tuple[int, ...]:
    entries = []
    for entry in range(256):
        for _ in range(8):
            entry = entry >> 1 ^ (POLYNOMIAL if entry & 1 else 0)
        entries.append(entry)
    return tuple(entries)


def masked_crc(data: bytes) -> int:
    """Return the masked CRC-32C of bytes, as TFRecord files have it."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + MASK) & 0xFFFFFFFF


def records(path: Path, report: Callable[[int], None] = lambda position: None) -> Iterator[bytes]:
    """Yield the data of each record. The checksums of the lengths are compared; what is in the data is the caller's.

    Args:
        path: of the file.
        report: is called after each record, with the position in the file.

    Raises:
        UserError: where the file cannot be read, is no TFRecord, or is damaged or cut short.
    """
    try:
        refuse_device(path)
        with open(path, "rb") as file:
            position = number = 0
            while head := file.read(12):
                number += 1
                if len(head) < 12:
                    raise UserError(f"`benchmark.file` {path}: record {number} is cut short; the file is not whole")
                length, crc = struct.unpack("<QI", head)
                if masked_crc(head[:8]) != crc or length > LARGEST:
                    what = "damaged" if number > 1 else "not a TFRecord file"
                    raise UserError(f"`benchmark.file` {path}: {what} (record {number}, byte {position})")
                data, tail = file.read(length), file.read(4)
                if len(data) < length or len(tail) < 4:
                    raise UserError(f"`benchmark.file` {path}: record {number} is cut short; the file is not whole")
                position += 16 + length
                yield data
                report(position)
    except OSError as error:
        raise UserError(f"`benchmark.file` {path}: cannot be read ({error.strerror})") from None


def fields(message: bytes) -> Iterator[tuple[int, Wire]]:
    """Yield the number and the value of each field of a protocol buffer; 8 bytes are a double, 4 bytes a float.

    Raises:
        ValueError: where the message is none.
    """
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield number, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            size, place = _varint(message, place)
        if size is None or place + size > len(message):
            raise ValueError("not a protocol buffer")
        data, place = message[place : place + size], place + size
        yield number, data if kind == 2 else struct.unpack("<d" if kind == 1 else "<f", data)[0]


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(message) or shift > 63:
            raise ValueError("not a protocol buffer")
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return value, place
