"""The stop rule from the config to the report."""

import io

import numpy as np
import pytest
from rich.console import Console

from neq import open_run
from neq.errors import ConfigError
from workflows import config, studies
from workflows.commands import pipeline, plan, plan_text, status
from workflows.store import Store

LOOSE = "sweep.stop={absolute_sem: 0.5, at_least: 3}"
TIGHT = "sweep.stop={absolute_sem: 0.35, at_least: 3}"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(
        f"study: toy_study:Toy\nresults: {tmp_path}/run\nsessions: [a, b]\nsizes: [2]\nrepetitions: 16\n"
        "conditions: [rest]\nbig: true\ncluster: {workers: 1}\n"
    )
    return path


def run(path, *overrides):
    out = io.StringIO()
    outcome = pipeline.run(config.load(path, overrides), Console(file=out, width=200))
    return outcome, out.getvalue()


def test_run__rules_one_after_another(path, tmp_path):
    loose, text = run(path, LOOSE)
    assert (loose.exit_code, loose.counts["pending"]) == (0, 0)
    assert f"{loose.counts['not_needed']} not needed" in text
    figures = tmp_path / "run" / "figures" / "figures.json"
    first = figures.stat().st_mtime_ns
    assert "nothing left to compute" in run(path, LOOSE)[1]
    assert figures.stat().st_mtime_ns == first
    every, _ = run(path)
    assert loose.n_computed + every.n_computed == every.counts["ok"] == 32
    # all is there: another rule computes nothing and is drawn anew
    for rule, fewer in ((LOOSE, True), (TIGHT, False)):
        before = figures.stat().st_mtime_ns
        outcome, _ = run(path, rule)
        assert outcome.n_computed == 0
        assert (outcome.counts["ok"] == loose.counts["ok"]) == fewer
        assert outcome.counts["ok"] + outcome.counts["not_needed"] == 32
        assert figures.stat().st_mtime_ns > before
    assert "nothing left to compute" in run(path, TIGHT)[1]


def test_commands__show_what_is_not_needed(path, tmp_path):
    outcome, _ = run(path, LOOSE)
    n = outcome.counts["not_needed"]
    snapshot = status.look(tmp_path / "run")
    assert (snapshot.counts["not_needed"], snapshot.counts["pending"]) == (n, 0)
    assert sum(row.counts["not_needed"] for row in snapshot.rows if row.axis == "session") == n
    made = plan.make(config.load(path, [LOOSE]))
    assert (made.counts["not_needed"], made.n_open, made.n_least) == (n, 0, 0)
    assert plan_text.lines(made)[-1] == "nothing to compute"
    # a plan for another rule reads what is there, and changes nothing
    more = plan.make(config.load(path, [TIGHT]))
    assert 0 < more.n_least < more.n_open
    assert int((Store.open(tmp_path / "run" / "sweep.zarr").status() == 4).sum()) == n
    assert f"{n}" in (tmp_path / "run" / "report.html").read_text()


def test_summary__of_what_is_needed_alone(path, tmp_path):
    run(path)
    everything = open_run(tmp_path / "run")["value"].load()
    run(path, LOOSE)
    dataset = open_run(tmp_path / "run")
    ok = dataset["status"] == "ok"
    assert 0 < int(ok.sum()) < ok.size
    np.testing.assert_array_equal(dataset["value"], everything.where(ok))


@pytest.mark.parametrize(
    ("stop", "problem"),
    [
        ("{}", "sweep.stop: expected relative_sem, absolute_sem or both"),
        ("{relative_sem: 0}", "sweep.stop.relative_sem: expected greater than 0"),
        ("{absolute_sem: 0.1, at_least: 1}", "sweep.stop.at_least: expected greater than or equal to 2"),
        ("{relativ_sem: 0.1}", "sweep.stop.relativ_sem: unknown key; did you mean 'relative_sem'"),
    ],
)
def test_config__problems(path, stop, problem):
    with pytest.raises(ConfigError, match=problem):
        config.load(path, [f"sweep.stop={stop}"])


def test_config__is_no_setting(path):
    made = [config.load(path, overrides) for overrides in ([], [LOOSE])]
    assert config.science(made[0]) == config.science(made[1])
    one, other = (studies.study_class(each.study)(each).settings() for each in made)
    assert one == other
