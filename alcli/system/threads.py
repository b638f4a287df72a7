"""How the threads of one process wait for each other."""

from __future__ import annotations

import os

SLEEPING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""What GNU's and LLVM's OpenMP runtimes read, once, when torch loads them."""


def sleep_while_waiting() -> None:
    """Let threads that wait for the others sleep, unless the environment says otherwise; before torch is imported.

    By default they spin. Where other processes want the cores, they spin in place of the very threads that they wait
    for: MobileNetV2 made 1.3 images a second instead of 5.2 on two cores with a load of 11. On an idle machine sleeping
    costs a tenth of the speed (32.5 instead of 35.8, medians of three).
    """
    for name, value in SLEEPING.items():
        os.environ.setdefault(name, value)
