import importlib.metadata
import sys

import pytest

from alcli import plugins
from alcli.errors import UsageError
from alcli.strategies import make_strategy
from alcli.strategies.learned_loss import LearnedLoss


def test_the_file_name_is_the_command_line_name():
    assert plugins.load("strategies", "learned-loss") is LearnedLoss
    assert {"learned-loss", "entropy", "random"} <= set(plugins.names("strategies"))


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_file_in_a_plugin_folder_has_its_class(kind):
    for name in plugins.names(kind):
        assert plugins.load(kind, name).__doc__


def test_a_typing_error_names_the_nearest():
    with pytest.raises(UsageError) as error:
        plugins.load("strategies", "learned-los")
    assert error.value.do == "Did you mean learned-loss?"


def test_nothing_near_lists_all():
    with pytest.raises(UsageError) as error:
        plugins.load("strategies", "zzz")
    assert "entropy, facility-location, foreground-random, herding" in error.value.do


def test_names_import_nothing(monkeypatch):
    monkeypatch.delitem(sys.modules, "alcli.strategies.entropy", raising=False)
    plugins.names("strategies")
    assert "alcli.strategies.entropy" not in sys.modules


def test_a_name_taken_twice_is_an_error(monkeypatch):
    entry = importlib.metadata.EntryPoint("entropy", "elsewhere:Entropy", "alcli.strategies")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry])
    with pytest.raises(UsageError, match="Two strategies are called entropy"):
        plugins.names("strategies")


def test_an_entry_point_of_another_package_is_loaded(monkeypatch):
    entry = importlib.metadata.EntryPoint("fractions", "fractions:Fraction", "alcli.strategies")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry])
    assert plugins.load("strategies", "fractions").__name__ == "Fraction"


def test_a_broken_plugin_of_another_package_is_named(monkeypatch):
    entry = importlib.metadata.EntryPoint("broken", "no_such_module:Broken", "alcli.strategies")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry])
    with pytest.raises(UsageError, match="'broken' of another package cannot be imported: ModuleNotFoundError"):
        plugins.load("strategies", "broken")


def test_a_file_without_its_class_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "hollow_one.py").write_text("x = 1\n")
    import alcli.strategies

    monkeypatch.setattr(alcli.strategies, "__path__", [*alcli.strategies.__path__, str(tmp_path)])
    with pytest.raises(UsageError, match="has no class HollowOne"):
        plugins.load("strategies", "hollow-one")


@pytest.mark.parametrize(("kind", "name"), [("tasks", "pose"), ("platforms", "superannotate"), ("platforms", "folder")])
def test_options_are_the_same_with_and_without_the_plugin(kind, name):
    assert plugins.load_options(kind, name) is plugins.load(kind, name).Options


def test_a_plugin_without_options_of_its_own_has_none():
    assert plugins.load_options("strategies", "entropy") is None


def test_a_wrapper_is_named_with_what_it_wraps(monkeypatch):
    class Doubled:
        wraps = True

        def __init__(self, inner):
            self.inner = inner

    entry = importlib.metadata.EntryPoint("doubled", "elsewhere:Doubled", "alcli.strategies")
    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", lambda self: Doubled)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry])
    made = make_strategy("doubled:doubled:entropy")
    assert type(made.inner.inner).__name__ == "Entropy"
    with pytest.raises(UsageError, match="doubled wraps another one"):
        make_strategy("doubled")
    with pytest.raises(UsageError, match="entropy cannot wrap another one, as in 'entropy:random'"):
        make_strategy("entropy:random")
    with pytest.raises(UsageError, match="'entrop'"):
        make_strategy("doubled:entrop")
