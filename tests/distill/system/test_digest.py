import hashlib

from distill.system import digest


def test_json_does_not_depend_on_key_order():
    assert digest.of_json({"a": 1, "b": [2]}) == digest.of_json({"b": [2], "a": 1})
    assert digest.of_json({"a": 1}) != digest.of_json({"a": 2})


def test_file_is_plain_sha256(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"x" * 3_000_000)
    assert digest.of_file(path) == hashlib.sha256(b"x" * 3_000_000).hexdigest()


def test_folder_counts_names_and_bytes_but_not_other_suffixes(tmp_path):
    (tmp_path / "a.txt").write_text("1")
    first = digest.of_folder(tmp_path, [".txt"])
    (tmp_path / "b.log").write_text("noise")
    assert digest.of_folder(tmp_path, [".txt"]) == first
    assert digest.of_folder(tmp_path) != first
    (tmp_path / "a.txt").rename(tmp_path / "c.txt")
    assert digest.of_folder(tmp_path, [".txt"]) != first


def test_texts_are_told_apart_where_they_join_to_the_same():
    assert digest.of_texts(["ab", "c"]) != digest.of_texts(["a", "bc"])
    assert digest.of_texts(["a", None]) != digest.of_texts(["a", ""])
