"""Settings and fixtures shared by all tests."""

import os

import pytest
from hypothesis import settings

SDK_REQUIRED = "NEQ_REQUIRE_ALLENSDK"
"""Environment variable: 1 turns an environment of the Allen SDK that cannot be made from a skip into a failure."""

# The first call of a kernel compiles it, so the time of a single example says nothing.
settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")


def pytest_collection_modifyitems(items):
    for item in items:
        if "sdk" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.allensdk)


@pytest.fixture(scope="session")
def sdk():
    """Make the environment of the Allen SDK, once."""
    from neq.errors import RecordingError
    from neq.readers.allensdk_environment import make_environment

    try:
        make_environment()
    except RecordingError as error:
        # one that was made and does not work is a fault of ours, whoever runs the tests
        if os.environ.get(SDK_REQUIRED) == "1" or "opens no file" in str(error):
            pytest.fail(str(error))
        pytest.skip(str(error))
