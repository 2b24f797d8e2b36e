"""`neq ingest`: the first stage of a run alone, on the fixture of the Allen release."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml
from allen_session import CACHE, FILE, OTHER_FILE
from typer.testing import CliRunner

from neq.errors import RecordingError
from neq.readers import read_recording
from workflows import cli, config, ingest, studies
from workflows.studies import neural_recordings


@pytest.fixture
def run(tmp_path):
    """Return the config of a run over two sessions; a third one is cut short."""
    cut = tmp_path / "cut.nwb"
    cut.write_bytes(FILE.read_bytes()[:900_000])
    keys = {
        "study": "neural_recordings",
        "recordings": {"kind": "allen", "path": {"one": str(FILE), "two": str(OTHER_FILE), "cut": str(cut)}},
        "conditions": ["active", "passive", "gabor"],
        "sizes": [4],
        "repetitions": 1,
        "results": str(tmp_path / "run"),
    }
    path = tmp_path / "allen.yaml"
    path.write_text(yaml.safe_dump(keys))
    return path


def told(*arguments):
    result = CliRunner().invoke(cli.app, ["ingest", *map(str, arguments), "--workers", "2"], terminal_width=200)
    rows = {line.split()[0]: line.split()[1:] for line in result.output.splitlines() if line.strip()}
    return result.exit_code, result.output, rows


def stores(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "spikes").glob("*.zarr")}


def test_ingest__tells_each_session_and_goes_on_where_one_fails(run, tmp_path):
    code, output, rows = told(run)
    assert code == 1
    assert rows["one"][:4] == ["23", "3,925", "3,025", "3,925"]
    assert rows["two"][0] == "24"
    assert rows["cut"] == ["failed"]
    assert "failed, session cut: " in output
    assert "3 recordings: 2 ingested, 1 failed" in output
    assert f"go on: neq run {run}" in output
    (record,) = (json.loads(path.read_text()) for path in (tmp_path / "run" / "runs").iterdir())
    assert (record["stage"], record["result"]["n_source"]) == ("ingest", 3)
    assert [text.partition(":")[0] for text in record["result"]["failed"]] == ["session cut"]
    before = stores(tmp_path / "run")
    (tmp_path / "cut.nwb").write_bytes(FILE.read_bytes())
    code, _, rows = told(run)
    assert code == 0
    assert rows["cut"][0] == "23"
    after = stores(tmp_path / "run")
    assert before.items() < after.items()
    assert len(after) == 3


def test_ingest__of_which_nothing_can_be_read_there_is_nothing_to_go_on_with(run):
    code, output, _ = told(run, "--set", "recordings.sessions=[cut]")
    assert code == 1
    assert "go on" not in output


def test_ingest__lets_the_sdk_read_the_same(sdk, run, tmp_path):
    chosen = ("--set", "recordings.sessions=[two]")
    code, _, direct = told(run, *chosen)
    assert code == 0
    code, output, asked = told(run, *chosen, "--reader", "allensdk")
    assert code == 0
    assert "--set recordings.options.reader=allensdk" in output
    assert len(asked["two"]) == 7
    assert direct["two"] == asked["two"]
    assert len(stores(tmp_path / "run")) == 2


@pytest.mark.parametrize("options", [{}, {"reader": "allensdk"}])
def test_study__reads_nothing_again_that_is_stored(run, tmp_path, monkeypatch, options, request):
    if options:
        request.getfixturevalue("sdk")
    wanted = [f"recordings.options={json.dumps(options)}", "recordings.sessions=[one]"]
    study = studies.study_class("neural_recordings")(config.load(run, wanted))
    (source,) = study.sources()
    first = study.ingest(source, tmp_path)

    def refuse(*arguments, **keywords):
        raise AssertionError("the source was read again")

    monkeypatch.setattr(neural_recordings, "read_recording", refuse)
    assert study.ingest(source, tmp_path) == first
    spec = {**source.spec, "bin_size": 0.02}
    with pytest.raises(AssertionError, match="read again"):
        study.ingest(type(source)(source.labels, spec), tmp_path)


def test_find_spikes__of_a_file_that_changed_or_is_gone(run, tmp_path):
    copy = tmp_path / "copy.nwb"
    copy.write_bytes(FILE.read_bytes())
    study = studies.study_class("neural_recordings")(config.load(run, [f"recordings.path={{a: {copy}}}"]))
    (source,) = study.sources()
    first = study.ingest(source, tmp_path)
    copy.write_bytes(OTHER_FILE.read_bytes())
    assert study.ingest(source, tmp_path).content != first.content
    copy.unlink()
    with pytest.raises(RecordingError, match="does not exist"):
        study.ingest(source, tmp_path)
    assert ingest.find_spikes("a", "other", str(copy), tmp_path / "spikes") is None


def test_find_spikes__of_a_cache_folder_into_which_another_release_comes(run, tmp_path):
    cache = copy_of_cache(tmp_path)
    study = studies.study_class("neural_recordings")(
        config.load(run, [f"recordings.path={{1064644573: {cache}}}", "conditions=[active]"])
    )
    (source,) = study.sources()
    assert source.labels == {"session": "1064644573"}
    first = study.ingest(source, tmp_path)
    newer = add_release(cache, "0.6.0")
    second = study.ingest(source, tmp_path)
    assert second.content != first.content
    assert list(second.facts["files"]) == [str(newer)]


def test_find_spikes__hashes_nothing_where_the_list_of_hashes_is_lost(run, tmp_path, monkeypatch):
    study = studies.study_class("neural_recordings")(config.load(run, ["recordings.sessions=[one]"]))
    (source,) = study.sources()
    first = study.ingest(source, tmp_path)
    (tmp_path / "spikes/sources.json").unlink()
    monkeypatch.setattr(hashlib, "file_digest", None)  # calling it would raise
    assert study.ingest(source, tmp_path) == first


def test_study__files_of_the_release_are_called_alike_however_they_are_named(run, tmp_path, monkeypatch):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / FILE.name).write_bytes(FILE.read_bytes())
    made = []
    for path in (f"{folder}/ecephys_*.nwb", f"[{folder}/{FILE.name}]", f"{{ecephys_session_1: {folder}/{FILE.name}}}"):
        study = studies.study_class("neural_recordings")(config.load(run, [f"recordings.path={path}"]))
        (source,) = study.sources()
        made.append(study.ingest(source, tmp_path))
        with monkeypatch.context() as patch:
            patch.setattr(neural_recordings, "read_recording", None)  # calling it would raise
            assert study.ingest(source, tmp_path) == made[-1]
    assert [one.labels["session"] for one in made] == ["1064644573", "1064644573", "ecephys_session_1"]
    assert made[0].content == made[1].content
    assert ingest.open_spikes(tmp_path / made[2].path).attrs["session"] == "ecephys_session_1"


def test_study__a_file_that_is_replaced_while_it_is_read_is_refused(run, tmp_path, monkeypatch):
    copy = tmp_path / "copy.nwb"
    copy.write_bytes(FILE.read_bytes())
    study = studies.study_class("neural_recordings")(config.load(run, [f"recordings.path={{a: {copy}}}"]))
    (source,) = study.sources()

    def read(path, **options):
        recording = read_recording(path, **options)
        (tmp_path / "fetched").write_bytes(OTHER_FILE.read_bytes())
        (tmp_path / "fetched").replace(path)
        return recording

    monkeypatch.setattr(neural_recordings, "read_recording", read)
    with pytest.raises(RecordingError, match=r"copy\.nwb' changes while it is read; wait until it is complete"):
        study.ingest(source, tmp_path)
    assert stores(tmp_path) == {}
    monkeypatch.undo()
    assert study.ingest(source, tmp_path).facts["n_unit"] == 24


def copy_of_cache(tmp_path):
    return shutil.copytree(CACHE, tmp_path / "cache")


def add_release(cache, version):
    """Add a release whose file of the first session holds other spikes; return that file."""
    (manifest,) = cache.glob("*.json")
    text = json.loads(manifest.read_text()) | {"manifest_version": version}
    manifest.with_name(manifest.name.replace("0.5.0", version)).write_text(json.dumps(text))
    (old,) = cache.glob("*-0.5.0")
    shutil.copytree(old, new := old.with_name(old.name.replace("0.5.0", version)))
    (file,) = new.rglob(FILE.name)
    file.write_bytes(OTHER_FILE.read_bytes())
    return file


def test_ingest__of_a_study_without_recordings(tmp_path):
    shipped = Path(__file__).parents[3] / "configs" / "spin_model.yaml"
    code, output, _ = told(shipped, "--set", f"results={tmp_path}/run")
    assert code == 2
    assert "has no recordings to ingest" in output
    assert not (tmp_path / "run").exists()
