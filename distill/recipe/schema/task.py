"""The ``task`` section: that of any kind of task there is."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from distill.tasks import KINDS, config_class
from distill.tasks.config import TaskSection


class _AnyKind:
    """Reads a section by its ``kind``, of the kinds there are when a model is built."""

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        union: Any = reduce(or_, (config_class(kind) for kind in KINDS))
        return handler.generate_schema(Annotated[union, Field(discriminator="kind")])


Task = Annotated[TaskSection, _AnyKind()]
