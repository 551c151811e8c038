"""``distill resume``: go on with a run that was stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from distill.cli import options
from distill.cli.run import print_run


def resume(
    run: options.Run,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings to change; stages that depend on them are done again."),
    ] = None,
    as_json: options.ResultsAsJson = False,
) -> None:
    """Go on with a run: finished stages are kept, the one under way goes on from its checkpoint.

    Example: distill resume runs/quickstart stages.quantize.max_drop=0.02
    """
    from distill.pipeline.runner import resume as resume_run
    from distill.run_folder import RunFolder

    results = resume_run(run, *(overrides or []))
    print_run(RunFolder(run), results, as_json=as_json)
