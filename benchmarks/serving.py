"""Texts per second and latency of `distill serve` at several numbers of clients.

The server runs in a process of its own on the loopback; each client sends one text, waits for the
answer, and sends the next. Beside them stands the bare runtime, one text at a time and in batches.

    python benchmarks/serving.py runs/quickstart data/glue_sst2/dev.jsonl.gz --column sentence
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path

import numpy as np

from distill.report.numbers import align
from distill.runtime import load
from distill.runtime.rows import read_rows


def main() -> None:
    options = _options()
    rows = islice(read_rows(options.rows, column=options.column), options.texts)
    texts = [row.text for row in rows]
    model = load(options.bundle, threads=options.threads)
    model.predict(texts[:64])
    table = [["way", "texts/s", "p50 ms", "p99 ms"]]
    table.append(["runtime, one at a time", *_bare(model, texts, 1)])
    table.append(["runtime, batches of 64", *_bare(model, texts, 64)])
    port = _free_port()
    command = [sys.executable, "-m", "distill", "serve", str(options.bundle), "--port", str(port)]
    server = subprocess.Popen([*command, "--threads", str(options.threads)])
    try:
        _wait(port)
        for clients in options.clients:
            plural = "s" if clients > 1 else ""
            table.append([f"serve, {clients} client{plural}", *_served(port, texts, clients)])
    finally:
        server.terminate()
        server.wait()
    print("\n".join(align(table, words=1)))


def _bare(model: object, texts: list[str], size: int) -> list[str]:
    times = []
    for start in range(0, len(texts), size):
        begun = time.perf_counter()
        model.predict(texts[start : start + size])  # type: ignore[attr-defined]
        times.append(time.perf_counter() - begun)
    return _cells(len(texts) / sum(times), times)


def _served(port: int, texts: list[str], clients: int) -> list[str]:
    times: list[float] = []

    def client(own: list[str]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for text in own:
            begun = time.perf_counter()
            connection.request("POST", "/predict", json.dumps({"texts": [text]}))
            answer = connection.getresponse()
            assert answer.status == 200, answer.status
            answer.read()
            times.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=client, args=(texts[n::clients],)) for n in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _cells(len(texts) / (time.perf_counter() - begun), times)


def _cells(rate: float, times: list[float]) -> list[str]:
    p50, p99 = np.percentile(times, [50, 99]) * 1e3
    return [f"{rate:,.0f}", f"{p50:.2f}", f"{p99:.2f}"]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("rows", help="a file with texts")
    parser.add_argument("--column")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    return parser.parse_args()


if __name__ == "__main__":
    main()
