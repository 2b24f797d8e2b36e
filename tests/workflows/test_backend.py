"""Where a run gets its cluster."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from workflows import backend


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_undisturbed__answers_at_the_end(number):
    done = []
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012, SIM117
        with backend.undisturbed():
            os.kill(os.getpid(), number)
            done.append(1)
    assert done == [1]
    assert signal.getsignal(number) is before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_undisturbed__children_never_see_ctrl_c():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('alive')"
    with backend.undisturbed():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "alive\n"


def test_undisturbed__in_another_thread_does_nothing():
    def work():
        with backend.undisturbed():
            pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
