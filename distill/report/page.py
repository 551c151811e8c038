"""Pages: a template filled in, with styles and version in it, and nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import distill


def render_page(template: str, *, styles: Sequence[str] = ("report.css",), **values: Any) -> str:
    """A page as text; every value is escaped but those that are marked as markup.

    Args:
        template: a template's name in this package.
        styles: names of the style sheets in this package.
        **values: what the template asks for; ``css`` and ``version`` are added.
    """
    environment = Environment(
        loader=PackageLoader("distill.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    files = resources.files("distill.report")
    css = "".join(files.joinpath(name).read_text("utf-8") for name in styles)
    given = {"css": Markup(css), "version": distill.__version__, **values}  # our own files
    return environment.get_template(template).render(**given)
