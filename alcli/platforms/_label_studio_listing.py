"""The list of tasks, kept between runs: what was not changed since is not asked for again."""

from __future__ import annotations

import contextlib
import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

from alcli.platforms._label_studio_client import Client
from alcli.platforms._label_studio_records import Project, Task
from alcli.system.files import atomic_write

FILE_NAME = "label-studio-tasks.json"
LAYOUT = 1
"""Changes with what is written about a task."""


class Listing:
    """The tasks of one project.

    The server says when a task was last changed, which includes its annotations. A list is complete only if as many
    tasks and annotations are on it as the server counts; tasks may have been deleted. If not, all of it is read again.
    """

    def __init__(self, client: Client, cache: Path) -> None:
        self._client, self._path = client, cache / FILE_NAME

    def tasks(self, project: Project) -> dict[int, Task]:
        """All tasks by number, in the order of their numbers."""
        known = self._read(project)
        if known:
            newest = max(task.updated for task in known.values())
            known |= {task.id: task for task in self._client.tasks(project.field, newest)}
        if not known or not _is_complete(known, project):
            known = {task.id: task for task in self._client.tasks(project.field)}
        tasks = dict(sorted(known.items()))
        self._write(project, tasks)
        return tasks

    def _key(self, project: Project) -> list[Any]:
        return [LAYOUT, self._client.wire.credentials.url, project.id, project.field]

    def _read(self, project: Project) -> dict[int, Task]:
        """The tasks of the last run; none if the file is not about this project, or cannot be read."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(self._path.read_text(encoding="utf-8"))
            if content["key"] == self._key(project):
                return {row[0]: Task(*row) for row in content["tasks"]}
        return {}

    def _write(self, project: Project, tasks: dict[int, Task]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = {"key": self._key(project), "tasks": [astuple(task) for task in tasks.values()]}
        with atomic_write(self._path) as stream:
            json.dump(content, stream)


def _is_complete(tasks: dict[int, Task], project: Project) -> bool:
    annotations = sum(task.annotations for task in tasks.values())
    skipped = sum(task.cancelled for task in tasks.values())
    return (len(tasks), annotations, skipped) == (project.tasks, project.annotations, project.skipped)
