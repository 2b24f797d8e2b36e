"""The archive's own hash: values that its own client gives, and a slow twin."""

import hashlib

import pytest

from workflows.archives import dandi_etag
from workflows.archives.dandi_etag import DandiETag


def of(content, step=7):
    hasher = DandiETag()
    for place in range(0, len(content), step):
        hasher.update(content[place : place + step])
    return hasher.hexdigest()


def slow_twin(content, part):
    md5s = [hashlib.md5(content[place : place + part]).digest() for place in range(0, len(content), part)]
    return f"{hashlib.md5(b''.join(md5s)).hexdigest()}-{len(md5s)}"


@pytest.mark.parametrize(
    ("content", "known"),
    [(b"123", "d022646351048ac0ba397d12dfafa304-1"), (b"\0", "7e4696ef25d5faececd853ce5e2a233b-1")],
)
def test_etag__is_that_of_the_client_of_the_archive(content, known):
    assert of(content) == known


@pytest.mark.parametrize("step", [1, 7, 10, 64])
@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 57])
def test_etag__parts_end_where_they_should_whatever_comes_at_once(monkeypatch, size, step):
    monkeypatch.setattr(dandi_etag, "PART", 10)
    content = bytes(range(size))
    assert of(content, step) == slow_twin(content, 10)


def test_etag__parts_are_64_mib(tmp_path):
    content = bytes(70 * 2**20)
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as file:
        found = hashlib.file_digest(file, dandi_etag.hasher("dandi-etag")).hexdigest()
    assert found == slow_twin(content, 64 * 2**20)
    assert found.endswith("-2")


def test_check__names_both_and_leaves_other_hashes_alone(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"123")
    dandi_etag.check(path, "dandi-etag:d022646351048ac0ba397d12dfafa304-1")
    dandi_etag.check(path, "sha256:0")
    with pytest.raises(ValueError, match="expected 0-1 but got d022646351048ac0ba397d12dfafa304-1"):
        dandi_etag.check(path, "dandi-etag:0-1")
