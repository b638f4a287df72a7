"""Label Studio: the order of the queue is the score of a prediction for each task, smallest first."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from alcli.annotations import Annotation
from alcli.config import TaskOptions
from alcli.errors import DataError, PlatformError, UsageError
from alcli.formats import Purpose
from alcli.formats.label_studio import Control, read_results, write_results
from alcli.images import load
from alcli.items import LABELED, SKIPPED, UNLABELED, Item, QueryRow, QueuedItem, Receipt, Refusal
from alcli.platforms._answers import AGAIN, KEPT
from alcli.platforms._downloads import Downloads
from alcli.platforms._label_studio_answers import choose_annotation
from alcli.platforms._label_studio_client import SCORES_A_CALL, Client
from alcli.platforms._label_studio_listing import Listing
from alcli.platforms._label_studio_options import LabelStudioOptions
from alcli.platforms._label_studio_records import UNCERTAINTY, Project, Task, fitting_controls, image_name
from alcli.platforms._label_studio_setup import check_title, labeling_interface, missing_images, parts_to_upload
from alcli.platforms._label_studio_wire import TooLarge
from alcli.platforms._mirror import mirror_path
from alcli.system.clock import LARGEST_SKEW
from alcli.system.hashing import sha256_of_text
from alcli.system.text import quantity

OWN = "alcli-"
"""How the names of alcli's own versions begin; no other version is ever removed."""
PASSES = 3
REMOVAL_SECONDS = 30.0
"""How long a push removes scores of earlier cycles."""


class LabelStudio:
    """The tasks of one Label Studio project; an item's id is the task's number.

    Annotators who press "Label All Tasks" receive the task with the smallest score first, each another one. A push adds
    a prediction with a score to every queued task, under a version of its own; then one request switches the project to
    that version. So annotators have the old order until the new one is complete.
    """

    Options = LabelStudioOptions

    @classmethod
    def check(cls, options: LabelStudioOptions) -> None:
        """Raise UsageError or AuthError unless project, token and address are complete; sends no request."""
        if options.images is not None and not options.images.exists():
            raise UsageError(f"--images: there is no {options.images}.", do="Check the path, or omit it.")
        cls(options, Path("cache"))

    def __init__(self, options: LabelStudioOptions, cache: Path) -> None:
        if not options.project:
            raise UsageError("Label Studio needs a project.", do="--project TITLE, or its number.")
        self._options = options
        self._client = Client(options)
        self._listing = Listing(self._client, cache)
        self._downloads = Downloads(cache / "images", options, self._client.wire.credentials.url)
        self._purpose = Purpose()
        self._tasks: Mapping[int, Task] | None = None

    def set_task(self, task: TaskOptions) -> None:
        """Only results of controls that fit the task count."""
        self._purpose = Purpose(task.name, task.classes)

    def create(self, task: TaskOptions) -> str:
        """Make the project, and upload the images of ``platform.images`` that it does not have.

        Raises:
            UsageError: the title or the classes do not do, or two images would have one name.
        """
        title = self._options.project or ""
        check_title(title)
        made = self._client.create_project(title, labeling_interface(task))
        project = self._client.project()
        known = {each.name: each.image for each in self._client.tasks(project.field)}
        images = missing_images(self._options.images, known) if self._options.images else {}
        for part in parts_to_upload(images):
            self._client.upload_images(part)
        was = "was made" if made else "was there already"
        return f"The project {title!r} {was}; {quantity(len(images), 'image')} uploaded."

    # The platform's contract

    def items(self) -> Iterator[Item | Refusal]:
        """Every task of the project; complete, or raises.

        Raises:
            UsageError: the labeling interface shows no image, or has no control that fits the task.
        """
        project = self._client.project()
        self._controls(project)
        self._tasks = self._listing.tasks(project)
        names: set[str] = set()
        for task in self._tasks.values():
            if not task.image:
                yield Refusal(str(task.id), f"task {task.id}", f"it has no image in {project.field!r}")
                continue
            # Two tasks may show one image; a list by names has to tell them apart.
            name = f"{task.name} (task {task.id})" if task.name in names else task.name
            names.add(name)
            try:
                yield _item(task, name)
            except DataError as error:
                yield Refusal(str(task.id), f"task {task.id}", error.what)

    def annotations(self, items: Sequence[Item]) -> Iterator[Annotation | Refusal]:
        """The annotation of each item, fetched in parts; an unreadable one becomes a refusal."""
        if not items:
            return
        controls = {control.name for control in self._controls(self._client.project())}
        documents = self._client.annotations([int(item.id) for item in items])
        people = self._client.users() if "@" in self._options.annotator else {}
        for item in items:
            try:
                chosen = choose_annotation(documents[int(item.id)], controls, self._options.annotator, people)
                yield read_results(item.id, chosen.results, self._purpose, chosen.seconds)
            except DataError as error:
                yield Refusal(item.id, item.name, error.what, item.version)

    def image(self, item: Item) -> Path:
        """The item's pixels: from the local copy, else from its address or the server.

        Raises:
            DataError: the image is missing or cannot be downloaded.
        """
        if copy := self._local_copy(item):
            return copy
        task = Task(int(item.id), item.uri, "", "", 0, 0)
        return self._downloads.file(_key(item), lambda: self._client.image_source(task))

    def download_place(self, item: Item) -> Path | None:
        """Where the download lies, or will lie; None where there is a local copy."""
        return None if self._local_copy(item) else self._downloads.place(_key(item))

    def drop_image(self, item: Item) -> bool:
        """Drop the download of an image that cannot be decoded; whether it will be asked for again."""
        return self._downloads.drop(_key(item))

    def _local_copy(self, item: Item) -> Path | None:
        if self._options.images is not None:
            with contextlib.suppress(DataError):
                return mirror_path(self._options.images, replace(item, name=image_name(item.uri)))
        return None

    def push(self, query: Sequence[QueryRow]) -> Iterator[Receipt]:
        """Score every row under a new version, then switch the project to it; nothing changes before the switch."""
        version = _version(query)
        last = max(len(query) - 1, 1)
        wanted = {int(row.item.id): (row.rank - 1) / last for row in query}
        if query:
            self._complete(version, wanted)
        before = self._client.project()
        if before.model_version != version or before.sampling != UNCERTAINTY:
            self._switch(version)
        for row in query:
            accepted = int(row.item.id) in wanted
            yield Receipt(row.item.id, row.rank, accepted, "" if accepted else "its task was deleted")
        self._remove_old({version, before.model_version})

    def queue(self) -> Sequence[QueuedItem]:
        """The scored tasks that nobody has annotated, smallest score first; equal scores share a position.

        Empty if the project does not serve the order of scores.
        """
        project = self._client.project()
        if not project.serves_scores:
            return []
        tasks = self._tasks if self._tasks is not None else self._listing.tasks(project)
        current = [each for each in self._client.predictions() if each.version == project.model_version]
        waiting = [each for each in current if each.task in tasks and _state(tasks[each.task]) == UNLABELED]
        first: dict[float, int] = {}
        queue: dict[int, QueuedItem] = {}
        for each in sorted(waiting, key=lambda each: (each.score, each.task)):
            position = first.setdefault(each.score, len(queue) + 1)
            queue.setdefault(each.task, QueuedItem(position, tasks[each.task].name, str(each.task)))
        return list(queue.values())

    # Dispatching

    def assign(self, rows: Sequence[QueryRow], users: Sequence[str]) -> None:
        """Assign the rows to the users, round robin; raises UsageError in the community edition."""
        people = self._client.users()
        missing = [user for user in users if user not in people]
        if missing:
            raise UsageError(f"Label Studio has no user {', '.join(missing)}.", do=f"It has {', '.join(people)}.")
        for number, user in enumerate(users):
            self._client.assign([int(row.item.id) for row in rows[number :: len(users)]], [people[user]])

    def set_status(self, rows: Sequence[QueryRow], status: str) -> None:
        """Raises UsageError: tasks have no status."""
        raise UsageError("Label Studio's tasks have no status that can be set.", do="Leave --status out.")

    def add_to_subset(self, rows: Sequence[QueryRow], subset: str) -> None:
        """Show the rows' tasks in a tab of this title in the Data Manager."""
        self._client.show_tab(subset, [int(row.item.id) for row in rows])

    def prelabel(self, items: Sequence[Item], annotations: Sequence[Annotation]) -> list[Refusal]:
        """Put shapes into the predictions that order the queue; returns the items that have none.

        Raises:
            DataError: a class is not among the labels of the interface.
        """
        project = self._client.project()
        controls = self._controls(project)
        _check_labels(controls, annotations, self._purpose.task == "pose")
        current = {each.task: each for each in self._client.predictions() if each.version == project.model_version}
        refused: list[Refusal] = []
        for item, annotation in zip(items, annotations, strict=True):
            prediction = current.get(int(item.id))
            if prediction is None:
                refused.append(Refusal(item.id, item.name, "its task has no score; is it queued?"))
                continue
            size = annotation.size or load(self.image(item)).size
            self._client.put_results(prediction.id, write_results(annotation, size, controls))
        return refused

    def checks(self) -> Iterator[tuple[str, bool, str]]:
        """Yield (what was checked, whether it is fine, details) for ``alcli doctor``; asks the server."""
        wire = self._client.wire
        yield "token", True, f"from {wire.credentials.source}, for {wire.credentials.url}: {self._client.user()}"
        skew = wire.skew or 0.0
        side = "ahead" if skew > 0 else "behind"
        yield "clock of the server", abs(skew) <= LARGEST_SKEW, f"this machine's clock is {abs(skew):.0f} s {side}"
        project = self._client.project()
        yield "project", True, f"{project.title} (number {project.id}), {project.tasks} tasks"
        controls = ", ".join(f"{control.kind} {control.name!r}" for control in self._controls(project))
        yield "labeling interface", True, f"image in {project.field!r}; {controls}"
        yield from _check_order(project, self._client.versions())

    # Parts

    def _controls(self, project: Project) -> tuple[Control, ...]:
        if not project.field:
            raise UsageError(
                f"The labeling interface of {project.title!r} shows no image.",
                do='Add one in the project\'s settings: <Image name="image" value="$image"/>',
            )
        return fitting_controls(project, self._purpose.task, self._options.control)

    def _complete(self, version: str, wanted: dict[int, float]) -> None:
        """Add the scores that the server does not have yet; tasks that were deleted meanwhile are taken out.

        A request whose answer is lost may have been carried out. So it is never repeated blindly.
        """
        new = not self._client.versions().get(version)
        for attempt in range(PASSES):
            # Each task was sent once: as many scores as tasks are one for each, and need not be listed.
            if attempt == 1 and new and self._client.versions().get(version) == len(wanted):
                return
            there = self._scored(version) if attempt or not new else set()
            missing = [task for task in wanted if task not in there]
            if not missing:
                return
            if attempt:
                listed = self._listing.tasks(self._client.project())
                for task in [task for task in missing if task not in listed]:
                    del wanted[task]
                missing = [task for task in missing if task in wanted]
            self._add(version, [(task, wanted[task]) for task in missing], last=attempt == PASSES - 1)
        there = self._scored(version)
        lacking = [task for task in wanted if task not in there]
        if lacking:
            raise PlatformError(
                f"Label Studio did not take the scores of {len(lacking)} tasks.",
                kept="Annotators still have the order that they had before.",
                do=AGAIN,
            )

    def _add(self, version: str, scores: Sequence[tuple[int, float]], last: bool, at_once: int = SCORES_A_CALL) -> None:
        for start in range(0, len(scores), at_once):
            part = scores[start : start + at_once]
            try:
                self._client.add_scores(dict(part), version)
            except TooLarge:
                if len(part) == 1:
                    raise
                self._add(version, part, last, len(part) // 2)
            except (PlatformError, DataError):
                # What the server has made of it, the next pass sees.
                if last:
                    raise
                return

    def _scored(self, version: str) -> set[int]:
        return {each.task for each in self._client.predictions() if each.version == version}

    def _switch(self, version: str) -> None:
        self._client.serve_scores(version)
        now = self._client.project()
        if not now.serves_scores or now.model_version != version:
            raise PlatformError(
                f"The project serves {now.model_version!r} with {now.sampling!r} instead of alcli's order.",
                kept=KEPT,
                do="Does somebody else change the project's settings? Run the same command again.",
            )

    def _remove_old(self, kept: set[str]) -> None:
        """Remove scores of earlier cycles, for a limited time; the last version stays, for ``push --restore``."""
        if self._options.old_scores == "keep":
            return
        old = [version for version in self._client.versions() if version.startswith(OWN) and version not in kept]
        if not old:
            return
        if self._options.old_scores == "at once":
            # The server goes on when nobody waits any more.
            thread = threading.Thread(target=self._remove_versions, args=(old,), daemon=True)
            thread.start()
            thread.join(REMOVAL_SECONDS)
            return
        end = time.monotonic() + REMOVAL_SECONDS
        for prediction in self._client.predictions():
            if time.monotonic() > end:
                return
            if prediction.version in old:
                self._client.remove_prediction(prediction.id)

    def _remove_versions(self, versions: Sequence[str]) -> None:
        for version in versions:
            try:
                self._client.remove_version(version)
            except (PlatformError, DataError):
                return


def _state(task: Task) -> str:
    if task.annotations:
        return LABELED
    return SKIPPED if task.cancelled else UNLABELED


def _item(task: Task, name: str) -> Item:
    state = _state(task)
    # Other things than annotations change the update time, so that time counts only for annotated tasks.
    return Item(str(task.id), name, task.image, "", state, task.updated if state == LABELED else task.created)


def _key(item: Item) -> str:
    """What identifies an image: signed addresses change, but only in their query."""
    local = item.uri.startswith("/")
    return f"{item.id} {item.uri if local else item.uri.partition('?')[0]}"


def _version(query: Sequence[QueryRow]) -> str:
    """The name of this order: the same list has the same name, so that a push that was cut off goes on."""
    return OWN + sha256_of_text(*(f"{row.rank} {row.item.id}" for row in query))[:12]


def _check_labels(controls: Sequence[Control], annotations: Sequence[Annotation], joints: bool) -> None:
    labels = {label for control in controls for label in control.labels}
    names = {
        joint.name for each in annotations for pose in each.poses for joint in pose.keypoints
    } if joints else set().union(*(each.class_names() for each in annotations))  # fmt: skip
    missing = sorted(names - labels) if labels else []
    if missing:
        raise DataError(
            f"The labeling interface has no label {', '.join(map(repr, missing))}.",
            kept="The queue was pushed; no pre-label was uploaded.",
            do="Add it to the interface, or train only on classes that are there.",
        )


def _check_order(project: Project, versions: Mapping[str, int]) -> Iterator[tuple[str, bool, str]]:
    """Whether what alcli pushes decides what annotators receive."""
    pushed = project.model_version.startswith(OWN)
    served = project.sampling == UNCERTAINTY
    steers = "the first `alcli push` switches it" if not pushed else "so alcli's order has no effect; push again"
    yield "sampling", served or not pushed, project.sampling if served else f"{project.sampling}; {steers}"
    scores = versions.get(project.model_version, 0)
    details = f"{project.model_version} has {scores} scores" if project.model_version else "none yet"
    yield "scores", not pushed or scores > 0, details
    if project.overlap > 1:
        shown = f"each image is annotated {project.overlap} times; images that are begun come before the order"
        yield "annotations per image", True, shown
