# /// script
# requires-python = "==3.11.*"
# dependencies = ["numpy==1.23.5", "pandas==1.5.3"]
# ///
"""Write allen_order.npz, the orders of numpy 1.23.5 and pandas 1.5.3: ``uv run --script make_allen_order.py``.

``column``: values one case after another, of which ``length`` and ``kind`` say how many and what they are; ``order``:
rows by ``DataFrame.sort_values(ascending=False)``. ``key``, ``merge_length`` and ``merged``: the same of an inner merge
on keys. Neither depends on the processor here: numpy 1.23.5 has no vector instructions for argsort.
"""

from pathlib import Path

import numpy as np
import pandas as pd


def main():
    if (np.__version__, pd.__version__) != ("1.23.5", "1.5.3"):
        raise SystemExit(f"numpy 1.23.5 and pandas 1.5.3 are needed, not {np.__version__} and {pd.__version__}")
    kinds, columns = zip(*cases(np.random.default_rng(20221128)), strict=True)
    orders = [sorted_rows(column) for column in columns]
    keys = [np.random.default_rng(n).integers(0, n // 2 + 1, n) for n in (1, 5, 50, 1500)]
    np.savez_compressed(
        Path(__file__).with_name("allen_order.npz"),
        kind=kinds,
        length=[len(column) for column in columns],
        column=np.concatenate(columns).astype("i2"),
        order=np.concatenate(orders).astype("i2"),
        merge_length=[len(key) for key in keys],
        key=np.concatenate(keys).astype("i2"),
        merged=np.concatenate([merged_rows(key) for key in keys]).astype("i2"),
    )


def cases(rng):
    yield "heights on the probes", rng.integers(0, 192, 2300) * 20
    for n in (*range(0, 36), 63, 64, 65, 129):
        for n_value in (1, 2, 8, 1000):
            yield "random", rng.integers(0, n_value, n)
    for n, n_value in ((500, 3), (1000, 400), (2500, 30)):
        yield "random", rng.integers(0, n_value, n)
    for n in (17, 33, 200, 1000):
        up = np.arange(n) // 3
        yield "ascending", up
        yield "descending", up[::-1]
        yield "organ pipe", np.concatenate([up[: n // 2], up[: n - n // 2][::-1]])
        yield "saw", np.arange(n) % 7
    for n in (64, 257, 1000):
        # sort_values sorts the column turned round
        yield "against quicksort", adversary(n)[::-1]
        yield "against quicksort, with ties", adversary(n)[::-1] // 3


def adversary(n):
    """Return values that take quicksort the longest: they are decided on only when it compares them (McIlroy 1999)."""
    undecided, known, values = n, [], np.full(n, n)
    candidate = [0]

    def decide(item):
        values[item] = len(known)
        known.append(item)

    class Item:
        def __init__(self, place):
            self.place = place

        def __lt__(self, other):
            one, two = self.place, other.place
            if values[one] == undecided and values[two] == undecided:
                decide(one if one == candidate[0] else two)
            if values[one] == undecided:
                candidate[0] = one
            elif values[two] == undecided:
                candidate[0] = two
            return bool(values[one] < values[two])

    np.argsort(np.array([Item(place) for place in range(n)], dtype=object))
    return values


def sorted_rows(column):
    return pd.DataFrame({"column": column}).sort_values("column", ascending=False).index.to_numpy()


def merged_rows(key):
    units = pd.DataFrame({"key": key, "row": np.arange(len(key))})
    channels = pd.DataFrame({"height": 0}, index=np.random.default_rng(0).permutation(key.max() + 1))
    return units.merge(channels, left_on="key", right_index=True)["row"].to_numpy()


if __name__ == "__main__":
    main()
