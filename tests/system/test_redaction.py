"""Secrets by value."""

from __future__ import annotations

import logging

import pytest

from alcli.system.redaction import HIDDEN, Redaction, keep_secret, redact


def test_a_registered_secret_is_replaced_even_inside_a_url():
    keep_secret("Canary.secret=99")
    assert redact("a Canary.secret=99 b ?t=Canary.secret%3D99") == f"a {HIDDEN} b ?t={HIDDEN}"


def test_the_longer_of_two_secrets_is_replaced_whole():
    keep_secret("Canary.short")
    keep_secret("Canary.short.longer")
    assert redact("Canary.short.longer") == HIDDEN


@pytest.mark.parametrize("value", ["", ".", "token"])
def test_text_too_short_for_a_secret_is_not_replaced(value):
    keep_secret(value)
    assert redact("The token in token.txt is none.") == "The token in token.txt is none."


def test_secrets_in_log_arguments_are_replaced():
    keep_secret("Canary.logged=1")
    record = logging.LogRecord("sa", logging.ERROR, "", 1, "got %s", ("Canary.logged=1",), None)
    assert Redaction().filter(record) and record.getMessage() == f"got {HIDDEN}"
