"""Memory that rots: the weights of a model, where another process holds them."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest

_LENGTH = 256


def pieces(model: Path) -> list[bytes]:
    """The beginning of each larger weight of an ONNX file."""
    weights = (onnx.numpy_helper.to_array(one).tobytes() for one in onnx.load(model).graph.initializer)
    return [one[:_LENGTH] for one in weights if len(one) >= _LENGTH]


def rot(pid: int, model: Path) -> int:
    """Set these pieces to zero wherever the process has them; how many there were. Skips where that is not allowed."""
    wanted, found = pieces(model), 0
    ranges = [line.split()[:2] for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    if not os.access(f"/proc/{pid}/mem", os.W_OK):
        pytest.skip("this machine does not let tests write to the memory of another process")
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        for addresses, rights in ranges:
            if not rights.startswith("rw"):
                continue
            begin, end = (int(address, 16) for address in addresses.split("-"))
            try:
                memory.seek(begin)
                held = memory.read(end - begin)
            except OSError:  # given back meanwhile
                continue
            for piece in wanted:
                at = held.find(piece)
                while at >= 0:
                    memory.seek(begin + at)
                    memory.write(bytes(_LENGTH))
                    found += 1
                    at = held.find(piece, at + _LENGTH)
    return found
