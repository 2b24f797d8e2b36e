"""The command `neq fetch` as a process: killed, interrupted, on a full disk, and its words."""

import hashlib
import signal
import subprocess
import sys
import time

import archive_server
import numpy as np
import pytest
from archive_server import Fault

from neq.readers.allen_cache import PROJECT, open_cache

SIZE = 6_000_000
IDS = ("1064644573", "1064644574", "1064644575")


@pytest.fixture(scope="module")
def release():
    """A release of three sessions of random bytes: (path, versionId) -> bytes."""
    import json

    table = "ecephys_session_id,file_id,mouse_id,abnormal_histology,abnormal_activity\n"
    table += "".join(f"{one},{number},5,,\n" for number, one in enumerate(IDS))
    files = {"project_metadata/ecephys_sessions.csv": table.encode()}
    files |= {f"sessions/{one}.nwb": np.random.default_rng(int(one)).bytes(SIZE) for one in IDS}
    listed = [
        {
            "url": f"https://bucket.localhost/{PROJECT}/{path}",
            "version_id": "v1",
            "file_hash": hashlib.blake2b(content).hexdigest(),
        }
        for path, content in files.items()
    ]
    manifest = {
        "project_name": PROJECT,
        "manifest_version": "0.5.0",
        "metadata_files": {"ecephys_sessions": listed[0]},
        "data_files": {str(number): one for number, one in enumerate(listed[1:])},
    }
    place = f"/{PROJECT}/manifests/{PROJECT}_project_manifest_v0.5.0.json"
    return {
        **{(f"/{PROJECT}/{path}", "v1"): content for path, content in files.items()},
        (place, ""): json.dumps(manifest).encode(),
    }


@pytest.fixture
def server(release):
    with archive_server.serving(release) as running:
        yield running


def command(server, folder, *options):
    words = ["fetch", "allen-vbn", "--from", server.url, "--to", folder, *options]
    return [sys.executable, "-m", "workflows.cli", *map(str, words)]


def start(server, folder, *options):
    return subprocess.Popen(
        command(server, folder, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(server, folder, *options):
    done = subprocess.run(command(server, folder, *options), capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def contents(server, folder):
    """Return for each session whether its file is there, wholly right; fails where one is there and wrong."""
    cache = open_cache(folder)
    there = [cache.session_file(int(one)) for one in IDS]
    for one, path in zip(IDS, there, strict=True):
        assert not path.exists() or path.read_bytes() == server.files[f"/{PROJECT}/sessions/{one}.nwb", "v1"]
    return [path.exists() for path in there]


def wait_for_bytes(folder, count):
    for _ in range(400):
        if sum(path.stat().st_size for path in folder.rglob("bytes")) > count:
            return
        time.sleep(0.05)
    raise AssertionError("nothing came")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_fetch__ended_in_the_midst_goes_on_where_it_was(server, tmp_path, number):
    server.faults.append(Fault(f"{IDS[0]}.nwb", "slow", times=1, after=2_000_000))
    with start(server, tmp_path, "--jobs", "1") as process:
        wait_for_bytes(tmp_path, SIZE // 4)
        process.send_signal(number)
        _, error = process.communicate(timeout=20)
    if number == signal.SIGKILL:
        assert process.returncode == -9
    else:
        said = "neq: Stopped. What is done is kept; give the same command again to go on.\n"
        assert (process.returncode, error) == (130, said)
    assert contents(server, tmp_path) == [False, False, False]
    code, out, _ = finish(server, tmp_path, "--jobs", "1")
    assert code == 0
    assert f"all 4 files are in {tmp_path}" in out
    assert contents(server, tmp_path) == [True, True, True]
    first, second = server.asked(f"{IDS[0]}.nwb")
    assert (first.range, second.status) == ("", 206)
    assert int(second.range.removeprefix("bytes=").removesuffix("-")) > SIZE // 4
    assert not list(tmp_path.rglob("*.part"))


def test_fetch__a_full_disk_stops_all_and_leaves_nothing_wrong(server, small_disk):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(10 * 2**20))
    # with their sizes known they would have been refused
    server.faults += [Fault(f"{one}.nwb", "missing", 1, method="HEAD") for one in IDS]
    code, out, error = finish(server, small_disk / "allen", "--jobs", "1")
    assert (code, error) == (1, "")
    assert "3 of unknown size" in out
    lines = out.splitlines()
    (why,) = [line for line in lines if line.startswith(f"{IDS[1]}: ")]
    assert (
        why
        == f"{IDS[1]}: it cannot be written: No space left on device; free some space there, or choose another folder"
    )
    assert f"{IDS[2]}: not fetched, because another one could not be written" in lines
    assert lines[-1].startswith("2 of 4 files failed; again: neq fetch allen-vbn ")
    assert lines[-1].endswith(f"--sessions {IDS[1]},{IDS[2]}")
    assert contents(server, small_disk / "allen") == [True, False, False]
    assert server.asked(f"{IDS[2]}.nwb") == []
    ballast.unlink()
    again = finish(server, small_disk / "allen")
    assert again[0] == 0, again
    assert contents(server, small_disk / "allen") == [True, True, True]
    assert server.asked(f"{IDS[1]}.nwb")[-1].status == 206


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 20 MiB, which only root may."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20M", "tmpfs", disk], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"no small file system can be mounted here: {mount.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_fetch__what_does_not_fit_is_refused_first(server, small_disk):
    (small_disk / "ballast").write_bytes(bytes(10 * 2**20))
    code, _, error = finish(server, small_disk / "allen")
    assert code == 2
    assert error.startswith("neq: 3 files need 17.2 MiB, and ")
    assert error.endswith(" choose fewer with --sessions, or another folder with --to.\n")
    assert len(error.splitlines()) == 1
    assert not [request for request in server.log if request.method == "GET" and request.path.endswith(".nwb")]


def test_fetch__a_folder_that_cannot_be_written(server, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    code, _, error = finish(server, small_disk / "allen")
    assert (code, error.count("\n")) == (2, 1)
    assert "cannot be made (Read-only file system); choose another folder with --to." in error


@pytest.mark.parametrize("remembered", [True, False])
def test_fetch__a_complete_folder_may_be_read_only(server, small_disk, remembered):
    server.files = {key: content for key, content in server.files.items() if not key[0].endswith(f"{IDS[2]}.nwb")}
    assert finish(server, small_disk, "--sessions", "0:2")[0] == 0
    if not remembered:  # as another program would have left it
        for path in small_disk.glob(".neq-*"):
            path.unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    code, out, _ = finish(server, small_disk, "--sessions", "0:2")
    assert (code, "3 files, 11.4 MiB; all here" in out) == (0, True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["vbn"],
            "fetch needs allen-vbn, a dandiset such as dandi:000713, or the URL of a run such as s3://bucket/lab/demo",
        ),
        (["allen-vbn", "a", "--to", "b"], "Expected one folder to fetch into, found a and --to b; leave one out."),
        (["allen-vbn", "--tables-only", "--sessions", "0:1"], "--tables-only fetches no session"),
        (
            ["s3://bucket/demo", "--sessions", "0:1"],
            "--sessions: this does not go with the run at s3://bucket/demo; leave it out",
        ),
        (["dandi:713"], "Expected a dandiset such as dandi:000713 or dandi:000713@0.240702.1725, found dandi:713."),
        (["dandi:000713@0.1"], "Expected a dandiset such as dandi:000713"),
        (["dandi:000713", "--abnormal"], "--abnormal: this does not go with dandi:000713; leave it out"),
        (["allen-vbn", "--all-files"], "--all-files: this does not go with allen-vbn; leave it out"),
        (["dandi:000713", "--from", "ftp://mirror"], "--from needs the URL of a DANDI API"),
        (["allen-vbn", "--from", "ftp://mirror"], "--from needs the URL of a mirror"),
        (["allen-vbn", "s3://bucket/demo"], "This needs a file or folder, found s3://bucket/demo"),
    ],
)
def test_fetch__usage(words, expected, capsys, monkeypatch, tmp_path):
    from workflows import cli

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.app(["fetch", *words], prog_name="neq")
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1)
    assert expected in said
    assert list(tmp_path.iterdir()) == []


def test_fetch__goes_into_the_data_folder_by_default(server, monkeypatch, tmp_path, capsys):
    from workflows import cli

    monkeypatch.setenv("NEQ_DATA", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        cli.app(["fetch", "allen-vbn", "--from", server.url, "--sessions", IDS[1]], prog_name="neq")
    assert ended.value.code == 0
    assert contents(server, tmp_path / "allen-vbn") == [False, True, False]
    out = capsys.readouterr().out
    assert "fetch: 5.7 MiB of 5.7 MiB" in out


def test_fetch__an_unreachable_server_is_one_sentence(server, tmp_path, monkeypatch, capsys):
    from urllib3.util import Retry

    from workflows import cli
    from workflows.archives import asking, flow

    monkeypatch.setattr(flow, "Client", lambda note: asking.Client(retry=Retry(total=1), note=note))
    server.shutdown()
    server.server_close()
    with pytest.raises(SystemExit) as ended:
        cli.app(["fetch", "allen-vbn", "--from", server.url, "--to", str(tmp_path)], prog_name="neq")
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (1, 1)
    assert "the connection failed (Connection refused), 2 times in a row" in said
