"""Templates filled in: pages that load nothing from elsewhere, and the model card."""

from __future__ import annotations

from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import distill


def render_page(template: str, **values: Any) -> str:
    """A page as text; every value is escaped but those that are marked as markup."""
    css = resources.files("distill.report").joinpath("report.css").read_text("utf-8")
    return fill(template, escape=True, css=Markup(css), **values)  # our own file


def fact(name: str, value: str, detail: str, *, poor: bool = False) -> dict[str, str]:
    """One of the numbers on top of a page, as its template takes it."""
    return {"name": name, "value": value, "detail": detail, "tone": "poor" if poor else ""}


def fill(template: str, *, escape: bool, **values: Any) -> str:
    """A template of this package with values and ``version``; ``escape``: it is HTML."""
    environment = Environment(
        loader=PackageLoader("distill.report", "."),
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template(template).render(version=distill.__version__, **values)
