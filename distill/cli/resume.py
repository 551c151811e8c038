"""``distill resume``: go on with a run that was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distill.cli.run import tell


def resume(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings to change; stages that depend on them are done again."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print results.json instead of the table.")
    ] = False,
) -> None:
    """Go on with a run: finished stages are kept, the one under way goes on from its checkpoint.

    Example: distill resume runs/quickstart stages.quantize.max_drop=0.02
    """
    from distill.pipeline.runner import resume as resume_run
    from distill.run_folder import RunFolder

    results = resume_run(run, *(overrides or []))
    tell(RunFolder(run), results, as_json=as_json)
