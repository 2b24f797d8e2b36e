import sys
from pathlib import Path

import pytest

TESTS = str(Path(__file__).parents[1])
# toy_study is named by "module:Class" in configs, also on workers, which inherit this path
if TESTS not in sys.path:
    sys.path.insert(0, TESTS)


@pytest.fixture
def toy():
    """Make a toy study from config keys."""
    import toy_study

    def make(**keys):
        return toy_study.Toy(toy_study.ToyConfig(**keys))

    return make
