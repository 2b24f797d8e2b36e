"""What is in a recording, against the Allen SDK's answers, and what `neq inspect` prints."""

import re
import shutil
import zipfile

import h5py
import numpy as np
import pytest
from allen_session import (
    ANSWERS,
    CACHE,
    ELECTRODES,
    FILE,
    GABORS,
    GREY,
    IMAGES,
    UNITS,
    answer,
    changed,
    make_unreadable,
    remove,
)
from rich.console import Console
from typer.testing import CliRunner

from neq.errors import RecordingError
from neq.readers import allen, read_recording
from workflows import cli
from workflows.commands import inspect_text
from workflows.commands.inspect import ALL, VISUAL, inspect, list_sessions


def invoke(*arguments):
    return CliRunner().invoke(cli.app, ["inspect", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def found():
    return inspect(CACHE, session="1064644573")


def test_inspect__units_as_the_sdk_has_them(found):
    units, good = answer("units"), answer("good_units")
    filed = h5py.File(FILE)["units/id"].size
    steps = dict(found.steps)
    assert list(steps.values())[:3] == [filed, filed, len(units)]
    assert found.steps[-1] == ("firing_rate > 0.1", len(good))
    assert list(steps.values()) == sorted(steps.values(), reverse=True)
    kept = found.areas["kept"]
    assert kept[kept > 0].to_dict() == good["structure_acronym"].value_counts().to_dict()
    assert found.areas["before"].sum() == steps["on a channel with valid data"] > len(good)
    assert (found.areas["before"] >= found.areas["kept"]).all()


def test_inspect__activity_and_losses_from_the_spikes_of_the_sdk(found):
    spikes, good = np.load(ANSWERS / "spikes.npz"), answer("good_units")
    counts = {}
    for name, row in found.conditions.iterrows():
        edges = row["start"] + np.arange(row["bins"] + 1) * 0.01
        # the last edge closes the last bin of a histogram; ours are open there
        counts[name] = np.array(
            [np.histogram(t[t < edges[-1]], edges)[0] for t in (spikes[str(u)] for u in good.index)]
        )
    published = np.load(ANSWERS / "reference_binned.npz")
    assert found.conditions["bins"].to_dict() == {name: len(published[f"S_{name}"]) for name in counts}
    assert found.n_spike == sum(count.sum() for count in counts.values())
    assert found.n_lost == sum((count - (count > 0)).sum() for count in counts.values())
    overall = np.mean([(count > 0).mean(axis=1) for count in counts.values()], axis=0)
    np.testing.assert_allclose(np.sort(found.activity), np.sort(overall))
    active, visual = overall >= 0.02, good["structure_acronym"].str.startswith("V").to_numpy()
    assert found.eligible == {ALL: active.sum(), VISUAL: (active & visual).sum()}
    assert found.areas["active"].sum() == active.sum()
    for name, count in counts.items():
        own = (count > 0).mean(axis=1) >= 0.02
        assert found.conditions.loc[name, ["active", "visual"]].tolist() == [own.sum(), (own & visual).sum()]


def test_inspect__counts_lost_spikes_and_sizes(tmp_path):
    counts = np.zeros((1000, 120), int)
    counts[::10, :110] = 3
    np.savez(tmp_path / "a.npz", S=counts, bin_size=0.01, area=["VISp"] * 60 + ["CA1"] * 60)
    made = inspect(tmp_path / "a.npz")
    assert (made.n_spike, made.n_lost) == (110 * 300, 110 * 200)
    assert made.eligible == {ALL: 110, VISUAL: 60}
    assert (made.sizes(VISUAL), made.sizes(ALL)) == ([50], [50, 100])
    assert made.areas.loc["CA1"].to_dict() == {"before": 60, "kept": 60, "active": 50}
    assert inspect(tmp_path / "a.npz", bin_size=0.1).n_spike == 110 * 300


def test_inspect__reads_no_waveform(tmp_path):
    path = changed(tmp_path, make_unreadable("units/waveform_mean"))
    with h5py.File(path) as file, pytest.raises(OSError):
        file["units/waveform_mean"][:]
    assert inspect(path).n_spike == inspect(FILE).n_spike


def test_cli__tells_of_a_session():
    text = invoke(CACHE, "--session", "1064644573").output
    assert re.search(r"^session 1064644573, subject 544456, kind allen ", text)
    assert re.search(r"firing_rate > 0.1 +23 *$", text, re.M)
    assert re.search(r"^ gabor +1 +44.76 +75.01 +30.25 +3025 +21 +10 *$", text, re.M)
    assert "units >= 2% of bins in areas V*: 10, enough for none of the 6 published sizes\n" in text
    assert "median 4.4%, 5th to 95th percentile 1.5% to 19.9%" in text
    assert re.search(r"^ area +left by the SDK's rules +kept +>= 2% of bins", text, re.M)
    assert "\x1b" not in text


def test_cli__options_of_the_reader_count():
    text = invoke(FILE, "--option", "quality={}", "--option", "gabor_window=presentations").output
    assert "firing_rate > 0.1" not in text
    assert re.search(r"^ gabor +1 +45.76 +65.76 ", text, re.M)


def test_cli__lists_a_cache(tmp_path):
    cache = shutil.copytree(CACHE, tmp_path / "cache")
    next(cache.rglob("ecephys_session_1064644574.nwb")).unlink()
    text = invoke(cache).output
    assert re.search(r"0 +1064644573 +544456 +60 +1\.6 MiB", text)
    assert re.search(r"1 +1064644574 +544456 +60 +not here", text)
    assert "2 sessions of 1 mouse (1 abnormal ones left out), 1 of them here" in text
    assert f"neq inspect {cache} --session 1064644573" in text
    assert list_sessions(cache).sessions["size"].tolist()[1] == -1
    result = invoke(cache, "--session", "1064644574")
    assert result.exit_code == 2
    assert "is not downloaded" in result.stderr
    assert "neq fetch allen-vbn --sessions 1064644574" in result.stderr


def test_cli__looks_in_the_data_folder(tmp_path, monkeypatch):
    np.savez(tmp_path / "mine.npz", S=np.eye(20, dtype=bool), bin_size=0.01)
    monkeypatch.setenv("NEQ_DATA", str(tmp_path))
    assert invoke("mine.npz").output.startswith("session mine, kind arrays ")


def shortened(path):
    content = FILE.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def zipped(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.txt", "no arrays")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (shortened, "is not a readable HDF5 file .*; copy it again"),
        (lambda path: path.write_text("date,spikes\n"), "is of no known kind"),
        (zipped, "Expected in .* a matrix"),
        (lambda path: h5py.File(path, "w").close(), "Expected in .* an NWB units table"),
    ],
)
def test_cli__says_what_is_no_recording(tmp_path, write, message):
    path = tmp_path / "session.nwb"
    write(path)
    result = invoke(path)
    assert result.exit_code == 2
    assert re.search(message, result.stderr)
    assert result.output.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove(ELECTRODES), "no channels"),
        (remove(f"{UNITS}/peak_channel_id"), "peak_channel_id"),
        (remove(IMAGES, GABORS, GREY, "intervals/flash_250ms_presentations"), "presentations"),
    ],
)
def test_cli__says_what_a_session_lacks(tmp_path, change, message):
    result = invoke(changed(tmp_path, change))
    assert result.exit_code == 2
    assert message in result.stderr


def test_inspect__units_without_a_channel_are_a_step(tmp_path):
    def change(file):
        file[UNITS]["peak_channel_id"][::2] = 1

    steps = dict(inspect(changed(tmp_path, change)).steps)
    assert list(steps.items())[:3] == [
        ("units in the file", 60),
        ("with a channel in the file", 30),
        ("with amplitude_cutoff, presence_ratio, isi_violations", 30),
    ]


@pytest.mark.parametrize("name", ["bad.nwb", FILE.name])
def test_cli__says_that_a_file_is_damaged(tmp_path, name):
    content = FILE.read_bytes()
    (tmp_path / name).write_bytes(content[:-400_000] + bytes(400_000))
    result = invoke(tmp_path / name)
    assert result.exit_code == 2
    assert re.search(r"is damaged \(.*\); (copy|fetch) it again", result.stderr)
    assert result.output.count("\n") == 1


def test_cli__says_which_condition_a_session_lacks(tmp_path):
    def all_active(file):
        file[IMAGES]["active"][:] = True

    text = invoke(changed(tmp_path, all_active)).output
    assert "no condition passive in this session: its cells are impossible" in text


def test_cli__says_which_condition_holds_no_bin():
    epochs = "epochs=[{condition: long, start: 0, stop: 20}, {condition: short, start: 30, stop: 30.005}]"
    text = invoke(FILE, "--option", epochs).output
    assert "condition short holds no whole bin: its cells are impossible" in text
    assert "no condition passive" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--option", "qualty={}"], "no such option, did you mean quality"),
        (["--option", "quality"], "--option quality: expected KEY=VALUE"),
        (["--option", "quality={snr: '> 1000'}"], "No unit is left of the 58 of session '1064644573'"),
        (["--bin-size", "0"], "bin size must be a positive number"),
        (["--bin-size", "1000"], "use smaller bins"),
        (["--kind", "mat"], "Expected a kind of recording"),
    ],
)
def test_cli__says_what_is_wrong_with_the_call(arguments, message):
    result = invoke(FILE, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_tell__names_units_without_area(capsys):
    recording = read_recording("a", kind="synthetic", n_unit=10, duration=5.0, areas=[""])
    assert recording.units["area"].unique().tolist() == [""]
    inspect_text.tell(inspect("a", kind="synthetic", n_unit=10, duration=5.0, areas=[""]), Console(width=100))
    assert re.search(r"\(none\) +10 +10", capsys.readouterr().out)


def test_list_sessions__of_no_cache(tmp_path):
    with pytest.raises(RecordingError, match="holds no manifest"):
        list_sessions(tmp_path)
    assert invoke(tmp_path).exit_code == 2


@pytest.mark.parametrize("options", [{}, {"reader": "allensdk", "order": "reference"}])
def test_inspect__reads_a_session_once(monkeypatch, request, options):
    if options:
        request.getfixturevalue("sdk")
    read, reads = allen.read, []
    monkeypatch.setattr(allen, "read", lambda path, **known: [reads.append(path), read(path, **known)][1])
    made = inspect(FILE, **options)
    assert len(reads) == 1
    assert made.steps == inspect(FILE).steps
    assert made.areas.equals(inspect(FILE).areas)


def test_inspect__units_in_no_area(tmp_path):
    def change(file):
        file[ELECTRODES]["location"][:] = "None"

    assert inspect(changed(tmp_path, change)).areas.to_dict("index")[""] | {"active": 0} == {
        "before": 58, "kept": 23, "active": 0,
    }  # fmt: skip


def test_cli__lists_the_release_whose_table_is_here(tmp_path):
    cache = shutil.copytree(CACHE, tmp_path / "cache", ignore=shutil.ignore_patterns("*.nwb"))
    (manifest,) = cache.glob("*_manifest_v0.5.0.json")
    newer = manifest.with_name(manifest.name.replace("0.5.0", "0.6.0"))
    newer.write_text(manifest.read_text().replace('"0.5.0"', '"0.6.0"'))
    assert "release 0.5.0 (there are manifests of 0.6.0 too), 2 sessions" in invoke(cache).output
    assert "--sessions 1064644573 --release 0.5.0 --to" in invoke(cache, "--session", "1064644573").stderr
