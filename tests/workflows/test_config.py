"""Configs: every problem at once, each with its path."""

import sys
import types
from pathlib import Path
from typing import Literal

import pytest

from neq.errors import ConfigError
from workflows import config, config_sections, config_show


class Estimator(config.Section):
    split: Literal["none", "shuffled", "blocked"] = "shuffled"
    ridge: float = 1e-6


class ToyConfig(config.RunConfig):
    recordings: config.DataPath | list[config.DataPath] | dict[str, config.DataPath]
    sizes: tuple[int | Literal["all"], ...] = (10, "all")
    estimator: Estimator = Estimator()


class ToyStudy:
    Config = ToyConfig


@pytest.fixture(autouse=True)
def _toy_module(monkeypatch, tmp_path):
    module = types.ModuleType("toy_for_config")
    module.Toy = ToyStudy
    monkeypatch.setitem(sys.modules, "toy_for_config", module)
    monkeypatch.setenv("NEQ_DATA", str(tmp_path / "data"))


def write(tmp_path, text, name="toy.yaml"):
    path = tmp_path / name
    path.write_text("study: toy_for_config:Toy\n" + text)
    return path


def problems(path, overrides=()):
    with pytest.raises(ConfigError) as caught:
        config.load(path, overrides)
    return str(caught.value.args[0])


def test_load__class_of_the_study_and_name(tmp_path):
    loaded = config.load(write(tmp_path, "recordings: a.npz\nseed: 7\n"))
    assert isinstance(loaded, ToyConfig)
    assert loaded.name == "toy"
    assert loaded.run_folder == Path("results/toy")
    assert loaded.seed == 7


def test_load__all_problems_at_once(tmp_path):
    content = "seed: x\nsizes: [10, al]\nestimator: {splitt: none, ridge: .inf}\nseeds: 2\n"
    text = problems(write(tmp_path, content + "cluster: {workers: 0}\nseed: 1.5\n"))
    assert "8 problems" in text
    assert "seed: written twice (again in line 7)" in text
    assert "seed: expected a valid integer, got a number with a fractional part, found 1.5" in text
    assert "sizes.1: expected a valid integer or 'all', found 'al'" in text
    assert "estimator.splitt: unknown key; did you mean 'split'?" in text
    assert "estimator.ridge: expected a finite number, found inf" in text
    assert "seeds: unknown key; did you mean 'seed'?" in text
    assert "cluster.workers: expected greater than or equal to 1, found 0" in text
    assert "recordings: this key is required" in text


def test_load__wrong_word_lists_the_words(tmp_path):
    text = problems(write(tmp_path, "recordings: a\nestimator: {split: shufled}\n"))
    assert "estimator.split: expected 'none', 'shuffled' or 'blocked', found 'shufled'" in text


@pytest.mark.parametrize("name", ["neural_recording", "toy_for_config:Nothing", "not_there:Toy", 3])
def test_load__unknown_study(tmp_path, name):
    path = tmp_path / "c.yaml"
    path.write_text(f"study: {name}\n")
    assert "study: " in problems(path)


def test_load__missing_file(tmp_path):
    assert "cannot be read (No such file or directory)" in problems(tmp_path / "no.yaml")


def test_load__not_yaml_names_the_line(tmp_path):
    assert "line 3, column" in problems(write(tmp_path, "sizes: [1, 2\nseed: 1\n"))


def test_load__not_a_mapping(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("[1, 2]")
    assert "must hold keys and values, found list" in problems(path)


def test_load__overrides(tmp_path):
    path = write(tmp_path, "recordings: a\nestimator:\n")
    loaded = config.load(path, ["estimator.ridge=1e-3", "sizes=[5, all]", "cluster.workers=3", "results=null"])
    assert (loaded.estimator.ridge, loaded.sizes, loaded.cluster.workers, loaded.results) == (1e-3, (5, "all"), 3, None)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "expected KEY=VALUE"),
        ("seed.x=1", "seed holds no keys of its own"),
        ("estimator.split=[", "the value is not YAML"),
        ("estimatr.split=none", "estimatr: unknown key; did you mean 'estimator'?"),
    ],
)
def test_load__bad_overrides(tmp_path, override, message):
    assert message in problems(write(tmp_path, "recordings: a\nseed: 1\n"), [override])


@pytest.mark.parametrize("memory", ["xx", "-4GiB", "0", "1e400", "4 elephants"])
def test_load__memory_is_a_size(tmp_path, memory):
    text = problems(write(tmp_path, f"recordings: a\ncluster: {{memory: '{memory}'}}\n"))
    assert f"cluster.memory: expected a size such as 4GiB, found '{memory}'" in text


def test_load__profiles_are_those_there_are(tmp_path, monkeypatch):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "campus.yaml").touch()
    monkeypatch.setattr(config_sections.cluster, "__file__", str(tmp_path / "__init__.py"))
    path = write(tmp_path, "recordings: a\n")
    assert config.load(path, ["cluster.profile=campus", "cluster.memory=4GiB"]).cluster.profile == "campus"
    message = "cluster.profile: expected 'local', 'campus' or the path of a FILE.yaml, found 'moon'"
    assert message in problems(path, ["cluster.profile=moon"])


def test_load__profile_from_a_file_is_absolute_and_read_later(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").touch()
    path = write(tmp_path, "recordings: a\n")
    monkeypatch.chdir("/")
    assert config.load(path, ["cluster.profile=mine.yaml"]).cluster.profile == str(tmp_path / "mine.yaml")
    # the config of a finished run names a file that may be on another machine
    assert config.load(path, ["cluster.profile=gone.yaml"]).cluster.profile == "/gone.yaml"


def test_data_path__absolute_then_data_folder_then_beside_the_config(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.npz").touch()
    (tmp_path / "b.npz").touch()
    text = f"recordings: {{one: a.npz, two: b.npz, three: {tmp_path}/c.npz, four: d.npz, five: '*.npz'}}\n"
    loaded = config.load(write(tmp_path, text))
    expected = {"one": "data/a.npz", "two": "b.npz", "three": "c.npz", "four": "data/d.npz", "five": "data/*.npz"}
    assert loaded.recordings == {session: str(tmp_path / path) for session, path in expected.items()}


def test_science__leaves_out_what_cannot_change_a_number(tmp_path):
    path = write(tmp_path, "recordings: a\n")
    one, two = config.load(path), config.load(path, ["cluster.workers=5", "sweep.deaths=1", "results=else"])
    assert config.science(one) == config.science(two)
    assert config.science(config.rebuild(config.science(one))) == config.science(one)


def test_resolved__reads_back(tmp_path):
    one = config.load(write(tmp_path, "recordings: [a, b]\nsizes: [3, all]\nestimator: {ridge: 1e-7}\n"))
    (tmp_path / "config.yaml").write_text(config.resolved(one))
    assert config.load(tmp_path / "config.yaml").model_dump() == one.model_dump()


def test_commented__reads_back_and_tells_defaults(tmp_path):
    one = config.load(write(tmp_path, "recordings: {s1: a, s2: b}\nseed: 4\nestimator: {ridge: 1e-7}\n"))
    text = config_show.commented(one)
    (tmp_path / "shown.yaml").write_text(text)
    assert config.load(tmp_path / "shown.yaml").model_dump() == one.model_dump()
    assert "seed: 4                                       # Root of all random streams. Default: 0" in text
    assert "Default: 1.0e-06" in text
