"""Fixtures that every room's tests may use: no network, no shared caches, few threads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Set before torch, transformers or datasets are imported: they read these once, at import.
# Subprocesses of the tests inherit them.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    TOKENIZERS_PARALLELISM="false",
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
)

TinyBert = Callable[..., Path]

#: Real words, so that real sentences do not become a row of unknown tokens.
WORDS = """
    the a an and or not of to in is it was for with on as by this that be are from at film movie
    good bad great poor fine dull best worst story actor scene plot love hate like funny sad long
    short very too most never always one two more less than but no yes we you they he she his her
    what who how why when where there here all some any each new old first last time year life
    return returns value values function class array tensor given set get list number name file
    data model layer text word sentence token label score train test loss step make use read
    write run add remove create build call check find
""".split()  # noqa: SIM905 (a hundred quoted words would be harder to read)
PIECES = ["##s", "##ed", "##ing", "##er", "##ly", "##ness", "##able", "##tion", "##al", "##y"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def pytest_configure(config: pytest.Config) -> None:
    """Keep what the Hugging Face libraries cache out of the person's own cache."""
    # Their bars would stand in what tests read from standard error.
    os.environ["TQDM_DISABLE"] = "1"
    folder = tempfile.mkdtemp(prefix="distill-tests-hf-")
    os.environ["HF_HOME"] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


#: In a pytest that another one started: the file for how its tests ended.
_ENDED = "DISTILL_TEST_ENDED"
#: Tests that are started together, so that their libraries are loaded once.
_TOGETHER = 6
_endings: dict[str, str] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test marked ``own_process`` in another pytest, and say how that ended.

    A native library whose threads outlive a test can end the process in the middle of another one;
    here it ends no process but its own. Those that come next in the file are run along with it, and
    again by themselves where a process with several ended otherwise than pytest ends it.
    """
    if "own_process" not in pyfuncitem.keywords or _ENDED in os.environ:
        return None
    test, said = _name(pyfuncitem), ""
    if test not in _endings:
        own = [_name(one) for one in pyfuncitem.session.items if "own_process" in one.keywords]
        file = test.partition("::")[0]
        rest = [one for one in own[own.index(test) :] if one.partition("::")[0] == file]
        said = _run_elsewhere(rest[:_TOGETHER])
    if test not in _endings:
        said = _run_elsewhere([test])
    assert _endings.get(test, said) == "passed", _endings.get(test, said)
    return True


def _name(item: pytest.Item) -> str:
    return f"{item.path}::{item.nodeid.partition('::')[2]}"


def _run_elsewhere(tests: list[str]) -> str:
    """Run tests in a pytest of their own; gives what it printed."""
    quick = ["-p", "no:xdist", "-p", "no:cacheprovider"]
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as file:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *quick, *tests],
            cwd=ROOT,
            env=os.environ | {_ENDED: file.name},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode in (0, 1):  # else the process did not end as pytest ends it
            _endings.update(json.loads(line) for line in file)
    return f"ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Write down how a test ended that another pytest asked for."""
    report = yield
    if _ENDED in os.environ and (report.when == "call" or report.failed):
        said = str(report.longrepr) if report.failed else "passed"
        with Path(os.environ[_ENDED]).open("a", encoding="utf-8") as file:
            print(json.dumps([_name(item), said]), file=file)
    return report


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``DISTILL_CACHE`` in a folder of this test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("DISTILL_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_messages() -> Generator[None]:
    """No test leaves the command's messages on standard error to the next."""
    from distill.system.messages import take_down_messages

    yield
    take_down_messages()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data sets; the test is skipped where it is absent."""
    chosen = os.environ.get("DISTILL_TEST_DATA")
    folder = Path(chosen) if chosen else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set DISTILL_TEST_DATA to their folder")
    return folder


def vocabulary(words: Sequence[str] = ()) -> list[str]:
    """Special tokens, characters, real words and ``words``: a small WordPiece vocabulary."""
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    digits = [str(d) for d in range(10)]
    signs = list(".,:;!?'\"()[]{}-_/`*=+<>#%&@$")
    single = [*letters, *digits]
    return list(
        dict.fromkeys(
            [*SPECIAL, *signs, *single, *(f"##{c}" for c in single), *PIECES, *WORDS, *words]
        )
    )


def _save_tiny(
    folder: Path,
    size: tuple[int, int, int, int],
    labels: Sequence[str],
    seed: int,
    words: Sequence[str],
) -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    layers, hidden, heads, ffn = size
    vocab = vocabulary(words)
    tokenizer = BertTokenizerFast(
        vocab={word: index for index, word in enumerate(vocab)}, do_lower_case=True
    )
    tokenizer.model_max_length = 128
    config = BertConfig(
        vocab_size=len(vocab),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=ffn,
        max_position_embeddings=128,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        problem_type="single_label_classification",
        # Larger than BERT's 0.02: at this width the outputs would hardly depend on the input.
        initializer_range=0.1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertForSequenceClassification(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="session")
def _tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="session")
def tiny_bert(_tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> TinyBert:
    """A factory of folders with a small random BERT classifier and its tokenizer.

    ``tiny_bert(layers=2, hidden=32, heads=2, ffn=64, labels=("negative", "positive"), seed=0,
    words=())`` gives a new folder (``config.json``, ``model.safetensors``, ``tokenizer.json``)
    that the test may change. The same arguments give the same weights. ``words`` are put into
    the vocabulary beside the usual ones.
    """

    def build(
        *,
        layers: int = 2,
        hidden: int = 32,
        heads: int = 2,
        ffn: int = 64,
        labels: Sequence[str] = ("negative", "positive"),
        seed: int = 0,
        words: Sequence[str] = (),
    ) -> Path:
        size = (layers, hidden, heads, ffn)
        key = abs(hash((size, tuple(labels), seed, tuple(words))))
        kept = _tiny_store / f"{key:x}"
        if not kept.exists():
            _save_tiny(kept, size, labels, seed, words)
        folder = tmp_path_factory.mktemp("tiny_bert") / "model"
        shutil.copytree(kept, folder)
        return folder

    return build


@pytest.fixture(scope="session")
def sentences() -> tuple[list[str], list[int]]:
    """64 short sentences of varied length with two labels that can be learned (texts, labels)."""
    good = ["good", "great", "fine", "best", "love", "funny"]
    bad = ["bad", "poor", "dull", "worst", "hate", "sad"]
    texts, labels = [], []
    for index in range(64):
        label = index % 2
        word = (good if label else bad)[index // 2 % 6]
        tail = " ".join(WORDS[(index * 7 + k) % 40] for k in range(1 + index * index % 23))
        texts.append(f"the {word} film {tail}")
        labels.append(label)
    return texts, labels
