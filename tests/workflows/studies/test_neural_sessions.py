"""Sessions by name, pattern, and row of an Allen cache's table."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from neq.errors import ConfigError, RecordingError
from workflows import config as configs
from workflows import studies

CACHE = Path(__file__).parents[2] / "reference_data" / "allen" / "cache"
CONFIG = """
study: neural_recordings
recordings: {kind: allen, path: %s}
conditions: [active]
sizes: [10]
"""


def load(tmp_path, *overrides, path=CACHE):
    file = tmp_path / "run.yaml"
    file.write_text(CONFIG % path)
    return configs.load(file, overrides)


def sessions(config):
    return [name for name, _ in config.session_paths()]


def test_session_paths__of_a_cache_are_the_rows_of_its_table(tmp_path):
    config = load(tmp_path)
    # the third row is abnormal, which the published study left out
    assert sessions(config) == ["1064644573", "1064644574"]
    assert all(Path(path).is_file() for _, path in config.session_paths())


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ('"1:2"', ["1064644574"]),
        ('":"', ["1064644573", "1064644574"]),
        ("1064644574", ["1064644574"]),
        ("[1064644574, 1064644573]", ["1064644574", "1064644573"]),
    ],
)
def test_session_paths__rows_and_ids(tmp_path, wanted, expected):
    assert sessions(load(tmp_path, f"recordings.sessions={wanted}")) == expected


@pytest.mark.parametrize("wanted", ['"8:9"', "[7]", "[last]"])
def test_load__names_what_the_cache_has(tmp_path, wanted):
    with pytest.raises(ConfigError, match="there are 2 sessions, 1064644573 to 1064644574"):
        load(tmp_path, f"recordings.sessions={wanted}")


def test_session_paths__an_abnormal_session_is_no_row_and_is_found_by_its_id(tmp_path):
    assert sessions(load(tmp_path, 'recordings.sessions="1044389060,0:3"')) == [
        "1044389060",
        "1064644573",
        "1064644574",
    ]
    config = load(tmp_path, "recordings.sessions=[1044389060]", "recordings.subjects={1044389060: m3}")
    assert sessions(config) == ["1044389060"]


def test_session_paths__a_session_without_a_file_fails_by_itself(tmp_path):
    cache = shutil.copytree(CACHE, tmp_path / "cache")
    (table,) = cache.rglob("ecephys_sessions.csv")
    rows = pd.read_csv(table, dtype=str)
    rows.loc[1, "file_id"] = "7"
    rows.to_csv(table, index=False)
    config = load(tmp_path, path=cache)
    assert sessions(config) == ["1064644573", "1064644574"]
    study = studies.study_class("neural_recordings")(config)
    with pytest.raises(RecordingError, match=r"Session 1064644574 has file_id 7, which the manifest of release"):
        study.ingest(study.sources()[1], tmp_path / "run")


def test_load__animals_of_sessions_that_the_cache_does_not_have(tmp_path):
    assert load(tmp_path, "recordings.subjects={1064644574: m2}").recordings.subjects == {"1064644574": "m2"}
    problem = r"recordings\.subjects: the cache has no session 1064644575, 0:1: there are 2 sessions, 1064644573 to"
    with pytest.raises(ConfigError, match=problem):
        load(tmp_path, 'recordings.subjects={1064644575: m2, "0:1": m1, 1064644573: m1}')


@pytest.mark.parametrize("kind", ["allen", "null"])
@pytest.mark.parametrize(
    ("override", "problem"),
    [
        (
            "recordings.options.gabor_window=foo",
            r"recordings\.options: .* are wrong: gabor_window: input should",
        ),
        ("recordings.options={gabor_windw: published}", "no such option, did you mean gabor_window"),
        ("conditions=[active, pasive]", "conditions: no session has pasive; there are: active, passive, gabor"),
    ],
)
def test_load__what_the_reader_would_refuse(tmp_path, kind, override, problem):
    with pytest.raises(ConfigError, match=problem):
        load(tmp_path, override, f"recordings.kind={kind}")


def test_load__conditions_named_by_the_options_and_a_reader_of_a_cache_to_come(tmp_path):
    load(tmp_path, "conditions=[rest]", "recordings.options.condition=rest")
    load(tmp_path, "recordings.options={order: reference, subject: m1}")
    with pytest.raises(ConfigError, match="conditions: no session has pasive"):
        load(tmp_path, "conditions=[pasive]", path=tmp_path / "cache to come")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("{n_unit: 1}", "n_unit: input should be greater than or equal to 2"),
        ("{n_units: 9}", "no option 'n_units'"),
        ("{}", "conditions: no session has active; there are: driven, weak, reversible"),
        ("{conditions: {rest: 0.5}}", "conditions: no session has active; there are: rest"),
    ],
)
def test_load__options_of_a_synthetic_recording(tmp_path, options, problem):
    recordings = f"recordings={{kind: synthetic, sessions: [a], options: {options}}}"
    with pytest.raises(ConfigError, match=problem):
        load(tmp_path, recordings)


def test_chosen__the_table_of_a_cache_is_read_once_for_a_study(tmp_path, monkeypatch):
    read, reads = pd.read_csv, []
    study = studies.study_class("neural_recordings")(load(tmp_path))
    monkeypatch.setattr(pd, "read_csv", lambda path, **options: [reads.append(path), read(path, **options)][1])
    study.axes()
    n_read = len(reads)
    study.resolved()
    assert len(study.sources()) == 2
    assert len(reads) == n_read <= 2


def test_load__rows_are_of_a_cache_alone(tmp_path):
    with pytest.raises(ConfigError, match=r"recordings\.sessions: rows such as 0:1 are of an Allen cache's table"):
        load(tmp_path, 'recordings.sessions="0:1"', "recordings.kind=nwb", path=tmp_path / "*.nwb")


def test_axes__say_how_to_get_a_cache(tmp_path):
    config = load(tmp_path, 'recordings.sessions="8:9"', path=tmp_path / "my data" / "allen-vbn")
    with pytest.raises(RecordingError, match=r"`neq fetch allen-vbn --to '.*/my data/allen-vbn'`"):
        studies.study_class(config.study)(config).axes()


def test_resolved__does_not_need_the_table_again(tmp_path):
    cache = shutil.copytree(CACHE, tmp_path / "cache")
    config = load(tmp_path, 'recordings.sessions="1:2"', path=cache)
    resolved = studies.study_class(config.study)(config).resolved()
    shutil.rmtree(cache)
    assert sessions(resolved) == ["1064644574"]
    assert sessions(configs.rebuild(configs.science(resolved))) == ["1064644574"]
