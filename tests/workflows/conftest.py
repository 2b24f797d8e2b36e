import gc
import sys
from pathlib import Path

import pytest

TESTS = str(Path(__file__).parents[1])
# toy_study is named by "module:Class" in configs, also on workers, which inherit this path
if TESTS not in sys.path:
    sys.path.insert(0, TESTS)


@pytest.fixture(scope="module")
def client():
    """Run two workers on this machine."""
    from cluster import local

    with local.start(workers=2, memory="1GiB", dashboard=False) as client:
        yield client
    # what distributed dropped must not surface in another module's test
    gc.collect()


@pytest.fixture
def toy():
    """Make a toy study from config keys."""
    import toy_study

    def make(**keys):
        return toy_study.Toy(toy_study.ToyConfig(**keys))

    return make


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """Return config file and folder of a finished run with failed and impossible cells; copy it before changing it."""
    import io

    from rich.console import Console

    from workflows import config
    from workflows.commands import pipeline

    folder = tmp_path_factory.mktemp("finished")
    path = folder / "toy.yaml"
    path.write_text(
        f"study: toy_study:Toy\nresults: {folder}/run\nsessions: [a, bad1]\nsizes: [2, 13, all]\nbig: true\n"
        "repetitions: 3\ncluster: {workers: 1}\n"
    )
    out = io.StringIO()
    outcome = pipeline.run(config.load(path), Console(file=out, width=200))
    return path, folder / "run", outcome, out.getvalue()


@pytest.fixture
def run_copy(finished_run, tmp_path):
    """Return the folder of a copy of the finished run."""
    import shutil

    return shutil.copytree(finished_run[1], tmp_path / "run")
