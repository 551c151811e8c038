"""What every part of a recipe is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

Name = Annotated[
    StrictStr, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", description="Lower-case name, no spaces.")
]
PositiveInt = Annotated[StrictInt, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """Base of every part of a recipe: frozen, unknown keys refused, no silent conversion."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )
