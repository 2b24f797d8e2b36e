"""Transfers from a real server with real faults: what arrives is right, or has no name."""

import hashlib
import logging
import re
import ssl
import threading
import time

import numpy as np
import pytest
from archive_server import Fault
from urllib3.util import Retry

from neq.errors import FetchError, StoreError
from workflows.archives import download, transfer, wanted
from workflows.archives.asking import Client
from workflows.archives.wanted import Wanted

SIZE = 3_000_000
CONTENT = {name: np.random.default_rng(ord(name)).bytes(SIZE) for name in "ab"}
FILES = {(f"/data/{name}.nwb", "v1"): content for name, content in CONTENT.items()}
QUICK = Retry(total=3, backoff_factor=0.01)


def quick(**options):
    return Client(retry=QUICK, **options)


def wanted_of(server, folder, names="a", hashes="blake2b"):
    """Files as the server has them, with sizes and ETags."""

    def hashed(name):
        return f"{hashes}:{hashlib.new(hashes, CONTENT[name]).hexdigest()}" if hashes else ""

    files = [Wanted(f"{server.url}/data/{n}.nwb?versionId=v1", folder / n / f"{n}.nwb", hash=hashed(n)) for n in names]
    return wanted.survey(files, quick())


def fetch(files, folder, client=None, jobs=1):
    errors = download.fetch(files, folder, client or quick(), lambda *counts: None, jobs)
    for path in folder.glob("*/[!.]*"):
        assert path.read_bytes() == CONTENT[path.stem], "a wrong file under its name"
    return errors


def left_over(folder):
    return [path for path in folder.rglob("*") if path.is_file() and ".part" in str(path)]


@pytest.mark.parametrize("hashes", ["blake2b", "sha256", "md5", ""])
def test_fetch__brings_files_and_remembers_their_hashes(serve, tmp_path, hashes):
    server = serve(FILES)
    files = wanted_of(server, tmp_path, "ab", hashes)
    assert [one.size for one in files] == [SIZE, SIZE]
    counts = []
    assert download.fetch(files, tmp_path, quick(), lambda *count: counts.append(count)) == ["", ""]
    assert counts[-1] == (2 * SIZE, 2 * SIZE, 0)
    assert left_over(tmp_path) == []
    assert [one.path.read_bytes() == CONTENT[one.path.stem] for one in files] == [True, True]
    assert [wanted.is_here(one, tmp_path) for one in files] == [True, True]
    assert [wanted.was_right(one, tmp_path) for one in files] == [True, True]


def test_is_here__reads_a_file_once_and_again_when_it_changed(serve, tmp_path, monkeypatch):
    (file,) = wanted_of(serve(FILES), tmp_path)
    file.path.parent.mkdir()
    file.path.write_bytes(CONTENT["a"])
    assert not wanted.was_right(file, tmp_path)
    assert wanted.is_here(file, tmp_path)
    monkeypatch.setattr(hashlib, "file_digest", None)  # nothing is read any more
    assert wanted.is_here(file, tmp_path)
    assert wanted.was_right(file, tmp_path)
    monkeypatch.undo()
    file.path.write_bytes(CONTENT["b"])
    assert not wanted.was_right(file, tmp_path)
    assert not wanted.is_here(file, tmp_path)


def test_fetch__goes_on_after_each_cut(serve, tmp_path):
    server = serve(FILES, Fault("a.nwb", "cut", times=2, after=1_200_000))
    assert fetch(wanted_of(server, tmp_path), tmp_path) == [""]
    ranges = [request.range for request in server.asked("a.nwb")]
    starts = [int(text.removeprefix("bytes=").removesuffix("-")) for text in ranges[1:]]
    assert ranges[0] == ""
    assert 0 < starts[0] < starts[1] <= 2_400_000
    assert [request.status for request in server.asked("a.nwb")] == [200, 206, 206]


def test_fetch__many_cuts_are_no_failure_while_each_brings_something(serve, tmp_path):
    server = serve(FILES, Fault("a.nwb", "cut", after=400_000))
    assert fetch(wanted_of(server, tmp_path), tmp_path) == [""]
    assert len(server.asked("a.nwb")) > QUICK.total + 2


def test_fetch__cuts_that_bring_nothing_end_it_and_the_other_file_comes(serve, tmp_path):
    server = serve(FILES, Fault("a.nwb", "cut", after=0))
    errors = fetch(wanted_of(server, tmp_path, "ab"), tmp_path)
    assert "/data/a.nwb?versionId=v1: the connection failed (" in errors[0]
    assert errors[0].endswith("), 4 times in a row; see whether this machine reaches it")
    assert errors[1] == ""
    assert len(server.asked("a.nwb")) == QUICK.total + 1


def test_fetch__cuts_of_a_server_without_ranges_end_it(serve, tmp_path):
    server = serve(FILES, Fault("a.nwb", "cut", after=500_000))
    server.ranges = False
    (error,) = fetch(wanted_of(server, tmp_path), tmp_path)
    assert "times in a row" in error
    assert len(server.asked("a.nwb")) == QUICK.total + 1


def test_fetch__a_server_that_ignores_ranges_starts_the_file_anew(serve, tmp_path):
    server = serve(FILES, Fault("a.nwb", "cut", times=1, after=900_000))
    server.ranges = False
    assert fetch(wanted_of(server, tmp_path), tmp_path) == [""]
    assert [(request.range != "", request.status) for request in server.asked("a.nwb")] == [(False, 200), (True, 200)]


def test_fetch__wrong_content_once_is_fetched_again_from_the_start(serve, tmp_path):
    server = serve(FILES, Fault("a.nwb", "wrong", times=1))
    assert fetch(wanted_of(server, tmp_path), tmp_path) == [""]
    assert [request.range for request in server.asked("a.nwb")] == ["", ""]


def test_fetch__wrong_content_twice_names_both_hashes_and_leaves_nothing(serve, tmp_path, caplog):
    server = serve(FILES, Fault("a.nwb", "wrong"))
    files = wanted_of(server, tmp_path, "ab")
    with caplog.at_level(logging.INFO):
        errors = fetch(files, tmp_path)
    wrong = CONTENT["a"][:-1] + bytes([CONTENT["a"][-1] ^ 1])
    assert hashlib.blake2b(wrong).hexdigest() in errors[0]
    assert files[0].hash.removeprefix("blake2b:") in errors[0]
    assert errors[0].startswith(f"{files[0].url}: wrong content, twice")
    assert errors[1] == ""
    assert not files[0].path.exists()
    assert left_over(tmp_path) == []
    assert caplog.text == ""  # nothing is said behind the meter


def test_fetch__a_busy_server_gets_the_time_it_asks_for(serve, tmp_path):
    server = serve(FILES, Fault("a.nwb", "busy", times=2, after=1))
    notes = []
    start = time.monotonic()
    assert fetch(wanted_of(server, tmp_path), tmp_path, quick(note=notes.append)) == [""]
    assert time.monotonic() - start >= 2
    assert [request.status for request in server.asked("a.nwb")] == [503, 503, 200]
    assert len(notes) == 2
    assert notes[0].endswith("a.nwb?versionId=v1: 503 Service Unavailable; tried again in 1 s")


def test_fetch__a_server_that_stays_busy_or_asks_for_too_much_time(serve, tmp_path):
    server = serve(FILES, Fault("a.nwb", "busy"), Fault("b.nwb", "busy", after=86400))
    errors = fetch(wanted_of(server, tmp_path, "ab"), tmp_path)
    assert errors[0].endswith("503 Service Unavailable, 4 times in a row; see whether this machine reaches it")
    assert errors[1].endswith("503 Service Unavailable, and the server asks for more than 15 min 0 s of patience")
    assert len(server.asked("b.nwb")) == 1


def test_fetch__a_missing_file_is_asked_for_once(serve, tmp_path):
    server = serve(FILES, Fault("a.nwb", "missing"), Fault("a.nwb", "missing", method="HEAD"))
    files = wanted_of(server, tmp_path, "ab")
    assert [one.size for one in files] == [None, SIZE]
    errors = fetch(files, tmp_path)
    assert errors == [f"{files[0].url}: the server answers 404 Not Found", ""]
    assert len(server.asked("a.nwb")) == 1


@pytest.mark.parametrize("left", ["bytes", "tmp1234"])
def test_fetch__goes_on_with_what_a_killed_process_left(serve, tmp_path, left):
    server = serve(FILES)
    (file,) = wanted_of(server, tmp_path)
    wanted.box(file).mkdir(parents=True)
    (wanted.box(file) / left).write_bytes(CONTENT["a"][:2_000_000])
    (wanted.box(file) / "tmp0000").write_bytes(b"")
    assert wanted.begun(file) == 2_000_000
    assert fetch([file], tmp_path) == [""]
    assert [request.range for request in server.asked("a.nwb")] == ["bytes=2000000-"]
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * (SIZE + 1), b"x" * SIZE], ids=["begins", "longer", "whole"])
def test_fetch__what_was_left_is_wrong(serve, tmp_path, left):
    (file,) = wanted_of(serve(FILES), tmp_path)
    wanted.box(file).mkdir(parents=True)
    (wanted.box(file) / "bytes").write_bytes(left)
    assert fetch([file], tmp_path) == [""]


def test_fetch__without_hash_another_version_is_not_gone_on_with(serve, tmp_path):
    server = serve(FILES)
    (file,) = wanted_of(server, tmp_path, hashes="")
    wanted.box(file).mkdir(parents=True)
    (wanted.box(file) / "bytes").write_bytes(CONTENT["b"][:1000])
    server.files[("/data/a.nwb", "v1")] = CONTENT["a"][:-1] + b"?"  # so it has another ETag
    (newer,) = wanted_of(server, tmp_path, hashes="")
    assert download.fetch([newer], tmp_path, quick(), lambda *counts: None) == [""]
    assert newer.path.read_bytes() == CONTENT["a"][:-1] + b"?"
    server.files.update(FILES)
    unknown = Wanted(file.url, file.path)
    wanted.box(unknown).mkdir()
    (wanted.box(unknown) / "bytes").write_bytes(CONTENT["b"][:1000])
    file.path.unlink()
    assert fetch([unknown], tmp_path) == [""]


def test_fetch__a_truncated_file_is_completed_but_never_one_that_is_linked(serve, tmp_path):
    server = serve(FILES)
    files = wanted_of(server, tmp_path, "ab")
    other = tmp_path / "older.release"
    other.write_bytes(CONTENT["b"][:1000])
    for one in files:
        one.path.parent.mkdir()
    files[0].path.write_bytes(CONTENT["a"][:1_000_000])
    files[1].path.symlink_to(other)
    assert fetch(files, tmp_path) == ["", ""]
    assert [request.range for request in server.asked("a.nwb")] == ["bytes=1000000-"]
    assert [request.range for request in server.asked("b.nwb")] == [""]
    assert other.read_bytes() == CONTENT["b"][:1000]
    files[1].path.unlink()
    files[1].path.hardlink_to(other)
    assert fetch(files[1:], tmp_path) == [""]
    assert other.read_bytes() == CONTENT["b"][:1000]


def test_fetch__without_hash_the_older_file_is_not_gone_on_with(serve, tmp_path):
    server = serve(FILES)
    (file,) = wanted_of(server, tmp_path, hashes="")
    file.path.parent.mkdir()
    file.path.write_bytes(CONTENT["b"][:1_000_000])
    assert fetch([file], tmp_path) == [""]
    assert [request.range for request in server.asked("a.nwb")] == [""]


@pytest.mark.parametrize("hashes", ["sha256", ""])
def test_fetch__the_older_file_stays_until_the_new_one_is_whole(serve, tmp_path, hashes):
    server = serve(FILES, Fault("a.nwb", "cut", times=4, after=0))
    (file,) = wanted_of(server, tmp_path, hashes=hashes)
    older = CONTENT["b"][:1_000_000]
    file.path.parent.mkdir()
    file.path.write_bytes(older)
    assert "times in a row" in download.fetch([file], tmp_path, quick(), lambda *counts: None)[0]
    assert file.path.read_bytes() == older
    assert fetch([file], tmp_path) == [""]
    assert left_over(tmp_path) == []


def test_fetch__what_came_of_the_new_version_is_not_lost_to_the_older_one(serve, tmp_path):
    """A second start: the older file, longer than what has come, is no better beginning."""
    server = serve(FILES)
    (file,) = wanted_of(server, tmp_path)
    file.path.parent.mkdir()
    file.path.write_bytes(CONTENT["b"][:1_000_000])
    wanted.box(file).mkdir()
    (wanted.box(file) / "bytes").write_bytes(CONTENT["a"][:5000])
    assert fetch([file], tmp_path) == [""]
    assert [request.range for request in server.asked("a.nwb")] == ["bytes=5000-"]


def test_fetch__a_file_that_is_longer_than_announced_is_refused(serve, tmp_path):
    server = serve(FILES)
    files = wanted_of(server, tmp_path, "ab", hashes="")
    for name in "ab":
        server.files[(f"/data/{name}.nwb", "v1")] = CONTENT[name] + b"more"
    server.faults.append(Fault("b.nwb", "unsized"))
    first, second = fetch(files, tmp_path)
    assert first.endswith(
        f"v1: the server has {SIZE + 4} bytes, {SIZE} were announced; give the command again, which asks anew"
    )
    assert second.endswith(f"v1: {SIZE + 4} bytes came, {SIZE} were announced; give the command again, which asks anew")
    assert [one.path.exists() for one in files] == [False, False]
    assert sum(map(wanted.begun, files)) == 0


def test_receive__the_whole_that_a_range_is_of_has_the_announced_size(serve, tmp_path):
    server = serve({("/data/a.nwb", "v1"): CONTENT["a"] + b"more"})
    part = tmp_path / "bytes"
    part.write_bytes(CONTENT["a"][:1000])
    with pytest.raises(FetchError, match=f"the server has {SIZE + 4} bytes, {SIZE} were announced"):
        transfer.receive(quick(), f"{server.url}/data/a.nwb?versionId=v1", part, SIZE, "", lambda count: None)
    assert part.read_bytes() == CONTENT["a"][:1000]


def test_survey__an_answer_of_no_length_tells_no_size(serve, tmp_path):
    """Some servers answer HEAD so for files that they make as they send them."""
    server = serve({("/data/a.nwb", "v1"): b""})
    assert wanted_of(server, tmp_path)[0].size is None


def test_fetch__what_one_file_cannot_have_keeps_no_other_from_coming(serve, tmp_path):
    server = serve(FILES)
    files = wanted_of(server, tmp_path, "ab")
    files[0].path.mkdir(parents=True)
    long = Wanted(files[1].url, tmp_path / ("n" * 260) / "b.nwb", SIZE, files[1].hash)
    blocked = Wanted(files[1].url, tmp_path / "file" / "b.nwb", SIZE, files[1].hash)
    (tmp_path / "file").write_text("")
    errors = download.fetch([files[0], long, blocked, files[1]], tmp_path, quick(), lambda *counts: None, jobs=1)
    place = "move away what lies where it, or a folder of its path, should be"
    assert errors[0] == f"{files[0].path} cannot be written: Is a directory; {place}"
    assert errors[1].endswith("b.nwb cannot be written: File name too long; choose a folder with a shorter path")
    assert re.fullmatch(rf"{blocked.path} cannot be written: (File exists|Not a directory); {place}", errors[2])
    assert errors[3] == ""


def test_fetch__a_name_as_long_as_a_disk_takes(serve, tmp_path):
    server = serve(FILES, Fault("a.nwb", "cut", times=1, after=900_000))
    (file,) = wanted_of(server, tmp_path)
    long = Wanted(file.url, tmp_path / "a" / f"{'n' * 251}.nwb", SIZE, file.hash)
    other = Wanted(file.url, tmp_path / "a" / f"{'n' * 250}m.nwb", SIZE, file.hash)
    assert wanted.box(long) != wanted.box(other)
    assert wanted.begun(long) == 0
    assert download.fetch([long], tmp_path, quick(), lambda *counts: None) == [""]
    assert long.path.read_bytes() == CONTENT["a"]
    assert left_over(tmp_path) == []


def test_fetch__leaves_what_has_come_of_a_file_of_a_longer_name(serve, tmp_path):
    (file,) = wanted_of(serve(FILES), tmp_path)
    other = Wanted(file.url, file.path.with_name("a.nwb.old.nwb"), SIZE, file.hash)
    wanted.box(other).mkdir(parents=True)
    (wanted.box(other) / "bytes").write_bytes(b"1")
    assert fetch([file], tmp_path) == [""]
    assert wanted.begun(other) == 1


def test_fetch__names_with_brackets_leave_nothing_behind(serve, tmp_path):
    (file,) = wanted_of(serve(FILES), tmp_path)
    bracketed = Wanted(file.url, tmp_path / "a" / "a[1].nwb", SIZE, file.hash)
    assert download.fetch([bracketed], tmp_path, quick(), lambda *counts: None) == [""]
    assert left_over(tmp_path) == []
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["a[1].nwb"]


def test_fetch__two_at_once(serve, tmp_path):
    slow = [Fault(f"{name}.nwb", "slow", after=6_000_000) for name in "ab"]
    files = wanted_of(serve(FILES, *slow), tmp_path, "ab")
    both = []
    counts = download.fetch(
        files, tmp_path, quick(), lambda *counts: both.append(min(map(wanted.begun, files))), jobs=2
    )
    assert counts == ["", ""]
    assert max(both) > 0


def test_fetch__interrupted_keeps_what_came_and_does_not_wait(serve, tmp_path):
    server = serve(FILES, Fault("a.nwb", "slow", after=2_000_000))
    files = wanted_of(server, tmp_path, "ab")

    def interrupt(done, total, failed):
        if done > 1_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download.fetch(files, tmp_path, quick(), interrupt, jobs=1)
    assert 1_000_000 < wanted.begun(files[0]) < SIZE
    assert not any(one.path.exists() for one in files)
    assert not any(thread.name == "neq-fetch" for thread in threading.enumerate())
    assert fetch(files, tmp_path) == ["", ""]
    assert server.asked("a.nwb")[-1].status == 206


def test_fetch__no_server(serve, tmp_path):
    server = serve(FILES)
    files = wanted_of(server, tmp_path)
    server.shutdown()
    server.server_close()
    (error,) = fetch(files, tmp_path)
    why = "the connection failed (Connection refused), 4 times in a row; see whether this machine reaches it"
    assert error == f"{files[0].url}: {why}"
    with pytest.raises(FetchError, match=re.escape(why)):
        wanted.survey([wanted.Wanted(files[0].url, files[0].path)], quick())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost that nobody but itself vouches for."""
    import datetime

    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_fetch__https_with_a_certificate_that_is_trusted_or_not(serve, tmp_path, certificate, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = serve(FILES, Fault("a.nwb", "cut", times=1, after=1_000_000), context=context)
    with pytest.raises(FetchError, match=r"certificate is not trusted here .*REQUESTS_CA_BUNDLE"):
        wanted_of(server, tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    files = wanted_of(server, tmp_path)
    assert files[0].url.startswith("https://localhost:")
    assert fetch(files, tmp_path) == [""]
    assert [request.status for request in server.asked("a.nwb")] == [200, 206]


def test_require_space__says_what_is_missing(tmp_path):
    huge = Wanted("http://localhost/a", tmp_path / "a", size=1 << 60)
    with pytest.raises(StoreError, match=r"1 files need 1048576\.0 TiB, and .* free: make room there"):
        wanted.require_space([huge], tmp_path)
    wanted.require_space([Wanted("http://localhost/a", tmp_path / "a", size=1)], tmp_path / "not" / "yet")


def test_require_space__older_files_stay_meanwhile(tmp_path):
    (tmp_path / "a").write_text("older")
    files = [Wanted(f"http://localhost/{name}", tmp_path / name, size=1 << 59) for name in "ab"]
    with pytest.raises(StoreError, match=r"2 files need 1048576\.0 TiB beside 1 that they replace, and .* free"):
        wanted.require_space(files, tmp_path)


def test_to_come__is_never_less_than_nothing(tmp_path):
    file = Wanted("http://localhost/a", tmp_path / "a", size=None, etag="1")
    wanted.box(file).mkdir()
    (wanted.box(file) / "bytes").write_bytes(bytes(2_000_000))
    assert wanted.to_come(file) == 0


def test_read__small_files(serve):
    assert download.read(f"{serve(FILES).url}/data/a.nwb?versionId=v1", quick()) == CONTENT["a"]


def test_fetch__an_address_that_is_none(tmp_path):
    (error,) = fetch([Wanted("http://", tmp_path / "a" / "a.nwb")], tmp_path)
    assert error.startswith("http://: Invalid URL")


def test_work__an_error_nobody_thought_of_ends_its_file_only(serve, tmp_path, monkeypatch):
    files = wanted_of(serve(FILES), tmp_path, "ab")
    real = transfer.receive

    def broken(client, url, *others):
        if "a.nwb" in url:
            raise ZeroDivisionError("division by zero")
        real(client, url, *others)

    monkeypatch.setattr(transfer, "receive", broken)
    assert fetch(files, tmp_path) == ["unexpected ZeroDivisionError: division by zero", ""]
