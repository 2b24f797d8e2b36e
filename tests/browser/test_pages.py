"""What people see: the dashboard while a sweep runs, its report, and what its workers did when."""

import re

import pytest

GROUPS = {"estimate (s1, active)", "estimate (s1, rest)"}
NAMES = """
    const found = new Set();
    for (const page of Bokeh.documents)
        for (const model of page._all_models.values()) {
            const data = model.data;
            const names = data instanceof Map ? data.get("name") : data && data.name;
            if (names) for (const name of names) found.add(name);
        }
    return [...found];
"""
"""The names in all figures of a page that Bokeh has drawn."""


@pytest.fixture(scope="module")
def run(sweep):
    return sweep.finish()


def test_dashboard__shows_the_tasks_of_a_sweep_while_it_runs(chromium, sweep):
    address = sweep.address()
    chromium.open(address)
    names = chromium.wait(NAMES, lambda found: set(found) >= GROUPS, seconds=150)
    assert chromium.drawn("dashboard", GROUPS)
    assert sweep.process.poll() is None
    assert {name for name in names if name.startswith("estimate")} == GROUPS
    assert not chromium.errors()
    assert all(re.match(r"(http|ws)://127\.0\.0\.1:", url) for url in chromium.requests())


def test_report__renders_its_figures(chromium, sweep, run):
    page = (sweep.folder / "report.html").as_uri()
    chromium.open(page)
    widths = chromium.ask("return [...document.images].map(image => image.complete && image.naturalWidth)")
    assert len(widths) >= 2
    assert all(width > 0 for width in widths)
    headings = chromium.ask("return [...document.querySelectorAll('h2')].map(heading => heading.innerText)")
    assert {"Figures", "Values", "How to read them", "Completeness", "Provenance", "Cost"} <= set(headings)
    chromium.picture("report")
    overflow = chromium.ask("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    assert not chromium.errors()
    assert chromium.requests() == [page]


def test_report__leads_to_the_performance_report(chromium, sweep, run):
    chromium.open((sweep.folder / "report.html").as_uri())
    (address,) = chromium.ask("return [...document.querySelectorAll('#provenance ~ * a')].map(link => link.href)")
    assert address == (sweep.folder / "runs" / f"{run}-performance.html").as_uri()
    chromium.open(address)
    assert set(chromium.wait(NAMES, lambda found: set(found) >= GROUPS)) >= GROUPS
    chromium.picture("performance")
    chromium.ask("Bokeh.documents[0].roots()[0].active = 1")  # the tab with the task stream
    assert chromium.drawn("performance_tasks", GROUPS)
    assert not chromium.errors()
    assert chromium.requests() == [address]
