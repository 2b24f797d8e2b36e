import numpy as np
import pytest

from neq.errors import RecordingError
from neq.readers import read_recording

PARAMS = "dat_path = 'raw.dat'\nn_channels_dat = 4\nsample_rate = 30000.\nhp_filtered = False\n"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "probe0"
    folder.mkdir()
    (folder / "params.py").write_text(PARAMS)
    np.save(folder / "spike_times.npy", np.array([[300], [600], [900], [30_000], [45_000]], dtype=np.uint64))
    np.save(folder / "spike_clusters.npy", np.array([4, 9, 4, 2, 9], dtype=np.int32))
    (folder / "cluster_KSLabel.tsv").write_text("cluster_id\tKSLabel\n2\tgood\n4\tgood\n9\tmua\n")
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n4\tnoise\n9\tgood\n")
    (folder / "cluster_ContamPct.tsv").write_text("cluster_id\tContamPct\n2\t0.5\n4\t7.0\n9\t1.5\n")
    return folder


def test_phy__units_and_times(folder):
    recording = read_recording(folder)
    assert recording.session == "probe0"
    assert recording.units.index.tolist() == [2, 4, 9]
    assert [times.tolist() for times in recording.spike_times] == [[1.0], [0.01, 0.03], [0.02, 1.5]]
    assert recording.units["ContamPct"].tolist() == [0.5, 7.0, 1.5]
    assert recording.units["KSLabel"].tolist() == ["good", "good", "mua"]
    assert recording.epochs["stop"].tolist() == [1.5]
    assert recording.source["files"] == [
        "params.py", "spike_times.npy", "spike_clusters.npy",
        "cluster_ContamPct.tsv", "cluster_KSLabel.tsv", "cluster_group.tsv",
    ]  # fmt: skip


def test_phy__the_curated_group_counts_before_the_sorter(folder):
    assert read_recording(folder, groups=["good"]).units.index.tolist() == [2, 9]  # 4 was set to noise by hand
    (folder / "cluster_group.tsv").unlink()
    assert read_recording(folder, groups=["good"]).units.index.tolist() == [2, 4]
    with pytest.raises(RecordingError, match=r"in the groups great; there are good, mua"):
        read_recording(folder, groups=["great"])
    (folder / "cluster_KSLabel.tsv").unlink()
    with pytest.raises(RecordingError, match=r"no cluster groups"):
        read_recording(folder, groups=["good"])


def test_phy__cluster_info_and_areas(folder):
    table = "cluster_id\tgroup\tdepth\tregion\n2\t\t10\tCA1\n4\tnoise\t20\tCA3\n9\tgood\t30\tDG\n17\tgood\t40\tDG\n"
    (folder / "cluster_info.tsv").write_text(table)
    recording = read_recording(folder, area="region")
    assert recording.units.index.tolist() == [2, 4, 9, 17]
    assert recording.units["area"].tolist() == ["CA1", "CA3", "DG", "DG"]
    assert len(recording.spike_times[3]) == 0  # in the table, without spikes
    assert "region" not in recording.units
    assert recording.units["depth"].tolist() == [10, 20, 30, 40]
    mapped = read_recording(folder, area={2: "V1", 9: "LM"})
    assert mapped.units["area"].tolist() == ["V1", "", "LM", ""]
    with pytest.raises(RecordingError, match=r"no column 'layer'; they have .*depth"):
        read_recording(folder, area="layer")


def test_phy__params_are_never_run(folder):
    (folder / "params.py").write_text("import os\nos.remove('x')\nsample_rate = 25000\nraise SystemExit\n")
    assert read_recording(folder).spike_times[0].tolist() == [30_000 / 25_000]


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ("", "does not assign sample_rate"),
        ("sample_rate = -1", "must be a positive number"),
        ("sample_rate = rate()", "must be a positive number"),
        ("sample_rate = 'fast'", "must be a positive number"),
        ("sample_rate = = 3", "cannot be read"),
    ],
)
def test_phy__bad_params(folder, params, problem):
    (folder / "params.py").write_text(params)
    with pytest.raises(RecordingError, match=problem):
        read_recording(folder)


def test_phy__bad_folder(folder):
    np.save(folder / "spike_clusters.npy", np.array([1, 2]))
    with pytest.raises(RecordingError, match=r"5 spike times but 2 clusters"):
        read_recording(folder)
    np.save(folder / "spike_clusters.npy", np.array([-1, 2, 2, 2, 2]))
    with pytest.raises(RecordingError, match=r"integers from 0 on"):
        read_recording(folder)
    np.save(folder / "spike_times.npy", np.array([0.1, 0.2]))
    with pytest.raises(RecordingError, match=r"integers from 0 on, found other float64"):
        read_recording(folder)
    (folder / "spike_times.npy").write_text("x")
    with pytest.raises(RecordingError, match=r"not a readable npy file"):
        read_recording(folder)
    (folder / "spike_times.npy").unlink()
    with pytest.raises(RecordingError, match=r"does not exist; a phy folder needs it"):
        read_recording(folder)


def test_phy__unsorted_times_name_the_cluster(folder):
    np.save(folder / "spike_times.npy", np.array([900, 600, 300, 30_000, 45_000]))
    with pytest.raises(RecordingError, match=r"Unit 4 .* not ascending"):
        list(read_recording(folder).trains())


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("cluster_id\tgroup\n4\tgood\n4\tmua\n", "has cluster 4 twice"),
        ("a\tb\n1\t2\n", "has no column cluster_id, found a, b"),
        ("", "not a readable table"),
    ],
)
def test_phy__bad_tables(folder, table, problem):
    (folder / "cluster_group.tsv").write_text(table)
    with pytest.raises(RecordingError, match=problem):
        read_recording(folder)
