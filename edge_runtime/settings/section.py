"""What every table of a settings file has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table that does not change once read, and that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
