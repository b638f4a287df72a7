"""Pull: make the workspace's pool what the platform shows now; read only what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from alcli.annotations import CROWD, Annotation, passed_over_in_words, sum_by_kind
from alcli.config import Config
from alcli.context import Context, StepResult, logged_step
from alcli.cycle._folders import check_image_folders, check_label_folders, loss, remember_label_folders
from alcli.errors import DataError
from alcli.items import LABELED, Item, Refusal
from alcli.platforms import FileBased, Recognizing
from alcli.system.clock import now
from alcli.system.garbage import rare_searches
from alcli.system.hashing import sha256_of_text
from alcli.system.text import quantity
from alcli.workspace import Workspace
from alcli.workspace.pool_rows import PoolDifference
from alcli.workspace.records import WORKSPACE_CYCLE, Contents, FirstLook, NewClass, Pulled, Recognized
from alcli.workspace.store import Store


@logged_step
@rare_searches()
def pull(context: Context, dry_run: bool = False, accept_shrink: bool = False) -> StepResult[Pulled]:
    """List all items, read new and changed annotations, remember both in one transaction.

    Args:
        accept_shrink: accept that half of the known items or of their annotations, or a folder of them, are gone.

    Raises:
        DataError: the platform has no image at all, has lost half of the known ones or of their annotations, or a
            folder that held a tenth of them.
        PlatformError: it cannot be reached, or its answer is incomplete.
    """
    store = context.workspace.store
    listed = list(context.platform.items())
    items = [row for row in listed if isinstance(row, Item)]
    refused = [row for row in listed if isinstance(row, Refusal)]
    _check_any(items)
    difference = store.difference(items)
    # Where nothing differs nothing can be lost.
    before = store.labeled() if difference else {}
    labeled = sum(item.state == LABELED for item in items)
    if not accept_shrink:
        _check_size(len(items), difference.known)
    if not accept_shrink and difference.gone:
        check_image_folders(items, store.pool().items)
    if not labeled:
        _check_matches(context, items)
    if not accept_shrink:
        _check_first_look(context, labeled, is_first=not difference.known)
        _check_labels(items, before)
    folders = check_label_folders(context, _sources(context.config), items, {} if accept_shrink else before)
    annotations, unreadable = _read(context, _unread(store, items))
    if not accept_shrink:
        _check_objects(store, items, annotations)
    for note in getattr(context.platform, "notes", ()):
        context.progress.say(note)
    new_classes = _new_classes(context, annotations)
    problems = [] if dry_run else _remember(context, items, difference, annotations, refused, unreadable)
    if not dry_run:
        remember_label_folders(context, _sources(context.config), folders)
    summary = Pulled(
        items=len(items),
        labeled=labeled,
        new_items=difference.new,
        vanished_items=len(difference.gone),
        annotations_read=len(annotations),
        refused=len(refused) + len(unreadable),
        contents=_contents_read(annotations) if dry_run else _contents(context),
        new_classes=new_classes,
    )
    if annotations and not dry_run:
        _say_contents(context, summary)
    return StepResult(None, summary, problems=tuple(problems))


def _remember(
    context: Context,
    items: Sequence[Item],
    difference: PoolDifference,
    annotations: Sequence[tuple[Item, Annotation]],
    refused: Sequence[Refusal],
    unreadable: Sequence[Refusal],
) -> list[Refusal]:
    """Write what was read to the workspace; returns the refusals that are new."""
    store = context.workspace.store
    if annotations or difference:
        store.replace_items(items, annotations, difference)
    problems = [*store.quarantine("listing", refused, now(), complete=True)]
    problems += store.quarantine("reading", unreadable, now(), complete=False)
    if any(item.state == LABELED for item in items):
        _record_format(context)
    return problems


def remember_first_look(workspace: Workspace, images: int, annotated: int) -> None:
    """Remember what `alcli init` saw: a disk may be gone before the first pull."""
    config = workspace.configuration()
    workspace.finish_step(WORKSPACE_CYCLE, _sources(config), FirstLook(images, annotated))


def _sources(config: Config) -> str:
    """Changes with the settings that say what is listed, and where."""
    return sha256_of_text(config.task.name, config.options_of("platform").model_dump_json())


def _check_first_look(context: Context, labeled: int, is_first: bool) -> None:
    """At the first pull there is no earlier one to compare with, but there is what `alcli init` saw."""
    if not is_first or context.config.train.allow_cold_start:
        return
    record = context.workspace.step(WORKSPACE_CYCLE, FirstLook)
    if record is None or record.inputs != _sources(context.config):
        return
    annotated = record.summary.annotated
    if annotated and 2 * labeled <= annotated:
        raise loss(f"{labeled} of the {quantity(annotated, 'annotated image')} that `alcli init` saw are annotated.")


def _check_any(items: Sequence[Item]) -> None:
    if not items:
        raise DataError(
            "The platform has no images.",
            kept="What was pulled before is kept.",
            do="Check platform.images (or the project and folder names) in alcli.toml.",
        )


def _unread(store: Store, items: Sequence[Item]) -> list[Item]:
    """Labeled items whose annotation is new or changed, and not known to be broken in this version."""
    known = store.annotation_versions()
    broken = {entry.item_id: entry.version for entry in store.quarantine_entries() if entry.stage == "reading"}
    return [
        item
        for item in items
        if item.state == LABELED and item.version not in (known.get(item.id), broken.get(item.id))
    ]


def _read(context: Context, items: Sequence[Item]) -> tuple[list[tuple[Item, Annotation]], list[Refusal]]:
    """Read the annotations of these items; returns them, and refusals of those that cannot be used.

    An image all of whose objects were passed over is refused: it would be taught as one without any object.
    """
    annotations: list[tuple[Item, Annotation]] = []
    unreadable: list[Refusal] = []
    with context.progress.track("Reading", len(items), "annotation") as advance:
        for item, answer in zip(items, context.platform.annotations(items), strict=True):
            if isinstance(answer, Annotation):
                annotations.append((item, answer))
                if answer.is_empty and answer.passed_over:
                    unreadable.append(_refuse_passed_over(item, answer))
            else:
                unreadable.append(answer)
            advance(1)
    return annotations, unreadable


def _check_size(count: int, before: int) -> None:
    """A broken listing looks like an emptied project: only people can tell them apart."""
    if 2 * count <= before:
        raise loss(f"The platform lists {quantity(count, 'image')}; the last pull saw {before}.")


def _check_labels(items: Sequence[Item], before: Mapping[str, Item]) -> None:
    """An empty mount point looks like a project of which every annotation was deleted."""
    known = {item.id: item for item in before.values() if item.state == LABELED}
    if not known:
        return
    # Of the same version, and no longer labeled: settings have changed, not the annotations.
    settled = sum(
        item.state != LABELED and item.id in known and known[item.id].version == item.version for item in items
    )
    count, total = sum(item.state == LABELED for item in items), len(known) - settled
    if total and 2 * count <= total:
        raise loss(
            f"{count} of {total} annotated images are still annotated: {total - count} annotations of the last pull are"
            " gone."
        )


def _check_objects(store: Store, items: Sequence[Item], annotations: Sequence[tuple[Item, Annotation]]) -> None:
    """A file that was cut off, or emptied, still lists images."""
    versions, known = store.annotation_versions(), store.items_with_objects()
    if not known:
        return
    unchanged = sum(item.state == LABELED and item.id in known and versions[item.id] == item.version for item in items)
    count = unchanged + sum(not each.is_empty or bool(each.passed_over) for _, each in annotations)
    if 2 * count <= len(known):
        gone = len(known) - count
        raise loss(
            f"{count} of {len(known)} annotations still hold objects or labels: {gone} of the last pull are empty, gone"
            " or unreadable now."
        )


def _record_format(context: Context) -> None:
    """Remember in which format annotations were found: a folder that is empty one night still has it."""
    platform, workspace = context.platform, context.workspace
    formats = platform.formats() if isinstance(platform, Recognizing) else {}
    record = workspace.step(WORKSPACE_CYCLE, Recognized)
    known = record.summary.formats if record else {}
    for source, name in formats.items():
        if known.get(source, name) != name:
            context.progress.say(f"The annotations are read as {name} now; before, they were {known[source]}.")
    if {**known, **formats} != known:
        workspace.finish_step(WORKSPACE_CYCLE, "", Recognized({**known, **formats}))


def _refuse_passed_over(item: Item, annotation: Annotation) -> Refusal:
    reason = f"all its objects are passed over ({passed_over_in_words(annotation.passed_over)})"
    if any(group.kind == CROWD for group in annotation.passed_over):
        reason += "; to count crowd regions as objects, set platform.crowds=objects"
    return Refusal(item.id, item.name, reason, item.version)


def _check_matches(context: Context, items: Sequence[Item]) -> None:
    """Raise DataError if there are annotations, and none of them belongs to an image."""
    platform = context.platform
    orphans = platform.orphans if isinstance(platform, FileBased) else ()
    if not orphans or context.config.train.allow_cold_start:
        return
    count = "The only annotation belongs" if len(orphans) == 1 else f"None of the {len(orphans)} annotations belongs"
    raise DataError(
        f"{count} to {'no' if len(orphans) == 1 else 'an'} image, such as {orphans[0].name} ({orphans[0].reason});"
        f" images are named like {items[0].name}.",
        kept="Nothing was pulled, no list was made, and the annotators' queue is unchanged.",
        do="Do platform.images and platform.annotations belong together? The names of images and annotations must"
        " agree. To rank without any annotation: alcli cycle --allow-cold-start",
    )


def _new_classes(context: Context, annotations: Sequence[tuple[Item, Annotation]]) -> tuple[NewClass, ...]:
    """Classes that no annotation had before this pull; none at the first one."""
    known = context.workspace.store.class_names() if annotations else set()
    if not known or context.config.task.classes:
        return ()
    images = Counter(name for _, annotation in annotations for name in annotation.class_names() - known)
    return tuple(NewClass(name, count) for name, count in sorted(images.items()))


def _contents_read(annotations: Sequence[tuple[Item, Annotation]]) -> Contents:
    """What the annotations of a dry run hold, of which nothing is stored."""
    return Contents(
        passed_over=sum_by_kind(group for _, annotation in annotations for group in annotation.passed_over),
        empty=sum(annotation.is_empty and not annotation.passed_over for _, annotation in annotations),
    )


def _contents(context: Context) -> Contents:
    store, platform = context.workspace.store, context.platform
    listed = platform.listed_classes if isinstance(platform, FileBased) else ()
    present = store.class_names() if listed else set()
    ignored = getattr(context.config.options_of("task"), "ignore_index", None)
    return Contents(
        passed_over=store.passed_over(),
        empty=store.empty_annotations(),
        absent_classes=tuple(name for name in listed if name not in present),
        ignored_masks=0 if ignored is None else store.masks_with_id(ignored),
    )


def _say_contents(context: Context, pulled: Pulled) -> None:
    say, contents, platform = context.progress.say, pulled.contents, context.platform
    for new in pulled.new_classes:
        images = "1 image" if new.images == 1 else f"{new.images} images"
        say(f"New class: {new.name}, {images}. A typo? task.classes pins the list.")
    if contents.ignored_masks:
        number = getattr(context.config.options_of("task"), "ignore_index", None)
        say(f"Pixels of id {number} are ignored in {quantity(contents.ignored_masks, 'mask')} (task.ignore_index).")
    if contents.absent_classes:
        names = ", ".join(contents.absent_classes)
        say(
            f"Class {names} occurs in no mask."
            if len(contents.absent_classes) == 1
            else f"Classes {names} occur in no mask."
        )
    if contents.empty and isinstance(platform, FileBased) and platform.empty_is_undecided:
        verbs = ("has", "counts", "it") if contents.empty == 1 else ("have", "count", "them")
        say(
            f"{contents.empty} of {quantity(pulled.labeled, 'listed image')} {verbs[0]} no annotation and {verbs[1]} as"
            f" looked at, nothing there; if nobody has opened {verbs[2]} yet, set platform.empty=pool."
        )
