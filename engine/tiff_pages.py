"""Overviews put into a finished GeoTIFF: pages of reduced resolution after its own.

GDAL writes overviews only by reading the whole raster again. Here blocks that GDAL has compressed
already are copied behind the image, and each level gets a directory ("IFD") that calls it a reduced
image, as TIFF 6.0 and GDAL have it. Both classic TIFF and BigTIFF are written.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_SHORT, _LONG, _LONG8, _ASCII = 3, 4, 16, 2
_FORMATS = {_SHORT: "H", _LONG: "I", _LONG8: "Q"}
_PHOTOMETRIC, _COLOR_MAP = 262, 320
_COPIED = (259, _PHOTOMETRIC, _COLOR_MAP, 322, 323, 42113)
"""Compression, kind of color, color map, block width and height, GDAL's nodata."""


@dataclass(frozen=True)
class Page:
    """One level: its size in pixels and, row by row, where its blocks lie: (offset, bytes)."""

    width: int
    height: int
    blocks: list[tuple[int, int]]


def append_pages(path: Path, source: Path, pages: Sequence[Page]) -> None:
    """Append ``pages``, whose blocks lie in the file ``source``, to the GeoTIFF ``path``.

    Bands, codec, blocks, colors and nodata are those of the GeoTIFF, which has one uint8 band.
    """
    with open(path, "r+b") as target, open(source, "rb") as blocks:
        tiff = _Tiff(target)
        for page in pages:
            tiff.append(page, blocks)


@dataclass(frozen=True)
class _Entry:
    tag: int
    kind: int
    count: int
    data: bytes


class _Tiff:
    """A TIFF file open for appending."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.seek(0)
        head = file.read(4)
        self._order = {b"II": "<", b"MM": ">"}[head[:2]]
        self._big = struct.unpack(self._order + "H", head[2:])[0] == 43
        self._offset = "Q" if self._big else "I"
        self._count = "Q" if self._big else "H"
        self._entry = "HHQ" if self._big else "HHI"
        self._next_at = 8 if self._big else 4
        self._copied = self._read_first()

    def append(self, page: Page, source: BinaryIO) -> None:
        """Copy the blocks of ``page`` and write its directory behind them."""
        self._file.seek(0, os.SEEK_END)
        offsets, sizes = [], []
        for offset, size in page.blocks:
            source.seek(offset)
            offsets.append(self._file.tell())
            sizes.append(size)
            self._file.write(source.read(size))
        offset_kind = _LONG8 if self._big else _LONG
        entries = [
            self._numbers(254, _LONG, [1]),  # reduced image
            self._numbers(256, _LONG, [page.width]),
            self._numbers(257, _LONG, [page.height]),
            self._numbers(258, _SHORT, [8]),  # bits
            self._numbers(277, _SHORT, [1]),  # bands
            self._numbers(284, _SHORT, [1]),  # bands lie together
            self._numbers(324, offset_kind, offsets),
            self._numbers(325, _LONG, sizes),
            self._numbers(339, _SHORT, [1]),  # unsigned
        ]
        self._write_directory(sorted([*entries, *self._copied], key=lambda entry: entry.tag))

    def _read_first(self) -> list[_Entry]:
        """Return what all pages share, from the first directory; find the end of the chain."""
        copied: list[_Entry] = []
        at = self._unpack_at(self._next_at, self._offset)[0]
        while at:
            entries = self._read_entries(at)
            copied = copied or [entry for entry in entries if entry.tag in _COPIED]
            size = struct.calcsize("=" + self._entry + self._offset)
            self._next_at = at + struct.calcsize("=" + self._count) + len(entries) * size
            at = self._unpack_at(self._next_at, self._offset)[0]
        return copied

    def _read_entries(self, at: int) -> list[_Entry]:
        (count,) = self._unpack_at(at, self._count)
        at += struct.calcsize("=" + self._count)
        entries = []
        for _ in range(count):
            tag, kind, values = self._unpack_at(at, self._entry)
            field = at + struct.calcsize("=" + self._entry)
            at = field + struct.calcsize("=" + self._offset)
            data = self._read_data(field, kind, values) if tag in _COPIED else b""
            entries.append(_Entry(tag, kind, values, data))
        return entries

    def _read_data(self, field: int, kind: int, count: int) -> bytes:
        size = count * (struct.calcsize("=" + _FORMATS[kind]) if kind != _ASCII else 1)
        inline = size <= struct.calcsize("=" + self._offset)
        self._file.seek(field if inline else self._unpack_at(field, self._offset)[0])
        return self._file.read(size)

    def _write_directory(self, entries: list[_Entry]) -> None:
        """Write what does not fit into the entries, then the entries, then link the directory."""
        width = struct.calcsize("=" + self._offset)
        fields = [
            entry.data.ljust(width, b"\0")
            if len(entry.data) <= width
            else self._pack(self._offset, self._write_aligned(entry.data))
            for entry in entries
        ]
        body = self._pack(self._count, len(entries))
        for entry, field in zip(entries, fields, strict=True):
            body += self._pack(self._entry, entry.tag, entry.kind, entry.count) + field
        next_at = len(body)
        at = self._write_aligned(body + self._pack(self._offset, 0))
        self._file.seek(self._next_at)
        self._file.write(self._pack(self._offset, at))
        self._next_at = at + next_at
        self._file.seek(0, os.SEEK_END)

    def _write_aligned(self, data: bytes) -> int:
        """Append ``data`` at an offset that 8 divides; return it."""
        self._file.write(b"\0" * (-self._file.tell() % 8))
        at = self._file.tell()
        self._file.write(data)
        return at

    def _numbers(self, tag: int, kind: int, values: list[int]) -> _Entry:
        data = self._pack(f"{len(values)}{_FORMATS[kind]}", *values)
        return _Entry(tag, kind, len(values), data)

    def _pack(self, form: str, *values: int) -> bytes:
        return struct.pack(self._order + form, *values)

    def _unpack_at(self, at: int, form: str) -> tuple[int, ...]:
        self._file.seek(at)
        return struct.unpack(self._order + form, self._file.read(struct.calcsize("=" + form)))
