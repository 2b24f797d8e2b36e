"""From `neq fetch` to both published figures, with the configs as they are but for the sizes, and no step between."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import neq
from workflows import cli

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


def neq_command(*words):
    result = CliRunner().invoke(cli.app, [str(word) for word in words], terminal_width=200)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def data(serve, bucket, tmp_path, monkeypatch):
    """Make $NEQ_DATA hold what `neq fetch allen-vbn` brings."""
    monkeypatch.setenv("NEQ_DATA", str(tmp_path / "data"))
    neq_command("fetch", "allen-vbn", "--from", serve(bucket).url)
    return tmp_path / "data"


def run(name, folder, *sets):
    small = [f"results={folder}", "selection.minimum_activity=0.0", *sets]
    return neq_command("run", CONFIGS / f"{name}.yaml", "--workers", "1", *(f"--set={text}" for text in small))


def test_fig2a_and_fig2b__from_the_archive_to_the_figures(data, tmp_path):
    run("fig2a", tmp_path / "fig2a", "sizes=[4, 300]", "repetitions=1")
    results = neq.open_run(tmp_path / "fig2a")
    assert results["session"].values.tolist() == ["1064644573", "1064644574"]
    assert results["subject"].values.tolist() == ["544456", "544456"]
    # twelve units of the fixture are visual and good; one that a session cannot fill is no zero
    assert set(results["status"].sel(size=4).values.ravel()) == {"ok"}
    assert set(results["status"].sel(size=300).values.ravel()) == {"impossible"}
    assert results["entropy_production_per_spike"].sel(size=4).notnull().all()
    assert (tmp_path / "fig2a" / "figures" / "scaling.pdf").stat().st_size > 10_000

    run("fig2b", tmp_path / "fig2b", "recordings.sessions='1:2'", "sizes=[6]")
    coupling = neq.open_run(tmp_path / "fig2b")
    assert coupling["session"].values.tolist() == ["1064644574"]
    assert set(coupling["drawn_area"].values.ravel()) <= {"VISp", "VISl", "VISal", "VISpm", "VISam", "VISrl"}
    assert (tmp_path / "fig2b" / "figures" / "coupling.pdf").stat().st_size > 10_000
    assert (tmp_path / "fig2b" / "report.html").exists()
