import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

import neq
from neq.summary import summarise
from workflows import report, report_tables

VALUE = "entropy_production_per_spike"
VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Reads a page: its tags, its text, tables as rows, and whether all that was opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text, self.rows, self.addresses = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@pytest.fixture
def run(tmp_path):
    import ep_study

    folder = tmp_path / "run"
    return folder, lambda **keys: ep_study.write_run(folder, **keys)


@pytest.fixture
def page(run):
    """Write and read the report of a run."""
    folder, write = run

    def make(**keys):
        path = report.write_report(folder, write(**keys))
        assert path == folder / "report.html"
        return Page(path.read_text())

    return make


def test_write_report__is_one_whole_page_that_fetches_nothing(page):
    read = page()
    assert read.open == []
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in read.addresses)
    assert "script" not in read.tags
    assert read.tags.count("img") == 2
    inside = {address[1:] for address in read.addresses if address.startswith("#")}
    assert len(inside) == 7


def test_points__tell_what_the_data_had_to_hold():
    cells = {"entropy_production": 0.1, "entropy_production_train": 0.25, "n_transition": 900, "n_parameter": 45}
    dims = ("session", "condition", "size", "repetition")
    dataset = xr.Dataset({name: (dims, np.full((1, 1, 1, 3), value)) for name, value in cells.items()})
    dataset["entropy_production_train"].values[..., 0] = 9.0
    table = report_tables.points(summarise(dataset.assign(status=(dims, np.full((1, 1, 1, 3), "ok")))))
    told = dict(zip(table.header, table.rows[0], strict=True))
    assert told["training value of a cell"] == "0.25"
    assert told["transitions per parameter"] == "20"
    none = summarise(dataset.assign(status=(dims, np.full((1, 1, 1, 3), "failed"))))
    assert report_tables.points(none).rows[0][table.header.index("transitions per parameter")] == "–"


def test_write_report__tells_values_of_the_summary(run, page):
    read = page()
    folder, _ = run
    point = summarise(neq.open_run(folder)).sel(condition="rest", surrogate="none", size=0)
    (row,) = [row for row in read.rows if row[:3] == ["rest", "none", "all"]]
    header = next(row for row in read.rows if "condition" in row)
    told = dict(zip(header, row, strict=True))
    number = report_tables.number
    mean, sem = (float(part) for part in told["entropy production per spike (nats/spike)"].split(" ± "))
    assert sem == pytest.approx(point[f"{VALUE}_sem"].item(), rel=0.05)
    assert mean == pytest.approx(point[VALUE].item(), abs=sem / 10)
    low, high = number(point["interval_low_median"]), number(point["interval_high_median"])
    assert told["95 % interval of a cell"] == f"{low} to {high}"
    assert told["units"] == "30"
    assert told["p of a cell"] == "0.001"
    assert told["sessions"] == "2"
    assert told["repetitions"] == "4"
    assert told["cells"] == "8/8"
    value = told["entropy production per spike (nats/spike)"]
    assert f"rest, none: {value} nats/spike over 2 sessions (no animal ids) at N = 30" in "".join(read.text)


def test_write_report__tells_paired_differences(page):
    read = page()
    (row,) = [row for row in read.rows if row[:3] == ["move − rest", "none", "10"]]
    assert " to " in row[4]


@pytest.mark.parametrize(
    ("subjects", "over", "test"),
    [
        ("1122", "over 2 animals (4 sessions)", "t test over animals."),
        ("1111", "over 4 sessions (of one animal)", "t test over sessions (of one animal), taken as independent;"),
        ("11", "over 4 sessions (not all have animal ids)", "over sessions (not all have animal ids), taken"),
    ],
)
def test_write_report__says_what_errors_are_over(page, subjects, over, test):
    read = page(sessions=tuple("abcd"), subjects=dict(zip("abcd", subjects, strict=False)))
    text = " ".join("".join(read.text).split())
    assert f"nats/spike {over} at N = 30" in text
    assert test in text
    headers = [row for row in read.rows if "sessions" in row]
    assert len(headers) == 2
    for header in headers:
        told = dict(zip(header, read.rows[read.rows.index(header) + 1], strict=True))
        assert told["sessions"] == "4"
        assert told.get("animals") == ("2" if "animals" in over else None)
    named = ["a", "30", subjects[0], "abc123"]
    assert named in read.rows


def test_write_report__states_the_caveats(page):
    text = " ".join("".join(page().text).split())
    for caveat in ("estimate of a lower bound", "Not heat", "confounded with rate", "bootstrap over blocks", "Null."):
        assert caveat.lower() in text.lower()


def test_write_report__counts_cells_along_each_axis(page):
    read = page(status={0: "failed", 95: "impossible"})
    assert ["session", "a", "47", "1", "0", "0", "0"] in read.rows
    assert ["repetition", "3", "23", "0", "1", "0", "0"] in read.rows
    assert "94/96 cells, 1 failed, 1 impossible" in "".join(read.text)


def test_write_report__groups_failures_by_message(page):
    read = page(status={0: "failed", 1: "failed", 2: "failed", 95: "impossible"})
    text = "".join(read.text)
    assert "3 × failed: ValueError" in text
    assert "1 × impossible: ImpossibleError" in text
    assert text.index("3 × failed") < text.index("1 × impossible")
    assert "session a, condition rest, surrogate none, size 10, repetition 0" in text


def test_write_report__leaves_out_what_the_config_leaves_out(run):
    folder, write = run
    study = write(status={0: "failed"})
    fewer = type(study)(study.config.model_copy(update={"sessions": ("b",)}))
    read = Page(report.write_report(folder, fewer).read_text())
    assert "48/48 cells" in "".join(read.text)
    assert ["b", "30", "abc123"] in read.rows
    assert ["a", "30", "abc123"] not in read.rows


def test_write_report__escapes_what_came_from_elsewhere(run, page):
    evil = "<script>alert(1)</script>"
    read = page(
        status={0: "failed"}, error=f"{evil}\n{evil}", sessions=(evil, "b"), conditions=('"><img src=x onerror=1>', "b")
    )
    assert "script" not in read.tags
    assert read.tags.count("img") == 2
    assert evil in "".join(read.text)


def test_write_report__provenance_and_cost(page):
    read = page()
    assert ["code.commit", "0123abc"] in read.rows
    assert ["host", "there"] in read.rows
    assert ["all cells", "96", "0.96", "36", "36", "200"] in read.rows
    assert ["a", "30", "abc123"] in read.rows
    assert '"repetitions": 4' in "".join(read.text)


def test_write_report__shows_the_config_file_where_there_is_one(run):
    folder, write = run
    study = write()
    (folder / "config.yaml").write_text("study: ep  # <mine>\n")
    assert "study: ep  # <mine>" in "".join(Page(report.write_report(folder, study).read_text()).text)


@pytest.mark.parametrize("state", ["failed", "pending"])
def test_write_report__without_a_single_value(page, state):
    read = page(status={"all": state})
    text = "".join(read.text)
    assert f"0/96 cells, 96 {state}" in text
    assert "No cell has a value yet." in text
    assert read.tags.count("img") == 1


def test_write_report__unreadable_records_of_runs(run):
    folder, write = run
    study = write()
    (folder / "runs" / "20270101T000000Z-bbbb.json").write_text("{")
    assert "20270101T000000Z-bbbb" in report.write_report(folder, study).read_text()


def test_write_report__same_run_same_page(run):
    folder, write = run
    study = write()
    first = report.write_report(folder, study).read_text()
    assert report.write_report(folder, study).read_text() == first


def test_write_report__study_of_something_else(tmp_path, toy):
    """A study without entropy production and with a summary of its own has a table as well."""
    from workflows import store
    from workflows.grid import Grid

    study = toy(sizes=(2, 4), sessions=("a",), repetitions=1)
    made = store.create(tmp_path / "sweep.zarr", study, [], Grid(study.axes()))
    made.array("value")[...] = 0.25
    made.array("status")[...] = 1
    read = Page(report.write_report(tmp_path, study).read_text())
    assert "This study draws none." in "".join(read.text)
    assert not re.search("not heat", "".join(read.text), re.I)
    assert any("0.25" in row for row in read.rows)


def test_points__are_bounded():
    n = report_tables.N_ROW + 7
    table = report_tables.points(xr.Dataset({"x": ("beta", np.arange(n))}, coords={"beta": np.arange(n)}))
    assert len(table.rows) == report_tables.N_ROW
    assert table.n_hidden == 7


def test_problems__tells_why_ok_cells_lack_a_value():
    status = np.array(["ok", "ok", "failed"])
    dataset = xr.Dataset(
        {
            name: ("session", values)
            for name, values in {
                "status": status,
                "reason": ["", "too few blocks", ""],
                "error": ["", "", "bad\ntrace"],
                "error_type": ["", "", "ValueError"],
            }.items()
        },
        coords={"session": ["a", "b", "c"]},
    )
    failed, lacking = report_tables.problems(dataset)
    assert (failed.message, failed.detail, failed.cells) == ("bad", "trace", ("session c",))
    assert (lacking.state, lacking.message) == ("ok, with a value missing", "too few blocks")


def test_headline__numbers_are_told_with_their_axis():
    dims = ("session", "condition", "lag", "method", "size", "repetition")
    cells = np.ones((1, 1, 2, 1, 1, 1))
    run = xr.Dataset({"entropy_production": (dims, cells), "status": (dims, np.full(cells.shape, "ok"))})
    run = run.assign_coords(condition=["rest"], lag=[1, 5], method=["newton_step"], size=[10])
    lines = report.headline(summarise(run))
    assert [line.partition(":")[0] for line in lines] == ["rest, lag 1, newton step", "rest, lag 5, newton step"]


@pytest.mark.parametrize(
    ("config", "variables", "expected"),
    [
        ({}, [], set()),
        ({"estimator": {"method": "maxent", "cross_fit": 0, "lag": 1}}, [], set()),
        ({"estimator": {"method": "mtur", "cross_fit": 0, "lag": 2}}, ["score"], {"mtur", "lag", "score"}),
        (
            {
                "estimator": {"method": "maxent", "lag": 1},
                "axes": {"method": ["maxent", "newton_step"], "cross_fit": [0, 5]},
            },
            ["contribution", "order_increment"],
            {"newton_step", "cross_fit", "contribution", "order_increment"},
        ),
    ],
)
def test_told__is_what_the_run_has(config, variables, expected):
    run = xr.Dataset({name: 0.0 for name in variables}, attrs={"config": json.dumps(config)})
    assert report._told(run) == expected
