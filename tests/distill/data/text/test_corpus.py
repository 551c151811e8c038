from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from distill.data.text.corpus import tokenize_text
from distill.data.text.documents import FileSource
from distill.system.errors import DataError

#: Tokenises, packs and reads a text; prints its rows and the memory (MB) that it took beyond what
#: a small text took. Pages of mapped files do not count: the machine takes them back at will.
MEASURE = """
import sys, threading, time
from pathlib import Path
from distill.data.text.corpus import tokenize_text
from distill.data.text.documents import FileSource
from distill.data.text.corpus import pack
from distill.data.text.rows import SpecialTokens, TextSequences
from teachers.load import load_tokenizer
text, tokenizer = Path(sys.argv[1]), load_tokenizer(sys.argv[2])
small = Path(sys.argv[3])
most = 0
def watch():
    global most
    while True:
        lines = Path("/proc/self/status").read_text().splitlines()
        most = max(most, *(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))
        time.sleep(0.01)
threading.Thread(target=watch, daemon=True).start()
def work(path):
    corpus = tokenize_text(FileSource([path]), tokenizer)
    packed = pack(corpus, max_length=64, pair=True, hold_out=True, seed=0)
    rows = TextSequences(corpus, packed.train, SpecialTokens(tokenizer))
    for batch in rows.sampler(64, seed=0):
        for key in batch[:1]:
            rows[key]
    return len(rows)
work(small)
before = most
count = work(text)
print(count, (most - before) / 1024)
"""


def test_ids_sentences_and_documents(tmp_path: Path, tokenizer) -> None:
    path = tmp_path / "text.txt"
    path.write_text("the film. it was good\n\n \nlove and time\n", "utf-8")
    corpus = tokenize_text(FileSource([path]), tokenizer)
    words = tokenizer.convert_ids_to_tokens(corpus.ids.tolist())
    assert words == ["the", "film", ".", "it", "was", "good", "love", "and", "time"]
    assert corpus.sentences.tolist() == [0, 3, 6, 9]
    assert corpus.documents.tolist() == [0, 2, 3]
    assert corpus.ids.dtype == np.uint16
    facts = {key: corpus.facts[key] for key in ("tokens", "sentences", "documents")}
    assert facts == {"tokens": 9, "sentences": 3, "documents": 2}


def test_a_text_is_tokenised_once(tmp_path: Path, tokenizer) -> None:
    path = tmp_path / "text.txt"
    path.write_text("the film\n\nthe story\n", "utf-8")
    first = tokenize_text(FileSource([path]), tokenizer)
    stamp = (first.store.folder / "ids").stat().st_mtime_ns
    assert tokenize_text(FileSource([path]), tokenizer).key == first.key
    assert (first.store.folder / "ids").stat().st_mtime_ns == stamp
    path.write_text("another film\n\nthe story\n", "utf-8")
    assert tokenize_text(FileSource([path]), tokenizer).key != first.key


def test_a_text_without_words(tmp_path: Path, tokenizer) -> None:
    path = tmp_path / "blank.txt"
    path.write_text("\n \n\n", "utf-8")
    with pytest.raises(DataError, match=r"blank.txt: no text in it"):
        tokenize_text(FileSource([path]), tokenizer)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_the_text(tmp_path: Path, tiny_bert) -> None:
    line = "the story of a good film and a bad one, told by people who love time and life. "
    small, large = tmp_path / "small.txt", tmp_path / "large.txt"
    small.write_text((line * 5 + "\n") * 2_000, "utf-8")
    with large.open("w", encoding="utf-8") as file:
        for number in range(50_000):
            file.write(f"{number} {line * 5}\n")
    megabytes = large.stat().st_size / 2**20
    assert megabytes > 18
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(large), str(tiny_bert()), str(small)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, gained = done.stdout.split()
    assert int(count) > 60_000
    assert float(gained) < 8  # a constant, not a share of the text
