"""The configured task, for the classes that are configured or annotated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from alcli import plugins
from alcli.annotations import Annotation
from alcli.config import Config
from alcli.tasks import Task


def make_task(config: Config, classes: Sequence[str]) -> Task:
    """Make the configured task for these classes."""
    return plugins.load("tasks", config.task.name)(config.options_of("task"), config.model, classes)


def class_names(config: Config, annotations: Iterable[Annotation]) -> tuple[str, ...]:
    """The configured classes, or else all that occur, in alphabetical order."""
    if config.task.classes:
        return config.task.classes
    task, options = plugins.load("tasks", config.task.name), config.options_of("task")
    return tuple(sorted(set().union(*(task.vocabulary(annotation, options) for annotation in annotations))))
