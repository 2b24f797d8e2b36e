import json
import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neq import seeds

labels = st.dictionaries(st.text(min_size=1, max_size=5), st.integers() | st.text(max_size=5), max_size=4)


@given(labels=labels)
def test_label_words__order_does_not_matter(labels):
    turned = dict(reversed(labels.items()))
    assert seeds.label_words(labels) == seeds.label_words(turned)


@given(one=labels, two=labels)
def test_label_words__other_labels_other_words(one, two):
    assert (seeds.label_words(one) == seeds.label_words(two)) == (one == two)


def test_label_words__numpy_scalars_are_their_values():
    assert seeds.label_words({"size": np.int64(3)}) == seeds.label_words({"size": 3})


def test_generator__same_number_in_another_process():
    code = "from neq import seeds; import json; print(json.dumps(seeds.generator(7, session='a').random()))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(other.stdout) == seeds.generator(7, session="a").random()


def test_unit_keys__belong_to_the_unit():
    keys = seeds.unit_keys(0, [5, 9, 11], session="a", repetition=0)
    again = seeds.unit_keys(0, [11, 5], session="a", repetition=0)
    assert keys[[2, 0]].tolist() == again.tolist()
    assert len(set(keys.tolist())) == 3
