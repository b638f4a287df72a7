"""Threads that wait sleep: torch's own OpenMP runtime says which policy it has taken."""

import os
import subprocess
import sys

import pytest

COMMAND = "import sys; from alcli.__main__ import main; sys.argv = ['alcli', 'list', 'tasks', '--json']\n"
ASK = COMMAND + "try: main()\nexcept SystemExit: import torch"


def policy(**environment):
    """What the runtime prints as its wait policy when torch loads it after a command has begun."""
    env = {**os.environ, "OMP_DISPLAY_ENV": "true", **environment}
    messages = subprocess.run([sys.executable, "-c", ASK], env=env, capture_output=True, text=True, check=True).stderr
    lines = [line for line in messages.splitlines() if "OMP_WAIT_POLICY" in line]
    if not lines:
        pytest.skip("this build of torch has no OpenMP runtime that shows its settings")
    return lines[0].split("=")[1].strip(" '")


def test_waiting_threads_sleep():
    assert policy() == "PASSIVE"


def test_the_users_own_policy_stays():
    assert policy(OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"
