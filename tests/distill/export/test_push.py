"""A bundle goes to a hub of our own on the loopback, which answers as the real one does."""

from __future__ import annotations

import base64
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading

import pytest
import yaml

from distill.cli.main import main


class Hub(http.server.BaseHTTPRequestHandler):
    """The requests of the hub that a push makes; files of LFS are those that end in a weight's."""

    def do_HEAD(self):
        self.answer({})

    def do_GET(self):
        repo = self.path.removeprefix("/api/models/")
        if repo not in self.server.repos:
            return self.answer({"error": "Repository not found"}, 404)
        private = self.server.repos[repo] == "private"
        return self.answer({"id": repo, "private": private, "siblings": [], "sha": "0" * 40})

    def do_PUT(self):
        self.server.blobs.append(self.body())
        self.answer({})

    def do_POST(self):
        url, body = self.path.partition("?")[0], self.body()
        if self.headers["Authorization"] != "Bearer hf_good":
            return self.answer({"error": "no"}, 401)
        host = f"http://{self.headers['Host']}"
        if url == "/api/repos/create":
            return self.create(json.loads(body), host)
        if url == "/api/validate-yaml":
            self.server.cards.append(json.loads(body)["content"])
            return self.answer({"errors": [], "warnings": []})
        if url.endswith("/preupload/main"):
            files = [one["path"] for one in json.loads(body)["files"]]
            return self.answer({"files": [self.mode(path) for path in files]})
        if url.endswith("/info/lfs/objects/batch"):
            objects = [
                one | {"actions": {"upload": {"href": f"{host}/blob/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return self.answer({"transfer": "basic", "objects": objects})
        assert re.fullmatch(r"/api/models/[\w/-]+/commit/main", url), url
        self.server.commits.append([json.loads(line) for line in body.splitlines()])
        oid = "1" * 40
        return self.answer(
            {"success": True, "commitOid": oid, "commitUrl": f"{host}/o/n/commit/{oid}"}
        )

    def create(self, asked, host):
        repo = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] == "theirs":
            return self.answer({"error": "You don't have the rights"}, 403)
        known = repo in self.server.repos
        self.server.repos.setdefault(repo, asked["visibility"])
        return self.answer({"url": f"{host}/{repo}", "name": repo}, 409 if known else 200)

    @staticmethod
    def mode(path):
        lfs = path.endswith((".onnx", ".safetensors"))
        return {"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, content, status=200):
        sent = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(sent)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.repos, server.cards, server.commits, server.blobs = {}, [], [], []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def push(words, address, token="hf_good"):
    """The hub's address is read once, when its client is imported: in a process of its own."""
    own = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": address, "HF_TOKEN": token}
    done = subprocess.run(
        [sys.executable, "-m", "distill", "export", *map(str, words)],
        env=os.environ | own | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_bundle_with_its_card_is_one_commit(hub, bundle):
    made = bundle()
    address = f"http://127.0.0.1:{hub.server_port}"
    words = [made, "--push", "me/small", "--license", "apache-2.0"]
    code, out, err = push(words, address)
    assert (code, out) == (0, f"{address}/me/small: {made}, private\n"), err
    assert hub.repos == {"me/small": "private"}
    [[header, *files]] = hub.commits
    assert header["key"] == "header"
    paths = {one["value"]["path"] for one in files}
    assert paths == {p.relative_to(made).as_posix() for p in made.rglob("*") if p.is_file()}
    assert (made / "onnx" / "model.onnx").read_bytes() in hub.blobs
    [card] = [one["value"] for one in files if one["value"]["path"] == "README.md"]
    front = yaml.safe_load(base64.b64decode(card["content"]).decode().split("---\n")[1])
    assert (front["license"], front["library_name"]) == ("apache-2.0", "transformers")
    assert front["pipeline_tag"] == "text-classification"
    hub.repos["me/open"] = "public"
    code, _, err = push([made, "--push", "me/open"], address)
    assert (code, err) == (2, "error: --push me/open: everybody can see it; say so with --public\n")
    code, _, err = push([made, "--push", "me/small", "--public"], address)
    assert (code, err.count("\n")) == (2, 1)
    assert "it is private; change that in its settings" in err
    code, _, err = push([made, "--push", "theirs/x", "--public"], address)
    assert (code, err.count("\n")) == (2, 1)
    assert "the token may not write there" in err
    code, _, err = push([made, "--push", "me/x"], address, "hf_bad")
    assert (code, err.count("\n")) == (2, 1)
    assert "the hub does not know the token" in err
    assert len(hub.commits) == 1


def test_without_a_network_or_a_token_it_says_so(bundle):
    made = bundle()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    code, _, err = push([made, "--push", "me/small"], f"http://127.0.0.1:{port}")
    assert (code, err.count("\n")) == (2, 1)
    assert "cannot be reached" in err
    code, _, err = push([made, "--push", "me/small"], f"http://127.0.0.1:{port}", "")
    assert err == "error: --push me/small: no token; set HF_TOKEN, or log in: hf auth login\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "give --out FOLDER, --push OWNER/NAME, or both"),
        (("--push", "small"), "--push small: not a name on the hub; write OWNER/NAME"),
        (("--push", "me/a--b"), "not a name on the hub"),
        (("--push", "me/"), "not a name on the hub"),
        (("--push", "me/a b"), "not a name on the hub"),
        (("--push", "me/a", "--formats", "onnx"), "takes the bundle as it is; give --out"),
        (("--public", "--out", "x"), "give --push OWNER/NAME too"),
        (("--push", "me/a"), "not a bundle"),
    ],
)
def test_mistakes_are_told_before_anything_is_done(tmp_path, capsys, words, told):
    assert main(["export", str(tmp_path), *words]) == 2
    assert told in capsys.readouterr().err
