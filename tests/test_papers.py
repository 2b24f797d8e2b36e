"""The project's own papers agree with the code: README runs, configs are listed, versions and constraints match."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path

import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import neq
from workflows import cli

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_readme__examples_run():
    result = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert result.attempted >= 5
    assert result.failed == 0


def test_readme__links_lead_somewhere():
    for page in ROOT.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_readme__public_names_exist():
    text = (ROOT / "README.md").read_text().partition("## Python")[2].partition("## ")[0]
    for name in re.findall(r"^\| `(\w+)", text, flags=re.MULTILINE):
        assert name in neq.__all__


def test_configs__each_is_listed_once():
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "configs/README.md").read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))


def test_constraints__pin_every_dependency_within_its_bounds(project):
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    for text in project["dependencies"] + project["optional-dependencies"]["test"]:
        requirement = Requirement(text)
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier


def test_version__is_the_same_everywhere(project):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == neq.__version__ == citation["version"]


def test_readme__commands_are_those_of_the_program():
    """Both ways: none is missing from the table, none in it is missing from the program."""
    main = typer.main.get_command(cli.app)
    groups = ("config", "cluster")
    real = {name for name, command in main.commands.items() if name not in groups and not command.hidden}
    real |= {f"{group} {name}" for group in groups for name in main.commands[group].commands}
    table = (ROOT / "README.md").read_text().partition("## Commands")[2].partition("## ")[0]
    named = set(re.findall(r"`neq ((?:config |cluster )?\w+)", table))
    assert named == real


def test_ci__is_executable_and_checks_before_it_tests():
    path = ROOT / ".ci/run"
    assert path.stat().st_mode & 0o111
    text = path.read_text()
    assert "set -euo pipefail" in text
    assert text.index("make lint") < text.index("make test")
