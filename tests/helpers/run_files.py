"""Recipes with other parts, rows as JSON lines, and what a run left of a stage."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml


def recipe_at(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text("utf-8"))  # type: ignore[no-any-return]


def changed(path: Path, name: str = "", /, **parts: Any) -> Path:
    """A recipe with other parts: in its place, or beside it under a name."""
    target = path.with_name(f"{name}.yaml") if name else path
    target.write_text(yaml.safe_dump(recipe_at(path) | parts, sort_keys=False), "utf-8")
    return target


def write_lines(path: Path, rows: Iterable[Any]) -> str:
    """Write rows as JSON lines; the file's name."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def read_lines(path: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def facts(stage: Path) -> dict[str, Any]:
    """The content of a stage's ``stage.json``."""
    return json.loads((stage / "stage.json").read_text("utf-8"))  # type: ignore[no-any-return]


def models(run: Path) -> dict[str, dict[str, Any]]:
    """The rows of a run's ``results.json`` by their names."""
    content = json.loads((run / "results.json").read_text("utf-8"))
    return {row["name"]: row for row in content["models"]}
