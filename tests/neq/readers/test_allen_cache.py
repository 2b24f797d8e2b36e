import json
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest

from neq.errors import RecordingError
from neq.readers import allen_cache, read_recording
from neq.readers.allen_cache import choose_sessions, is_cache, open_cache, parse_manifest

CACHE = Path(__file__).resolve().parents[2] / "reference_data/allen/cache"
NAME = "visual-behavior-neuropixels_project_manifest_v{}.json"
DOWNLOADED = "visual-behavior-neuropixels-0.5.0"
SESSIONS = [1064644573, 1064644574]
ABNORMAL = 1044389060
TABLE = "project_metadata/ecephys_sessions.csv"


@pytest.fixture
def downloaded(tmp_path):
    """A cache of the downloading layout with its tables, without the files of sessions."""
    shutil.copytree(CACHE, tmp_path / "cache", ignore=shutil.ignore_patterns("*.nwb"))
    return tmp_path / "cache"


@pytest.fixture
def mirrored(tmp_path, downloaded):
    """The same as a mirror of the bucket."""
    root = tmp_path / "mirror/visual-behavior-neuropixels"
    shutil.copytree(downloaded / DOWNLOADED, root)
    (root / "manifests").mkdir()
    shutil.copy(downloaded / NAME.format("0.5.0"), root / "manifests")
    return tmp_path / "mirror"


def manifest_of(cache):
    return cache / NAME.format("0.5.0")


def rewrite(path, **changes):
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def test_open_cache__finds_the_files_of_sessions_as_downloaded():
    cache = open_cache(CACHE)
    assert cache.manifest.version == "0.5.0"
    for session in SESSIONS:
        assert cache.session_file(session) == (
            CACHE / DOWNLOADED / f"behavior_ecephys_sessions/{session}/ecephys_session_{session}.nwb"
        )
        assert cache.session_file(session).is_file()
    table = cache.sessions()
    assert list(table.index) == SESSIONS
    assert table["mouse_id"].tolist() == ["544456", "544456"]


@pytest.mark.parametrize("inside", ["", "visual-behavior-neuropixels"])
def test_open_cache__finds_a_mirror_of_the_bucket(mirrored, inside):
    cache = open_cache(mirrored / inside)
    assert cache.root == mirrored / "visual-behavior-neuropixels"
    assert list(cache.sessions().index) == SESSIONS
    assert cache.session_file(SESSIONS[1]).parent.name == "1064644574"


def test_open_cache__takes_the_newest_of_several_manifests_or_the_one_asked_for(downloaded):
    for version in ("0.1.0", "0.10.0"):
        shutil.copy(manifest_of(downloaded), downloaded / NAME.format(version))
        rewrite(downloaded / NAME.format(version), manifest_version=version)
    # the others have no table of sessions here
    assert open_cache(downloaded).manifest.version == "0.5.0"
    assert open_cache(downloaded).others == ("0.1.0", "0.10.0")
    table = downloaded / DOWNLOADED / TABLE
    table.rename(downloaded / "aside.csv")
    with pytest.raises(RecordingError, match=r"release 0\.10\.0 is missing; .*manifests of 0\.1\.0, 0\.5\.0 too"):
        open_cache(downloaded).sessions()
    (downloaded / "aside.csv").rename(table)
    shutil.copytree(downloaded / DOWNLOADED, downloaded / "visual-behavior-neuropixels-0.10.0")
    assert open_cache(downloaded).manifest.version == "0.10.0"
    older = open_cache(downloaded, "0.1.0")
    assert older.root == downloaded / "visual-behavior-neuropixels-0.1.0"
    with pytest.raises(RecordingError, match=r"no manifest of version 0\.3\.0, only of 0\.1\.0, 0\.5\.0, 0\.10\.0"):
        open_cache(downloaded, "0.3.0")


def test_is_cache__only_where_a_manifest_of_this_release_lies(tmp_path, downloaded, mirrored):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/visual-behavior-ophys_project_manifest_v1.0.0.json").write_text("{}")
    found = [is_cache(folder) for folder in (downloaded, mirrored, tmp_path / "other", tmp_path / "none", CACHE)]
    assert found == [True, True, False, False, True]
    with pytest.raises(RecordingError, match="neq fetch allen-vbn"):
        open_cache(tmp_path / "other")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<html>", "the file: Invalid JSON"),
        ("[]", "the file: Input should be an object"),
        ('{"project_name": "p"}', "manifest_version: Field required"),
        (
            '{"project_name": "p", "manifest_version": "0.1.0", "metadata_files": {}, "data_files": {"1": {"url": 5}}}',
            r"data_files\.1\.url: Input should be a valid string",
        ),
        ('{"project_name": "../p", "manifest_version": "0.1.0", "metadata_files": {}, "data_files": {}}', "project_n"),
    ],
)
def test_parse_manifest__says_what_is_not_a_manifest(text, expected):
    with pytest.raises(RecordingError, match=rf"'m\.json'.*found in {expected}.*fetch it again\.$"):
        parse_manifest(text, "m.json")


@pytest.mark.parametrize("path", ["release/../../etc/passwd", "release", "release/a\\..\\b", ""])
def test_parse_manifest__refuses_paths_that_leave_the_folder(path):
    files = {"1": {"url": f"https://bucket/{path}", "version_id": "", "file_hash": ""}}
    text = {"project_name": "p", "manifest_version": "0.1.0", "metadata_files": {}, "data_files": files}
    with pytest.raises(RecordingError, match="below the folder of the release"):
        parse_manifest(json.dumps(text), "m.json")


def test_open_cache__a_truncated_manifest_is_named(downloaded):
    whole = manifest_of(downloaded).read_text()
    manifest_of(downloaded).write_text(whole[: len(whole) // 2])
    with pytest.raises(RecordingError, match=r"manifest_v0\.5\.0\.json'.*Invalid JSON"):
        open_cache(downloaded)


def test_sessions__leaves_out_abnormal_ones_as_the_sdk_does():
    cache = open_cache(CACHE)
    assert list(cache.sessions().index) == SESSIONS
    assert list(cache.sessions(abnormal=True).index) == [*SESSIONS, ABNORMAL]
    assert cache.session_file(ABNORMAL) == cache.session_file(SESSIONS[0])  # the row names the same file


def test_session_file__of_many_sessions_reads_the_table_once(downloaded, monkeypatch):
    cache, read, reads = open_cache(downloaded), pd.read_csv, []
    monkeypatch.setattr(pd, "read_csv", lambda path, **options: [reads.append(path), read(path, **options)][1])
    for session in 3 * SESSIONS:
        cache.session_file(session)
    assert len(reads) == 1


def test_sessions__an_older_table_does_not_say_which_are_abnormal(downloaded):
    path = downloaded / DOWNLOADED / TABLE
    pd.read_csv(path).drop(columns=["abnormal_histology", "abnormal_activity"]).to_csv(path, index=False)
    cache = open_cache(downloaded)
    with pytest.raises(RecordingError, match="no column abnormal_histology, abnormal_activity; use the newest release"):
        cache.sessions()
    assert list(cache.sessions(abnormal=True).index) == [*SESSIONS, ABNORMAL]


def test_sessions__a_missing_or_damaged_table_is_named(downloaded):
    path = downloaded / DOWNLOADED / TABLE
    text = path.read_text()
    for damaged, expected in [
        (text.replace(",file_id,", ",file,"), "has no column file_id"),
        (text.replace(",869,", ",none,"), "not give each session an ecephys_session_id of its own and a file_id"),
        (text.replace(",869,", ",1.5,"), "and a file_id"),
        (text.replace("1064644574,", "1064644573,"), r"of its own and a file_id \(an id occurs twice\)"),
        (text.replace("1064644574,", ","), "of its own"),
        ("", "cannot be read"),
    ]:
        path.write_text(damaged)
        with pytest.raises(RecordingError, match=expected):
            open_cache(downloaded).sessions()
    path.unlink()
    with pytest.raises(RecordingError, match=r"ecephys_sessions\.csv' is missing; fetch it: `neq fetch allen-vbn --to"):
        open_cache(downloaded).sessions()


def test_sessions__a_manifest_without_that_table(downloaded):
    rewrite(manifest_of(downloaded), metadata_files={})
    with pytest.raises(RecordingError, match="no table ecephys_sessions, only none"):
        open_cache(downloaded).sessions()


def test_session_file__of_no_session_and_of_one_without_file(downloaded):
    with pytest.raises(RecordingError, match="no session 5: there are 3 sessions, 1064644573 to 1044389060"):
        open_cache(downloaded).session_file(5)
    rewrite(manifest_of(downloaded), data_files={})
    with pytest.raises(RecordingError, match=r"Session 1064644573 has file_id 869, which the manifest"):
        open_cache(downloaded).session_file(SESSIONS[0])


def test_session_file__of_a_session_without_file_leaves_the_others(downloaded):
    path = downloaded / DOWNLOADED / TABLE
    path.write_text(path.read_text().replace(",869,", ",,"))
    with pytest.raises(RecordingError, match=r"Session 1064644573 has file_id <NA>, which the manifest"):
        open_cache(downloaded).session_file(SESSIONS[0])
    assert open_cache(downloaded).session_file(SESSIONS[1]).name == "ecephys_session_1064644574.nwb"


def test_choose_sessions__rows_and_ids():
    table = open_cache(CACHE).sessions()
    first, second = SESSIONS
    assert choose_sessions(table, None) == [first, second]
    assert choose_sessions(table, "0:103") == [first, second]
    assert choose_sessions(table, "-1:") == [second]
    assert choose_sessions(table, "::-1") == [second, first]
    assert choose_sessions(table, [str(second), first, "0:1"]) == [second, first]


@pytest.mark.parametrize("wanted", ["0", "5:9", "1:1", "::0", "a", "", "0:1,7", [7], "-1", "1.5"])
def test_choose_sessions__refuses_what_is_not_there(wanted):
    with pytest.raises(RecordingError, match="there are 2 sessions, 1064644573 to 1064644574"):
        choose_sessions(open_cache(CACHE).sessions(), wanted)


def test_name__is_that_of_the_file():
    assert open_cache(CACHE).manifest.name == manifest_of(CACHE).name
    assert open_cache(CACHE).manifest.project == allen_cache.PROJECT


def test_commands__told_of_a_folder_with_a_blank_can_be_given_as_they_are(downloaded, tmp_path):
    folder = tmp_path / "my data"
    folder.mkdir()

    def told(act):
        with pytest.raises(RecordingError) as caught:
            act()
        return shlex.split(str(caught.value).split("`")[1])

    fetch = ["neq", "fetch", "allen-vbn"]
    assert told(lambda: open_cache(folder)) == [*fetch, "--to", str(folder)]
    shutil.copy(manifest_of(downloaded), folder)
    assert told(lambda: open_cache(folder, "0.1.0")) == [*fetch, "--to", str(folder), "--release", "0.1.0"]
    tables = [*fetch, "--to", str(folder), "--release", "0.5.0", "--tables-only"]
    assert told(open_cache(folder).sessions) == tables
    session = folder / DOWNLOADED / "behavior_ecephys_sessions/1064644573/ecephys_session_1064644573.nwb"
    assert told(lambda: read_recording(session, kind="allen")) == [
        *fetch,
        "--sessions",
        "1064644573",
        "--to",
        str(folder),
    ]
