"""Memory that is raised, and what a later driver knows of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import limits, memory
from cluster.memory import Memory
from cluster.partition import Partition
from cluster.profile import Profile

GIB = 2**30
SMALL = Partition("small", "UP", None, most_memory_mib=3 * 1024, n_node=1)


def profile(**keys):
    return Profile(**({"scheduler": "slurm", "cores": 1, "memory": "1GiB", "memory_margin": 1.0} | keys))


@pytest.fixture
def make(tmp_path):
    told = []

    def made(partition=None, **keys):
        one = Memory(profile(**keys), partition, tmp_path, told.append)
        one.told = told
        return one

    return made


def run_out(one):
    one.run_short(one.level)
    return one.raise_()


@given(st.integers(64, 10**6), st.integers(64, 10**6), st.integers(1, 8), st.floats(1, 3))
def test_steps__grow_and_none_is_over_the_limit(mib, most_mib, processes, margin):
    asked = profile(memory=f"{mib}MiB", cores=processes, processes=processes, memory_margin=margin)
    partition = Partition("p", "UP", None, most_memory_mib=most_mib, n_node=1)
    first, *raised = memory.steps(asked, most_mib * 2**20)
    assert first == asked.memory_bytes
    assert all(low * 1.09 < high <= 2 * low for low, high in zip([first, *raised], raised, strict=False))
    assert all(limits.problems(asked.model_copy(update={"memory": f"{one}B"}), partition) == [] for one in raised)


def test_memory__later_driver_begins_where_it_was_raised_to(make):
    first = make()
    assert run_out(first)
    again = make()
    assert (again.bytes, again.short) == (2 * GIB, False)
    assert again.told[-1] == "memory as an earlier driver raised it: 2.0 GiB"
    # also where the partition is another, that has less
    assert make(Partition("s", "UP", None, most_memory_mib=1536, n_node=1)).bytes == 1.5 * GIB


def test_memory__driver_that_died_before_it_was_raised(make):
    make().run_short(0)
    again = make()
    assert (again.bytes, again.short) == (GIB, True)
    assert again.raise_()
    assert (make().bytes, make().short) == (2 * GIB, False)


def test_memory__asked_for_anew_is_taken_as_it_is(make):
    assert run_out(make())
    other = make(memory="4GiB")
    assert (other.bytes, other.level) == (4 * GIB, 0)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"profile": 1073741824, "raised_to": "x", "short": 0}', "null"])
def test_memory__note_that_says_nothing(make, tmp_path, text):
    (tmp_path / memory.NOTE).write_text(text)
    assert (make().level, make().short) == (0, False)


def test_memory__one_sentence_at_the_limit(make):
    one = make(SMALL)
    assert [run_out(one) for _ in range(3)] == [True, True, False]
    assert one.told == [
        "memory raised to 2 times that of the profile, 2.0 GiB",
        "memory raised to 3 times that of the profile, 3.0 GiB, the most that partition small can give",
        "memory stays at 3.0 GiB, the most that partition small can give",
    ]
    assert one.facts() == {"profile_mib": 1024, "raised_to_mib": 3072}


def test_memory__refused_is_not_asked_for_again_and_not_by_a_later_driver(make):
    one = make()
    run_out(one)
    one.refused(1)
    assert (one.bytes, run_out(one)) == (GIB, False)
    assert make().bytes == GIB
