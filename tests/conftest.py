"""Settings shared by all tests."""

from hypothesis import settings

# The first call of a kernel compiles it, so the time of a single example says nothing.
settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")
