import os
import signal

import pytest

from bundle.running.interruption import kill_as_interrupt


def test_a_kill_stops_the_body_as_ctrl_c_does_and_means_what_it_meant_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), kill_as_interrupt():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert signal.getsignal(signal.SIGTERM) is before
