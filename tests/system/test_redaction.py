"""Secrets by value."""

from __future__ import annotations

import logging

import pytest

from alcli.system.redaction import HIDDEN, Redaction, keep_secret, redacted


def test_a_registered_secret_is_taken_out_also_as_part_of_an_address():
    keep_secret("Canary.secret=99")
    assert redacted("a Canary.secret=99 b ?t=Canary.secret%3D99") == f"a {HIDDEN} b ?t={HIDDEN}"


def test_the_longer_of_two_secrets_leaves_no_rest():
    keep_secret("Canary.short")
    keep_secret("Canary.short.longer")
    assert redacted("Canary.short.longer") == HIDDEN


@pytest.mark.parametrize("value", ["", ".", "token"])
def test_what_is_too_short_for_a_secret_hides_nothing(value):
    keep_secret(value)
    assert redacted("The token in token.txt is none.") == "The token in token.txt is none."


def test_a_log_line_loses_the_secret_in_its_arguments():
    keep_secret("Canary.logged=1")
    record = logging.LogRecord("sa", logging.ERROR, "", 1, "got %s", ("Canary.logged=1",), None)
    assert Redaction().filter(record) and record.getMessage() == f"got {HIDDEN}"
