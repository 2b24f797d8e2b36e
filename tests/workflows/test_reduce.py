import json

import numpy as np
import pandas as pd
import pytest

import neq
from neq import figures
from neq.errors import StoreError
from neq.summary import summarise
from workflows import reduce, staging

VALUE = "entropy_production_per_spike"


@pytest.fixture
def run(tmp_path):
    import ep_study

    folder = tmp_path / "run"
    return folder, lambda **keys: ep_study.write_run(folder, **keys)


def test_make_figures__writes_figures_and_tables(run):
    folder, write = run
    study = write()
    paths = reduce.make_figures(folder, study)
    assert all(path.is_file() for path in paths)
    assert {path.name for path in paths} >= {"scaling.pdf", "scaling.png", "note.pdf", "note.png", "summary.csv"}
    assert {path.name for path in (folder / "figures").iterdir()} == {path.name for path in paths} | {"figures.json"}
    captions = json.loads((folder / "figures" / "figures.json").read_text())["figures"]
    assert "48/48 cells" not in captions["note"]
    assert "96/96 cells" in captions["scaling"]


def test_make_figures__tables_hold_the_summary(run):
    folder, write = run
    reduce.make_figures(folder, write())
    summary = summarise(neq.open_run(folder))
    table = pd.read_csv(folder / "figures" / "summary.csv", keep_default_na=False, na_values=[""])
    assert len(table) == 2 * 2 * 3
    for _, row in table.iterrows():
        point = summary.sel(condition=row["condition"], surrogate=row["surrogate"], size=row["size"])
        for name in (VALUE, f"{VALUE}_sem", "n_ok", "n_unit", "p_value_median"):
            np.testing.assert_allclose(row[name], point[name].item(), rtol=1e-12)
    contrast = pd.read_csv(folder / "figures" / "summary-contrast-surrogate-size.csv")
    assert set(contrast["contrast"]) == {"move − rest"}
    assert f"{VALUE}_difference_p_value" in contrast
    session = pd.read_csv(folder / "figures" / "summary-session-condition-surrogate-size.csv")
    assert len(session) == 24


def test_make_figures__leaves_out_what_the_config_leaves_out(run):
    folder, write = run
    study = write(status={0: "failed"})
    fewer = type(study)(study.config.model_copy(update={"sessions": ("b",), "sizes": (10, "all")}))
    reduce.make_figures(folder, fewer)
    table = pd.read_csv(folder / "figures" / "summary.csv")
    assert set(table[f"{VALUE}_n_session"]) == {1}
    assert set(table["size"]) == {0, 10}
    caption = json.loads((folder / "figures" / "figures.json").read_text())["figures"]["scaling"]
    assert "32/32 cells" in caption


def test_make_figures__same_data_same_bytes(run):
    folder, write = run
    study = write()
    first = {path.name: path.read_bytes() for path in reduce.make_figures(folder, study)}
    assert first == {path.name: path.read_bytes() for path in reduce.make_figures(folder, study)}


def test_render__pdf_has_truetype_fonts_and_no_date():
    pdf = reduce.render(figures.coupling(np.array([0.1, -0.2, 0.3])), "pdf")
    assert b"/CIDFontType2" in pdf or b"/TrueType" in pdf
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf


@pytest.mark.parametrize("state", ["failed", "impossible", "pending"])
def test_make_figures__no_cell_ok(run, state):
    folder, write = run
    study = write(status={"all": state})
    paths = reduce.make_figures(folder, study)
    assert {path.name for path in paths} == {"no_result.pdf", "no_result.png"}
    caption = json.loads((folder / "figures" / "figures.json").read_text())["figures"]["no_result"]
    assert caption.startswith(f"None of 96 cells has a result: 96 {state}.")
    if state != "pending":
        assert "Most often: no number" in caption


def test_make_figures__removes_what_is_no_longer_made_and_nothing_else(run):
    folder, write = run
    study = write(status={"all": "pending"})
    reduce.make_figures(folder, study)
    (folder / "figures" / "mine.png").write_bytes(b"mine")
    (folder / "precious").write_text("x")
    index = folder / "figures" / "figures.json"
    index.write_text(json.dumps({"files": [*json.loads(index.read_text())["files"], "../precious"]}))
    finished = neq.open_run(folder)  # finish the run
    import zarr

    zarr.open_array(folder / "sweep.zarr" / "status", mode="r+")[...] = np.ones(finished["status"].shape)
    names = {path.name for path in reduce.make_figures(folder, study)}
    left = {path.name for path in (folder / "figures").iterdir()}
    assert left == names | {"figures.json", "mine.png"}
    assert (folder / "precious").exists()


def test_make_figures__some_cells_missing(run):
    folder, write = run
    study = write(status={0: "failed", 1: "impossible", 2: "pending"})
    reduce.make_figures(folder, study)
    caption = json.loads((folder / "figures" / "figures.json").read_text())["figures"]["scaling"]
    assert "93/96 cells, 1 impossible, 1 failed, 1 pending." in caption


def test_make_figures__no_run(tmp_path, toy):
    with pytest.raises(StoreError, match="is not a run"):
        reduce.make_figures(tmp_path, toy())


def test_make_figures__folder_that_cannot_be_written(run):
    folder, write = run
    study = write()
    (folder / "figures").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        reduce.make_figures(folder, study)


def test_tables__of_a_summary_without_variables():
    import xarray as xr

    assert reduce.tables(xr.Dataset()) == {}


def test_write_whole__leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        staging.write_whole(path, "text")
    assert path.read_bytes() == b"old"
