"""A cycle without anything new still looks at the queue: one that was deleted or changed is put back."""

from __future__ import annotations

import json
import sqlite3

import pytest

from alcli.system import tables
from tests.cli.test_superannotate import first_cycle, project, server, team  # noqa: F401 (fixtures)

NOTHING = "Nothing new since cycle 1: nothing to do.\n"


@pytest.fixture
def cycled(alcli, workspace):
    assert alcli("cycle", "-w", workspace)[0] == 0
    return workspace


def swap(queue):
    head, first, second, *rest = queue.read_text().splitlines()
    numbers = [line.split(",")[0] for line in (first, second)]
    lines = [f"{number},{line.partition(',')[2]}" for number, line in zip(numbers, (second, first), strict=True)]
    queue.write_text("\n".join([head, *lines, *rest]) + "\n")


DAMAGE = {
    "deleted": (lambda queue: queue.unlink(), "Queue: 4 images; 4 new."),
    "cut to its header": (lambda queue: queue.write_text(queue.read_text().splitlines()[0] + "\n"), "4 new"),
    "one row gone": (lambda q: q.write_text("\n".join(q.read_text().splitlines()[:-1]) + "\n"), "1 new."),
    "in another order": (swap, "Queue: 4 images; 2 moved."),
    "asked for nothing": (lambda queue: queue.write_text(queue.read_text().replace(",yes", ",no")), "2 moved."),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_queue_that_was_deleted_or_changed_is_put_back(alcli, cycled, kind):
    queue = cycled / "queue.csv"
    before = queue.read_bytes()
    damage, said = DAMAGE[kind]
    damage(queue)
    assert queue.exists() is False or queue.read_bytes() != before
    _, out, _ = alcli("cycle", "-w", cycled, "--dry-run")
    assert "Cycle 1 would run: its queue is not as it was left" in out and "Nothing was changed" in out
    assert queue.exists() is False or queue.read_bytes() != before
    code, out, err = alcli("cycle", "-w", cycled)
    assert code == 0, err
    assert out.startswith("Nothing new since cycle 1, but its queue was deleted or changed: it is put back.\n")
    assert said in out and queue.read_bytes() == before
    assert alcli("cycle", "-w", cycled)[1] == NOTHING
    assert len(json.loads(alcli("status", "-w", cycled, "--json")[1])["cycles"]) == 1


def test_a_document_says_that_the_queue_was_put_back(alcli, cycled):
    (cycled / "queue.csv").unlink()
    document = json.loads(alcli("cycle", "-w", cycled, "--json")[1])
    assert (document["nothing_new"], document["cycle"], document["steps"]["push"]["new"]) == (True, 1, 4)
    document = json.loads(alcli("cycle", "-w", cycled, "--json")[1])
    assert list(document["steps"]) == ["pull"]


@pytest.mark.parametrize("deleted", [False, True])
def test_a_shorter_queue_that_somebody_pushed_stays_short(alcli, cycled, deleted):
    assert alcli("push", "-w", cycled, "--top", 2)[0] == 0
    before = (cycled / "queue.csv").read_bytes()
    assert len(tables.read(cycled / "queue.csv")) == 2
    if deleted:
        (cycled / "queue.csv").unlink()
    code, out, _ = alcli("cycle", "-w", cycled)
    assert (code, out == NOTHING) == (0, not deleted)
    assert (cycled / "queue.csv").read_bytes() == before


@pytest.mark.parametrize("deleted", [False, True])
def test_a_queue_that_somebody_restored_stays_restored(alcli, cycled, photos, deleted):
    first = tables.read(cycled / "queue.csv")
    photos.annotate(0, [])
    assert alcli("cycle", "-w", cycled, "--strategy", "random", "--set", "selection.seed=5")[0] == 0
    options = ("--strategy", "random", "--set", "selection.seed=5")
    assert alcli("push", "-w", cycled, "--restore")[0] == 0
    assert tables.read(cycled / "queue.csv") == first
    if deleted:
        (cycled / "queue.csv").unlink()
    code, out, err = alcli("cycle", "-w", cycled, *options)
    assert (code, "nothing to do" in out) == (0, not deleted), (out, err)
    assert tables.read(cycled / "queue.csv") == first


def test_a_queue_of_an_earlier_alcli_is_put_back_only_if_it_is_gone(alcli, cycled):
    with sqlite3.connect(cycled / "alcli.db") as database:
        database.execute("DELETE FROM queues")
    swap(cycled / "queue.csv")
    assert alcli("cycle", "-w", cycled)[1] == NOTHING
    (cycled / "queue.csv").unlink()
    assert "4 new" in alcli("cycle", "-w", cycled)[1]


def test_a_queue_that_is_no_queue_is_named_and_kept(alcli, cycled):
    (cycled / "queue.csv").write_text("my notes\n")
    code, _, err = alcli("cycle", "-w", cycled)
    assert code == 5 and "queue.csv was not written by alcli" in err and "Move it away" in err
    assert (cycled / "queue.csv").read_text() == "my notes\n"


# Two workspaces, one queue


@pytest.fixture
def other(alcli, photos, tmp_path):
    """A second workspace over the same images."""
    flags = ("--model", "ssd-tiny", "--budget", 2, "--set", "train.epochs=1", "--set", "model.input_size=64")
    root = tmp_path / "other"
    given = ("--images", photos.images, "--annotations", photos.annotations)
    assert alcli("init", root, *given, *flags)[0] == 0
    return root


def test_a_queue_inside_another_workspace_is_refused_by_name(alcli, cycled, other):
    before = (cycled / "queue.csv").read_bytes()
    code, _, err = alcli("cycle", "-w", other, "--set", f"platform.queue={cycled}/queue.csv")
    assert code == 2 and f"lies in another workspace, {cycled}, and belongs to it" in err
    assert f"--set platform.queue={other}/queue.csv" in err
    assert (cycled / "queue.csv").read_bytes() == before and not (cycled / ".queue.csv.owner").exists()


def test_with_nothing_new_a_queue_that_another_workspace_took_is_refused_with_the_remedy(
    alcli, workspace, photos, other
):
    shared = photos.root / "queue.csv"
    settings = ("--set", f"platform.queue={shared}")
    assert alcli("cycle", "-w", workspace, *settings)[0] == 0
    mark = shared.with_name(".queue.csv.owner")
    mark.unlink()
    assert alcli("cycle", "-w", other, *settings, "--set", "selection.seed=5")[0] == 0
    assert mark.read_text() == f"{other}\n"
    before = shared.read_bytes()
    code, _, err = alcli("cycle", "-w", workspace, *settings)
    assert code == 2 and f"belongs to another workspace: {other}" in err and f"delete {mark}" in err
    assert shared.read_bytes() == before
    mark.unlink()
    code, out, err = alcli("cycle", "-w", workspace, *settings)
    assert code == 0, err
    assert "put back" in out and shared.read_bytes() != before


# SuperAnnotate: from the listing of the pull


def asked(server, *fragments):  # noqa: F811
    return [request for request in server.requests if all(fragment in request for fragment in fragments)]


def test_looking_at_the_queue_of_superannotate_costs_no_request(alcli, team, server):  # noqa: F811
    from alcli.cycle import push

    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(push, "queue_differs", lambda *_: seen.append(1))
        assert alcli("cycle", "-w", team)[1] == NOTHING
    without, priorities = len(server.requests), server.state()
    server.requests.clear()
    assert alcli("cycle", "-w", team)[1] == NOTHING
    assert (seen, len(server.requests)) == ([1], without)
    assert server.state() == priorities and server.given == []


def test_priorities_that_somebody_changed_are_set_again(alcli, team, server):  # noqa: F811
    before = server.state()
    first, second = [number for number, item in server.items.items() if item["entropy_value"]][:2]
    server.items[first]["entropy_value"] = None
    code, out, err = alcli("cycle", "-w", team)
    assert code == 0, err
    assert "Queue: 6 images; 1 new" in out
    assert server.state() == before
    server.items[second]["entropy_value"] = 0.5
    assert "put back" in alcli("cycle", "-w", team)[1]
    assert server.state() == before
    assert alcli("cycle", "-w", team)[1] == NOTHING


# What people and spreadsheets make of the file


def spreadsheet(queue, separator=";", mark="\ufeff", end="\r\n", encoding="utf-8", before=""):
    """Save the same table as a spreadsheet does."""
    lines = [line.replace(",", separator) for line in queue.read_text().splitlines()]
    queue.write_bytes((mark + before + end.join([*lines, separator * 3, ""])).encode(encoding, "replace"))


def turned(queue):
    """Sorted the other way: each line keeps its position."""
    head, *rest = queue.read_text().splitlines()
    queue.write_text("\n".join([head, *reversed(rest)]) + "\n")


def first_of_many(queue):
    head, _, *rest = queue.read_text().splitlines()
    queue.write_text("\n".join([head, *rest]) + "\n")


def columns_turned(queue):
    lines = [line.split(",") for line in queue.read_text().splitlines()]
    queue.write_text("\n".join(",".join(reversed(line)) for line in lines) + "\n")


def doubled(queue):
    queue.write_text(queue.read_text() + queue.read_text().splitlines()[1] + "\n")


def empty_column(queue):
    head, *rest = queue.read_text().splitlines()
    queue.write_text("\n".join([head + ",notes", *(line + "," for line in rest)]) + "\n")


EDITS = {
    "sorted the other way": turned,
    "its first row deleted": first_of_many,
    "a row twice": doubled,
    "columns in another order": columns_turned,
    "an empty column": empty_column,
    "saved by Excel": spreadsheet,
    "saved by Excel with commas": lambda queue: spreadsheet(queue, ","),
    "saved with tabs": lambda queue: spreadsheet(queue, "\t", ""),
    "saved in another encoding": lambda queue: spreadsheet(queue, mark="", encoding="cp1252"),
    "other priorities": lambda queue: queue.write_text(queue.read_text().replace(",0.", ",1.")),
    "line ends of Windows": lambda queue: queue.write_bytes(queue.read_bytes().replace(b"\n", b"\r\n")),
    "an empty file": lambda queue: queue.write_bytes(b""),
}


@pytest.mark.parametrize("kind", EDITS)
def test_what_people_edit_is_put_back(alcli, cycled, kind):
    queue = cycled / "queue.csv"
    before = queue.read_bytes()
    EDITS[kind](queue)
    assert queue.read_bytes() != before
    code, out, err = alcli("cycle", "-w", cycled)
    assert (code, queue.read_bytes()) == (0, before), (out, err)
    assert alcli("cycle", "-w", cycled)[1] == NOTHING


@pytest.mark.parametrize("kind", ["sorted the other way", "saved by Excel"])
def test_a_push_puts_it_back_as_well(alcli, cycled, kind):
    queue = cycled / "queue.csv"
    before = queue.read_bytes()
    EDITS[kind](queue)
    assert alcli("push", "-w", cycled)[0] == 0
    assert queue.read_bytes() == before


@pytest.mark.parametrize("save", [lambda queue: None, spreadsheet], ids=["as it is", "by Excel"])
@pytest.mark.parametrize("where", ["with a name", "without a name"])
def test_what_people_write_into_the_queue_is_not_lost(alcli, cycled, photos, save, where):
    queue = cycled / "queue.csv"
    head, first, *rest = queue.read_text().splitlines()
    ends = (",notes", ",blurred") if where == "with a name" else ("", ",blurred")
    queue.write_text("\n".join([head + ends[0], first + ends[1], *(line + "," for line in rest)]) + "\n")
    save(queue)
    edited = queue.read_bytes()
    photos.annotate(9)
    for command in ("cycle", "push"):
        code, _, err = alcli(command, "-w", cycled)
        assert code == 5 and queue.read_bytes() == edited, (command, err)
        assert (
            "notes (1 row)" if where == "with a name" else "without a name (1 row)"
        ) in err and "mv queue.csv" in err
    assert alcli("health", "-w", cycled)[0] == 5
    queue.rename(cycled / "queue-notes.csv")
    assert alcli("cycle", "-w", cycled)[0] == 0
    assert len(tables.read(queue)) == 3
