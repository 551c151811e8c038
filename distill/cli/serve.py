"""``distill serve``: a bundle behind HTTP."""

from __future__ import annotations

import socket
import sys
from typing import Annotated

import typer

from distill.cli import options
from distill.system.errors import UserError


def serve(
    folder: options.Bundle,
    host: Annotated[
        str, typer.Option(help="Where to listen; 0.0.0.0 is everywhere.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    max_texts: Annotated[int, typer.Option(min=1, help="The most texts of one request.")] = 256,
    max_bytes: Annotated[
        int, typer.Option(min=1, help="The largest body of one request.")
    ] = 1_000_000,
    format: Annotated[
        str | None,
        typer.Option(help="onnx-int8, onnx, openvino-int8, ...; else the bundle's default."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; else the tuned number or all cores.")
    ] = None,
) -> None:
    """Answer POST /predict with {"texts": [...]}; GET /health, /metrics and /docs too.

    Requests that arrive together are computed together. Needs fastapi and uvicorn.

    Example:
      distill serve runs/sst2 --port 8000
    """
    try:
        import uvicorn

        from distill.runtime.server import make_app
    except ImportError as error:
        raise UserError("serving needs FastAPI and uvicorn: pip install fastapi uvicorn") from error
    from distill.runtime import load

    app = make_app(
        load(folder, format=format, threads=threads), max_texts=max_texts, max_bytes=max_bytes
    )
    try:
        listening = socket.create_server((host, port))
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]  # Python adds host and port
        raise UserError(
            f"--host {host} --port {port}: {why}; name another port (0 takes a free one), or a "
            "host of this machine"
        ) from error
    url = f"http://{host}:{listening.getsockname()[1]}"
    print(f"{url}/docs describes the requests; Ctrl-C ends it", file=sys.stderr)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])
