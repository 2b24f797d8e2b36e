"""Dandisets, from a server that answers as the DANDI archive does."""

import io
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from archive_server import Fault
from dandi_server import DANDISET, ETAG, SHA256, Dandi, Kept
from rich.console import Console
from urllib3.util import Retry

import neq
from neq.errors import FetchError, RecordingError, StoreError
from workflows.archives import asking, dandi, dandi_api, flow
from workflows.archives.dandi import Choice

SESSION_FILE = next((Path(__file__).parents[2] / "reference_data/allen/cache").rglob("ecephys_session_1064644573.nwb"))
FIRST = Kept("sub-506940/sub-506940_ses-20200817T222149.nwb", b"first session" * 1000)
SECOND = Kept("sub-506940/sub-506940_ses-20200818T221804.nwb", b"second session" * 1000, known=(ETAG,))
THIRD = Kept("sub-512555/sub-512555_ses-20200903T222149.nwb", b"third session" * 1000, known=(), listed=())
SESSIONS = [FIRST, SECOND, THIRD]
TRAINING = Kept("sub-506940/sub-506940_ses-20200228T111117_image.nwb", b"training", ("ProcessingModule",))
PROBE = Kept("sub-506940/sub-506940_ses-None_probe-1158270876_ecephys.nwb", b"potentials", ("ElectricalSeries", "LFP"))
NOTES = Kept("sub-506940/notes.txt", b"notes")
VERSIONS = {"draft": [], "0.240101.0101": [], "0.240702.1725": [THIRD, NOTES, TRAINING, SECOND, PROBE, FIRST]}


@pytest.fixture
def archive(serve):
    """Start the archive with some versions of one dandiset, and faults."""
    return lambda *faults, versions=None: serve(VERSIONS if versions is None else versions, *faults, kind=Dandi)


def fetch(server, folder, dry_run=False, **choice):
    """Return exit code and lines; no file may have a name and another content than the archive's."""
    out = io.StringIO()
    choice = Choice(**{"dandiset": DANDISET, "source": server.api, **choice})
    code = dandi.fetch(choice, folder, 2, dry_run, Console(file=out, width=200))
    kept = {asset.path: asset.content for asset in server.assets.values()}
    assert all((folder / path).read_bytes() == kept[path] for path in names(folder))
    return code, out.getvalue().splitlines()


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.nwb") if path.is_file())


def state(lines, asset):
    (line,) = [line for line in lines if line.split()[:1] == [asset.path]]
    return line.split()[1:]


def blob(asset):
    return f"/blobs/{asset.asset_id}"


def test_fetch__files_with_units_of_the_newest_version_under_their_paths(archive, tmp_path):
    server = archive()
    code, lines = fetch(server, tmp_path)
    assert code == 0
    assert lines[:2] == [
        f"dandi:000713@0.240702.1725: listed by {server.api}",
        "5 NWB files, 3 of them with units",
    ]
    assert lines[2].startswith("3 files, 39.1 KiB; to fetch 3, 39.1 KiB; free in ")
    assert names(tmp_path) == [asset.path for asset in SESSIONS]
    assert state(lines, FIRST) == ["506940", "20200817T222149", "sha2-256", "12.7", "KiB", "fetched"]
    assert state(lines, SECOND)[2] == "dandi-etag"
    assert state(lines, THIRD)[:4] == ["512555", "20200903T222149", "size", "only"]
    assert lines[-1] == f"all 3 files are in {tmp_path}"
    assert {request.method for request in server.log if request.path == blob(FIRST)} == {"GET"}


def test_fetch__again_asks_for_no_file(archive, tmp_path):
    server = archive()
    fetch(server, tmp_path)
    server.log.clear()
    code, lines = fetch(server, tmp_path)
    assert code == 0
    assert "all here" in lines[-1]
    assert [request for request in server.log if "download" in request.path or "blobs" in request.path] == []


def test_fetch__dry_run_lists_and_writes_nothing(archive, tmp_path):
    server = archive()
    fetch(server, tmp_path, sessions=FIRST.path)
    before = sorted(tmp_path.rglob("*"))
    code, lines = fetch(server, tmp_path, dry_run=True)
    assert (code, sorted(tmp_path.rglob("*"))) == (0, before)
    assert state(lines, FIRST) == ["506940", "20200817T222149", "sha2-256", "12.7", "KiB", "here"]
    assert state(lines, SECOND)[-2:] == ["to", "fetch"]
    assert "to fetch 2, 26.4 KiB; free in " in lines[-1]
    fetch(server, tmp_path / "new", dry_run=True)
    assert not (tmp_path / "new").exists()


def test_fetch__all_pages_of_the_list(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(dandi_api, "PAGE", 2)
    server = archive()
    assert fetch(server, tmp_path)[0] == 0
    assert names(tmp_path) == [asset.path for asset in SESSIONS]
    assert len(server.asked("/assets/")) == 3


@pytest.mark.parametrize(
    ("versions", "asked", "said"),
    [
        (VERSIONS, "", "dandi:000713@0.240702.1725: listed by "),
        (VERSIONS | {"0.240101.0101": [FIRST]}, "0.240101.0101", "dandi:000713@0.240101.0101: listed by "),
        ({"draft": [FIRST]}, "", "dandi:000713@draft, a draft, which may change: listed by "),
        (VERSIONS | {"draft": [FIRST]}, "draft", "dandi:000713@draft, a draft, which may change: listed by "),
    ],
)
def test_fetch__which_version(archive, tmp_path, versions, asked, said):
    code, lines = fetch(archive(versions=versions), tmp_path, version=asked)
    assert code == 0
    assert lines[0].startswith(said)
    assert FIRST.path in names(tmp_path)


@pytest.mark.parametrize(
    ("choice", "fault", "said"),
    [
        ({"dandiset": "999999"}, None, r"There is no dandiset 999999 at http://localhost:\d+/api"),
        (
            {"version": "0.1.2"},
            None,
            r"DANDI 000713 has no version 0\.1\.2; there are draft, 0\.240101\.0101, 0\.240702\.1725\.",
        ),
        (
            {"dandiset": "999999", "version": "draft"},
            None,
            r"999999 has no version draft; .* the dandiset may not exist",
        ),
        ({}, Fault("/000713/", "refused", after=401), r"DANDI 000713 is embargoed: .* to its owners only \(401\)"),
        ({"version": "draft"}, Fault("/assets/", "refused", after=403), r"DANDI 000713 is embargoed: .*\(403\)"),
        ({"version": "0.240101.0101"}, None, r"dandi:000713@0\.240101\.0101 has no NWB file\."),
    ],
)
def test_fetch__what_is_not_there_is_said(archive, tmp_path, choice, fault, said):
    with pytest.raises(RecordingError, match=said):
        fetch(archive(*([fault] if fault else [])), tmp_path / "new", **choice)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("0:2", [FIRST, SECOND]),
        ("-1:", [THIRD]),
        ("512555,0:1,sub-512555", [THIRD, FIRST]),
        ("506940", [FIRST, SECOND]),
        ("20200818T221804", [SECOND]),
        ("ses-20200903T222149", [THIRD]),
        (SECOND.path, [SECOND]),
        ("sub-512555_ses-20200903T222149", [THIRD]),
        ("sub-5*/*_ses-202008*.nwb", [FIRST, SECOND]),
        ("*T222149.nwb", [FIRST, THIRD]),
    ],
)
def test_fetch__sessions(archive, tmp_path, wanted, chosen):
    fetch(archive(), tmp_path, sessions=wanted)
    assert names(tmp_path) == sorted(asset.path for asset in chosen)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (
            "5:9",
            f"Rows 5:9 of the list of files of dandi:000713@0.240702.1725 are none: there are 3 files, {FIRST.path} to",
        ),
        ("0:x", "Expected rows of the list of files of .* such as 0:103, found '0:x'; there are 3 files, sub-506940"),
        ("50694", f"None of the 3 files of .*, {FIRST.path} to {THIRD.path}, is '50694': `neq fetch"),
        ("*_image.nwb", "1 without units are; --all-files takes them too"),
        ("", "is '': `neq fetch dandi:000713@0.240702.1725 --dry-run` lists them"),
    ],
)
def test_fetch__sessions_that_are_not_there(archive, tmp_path, wanted, said):
    with pytest.raises(RecordingError, match=said):
        fetch(archive(), tmp_path, sessions=wanted)


def test_fetch__files_without_units_when_asked(archive, tmp_path):
    server = archive(versions={"draft": [TRAINING, PROBE]})
    with pytest.raises(RecordingError, match="only 2 without; --all-files takes them"):
        fetch(server, tmp_path)
    fetch(server, tmp_path, all_files=True)
    assert names(tmp_path) == [TRAINING.path, PROBE.path]


def test_fetch__a_file_of_unknown_content_is_taken(archive, tmp_path):
    fetch(archive(versions={"draft": [Kept("a.nwb", b"a", measured=())]}), tmp_path)
    assert names(tmp_path) == ["a.nwb"]


@pytest.mark.parametrize("asset", [FIRST, SECOND], ids=["sha2-256", "dandi-etag"])
def test_fetch__wrong_content_fails_alone_and_the_command_told_mends_it(archive, tmp_path, asset):
    server = archive(Fault(blob(asset), "wrong"))
    code, lines = fetch(server, tmp_path)
    assert code == 1
    assert state(lines, asset)[-1] == "failed"
    assert sorted([*names(tmp_path), asset.path]) == [one.path for one in SESSIONS]
    assert "wrong content, twice" in lines[-2]
    (request,) = {one.path for one in server.asked("/download/") if asset.asset_id in one.path}
    assert lines[-2].startswith(f"{asset.path}: {server.url}{request}: ")
    again = shlex.split(lines[-1].partition("again: ")[2])
    assert again[:3] == ["neq", "fetch", "dandi:000713@0.240702.1725"]
    server.faults.clear()
    done = subprocess.run([sys.executable, "-m", "workflows.cli", *again[1:]], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert names(tmp_path) == [one.path for one in SESSIONS]
    assert (tmp_path / asset.path).read_bytes() == asset.content


def test_fetch__a_cut_file_goes_on_where_it_was_behind_the_redirect(archive, tmp_path):
    long = Kept("long.nwb", np.random.default_rng(1).bytes(1_000_000))
    server = archive(Fault(blob(long), "cut", times=1, after=400_000), versions={"draft": [long]})
    assert fetch(server, tmp_path)[0] == 0
    first, second = server.asked(blob(long))
    assert (first.range, second.status) == ("", 206)
    assert int(second.range.removeprefix("bytes=").removesuffix("-")) > 0


def test_fetch__a_busy_archive_gets_its_time(archive, tmp_path):
    faults = [Fault("/assets/", "busy", times=1), Fault("/download/", "busy", times=1), Fault(blob(FIRST), "busy", 1)]
    assert fetch(archive(*faults), tmp_path)[0] == 0
    assert len(names(tmp_path)) == 3


def test_fetch__an_asset_that_is_gone_fails_alone(archive, tmp_path):
    faults = [Fault(f"/assets/{FIRST.asset_id}/", "missing"), Fault(f"/{FIRST.asset_id}/download/", "missing")]
    code, lines = fetch(archive(*faults), tmp_path)
    assert code == 1
    assert lines[-2].endswith("the server answers 404 Not Found")
    assert names(tmp_path) == [SECOND.path, THIRD.path]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_fetch__addresses_made_for_a_download_refuse_all_else(archive, tmp_path, method):
    """Those of the bucket are signed for one method."""
    server = archive(Fault(blob(THIRD), "refused", after=403, method=method))
    code, lines = fetch(server, tmp_path, sessions=THIRD.path)
    assert code == (1 if method == "GET" else 0)
    assert ("the server answers 403 Forbidden" in "".join(lines)) == (method == "GET")


@pytest.mark.parametrize("path", ["../out.nwb", "/out.nwb", "a/../../out.nwb", "a\\..\\out.nwb", "a\n.nwb", ".."])
def test_fetch__a_path_out_of_the_folder_stops_it(archive, tmp_path, path):
    server = archive(versions={"draft": [FIRST, Kept(path, b"evil")]})
    with pytest.raises(FetchError, match=r"found in results\.1\.path: the path .*, which leads out of the folder"):
        fetch(server, tmp_path / "data" / "folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (b"<html>Log in to the guest network</html>", "found in the answer: Invalid JSON"),
        (b'{"results": [{"path": "a.nwb", "size": 1}]}', r"found in results\.0\.asset_id: Field required"),
        (b'{"results": [{"path": "a.nwb", "size": -1, "asset_id": "../a"}]}', r"found in results\.0\.asset_id: String"),
    ],
)
def test_fetch__an_answer_that_is_not_of_the_archive(archive, tmp_path, monkeypatch, page, said):
    monkeypatch.setattr(Dandi, "page", lambda self, version, query: page)
    with pytest.raises(FetchError, match=rf"Expected at http.*/assets/\?order=path.* {said}"):
        fetch(archive(), tmp_path)


def test_fetch__a_list_without_end_is_not_followed_for_ever(archive, tmp_path, monkeypatch):
    page = Dandi.page
    monkeypatch.setattr(Dandi, "page", lambda self, *args: {**page(self, *args), "next": f"{self.api}/again"})
    monkeypatch.setattr(Dandi, "answer_of", lambda self, parts, query: self.page("draft", query))
    with pytest.raises(FetchError, match="names this page as its own next one"):
        fetch(archive(), tmp_path, version="draft")


def test_fetch__what_does_not_fit_is_refused_first(archive, tmp_path):
    server = archive(versions={"draft": [Kept("huge.nwb", b"1", size=10**17)]})
    with pytest.raises(StoreError, match=r"1 files need .*iB, and .* free: make room there"):
        fetch(server, tmp_path)
    assert server.asked("/download/") == []


def test_fetch__old_metadata_counts_as_not_known(archive, tmp_path, monkeypatch):
    """Published versions keep the schema of their time."""
    old = {"digest": {"value": "1", "cryptoType": "dandi:dandi-etag"}, "variableMeasured": ["ElectricalSeries"]}
    monkeypatch.setattr(Kept, "metadata", lambda self, hashes: old)
    code, lines = fetch(archive(versions={"draft": [FIRST]}), tmp_path, all_files=True)
    assert code == 0
    assert lines[1] == "1 NWB files, 0 of them with units"
    assert "size only" in " ".join(state(lines, FIRST))


def test_fetch__killed_in_the_midst_goes_on_where_it_was(archive, tmp_path):
    long = Kept("sub-1/sub-1_ses-2.nwb", np.random.default_rng(2).bytes(6_000_000), known=(SHA256,))
    server = archive(Fault(blob(long), "slow", times=1, after=2_000_000), versions={"draft": [long]})
    words = [sys.executable, "-m", "workflows.cli", "fetch", "dandi:000713", "--from", server.api, "--to", tmp_path]
    with subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while process.poll() is None and sum(path.stat().st_size for path in tmp_path.rglob("bytes")) < 1_000_000:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert (process.returncode, names(tmp_path)) == (-9, [])
    code, lines = fetch(server, tmp_path)
    assert (code, state(lines, long)[-1]) == (0, "fetched")
    assert [request.status for request in server.asked(blob(long))] == [200, 206]
    assert not list(tmp_path.rglob("*.part"))


def test_fetch__an_archive_that_is_away_is_one_sentence(archive, tmp_path, monkeypatch):
    server = archive()
    monkeypatch.setattr(flow, "Client", lambda note: asking.Client(retry=Retry(total=1), note=note))
    server.shutdown()
    server.server_close()
    with pytest.raises(FetchError, match=r"the connection failed \(Connection refused\), 2 times in a row"):
        fetch(server, tmp_path)


def test_sessions__of_a_fetched_dandiset_are_named_after_their_files(archive, tmp_path, monkeypatch):
    """What a config finds with `path: "dandi-000713/sub-*/*.nwb"`."""
    from workflows.studies import neural_sessions
    from workflows.studies.neural_sections import Recordings

    kept = [Kept(FIRST.path, SESSION_FILE.read_bytes()), PROBE]
    fetch(archive(versions={"draft": kept}), tmp_path / "dandi-000713")
    monkeypatch.setenv("NEQ_DATA", str(tmp_path))
    recordings = Recordings(kind="allen", path="dandi-000713/sub-*/*.nwb")
    assert list(neural_sessions.problems(recordings)) == []
    ((session, path),) = neural_sessions.chosen(recordings)
    assert session == "sub-506940_ses-20200817T222149"
    recording = neq.read_recording(path, session=session)
    assert (recording.session, recording.source["kind"]) == (session, "allen")
    assert recording.subject == "544456"
