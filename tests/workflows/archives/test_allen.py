"""The release, from a server that serves the two sessions of the tests as the bucket does."""

import hashlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from archive_server import Fault
from rich.console import Console

from neq.errors import ConfigError, FetchError, RecordingError, StoreError
from neq.readers.allen_cache import PROJECT, manifests, open_cache
from workflows.archives import allen, wanted
from workflows.archives.allen import Choice

CACHE = Path(__file__).resolve().parents[2] / "reference_data/allen/cache"
SESSIONS = ["1064644573", "1064644574"]
ABNORMAL = "1044389060"
HIDDEN = {".neq-blake2b.json", ".neq-fetch.lock"}


def fetch(server, folder, dry_run=False, **choice):
    """Return exit code and lines."""
    out = io.StringIO()
    code = allen.fetch(Choice(**{"source": server.url, **choice}), folder, 2, dry_run, Console(file=out, width=200))
    assert_right(folder)
    return code, out.getvalue().splitlines()


def assert_right(folder):
    """No file has its name and another content than the release lists."""
    cache = open_cache(folder)
    for one in [*cache.manifest.tables.values(), *cache.manifest.files.values()]:
        path = cache.root / one.path
        assert not path.exists() or hashlib.blake2b(path.read_bytes()).hexdigest() == one.file_hash


def names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name not in HIDDEN)


def state(lines, name):
    (line,) = [line for line in lines if line.split()[:1] == [name]]
    return line


def test_fetch__makes_the_folder_that_the_sdk_would(serve, bucket, tmp_path):
    server = serve(bucket)
    code, lines = fetch(server, tmp_path / "new")
    assert code == 0
    assert lines[-1] == f"all 7 files are in {tmp_path / 'new'}"
    assert {"544456", "Familiar", "60", "MiB", "fetched"} < set(state(lines, SESSIONS[1]).split())
    assert lines[1].startswith("7 files, 3.2 MiB; to fetch 6, 3.2 MiB; free in ")
    for path in CACHE.rglob("*"):
        if path.is_file():
            assert (tmp_path / "new" / path.relative_to(CACHE)).read_bytes() == path.read_bytes()
    assert len(names(tmp_path / "new")) == len(names(CACHE))
    assert open_cache(tmp_path / "new").session_file(int(SESSIONS[0])).is_file()


def test_fetch__again_asks_for_nothing_and_reads_nothing(serve, bucket, tmp_path, monkeypatch):
    server = serve(bucket)
    fetch(server, tmp_path)
    asked = len(server.log)
    monkeypatch.setattr(hashlib, "file_digest", None)
    code, lines = fetch(server, tmp_path)
    assert (code, len(server.log)) == (0, asked)
    assert "all here" in lines[-1]


def test_fetch__dry_run_fetches_manifest_and_session_table_only(serve, bucket, tmp_path):
    server = serve(bucket)
    code, lines = fetch(server, tmp_path, dry_run=True)
    assert code == 0
    assert names(tmp_path) == ["ecephys_sessions.csv", f"{PROJECT}_project_manifest_v0.5.0.json"]
    assert {request.method for request in server.log if ".nwb" in request.path} == {"HEAD"}
    assert state(lines, SESSIONS[0]).endswith("to fetch")
    assert f"manifest and table of sessions in {tmp_path}" in lines[0]
    assert "; to fetch 6, 3.2 MiB; " in lines[-1]


def test_fetch__dry_run_says_what_is_there(serve, bucket, tmp_path):
    server = serve(bucket)
    fetch(server, tmp_path, sessions=SESSIONS[0])
    cache = open_cache(tmp_path)
    item = wanted.Wanted(
        "", cache.session_file(int(SESSIONS[1])), hash=f"blake2b:{cache.listed(int(SESSIONS[1])).file_hash}"
    )
    wanted.box(item).mkdir(parents=True)
    (wanted.box(item) / "bytes").write_bytes(bytes(2**20))
    (cache.root / cache.manifest.tables["units"].path).write_bytes(b"?")
    probes = cache.root / cache.manifest.tables["probes"].path
    probes.touch()
    _, lines = fetch_unchecked(server, tmp_path)
    assert state(lines, SESSIONS[0]).endswith(" here")
    assert state(lines, SESSIONS[1]).endswith("to fetch, 1.0 MiB of it here")
    assert state(lines, "units").endswith("damaged, to fetch again")
    assert state(lines, "probes").endswith("here, not checked yet")
    assert "; here but not checked yet 1; to fetch 2, " in lines[-1]


def fetch_unchecked(server, folder, **choice):
    out, choice = io.StringIO(), Choice(**{"source": server.url, **choice})
    return allen.fetch(choice, folder, 2, True, Console(file=out, width=200)), out.getvalue().splitlines()


def test_fetch__one_session_fails_and_the_other_comes(serve, bucket, tmp_path):
    server = serve(bucket, Fault(f"{SESSIONS[0]}.nwb", "wrong"))
    code, lines = fetch(server, tmp_path, release="0.5.0")
    assert code == 1
    assert state(lines, SESSIONS[0]).endswith("failed")
    assert state(lines, SESSIONS[1]).endswith("fetched")
    assert lines[-1] == (
        f"1 of 7 files failed; again: neq fetch allen-vbn --to {tmp_path} --from {server.url} --release 0.5.0 "
        f"--sessions {SESSIONS[0]}"
    )
    assert f"{SESSIONS[0]}: {server.url}/{PROJECT}/behavior_ecephys_sessions/{SESSIONS[0]}/" in lines[-2]
    assert not open_cache(tmp_path).session_file(int(SESSIONS[0])).exists()
    server.faults.clear()
    assert fetch(server, tmp_path, sessions=SESSIONS[0])[0] == 0


def test_fetch__the_command_told_can_be_given_as_it_is(serve, bucket, tmp_path):
    server, folder = serve(bucket, Fault(f"{SESSIONS[0]}.nwb", "missing")), tmp_path / "my data & more"
    code, lines = fetch(server, folder, sessions="0:2")
    server.faults.clear()
    again = shlex.split(lines[-1].partition("again: ")[2])
    assert (code, again[:5]) == (1, ["neq", "fetch", "allen-vbn", "--to", str(folder)])
    done = subprocess.run([sys.executable, "-m", "workflows.cli", *again[1:]], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert open_cache(folder).session_file(int(SESSIONS[0])).is_file()


def test_fetch__a_folder_in_the_place_of_a_file_fails_alone(serve, bucket, tmp_path):
    server = serve(bucket)
    fetch(server, tmp_path, sessions="")
    there = open_cache(tmp_path).session_file(int(SESSIONS[0]))
    there.mkdir(parents=True)
    out = io.StringIO()
    choice = Choice(source=server.url)
    assert allen.fetch(choice, tmp_path, 1, True, Console(file=out, width=200)) == 0
    assert state(out.getvalue().splitlines(), SESSIONS[0]).endswith("to fetch")
    assert allen.fetch(choice, tmp_path, 1, False, Console(file=out, width=200)) == 1
    lines = out.getvalue().splitlines()
    assert lines[-2].startswith(f"{SESSIONS[0]}: {there} cannot be written: Is a directory; move away what lies")
    assert lines[-1].startswith("1 of 7 files failed; again: ")
    assert open_cache(tmp_path).session_file(int(SESSIONS[1])).is_file()


def test_fetch__reads_the_table_of_sessions_no_more_often_for_more_sessions(serve, bucket, tmp_path, monkeypatch):
    server, times, real = serve(bucket), [], pd.read_csv
    fetch(server, tmp_path)
    monkeypatch.setattr(pd, "read_csv", lambda *args, **options: times.append(args) or real(*args, **options))
    fetch_unchecked(server, tmp_path)
    assert len(times) == 2  # with and without the abnormal ones


def test_fetch__says_that_nothing_is_to_come_where_more_is_here_than_is_known(serve, bucket, tmp_path):
    server = serve({key: content for key, content in bucket.items() if not key[0].endswith(f"{SESSIONS[1]}.nwb")})
    fetch_unchecked(server, tmp_path)
    cache = open_cache(tmp_path)
    listed = cache.listed(int(SESSIONS[1]))
    item = wanted.Wanted("", cache.root / listed.path, hash=f"blake2b:{listed.file_hash}")
    wanted.box(item).mkdir(parents=True)
    (wanted.box(item) / "bytes").write_bytes(bytes(2_000_000))
    _, lines = fetch_unchecked(server, tmp_path, sessions=SESSIONS[1])
    assert re.match(r"6 files, .* KiB; to fetch 5, [0-9.]+ KiB; 1 of unknown size; free", lines[-1])


def test_fetch__a_table_fails_and_the_sessions_come(serve, bucket, tmp_path):
    code, lines = fetch(serve(bucket, Fault("units.csv", "missing")), tmp_path)
    assert code == 1
    assert lines[-1].startswith(f"1 of 7 files failed; again: neq fetch allen-vbn --to {tmp_path} --from http://")
    assert lines[-1].endswith(" --tables-only")


def test_fetch__a_missing_file_has_no_size_and_fails_alone(serve, bucket, tmp_path):
    server = serve({key: content for key, content in bucket.items() if not key[0].endswith(f"{SESSIONS[1]}.nwb")})
    code, lines = fetch(server, tmp_path)
    assert code == 1
    assert "1 of unknown size" in "".join(lines)
    assert lines[-2].endswith("the server answers 404 Not Found")
    assert state(lines, SESSIONS[0]).endswith("fetched")


def test_fetch__takes_rows_and_ids_and_tables_only(serve, bucket, tmp_path):
    server = serve(bucket)
    fetch(server, tmp_path / "tables", sessions="")
    assert [name for name in names(tmp_path / "tables") if name.endswith(".nwb")] == []
    assert len(names(tmp_path / "tables")) == 6
    fetch(server, tmp_path / "rows", sessions="1:9")
    assert [name for name in names(tmp_path / "rows") if name.endswith(".nwb")] == [
        f"ecephys_session_{SESSIONS[1]}.nwb"
    ]
    with pytest.raises(RecordingError, match=f"Session {ABNORMAL} is left out .*; .*--abnormal --sessions {ABNORMAL}`"):
        fetch(server, tmp_path / "rows", sessions=ABNORMAL)
    with pytest.raises(RecordingError, match="no session 7: there are 2 sessions"):
        fetch(server, tmp_path / "rows", sessions="7")
    assert fetch(server, tmp_path / "rows", sessions=ABNORMAL, abnormal=True)[0] == 0


def test_fetch__into_a_cache_of_the_sdk_in_its_mirrored_layout(serve, bucket, tmp_path):
    server = serve(bucket)
    fetch(server, tmp_path / "new")
    static = tmp_path / "static" / PROJECT
    shutil.move(tmp_path / "new" / f"{PROJECT}-0.5.0", static)
    (static / "manifests").mkdir()
    shutil.copy(manifests(tmp_path / "new")["0.5.0"], static / "manifests")
    open_cache(tmp_path / "static").session_file(int(SESSIONS[1])).unlink()
    server.log.clear()
    code, lines = fetch(server, tmp_path / "static")
    assert code == 0
    assert [request.path.rsplit("_")[-1] for request in server.log] == [f"{SESSIONS[1]}.nwb"] * 2  # HEAD and GET
    assert state(lines, SESSIONS[0]).endswith(" here")
    assert (static / f"behavior_ecephys_sessions/{SESSIONS[1]}/ecephys_session_{SESSIONS[1]}.nwb").is_file()
    assert sorted(path.name for path in (tmp_path / "static").iterdir()) == [*sorted(HIDDEN), PROJECT]


def test_fetch__a_damaged_manifest_is_fetched_anew_where_it_lies(serve, bucket, tmp_path):
    server = serve(bucket)
    fetch(server, tmp_path, sessions="")
    manifest = manifests(tmp_path)["0.5.0"]
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:100])
    assert fetch(server, tmp_path, sessions="")[0] == 0
    assert manifest.read_bytes() == whole


def test_fetch__keeps_to_the_release_of_the_folder(serve, bucket, tmp_path):
    older = json.loads(bucket[f"/{PROJECT}/manifests/{PROJECT}_project_manifest_v0.5.0.json", ""])
    text = json.dumps(older | {"manifest_version": "0.4.0"}).encode()
    server = serve({**bucket, (f"/{PROJECT}/manifests/{PROJECT}_project_manifest_v0.4.0.json", ""): text})
    fetch(server, tmp_path, sessions="", release="0.4.0")
    assert fetch(server, tmp_path, sessions="")[1][0].startswith(f"{PROJECT} 0.4.0, ")
    assert fetch(server, tmp_path, sessions="", release="0.5.0")[1][0].startswith(f"{PROJECT} 0.5.0, ")
    assert list(manifests(tmp_path)) == ["0.4.0", "0.5.0"]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (
            b"<html>Log in to the guest network</html>",
            r"Expected in 'http://localhost.*found in the file: Invalid JSON",
        ),
        (None, r"the server answers 404 Not Found: is there a release 0\.5\.0\? Those known are 0\.1\.0 to 0\.5\.0"),
        ("0.3.0", r"the manifest of release 0\.5\.0, found that of 0\.3\.0"),
    ],
)
def test_fetch__no_manifest_leaves_no_file(serve, bucket, tmp_path, page, expected):
    key = (f"/{PROJECT}/manifests/{PROJECT}_project_manifest_v0.5.0.json", "")
    if page == "0.3.0":
        page = json.dumps(json.loads(bucket[key]) | {"manifest_version": page}).encode()
    server = serve({} if page is None else {key: page})
    with pytest.raises((RecordingError, FetchError), match=expected):
        fetch(server, tmp_path)
    assert names(tmp_path) == []


def test_fetch__a_session_table_that_cannot_be_fetched(serve, bucket, tmp_path):
    server = serve(bucket, Fault("ecephys_sessions.csv", "wrong"))
    with pytest.raises(FetchError, match=r"table of sessions cannot be fetched: .*wrong content, twice"):
        fetch(server, tmp_path)


def test_fetch__a_mirror_needs_a_url(tmp_path):
    with pytest.raises(ConfigError, match=r"--from needs the URL of a mirror .*, found mirror\.org"):
        allen.fetch(Choice(source="mirror.org"), tmp_path, 2, False, Console())


def test_fetch__too_little_room_is_refused_before_anything_is_fetched(serve, bucket, tmp_path, monkeypatch):
    server = serve(bucket)
    monkeypatch.setattr(wanted, "free_space", lambda folder: 10**6)
    with pytest.raises(StoreError, match=r"6 files need 3\.2 MiB, and .* has 976\.6 KiB free: make room"):
        fetch(server, tmp_path)
    assert [name for name in names(tmp_path) if name.endswith(".nwb")] == []
    assert fetch(server, tmp_path, dry_run=True)[0] == 0
