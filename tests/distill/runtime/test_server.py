"""A bundle behind HTTP, asked over a real socket."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
import uvicorn
from fastapi.testclient import TestClient

from distill.cli.main import main
from distill.runtime import load
from distill.runtime.server import make_app

TEXTS = ["a good film", "nothing here is any good", "good", "bad"]


@pytest.fixture
def served(bundle):
    """The model, and the address where it is served."""
    model = load(bundle(), threads=1)
    app = make_app(model, max_texts=8, max_bytes=10_000)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield model, f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def ask(address, body, path="/predict"):
    """The status, and what was answered."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read().decode()
            return answer.status, json.loads(content) if content[0] in "{[" else content
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["detail"]


def test_many_clients_get_what_the_model_predicts(served):
    model, address = served
    expected = {text: model.predict([text])[0] for text in TEXTS}
    with ThreadPoolExecutor(8) as pool:
        asked = [TEXTS[n % 4 :] for n in range(40)]
        answers = list(pool.map(lambda texts: ask(address, {"texts": texts}), asked))
    for texts, (status, answer) in zip(asked, answers, strict=True):
        assert status == 200
        assert [one["label"] for one in answer["predictions"]] == [
            expected[text]["label"] for text in texts
        ]
        for text, one in zip(texts, answer["predictions"], strict=True):
            same = expected[text]["probabilities"]
            assert one["probabilities"] == pytest.approx(same, abs=1e-6)
    assert ask(address, {"texts": []})[1]["predictions"] == []
    assert ask(address, None, "/health")[1]["format"] == model.format
    metrics = ask(address, None, "/metrics")[1]
    assert "distill_requests_total 41\n" in metrics
    assert f"distill_texts_total {sum(map(len, asked))}\n" in metrics
    assert "/predict" in ask(address, None, "/openapi.json")[1]["paths"]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{", 422, "Invalid JSON"),
        ({"text": ["a"]}, 422, "texts: Field required"),
        ({"texts": "a"}, 422, "texts: Input should be a valid array"),
        ({"texts": ["a", 3]}, 422, "texts.1: Input should be a valid string"),
        ({"texts": ["a"], "pairs": ["b"]}, 422, "takes single texts"),
        ({"texts": ["a"], "pairs": [3]}, 422, "pairs.0: Input should be a string, or a list of"),
        ({"texts": ["a"] * 9}, 413, "9 texts; at most 8 at once"),
        (b"x" * 10_000_000, 413, "more than 10,000 bytes"),
    ],
)
def test_what_cannot_be_answered_is_refused(served, body, status, reason):
    _, address = served
    found, detail = ask(address, body)
    assert (found, reason in detail) == (status, True), detail
    assert ask(address, {"texts": ["good"]})[0] == 200
    assert "distill_refused_total 1\n" in ask(address, None, "/metrics")[1]


def test_a_port_that_is_taken_is_one_line(bundle, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", str(bundle()), "--port", port]) == 2
    assert f"--port {port}: Address already in use" in capsys.readouterr().err


def test_a_client_that_leaves_harms_nobody(served):
    _, address = served
    body = json.dumps({"texts": TEXTS}).encode()
    for cut in (len(body), 5):  # before the answer, and within the request
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as one:
            head = f"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
            one.sendall(head.encode() + body[:cut])
    assert ask(address, {"texts": TEXTS})[0] == 200


def test_no_pairs_are_answered_too(bundle):
    with TestClient(make_app(load(bundle(pair=True), threads=1))) as client:
        answer = client.post("/predict", json={"texts": [], "pairs": []})
    assert answer.json()["predictions"] == []
