"""The page of ``distill demo`` in a headless Chromium, asked over the DevTools protocol."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import connect

_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")
#: Seconds until the model has been loaded.
_PATIENCE = 90


@contextmanager
def opened(address: str) -> Iterator[Callable[[str], Any]]:
    """Open the page and wait until its model has answered once.

    Args:
        address: of the page.

    Returns:
        A function that gives the value of a JavaScript expression in the page; promises are waited
        for.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = ["chromium", *_FLAGS, f"--user-data-dir={profile}", address]
        browser = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert browser.stderr is not None
            lines = (re.search(r"ws://([\d.:]+)/", line) for line in browser.stderr)
            host = next(found.group(1) for found in lines if found)
            with connect(_socket(host, address), max_size=None) as socket:
                _wait(socket)
                yield lambda expression: _value(socket, expression)
        finally:
            browser.terminate()
            browser.communicate()


def _socket(host: str, address: str) -> str:
    """Where the page is asked, once it is there."""
    for _ in range(10 * _PATIENCE):
        with urllib.request.urlopen(f"http://{host}/json") as answer:
            for one in json.load(answer):
                if one["url"].startswith(address):
                    return str(one["webSocketDebuggerUrl"])
        time.sleep(0.1)
    raise TimeoutError(f"{address}: the browser shows no such page")


def _wait(socket: Any) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            if _value(socket, "document.documentElement.dataset.ready"):
                return
        except RuntimeError:
            pass  # the page is not there yet
        time.sleep(0.1)
    raise TimeoutError(
        _value(socket, "import('./page.mjs').then(() => document.body.innerText, String)")
    )


def _value(socket: Any, expression: str) -> Any:
    wanted = {"expression": expression, "awaitPromise": True, "returnByValue": True}
    socket.send(json.dumps({"id": 1, "method": "Runtime.evaluate", "params": wanted}))
    answer = json.loads(socket.recv(timeout=_PATIENCE))
    if "result" not in answer or "exceptionDetails" in answer["result"]:
        raise RuntimeError(answer)
    return answer["result"]["result"].get("value")
