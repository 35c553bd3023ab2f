"""`line.toml` and `costs.toml` read strictly: each mistake is told by line and column, with the nearest right word."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, RootModel, ValidationError

from edge_runtime.deciding.decide import Costs
from edge_runtime.errors import ConfigError
from edge_runtime.settings.config import LineConfig
from edge_runtime.settings.contradictions import ContradictionError
from edge_runtime.settings.toml_place import place_of


def load_line_config(path: Path) -> LineConfig:
    """Read `line.toml`.

    Raises:
        ConfigError: Missing or unreadable file, broken TOML, unknown key, wrong type or value out of range; names the
            file and the key.
    """
    return _validated(path, _text(path, "--config"), LineConfig)


def line_config(path: Path, text: str) -> LineConfig:
    """What a `line.toml` of this text would say; raises ConfigError as `load_line_config`, naming `path`."""
    return _validated(path, text, LineConfig)


def load_costs(path: Path) -> dict[str, Costs]:
    """Read `costs.toml`: a table a label, `[ripe]`, each with the cost of ACCEPT, DIVERT and UNDECIDED.

    Raises:
        ConfigError: As `load_line_config`, or there is no label in it.
    """
    costs = _validated(path, _text(path, "--costs"), _CostsFile).root
    if not costs:
        raise ConfigError(f"{path}: no label", expected="a table for each label, such as [ripe]")
    return costs


class _CostsFile(RootModel[dict[str, Costs]]):
    pass


_File = TypeVar("_File", bound=BaseModel)


def _text(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file", remedy=f"Check the path given as {option}.") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})", remedy="Give a readable TOML file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text file", expected="TOML in UTF-8", remedy="Save it as UTF-8.") from error


def _validated(path: Path, text: str, model: type[_File]) -> _File:
    try:
        as_json = json.dumps(tomllib.loads(text), default=str)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            _syntax(path, text, str(error)), expected="valid TOML", remedy="Correct that place."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: a number is too long, or tables lie too deep ({error})") from error
    try:
        # By way of JSON, in which strictness (no "3" for 3) still takes a string for an enum and an array for a tuple.
        return model.model_validate_json(as_json, strict=True)
    except ValidationError as error:
        problems = error.errors()
        # A list whose only element is wrong counts as empty, too, and nobody is to hear of that.
        told = [each for each in problems if each["type"] != "too_short" or not _within(each["loc"], problems)]
        raise ConfigError("\n".join(explain(path, text, problem, model) for problem in told)) from error


def _within(place: Sequence[str | int], problems: Sequence[Any]) -> bool:
    return any(len(each["loc"]) > len(place) and each["loc"][: len(place)] == place for each in problems)


def _syntax(path: Path, text: str, words: str) -> str:
    """What Python's parser says of broken TOML, with the place in front as everywhere."""
    what, _, place = words.removesuffix(")").rpartition(" (at ")
    at = re.fullmatch(r"line (\d+), column (\d+)", place)
    line, column = at.groups() if at else (text.count("\n") + 1, len(text.rpartition("\n")[2]) + 1)
    said = {"Cannot overwrite a value": "this key is there already"}.get(what, what)
    return f"{path}:{line}:{column}: {said}"


def explain(path: Path | str, text: str, problem: Any, model: type[BaseModel]) -> str:
    """One line for one of pydantic's errors: file, line and column, key, what is wrong, what was expected.

    Args:
        path: What the document is called.
        text: The document, TOML.
        problem: One of `ValidationError.errors()`.
        model: What the document was read as.
    """
    error = problem.get("ctx", {}).get("error")
    named = error.place if isinstance(error, ContradictionError) else problem["loc"]
    place = place_of(text, named)
    where = f"{path}:{place[0]}:{place[1]}" if place else str(path)
    key = ".".join(str(part + 1 if isinstance(part, int) else part) for part in named) or "the file"
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key {key}{_hint(problem['loc'], model)}"
    if problem["type"] == "missing":
        return f"{where}: {key} is missing"
    if problem["type"] == "too_short":
        return f"{where}: {key} must not be empty"
    if problem["type"] in ("tuple_type", "list_type") and isinstance(problem["input"], dict):
        return f"{where}: there may be more than one {key}: write [[{key}]], with two brackets"
    message = str(problem["msg"]).removeprefix("Value error, ")
    shown = f" (found {problem['input']!r})" if not isinstance(problem["input"], dict) else ""
    return f"{where}: {key}: {message[:1].lower()}{message[1:]}{shown}"


def _hint(place: Sequence[str | int], model: type[BaseModel]) -> str:
    known = _known_keys(place[:-1], model)
    nearest = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.5)
    return f"; did you mean {nearest[0]}?" if nearest else f"; known here: {', '.join(known)}"


def _known_keys(section: Sequence[str | int], model: type[BaseModel]) -> list[str]:
    """Keys of the table at a place; elements of arrays and names of labels lead to what they hold."""
    found = model
    for part in section:
        if part in found.model_fields:
            found = _model_in(found.model_fields[str(part)].annotation) or found
    while issubclass(found, RootModel):
        found = _model_in(found.model_fields["root"].annotation) or BaseModel
    return list(found.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each))), None)
