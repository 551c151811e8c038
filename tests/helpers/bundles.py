"""Bundles behind a stage that a test did by itself, and tests of OpenVINO's files."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from distill.export.openvino import is_installed


def openvino(test: Any) -> Any:
    """A test that needs OpenVINO and NNCF, whose threads and patches stay in a process."""
    missing = not is_installed()
    reason = "OpenVINO and NNCF are not installed"
    return pytest.mark.own_process(pytest.mark.skipif(missing, reason=reason)(test))


def bundle_behind(context: Any, facts: dict[str, Any]) -> Any:
    """Write down what a stage came to, and do the export stage behind it; the bundle's folder."""
    from distill.stages.export import export_stage

    (context.folder / "stage.json").write_text(json.dumps(facts))
    export = replace(context, stage=context.stages[3])
    export.folder.mkdir()
    export_stage(export.stage.config, export)
    return context.run.bundle
