"""Reading `gate.toml`, whichever gate it belongs to."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from edge_runtime.errors import RipelineError

_Gate = TypeVar("_Gate", bound=BaseModel)


def read_gate_file(file: Path, gate: type[_Gate], *, refused: type[RipelineError], expected: str) -> _Gate:
    """Read a gate; raises `refused` when the file is missing, broken or not `expected`."""
    try:
        return gate.model_validate(tomllib.loads(file.read_text("utf-8")))
    except OSError as error:
        raise refused(f"{file}: cannot be read ({error.strerror})", expected="a gate in TOML") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise refused(f"{file}: {error}", expected="valid TOML") from error
    except ValidationError as error:
        problems = (f"{file}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise refused("\n".join(problems), expected=expected) from error
