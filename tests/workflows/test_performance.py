"""The report of what workers did when."""

import re

import pytest
from distributed.diagnostics.task_stream import TaskStreamPlugin

from cluster import local, settings
from workflows import performance, provenance
from workflows.performance import Performance


@pytest.fixture
def told():
    return []


@pytest.fixture(scope="module")
def client():
    with local.start(workers=1, memory="1GiB") as made:
        yield made


@pytest.fixture(autouse=True)
def _however_short(monkeypatch):
    monkeypatch.setattr(performance, "LEAST_SECONDS", 0.0)


def test_keep__one_page_with_the_tasks_and_all_it_needs(client, told, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["neq", "run", "a </script><b>.yaml"])
    made = Performance(client, told.append)
    key = "estimate (s1, active)-(repetition 4)-1-5-a0b1c2"
    assert client.submit(abs, -1, key=key, pure=False).result(timeout=20) == 1
    made.keep(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "estimate (s1, active)" in page
    assert "number of tasks: 1 " in page
    assert performance.POLICY in page
    assert not re.search(r"<(script|link|img)\b[^>]*\b(src|href)=.https?:", page)
    assert "a </script>" not in page
    assert not told
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_keep__nothing_of_a_short_run(client, told, tmp_path, monkeypatch):
    monkeypatch.setattr(performance, "LEAST_SECONDS", 30.0)
    Performance(client, told.append).keep(tmp_path / "report.html")
    assert not list(tmp_path.iterdir())
    assert not told


def test_keep__a_bounded_number_of_tasks(client, told):
    """A sweep of a million cells must not fill the scheduler's memory."""
    Performance(client, told.append)
    length = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.plugins[TaskStreamPlugin.name].buffer.maxlen)
    assert length == settings.SETTINGS["distributed.scheduler.dashboard.tasks.task-stream-length"] == 5_000


def test_keep__where_it_cannot_be_written_one_line_says_so(client, told, tmp_path):
    made = Performance(client, told.append)
    made.keep(tmp_path / "missing" / "report.html")
    assert len(told) == 1
    assert told[0].startswith("no performance report (FileNotFoundError: ")


def test_keep__a_scheduler_that_takes_too_long(client, told, tmp_path, monkeypatch):
    made = Performance(client, told.append)
    monkeypatch.setattr(performance, "SECONDS", 0.01)
    made.keep(tmp_path / "report.html")
    assert len(told) == 1
    assert "no performance report (TimeoutError" in told[0]
    assert not list(tmp_path.iterdir())


def test_keep__a_scheduler_that_is_gone(told, tmp_path):
    with local.start(workers=1, memory="1GiB") as gone:
        made = Performance(gone, told.append)
    made.keep(tmp_path / "report.html")
    Performance(gone, told.append).keep(tmp_path / "report.html")
    assert len(told) == 2
    assert not list(tmp_path.iterdir())


def test_run__keeps_the_report_and_links_it(tmp_path, toy):
    import io

    from rich.console import Console

    from workflows.commands import pipeline

    keys = {"results": str(tmp_path / "run"), "repetitions": 2, "cluster": {"workers": 1}}
    outcome = pipeline.run(toy(**keys).config, Console(file=io.StringIO()))
    (run,) = provenance.read(outcome.run_folder)
    assert provenance.performance_path(outcome.run_folder, run).stat().st_size < 4e6
    assert f'href="runs/{run}-performance.html"' in (outcome.run_folder / "report.html").read_text()
