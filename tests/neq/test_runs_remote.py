"""Runs opened at a URL, on fsspec's own memory filesystem; on a real server: tests/workflows/remote."""

import fsspec
import numpy as np
import pytest
import xarray as xr

import neq
from neq import urls
from neq.errors import StoreError


@pytest.fixture
def kept(tmp_path):
    """Return the URL of a small run: two cells, one of them ok."""
    attrs = {"flag_values": [0, 1], "flag_meanings": "pending ok"}
    dataset = xr.Dataset(
        {
            "status": ("repetition", np.array([1, 0], "u1"), attrs),
            "quality": ("repetition", np.zeros(2, "u1")),
            "value": ("repetition", np.array([0.5, 7.0])),
        },
        {"repetition": [0, 1]},
        {"neq": {"study": "toy", "outputs": [{"name": "value"}]}},
    )
    url = f"memory://lab/{tmp_path.name}"
    dataset.to_zarr(f"{url}/sweep.zarr", zarr_format=3, consolidated=False)
    return url


@pytest.mark.parametrize("below", ["", "/", "/sweep.zarr"])
def test_open_run__at_a_url(kept, below):
    run = neq.open_run(kept + below)
    assert run["status"].values.tolist() == ["ok", "pending"]
    assert np.array_equal(run["value"].values, [0.5, np.nan], equal_nan=True)
    assert run.attrs["run"] == kept.rsplit("/", 1)[1]
    assert list(neq.open_run(kept, variables=[])) == ["status", "quality", "quality_flags"]


def test_open_run__nothing_at_the_url(kept):
    with pytest.raises(StoreError, match=r"memory://lab/nothing is not a run: expected a place that holds sweep\.zarr"):
        neq.open_run("memory://lab/nothing")


def test_open_run__damaged_chunk_at_a_url(kept):
    files, root = fsspec.url_to_fs(kept)
    files.pipe_file(f"{root}/sweep.zarr/value/c/0", b"nonsense")
    with pytest.raises(StoreError, match=r"Variable value of .* is damaged"):
        neq.open_run(kept)


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        ("zz://b/x", ValueError("Protocol not known: zz"), "fsspec cannot open zz:// here"),
        ("s3://b/x", FileNotFoundError("The specified bucket does not exist"), "there is no bucket b: make it"),
        ("s3://b/x", PermissionError("Access Denied"), "permission denied"),
        ("s3://b/x", ConnectionRefusedError("refused"), "the server cannot be reached"),
        ("s3://b/x", TimeoutError("slow"), "the server cannot be reached"),
        ("s3://b/x", OSError("odd"), "OSError: odd."),
    ],
)
def test_problem__one_sentence_with_the_remedy(url, error, said):
    text = str(urls.problem(url, error))
    assert text.startswith(f"{url}: {said}")
    assert "\n" not in text


def test_is_missing__a_bucket_is_no_object():
    assert urls.is_missing(FileNotFoundError("lab/x"))
    assert not urls.is_missing(FileNotFoundError("The specified bucket does not exist"))
    assert not urls.is_missing(PermissionError("Access Denied"))
