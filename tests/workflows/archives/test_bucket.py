"""The public bucket itself, which only a connected machine can ask: `pytest -m network tests/workflows/archives`."""

import socket
from urllib.parse import urlsplit

import pytest
from rich.console import Console

import neq
from neq.readers.allen_cache import choose_sessions, open_cache
from workflows.archives import allen, asking, transfer, wanted
from workflows.archives.allen import Choice
from workflows.archives.asking import Client, Halted
from workflows.config import data_folder

pytestmark = [pytest.mark.network, pytest.mark.long]
SESSION, N_UNIT, N_SESSION, N_NORMAL = 1064644573, 2254, 153, 103
GB = 1e9


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Manifest and tables of the newest release."""
    try:
        socket.create_connection((urlsplit(allen.BUCKET).netloc, 443), timeout=10).close()
    except OSError as error:
        pytest.skip(f"{allen.BUCKET} is not reached from here ({error})")
    folder = tmp_path_factory.mktemp("bucket")
    assert allen.fetch(Choice(sessions="", release=allen.NEWEST), folder, 2, False, Console()) == 0
    return open_cache(folder)


def sessions_of(cache):
    return allen._sessions(cache, Choice())


def test_bucket__holds_the_sessions_of_the_published_analysis(cache):
    assert len(cache.sessions(abnormal=True)) == N_SESSION
    assert len(cache.sessions()) == N_NORMAL
    assert cache.sessions().at[SESSION, "unit_count"] == N_UNIT
    assert SESSION in choose_sessions(cache.sessions(), "0:103")


def test_bucket__tells_the_size_of_each_file(cache):
    sizes = [one.size for one in wanted.survey([item.wanted for item in sessions_of(cache)], Client())]
    assert all(1 * GB < size < 5 * GB for size in sizes)
    assert 250 * GB < sum(sizes) < 350 * GB


def test_bucket__goes_on_in_the_midst_of_a_file(cache, tmp_path):
    (listed,) = wanted.survey(
        [item.wanted for item in allen._tables(cache, Choice()) if item.name == "channels"], Client()
    )
    assert listed.etag
    stopped = Client()
    with pytest.raises(Halted):
        transfer.receive(
            stopped, listed.url, tmp_path / "part", listed.size, listed.etag, lambda count: stopped.stop.set()
        )
    assert 0 < transfer.length(tmp_path / "part") < listed.size
    with asking.ask(Client(), "GET", listed.url, **{"Range": "bytes=1000-", "If-Range": listed.etag}) as answer:
        assert (answer.status_code, answer.headers["Content-Range"].split("/")[0]) == (
            206,
            f"bytes 1000-{listed.size - 1}",
        )
    transfer.receive(Client(), listed.url, tmp_path / "part", listed.size, listed.etag, lambda count: None)
    assert (tmp_path / "part").read_bytes() == listed.path.read_bytes()


def test_bucket__one_session_is_fetched_and_read(cache):
    """Three gigabytes, kept in the data folder for later runs."""
    folder = data_folder() / "allen-vbn"
    if wanted.free_space(folder) < 5 * GB:
        pytest.skip(f"{folder} has less than 5 GB free")
    assert allen.fetch(Choice(sessions=str(SESSION)), folder, 2, False, Console()) == 0
    everything = neq.read_recording(folder, session=str(SESSION), quality={})
    kept = neq.read_recording(folder, session=str(SESSION))
    assert 0 < len(kept.units) < len(everything.units) <= N_UNIT
    assert {"active", "passive", "gabor"} == set(kept.epochs["condition"])
    assert {"VISp", "CA1"} & set(kept.units["area"])
