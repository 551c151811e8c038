"""``distill serve`` and ``demo``: a bundle behind HTTP, and in a browser."""

from __future__ import annotations

import functools
import http.server
import socket
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from distill.cli import options
from distill.system.errors import UserError, quoted


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
    format: options.Format = None,
    threads: options.Threads = None,
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


def demo(
    folder: options.Bundle,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    out: Annotated[
        Path | None, typer.Option(help="Only write the page there, for any server of files.")
    ] = None,
    node: Annotated[
        Path | None,
        typer.Option(
            envvar="DISTILL_NODE",
            help="Where npm installed @huggingface/transformers; else it is fetched once.",
        ),
    ] = None,
    cdn: Annotated[
        bool, typer.Option("--cdn", help="Let the page load transformers.js from the internet.")
    ] = False,
) -> None:
    """Show a page that predicts in the browser: text in, prediction and time out.

    The page runs the bundle's ONNX files by transformers.js. Served on this machine alone, it
    needs no network.

    Example:
      distill demo runs/sst2
      distill demo runs/sst2 --out page
    """
    from distill.export.demo import write_demo

    if out is not None:
        write_demo(folder, out, node=node, cdn=cdn)
        typer.echo(f"{out}: the page; show it: python -m http.server -d {quoted(out)}")
        return
    with tempfile.TemporaryDirectory() as work:
        write_demo(folder, Path(work) / "page", node=node, cdn=cdn)
        handler = functools.partial(PageFiles, directory=f"{work}/page")
        try:
            server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        except OSError as error:
            raise UserError(
                f"--port {port}: {error.strerror}; name another port (0 takes a free one)"
            ) from error
        print(f"http://127.0.0.1:{server.server_port}/ ; Ctrl-C ends it", file=sys.stderr)
        with server:
            server.serve_forever()


class PageFiles(http.server.SimpleHTTPRequestHandler):
    """The files of the page."""

    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        """Add what a browser asks for before it lets a page use threads."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass
