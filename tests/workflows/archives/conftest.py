from pathlib import Path
from urllib.parse import urlsplit

import archive_server
import pytest

from neq.readers.allen_cache import PROJECT, open_cache

CACHE = Path(__file__).resolve().parents[2] / "reference_data/allen/cache"


@pytest.fixture
def serve():
    """Start servers of files, each with its faults; they end with the test."""
    import contextlib

    with contextlib.ExitStack() as running:

        def start(files, *faults, context=None, kind=archive_server.Archive):
            return running.enter_context(archive_server.serving(files, faults, context, kind))

        yield start


@pytest.fixture(scope="session")
def bucket():
    """What the bucket of the release holds: (path, versionId) -> bytes."""
    cache = open_cache(CACHE)
    listed = [*cache.manifest.tables.values(), *cache.manifest.files.values()]
    files = {(urlsplit(one.url).path, one.version_id): (cache.root / one.path).read_bytes() for one in listed}
    name = cache.manifest.name
    return {**files, (f"/{PROJECT}/manifests/{name}", ""): (CACHE / name).read_bytes()}
