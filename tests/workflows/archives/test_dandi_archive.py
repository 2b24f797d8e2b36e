"""The DANDI archive itself, which only a connected machine can ask: `pytest -m network tests/workflows/archives`."""

import socket
from urllib.parse import urlsplit

import pytest
from rich.console import Console

import neq
from neq.errors import RecordingError
from workflows.archives import asking, dandi, dandi_api, wanted
from workflows.archives.asking import Client
from workflows.archives.dandi import Choice
from workflows.config import data_folder

pytestmark = [pytest.mark.network, pytest.mark.long]
DANDISET, VERSION, N_FILE, N_SESSION = "000713", "0.240702.1725", 4293, 153
SESSION = "sub-506940/sub-506940_ses-20200817T222149.nwb"
GB = 1e9


@pytest.fixture(scope="module")
def files():
    """The NWB files of the dandiset, as the archive lists them."""
    try:
        socket.create_connection((urlsplit(dandi_api.API).netloc, 443), timeout=10).close()
    except OSError as error:
        pytest.skip(f"{dandi_api.API} is not reached from here ({error})")
    return dandi_api.nwb_files(Client(), dandi_api.API, DANDISET, VERSION)


def test_archive__lists_the_sessions_of_the_release(files):
    assert N_SESSION < len(files) <= N_FILE
    sessions = dandi.choose(files, None, False, DANDISET)
    assert len(sessions) == N_SESSION
    assert SESSION in [asset.path for asset in sessions]
    assert all(1 * GB < asset.size < 5 * GB for asset in sessions)
    assert len({asset.part("sub") for asset in sessions}) == 81


def test_archive__has_a_hash_of_each_and_names_the_newest_version(files):
    sessions = dandi_api.with_hashes(Client(), dandi_api.API, dandi.choose(files, "0:4", False, DANDISET))
    assert all(asset.hash.startswith("sha256:") for asset in sessions)
    assert dandi_api.newest_version(Client(), dandi_api.API, DANDISET) >= VERSION


def test_archive__goes_on_in_the_midst_of_a_file(files):
    (asset,) = dandi.choose(files, SESSION, False, DANDISET)
    url = f"{dandi_api.API}/assets/{asset.asset_id}/download/"
    with asking.ask(Client(), "GET", url, Range="bytes=1000-") as answer:
        assert answer.status_code == 206
        assert answer.headers["Content-Range"] == f"bytes 1000-{asset.size - 1}/{asset.size}"


def test_archive__what_is_not_there(files):
    with pytest.raises(RecordingError, match="There is no dandiset 999999"):
        dandi_api.newest_version(Client(), dandi_api.API, "999999")
    with pytest.raises(RecordingError, match=f"has no version 0.1.1; there are .*{VERSION}"):
        dandi_api.nwb_files(Client(), dandi_api.API, DANDISET, "0.1.1")


def test_archive__one_session_is_fetched_and_read(files):
    """Three gigabytes, kept in the data folder for later runs."""
    folder = data_folder() / f"dandi-{DANDISET}"
    if wanted.free_space(folder) < 5 * GB:
        pytest.skip(f"{folder} has less than 5 GB free")
    assert dandi.fetch(Choice(DANDISET, VERSION, SESSION), folder, 2, False, Console()) == 0
    recording = neq.read_recording(folder / SESSION)
    assert (recording.subject, recording.source["kind"]) == ("506940", "allen")
    assert {"active", "passive", "gabor"} == set(recording.epochs["condition"])
