import json
import subprocess
import sys

import pytest

from neq.errors import LeaseHeldError, LeaseLostError
from workflows import lease as local
from workflows.remote import lease
from workflows.remote.copies import Content, Copies
from workflows.remote.place import ABSENT, ChangedError, Place

ELSEWHERE = {"host": "elsewhere", "pid": 1, "started": 0.0, "boot": "", "since": 0.0, "nonce": "x"}


@pytest.fixture
def place(place_of_own):
    return Place(place_of_own)


def test_lease__second_driver_refuses_and_the_next_number_is_higher(place):
    with lease.acquire(place, "here") as held:
        assert (held.epoch, held.before, place.conditional) == (1, 0, True)
        with pytest.raises(LeaseHeldError, match=r"is in use: process \d+ on .* works on it since"):
            lease.acquire(Place(place.url), "there")
        assert lease.current(place)["work"] == "here"
    assert lease.current(place) is None
    with lease.acquire(place, "there") as held:
        assert (held.epoch, held.before) == (2, 1)
        assert lease.epochs(place) == {2}


def test_lease__dead_process_of_this_host_is_followed_at_once(place):
    code = "import os; from workflows.remote import lease, place; "
    code += f"lease.acquire(place.Place({place.url!r}), ''); os._exit(0)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert lease.epochs(place) == {1}
    with lease.acquire(place, "here") as held:
        assert held.epoch == 2


def test_lease__silent_driver_of_another_host_is_waited_for(place, monkeypatch):
    place.put("lease/7.json", json.dumps(ELSEWHERE).encode())
    with pytest.raises(LeaseHeldError, match="process 1 on elsewhere"):
        lease.acquire(place, "here")
    monkeypatch.setattr(local, "SILENCE_SECONDS", -1.0)
    with lease.acquire(place, "here") as held:
        assert (held.epoch, held.before) == (8, 7)


def test_lease__overtaken_driver_replaces_nothing(place, tmp_path):
    """Neither what is there nor what is not: the other driver's objects are other ones."""
    place.put("there", b"old")
    with lease.acquire(place, "here") as held:
        copies = Copies(place, tmp_path, held)
        # followed: the other driver's lease is there, ours is deleted, and it has written
        place.put("lease/2.json", json.dumps(ELSEWHERE).encode())
        place.delete("lease/1.json")
        place.put("there", b"newer")
        place.put("made", b"newer")
        for key in ("there", "made"):
            with pytest.raises(LeaseLostError, match=r"Another driver has taken s3://.* over \(lease 2, ours was 1\)"):
                copies.put(Content(key, b"ours", None))
            assert place.get(key) == b"newer"
    assert "released" not in json.loads(place.get("lease/2.json"))
    assert place.get("lease/1.json") is None


def test_lease__heartbeat_finds_out_and_nothing_is_put_after_a_long_silence(place, tmp_path, monkeypatch):
    with lease.acquire(place, "here") as held:
        copies = Copies(place, tmp_path, held)
        copies.put(Content("a", b"1", None))
        place.put("lease/2.json", json.dumps(ELSEWHERE).encode())
        place.delete("lease/1.json")
        monkeypatch.setattr(lease, "TRUST_SECONDS", -1.0)
        # nobody has touched the object, so only the lease can say no
        with pytest.raises(LeaseLostError):
            copies.put(Content("b", b"2", None))
        assert place.get("b") is None
        with pytest.raises(LeaseLostError):
            held.check()


def test_lease__answer_that_was_lost_is_no_other_driver(place):
    """The put came through and its answer did not: tried again, the condition no longer holds."""
    with lease.acquire(place, "here") as held:
        content = json.loads(place.get("lease/1.json"))
        place.put("lease/1.json", json.dumps({**content, "beat": "lost answer"}).encode())
        held.beat()
        held.check()


def test_place__conditions(place):
    entry = place.put("a", b"1", match=ABSENT)
    with pytest.raises(ChangedError):
        place.put("a", b"2", match=ABSENT)
    with pytest.raises(ChangedError):
        place.put("a", b"2", match='"0123456789abcdef0123456789abcdef"')
    with pytest.raises(ChangedError):
        place.put("b", b"2", match=entry.tag)
    assert place.put("a", b"22", match=entry.tag).size == 2
    assert {key: (found.size, len(found.md5)) for key, found in place.list().items()} == {"a": (2, 32)}
    assert place.get("nothing") is None
    assert place.entry("nothing") is None
    assert place.modified("nothing") is None
    place.delete("nothing")


def test_lease__server_without_conditions_is_found_out(place, monkeypatch):
    """A server that takes every put, whatever its condition says."""
    put = Place.put
    monkeypatch.setattr(Place, "put", lambda self, key, content, match=None: put(self, key, content))
    with lease.acquire(place, "here") as held:
        assert not place.conditional
        held.beat()
        with pytest.raises(LeaseHeldError):
            lease.acquire(Place(place.url), "there")
