"""Texts per second and latency of `distill serve` at several numbers of clients.

The server runs in a process of its own on the loopback; each client sends one text, waits for the
answer, and sends the next. Beside them stands the bare runtime, one text at a time and in batches.

    python benchmarks/serving.py runs/quickstart data/glue_sst2/dev.jsonl.gz --column sentence

With ``--node FOLDER``, where npm installed transformers.js, the bundle's ONNX formats are timed in
the runtime, in Node and on the page of ``distill demo`` in Chromium instead, one text at a time.
"""

from __future__ import annotations

import argparse
import functools
import http.client
import http.server
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from itertools import islice
from pathlib import Path

import numpy as np
from browser import opened

from distill.cli.serve import PageFiles
from distill.export.demo import write_demo
from distill.report.numbers import align
from distill.runtime import load
from distill.runtime.rows import Wanted, read_rows


def main() -> None:
    options = _options()
    rows = islice(read_rows(options.rows, Wanted(options.column)), options.texts)
    texts = [row.text for row in rows]
    table = [["way", "texts/s", "p50 ms", "p99 ms"]]
    if options.node is not None:
        table += _in_javascript(options, texts)
    else:
        table += _behind_http(options, texts)
    print("\n".join(align(table, words=1)))


def _behind_http(options: argparse.Namespace, texts: list[str]) -> list[list[str]]:
    table = []
    model = load(options.bundle, threads=options.threads)
    model.predict(texts[:64])
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
    return table


#: Milliseconds of each text, in a page's folder, by the page's own code.
_NODE = """
import { readFileSync } from 'node:fs';
import { AutoModel, AutoTokenizer, Tensor, env } from '@huggingface/transformers';
import { READERS, runner } from './readers.mjs';
const [texts, format, threads] = JSON.parse(readFileSync(0, 'utf-8'));
const about = JSON.parse(readFileSync('about.json', 'utf-8'));
Object.assign(env, { allowRemoteModels: false, localModelPath: './' });
const settings = { dtype: about.formats[format], session_options: { intraOpNumThreads: threads } };
const run = runner(await AutoModel.from_pretrained('model', settings), Tensor);
const tokenizer = await AutoTokenizer.from_pretrained('model');
const times = [];
for (const text of [...texts.slice(0, 64), ...texts]) {
  const begun = performance.now();
  await READERS[about.reader].predict({ tokenizer, about, run, text, pair: null });
  times.push(performance.now() - begun);
}
console.log(JSON.stringify(times.slice(64)));
"""
#: The same in the page.
_BROWSER = """(async () => {
  const [texts, format] = %s;
  const times = [];
  for (const text of [...texts.slice(0, 64), ...texts]) {
    times.push((await predict(text, null, format)).ms);
  }
  return times.slice(64);
})()"""


def _in_javascript(options: argparse.Namespace, texts: list[str]) -> list[list[str]]:
    page = Path(tempfile.mkdtemp()) / "page"
    write_demo(options.bundle, page, node=options.node)
    (page / "bench.mjs").write_text(_NODE, "utf-8")
    (page / "node_modules").symlink_to(options.node.resolve() / "node_modules")
    formats = list(json.loads((page / "about.json").read_text("utf-8"))["formats"])
    table = []
    for format in formats:
        model = load(options.bundle, format=format, threads=options.threads)
        model.predict(texts[:64])
        table.append([f"runtime, {format}", *_bare(model, texts, 1)])
        done = subprocess.run(
            ["node", "--preserve-symlinks", "bench.mjs"],
            cwd=page,
            input=json.dumps([texts, format, options.threads]),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        table.append([f"Node, {format}", *_of_milliseconds(json.loads(done.stdout))])
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(PageFiles, directory=str(page))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with opened(f"http://127.0.0.1:{server.server_port}/") as ask:
        for format in formats:
            times = ask(_BROWSER % json.dumps([texts, format]))
            table.append([f"Chromium, {format}", *_of_milliseconds(times)])
    server.shutdown()
    return table


def _of_milliseconds(times: list[float]) -> list[str]:
    return _cells(1e3 * len(times) / sum(times), [one / 1e3 for one in times])


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
    parser.add_argument("--node", type=Path, help="time the bundle in Node and a browser")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    return parser.parse_args()


if __name__ == "__main__":
    main()
