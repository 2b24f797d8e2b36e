"""Whole arrays read without zarr, against zarr itself."""

import shutil

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, ZstdCodec

from neq.chunks import read_array

FILLS = {"u1": 3, "i8": -1, "f4": np.nan, "f8": np.nan, "bool": True, "str": ""}


def made(folder, values, chunks, dtype, **keys):
    shutil.rmtree(folder, ignore_errors=True)
    array = zarr.create_array(folder, shape=values.shape, chunks=chunks, dtype=dtype, fill_value=FILLS[dtype], **keys)
    array[...] = values
    return array


def numbers(dtype):
    shape = hnp.array_shapes(min_dims=1, max_dims=3, max_side=7)
    return hnp.arrays(dtype, shape) if dtype != "str" else hnp.arrays("O", shape, elements=st.text(max_size=3))


@pytest.mark.parametrize("dtype", FILLS)
@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_read_array__is_what_zarr_reads(tmp_path_factory, dtype, data):
    folder = tmp_path_factory.getbasetemp() / f"chunks-{dtype}"
    values = data.draw(numbers(dtype))
    chunks = tuple(data.draw(st.integers(1, n)) for n in values.shape)
    encoding = {"name": "default", "separator": data.draw(st.sampled_from("./"))}
    codec = data.draw(st.sampled_from([ZstdCodec(level=1, checksum=True), None]))
    keys = {"compressors": codec, "chunk_key_encoding": encoding}
    if dtype == "str":
        # zarr encodes no lone surrogates and no empty text beside nothing
        values = np.vectorize(lambda text: text.encode(errors="ignore").decode(), otypes="O")(values)
    array = made(folder, values, chunks, dtype, **keys)
    missing = next((folder / "c").rglob("*"), None) if encoding["separator"] == "/" else next(folder.glob("c.*"), None)
    if missing is not None and missing.is_file():
        missing.unlink()
    np.testing.assert_array_equal(read_array(folder), np.asarray(array[...], dtype="O" if dtype == "str" else None))


@pytest.mark.parametrize("keys", [{"compressors": BloscCodec()}, {"shards": (4, 4)}])
def test_read_array__leaves_other_kinds_to_zarr(tmp_path, keys):
    made(tmp_path / "a", np.ones((4, 4)), (2, 2), "f8", **keys)
    assert read_array(tmp_path / "a") is None


def test_read_array__a_flipped_bit_is_an_error(tmp_path):
    made(tmp_path / "a", np.arange(100.0), (100,), "f8", compressors=ZstdCodec(checksum=True))
    path = tmp_path / "a" / "c" / "0"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises((RuntimeError, ValueError)):
        read_array(tmp_path / "a")
