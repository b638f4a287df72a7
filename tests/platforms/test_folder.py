from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from alcli.annotations import Annotation
from alcli.config import TaskOptions
from alcli.errors import DataError, PlatformError, UsageError
from alcli.items import Item, QueryRow, Refusal, path_to_uri, uri_to_path
from alcli.platforms._image_files import list_images
from alcli.platforms.folder import Folder
from alcli.system.text import readable
from tests.support.scenes import Photos


def folder(photos: Photos, **options) -> Folder:
    return Folder(Folder.Options(images=photos.images, annotations=photos.annotations, **options), Path("unused"))


def split(platform: Folder) -> tuple[dict[str, Item], dict[str, Refusal]]:
    rows = list(platform.items())
    items = {row.name: row for row in rows if isinstance(row, Item)}
    return items, {row.name: row for row in rows if isinstance(row, Refusal)}


def rows(items: list[Item], asked: int = 1) -> list[QueryRow]:
    return [QueryRow(rank, item, 1.0 / rank, rank <= asked) for rank, item in enumerate(items, 1)]


def test_an_image_is_labeled_when_its_xml_exists(photos):
    items, refusals = split(folder(photos))
    assert [item.state for item in items.values()] == ["labeled"] * 8 + ["unlabeled"] * 4
    assert refusals == {}


def test_coco_works_the_same(photos):
    platform = Folder(Folder.Options(images=photos.images, annotations=photos.coco([0, 3])), Path("unused"))
    items, _ = split(platform)
    assert [name for name, item in items.items() if item.state == "labeled"] == ["photo_00.jpg", "photo_03.jpg"]
    found = list(platform.annotations([items["photo_03.jpg"]]))
    assert len(found[0].boxes) == len(next(folder(photos).annotations([items["photo_03.jpg"]])).boxes)


def test_a_version_changes_with_image_or_annotation_only(photos):
    before, _ = split(folder(photos))
    photos.annotate(0, boxes=[])
    os.utime(photos.images / "photo_09.jpg", ns=(1, 1))
    after, _ = split(folder(photos))
    assert {name for name in before if before[name].version != after[name].version} == {"photo_00.jpg", "photo_09.jpg"}


def test_what_is_no_image_file_is_refused_not_opened(photos):
    os.mkfifo(photos.images / "pipe.jpg")
    (photos.images / "folder.jpg").mkdir()
    (photos.images / "gone.png").symlink_to("nowhere")
    (photos.images / ".hidden.jpg").write_bytes(b"")
    (photos.images / "notes.txt").write_text("")
    items, refusals = split(folder(photos))
    assert len(items) == 12
    assert {name: row.reason for name, row in refusals.items()} == {
        "pipe.jpg": "not a regular file",
        "gone.png": "cannot be opened: No such file or directory",
    }


def test_linked_folders_are_not_entered(photos):
    (photos.images / "loop").symlink_to(photos.images)
    items, refusals = split(folder(photos))
    assert len(items) == 12
    assert refusals["loop"].reason == "a linked folder is not entered"


def test_a_link_to_itself_is_left_out(photos):
    for name in ("round.jpg", "round"):
        (photos.images / name).symlink_to(name)
    items, refusals = split(folder(photos))
    assert len(items) == 12
    assert {name: row.reason for name, row in refusals.items()} == {
        "round.jpg": "cannot be opened: Too many levels of symbolic links"
    }


def test_two_files_of_one_name_in_different_folders_are_two_items(photos):
    for place in ("a", "b"):
        (photos.images / place).mkdir()
        (photos.images / "photo_11.jpg").rename(photos.images / place / "x.jpg")
        (photos.images / "photo_10.jpg").rename(photos.images / "photo_11.jpg") if place == "a" else None
    items, _ = split(folder(photos))
    assert {"a/x.jpg", "b/x.jpg"} <= set(items)
    assert folder(photos).image(items["a/x.jpg"]) == photos.images / "a" / "x.jpg"


@pytest.mark.parametrize(
    "name", [b"na\xc3\xafve.jpg", b"\xff\xfe.jpg", b"100%.jpg", b"a b#?.jpg", b"two\nlines.jpg", b"=1+1.jpg"]
)
def test_every_file_name_is_found_again(photos, name):
    path = Path(os.fsdecode(os.fsencode(photos.images) + b"/" + name))
    (photos.images / "photo_11.jpg").rename(path)
    items, _ = split(folder(photos))
    assert len(items) == 12
    assert folder(photos).image(next(i for i in items.values() if not i.name.startswith("photo"))) == path
    assert uri_to_path(path_to_uri(path)) == path
    assert all(item.id.encode("utf-8") for item in items.values())


def test_a_broken_annotation_is_an_answer_not_an_error(photos):
    photos.write_xml("photo_01", ("red", "9", "9", "3", "3"))
    items, _ = split(platform := folder(photos))
    first, second = platform.annotations([items["photo_01.jpg"], items["photo_02.jpg"]])
    assert isinstance(first, Refusal)
    assert "swapped" in first.reason
    assert isinstance(second, Annotation)


def test_a_push_is_read_back_and_twice_is_once(photos):
    items, _ = split(platform := folder(photos))
    order = [items[name] for name in ("photo_11.jpg", "photo_08.jpg", "photo_10.jpg")]
    receipts = list(platform.push(rows(order)))
    assert [(row.item_id, row.position, row.accepted) for row in receipts] == [
        (i.id, n, True) for n, i in enumerate(order, 1)
    ]
    content = (photos.annotations / "queue.csv").read_text()
    assert content.splitlines()[:2] == ["position,name,entropy_value,asked", "1,photo_11.jpg,1.00000,yes"]
    list(platform.push(rows(order)))
    assert (photos.annotations / "queue.csv").read_text() == content
    assert [(place.position, place.item_id, place.asked) for place in platform.queue()] == [
        (1, "photo_11.jpg", True), (2, "photo_08.jpg", False), (3, "photo_10.jpg", False)]  # fmt: skip


def test_the_queue_goes_where_it_is_wanted(photos, tmp_path):
    platform = folder(photos, queue=tmp_path / "todo.csv")
    assert platform.queue() == []
    list(platform.push([]))
    assert (tmp_path / "todo.csv").read_text() == "position,name,entropy_value,asked\n"
    assert platform.queue() == []


def test_somebody_elses_queue_file_is_not_read(photos):
    (photos.annotations / "queue.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="was not written by alcli"):
        folder(photos).queue()


def test_missing_folders_are_said(photos, tmp_path):
    with pytest.raises(UsageError, match="needs a folder of images"):
        Folder(Folder.Options(), tmp_path)
    with pytest.raises(PlatformError, match="no folder"):
        list(Folder(Folder.Options(images=tmp_path / "gone"), tmp_path).items())
    with pytest.raises(PlatformError, match="no annotations at"):
        list(Folder(Folder.Options(images=photos.images, annotations=tmp_path / "gone"), tmp_path).items())
    (tmp_path / "labels.txt").write_text("")
    with pytest.raises(UsageError, match="no annotation format recognizes"):
        list(Folder(Folder.Options(images=photos.images, annotations=tmp_path / "labels.txt"), tmp_path).items())


@pytest.mark.parametrize("content", ["position,name,entropy_value,asked\nx,a,1,yes\n", "\xff", "a,b\n1\n"])
def test_an_edited_queue_is_refused_not_read_wrong(photos, content):
    (photos.annotations / "queue.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match="was not written by alcli"):
        folder(photos).queue()


def test_odd_files_among_the_annotations_are_refused_not_waited_for(photos):
    os.mkfifo(photos.annotations / "photo_09.xml")
    (photos.annotations / "photo_10.xml").mkdir()
    (photos.annotations / "photo_11.xml").symlink_to("nowhere")
    _, refusals = split(folder(photos))
    assert {row.reason for row in refusals.values()} == {"not a regular file that can be opened"}
    assert len(refusals) == 3


def test_upper_case_suffixes_and_names_that_are_not_utf8_find_their_image(photos):
    (photos.annotations / "photo_00.xml").rename(photos.annotations / "photo_00.XML")
    for source, target in (
        (photos.images / "photo_01.jpg", b"\xff.jpg"),
        (photos.annotations / "photo_01.xml", b"\xff.xml"),
    ):
        source.rename(os.fsdecode(os.fsencode(source.parent) + b"/" + target))
    items, refusals = split(folder(photos))
    assert refusals == {}
    assert [item.state for item in items.values()].count("labeled") == 8


@pytest.mark.parametrize("name", ["a%20b", "x%3Ay", "100%", "%FF", "ä", "a b"])
def test_a_name_is_the_name_on_disk_in_list_and_queue(photos, name):
    (photos.images / "photo_00.jpg").rename(photos.images / f"{name}.jpg")
    (photos.annotations / "photo_00.xml").rename(photos.annotations / f"{name}.xml")
    (photos.images / "photo_11.jpg").rename(photos.images / f"{name}2.jpg")
    items, refusals = split(platform := folder(photos))
    assert items[f"{name}.jpg"].state == "labeled" and refusals == {}
    list(platform.push(rows([items[f"{name}2.jpg"]])))
    assert (photos.annotations / "queue.csv").read_text().splitlines()[1].split(",")[1] == f"{name}2.jpg"


def test_a_name_that_looks_escaped_is_not_the_name_that_is(photos):
    for name in (b"\xff.jpg", b"%FF.jpg", "\uefff.jpg".encode()):
        path = Path(os.fsdecode(os.fsencode(photos.images) + b"/" + name))
        path.write_bytes((photos.images / "photo_00.jpg").read_bytes())
    names = set(split(folder(photos))[0])
    assert len(names) == 15
    assert {"\uefff.jpg", "%FF.jpg"} <= names


def test_an_exact_path_comes_before_a_bare_name(photos):
    (photos.images / "sub").mkdir()
    (photos.annotations / "sub").mkdir()
    (photos.images / "photo_00.jpg").rename(photos.images / "sub" / "photo_00.jpg")
    (photos.annotations / "sub" / "photo_00.xml").write_bytes((photos.annotations / "photo_00.xml").read_bytes())
    items, refusals = split(folder(photos))
    assert items["sub/photo_00.jpg"].state == "labeled"
    assert list(refusals) == ["photo_00.xml"]


def test_a_folder_with_one_coco_file_is_read(photos):
    photos.coco([0]).rename(photos.root / "labels.json")
    (photos.root / "labels").mkdir()
    (photos.root / "labels.json").rename(photos.root / "labels" / "instances.json")
    platform = Folder(Folder.Options(images=photos.images, annotations=photos.root / "labels"), Path("x"))
    assert [name for name, item in split(platform)[0].items() if item.state == "labeled"] == ["photo_00.jpg"]


def test_two_annotations_of_one_image_are_both_named(photos):
    for person in ("ann", "bob"):
        (photos.annotations / person).mkdir()
        photos.write_xml(f"{person}/photo_09", ("red", "5", "5", "30", "30"))
    items, _ = split(platform := folder(photos))
    assert items["photo_09.jpg"].state == "labeled"
    (answer,) = platform.annotations([items["photo_09.jpg"]])
    assert isinstance(answer, Refusal)
    assert answer.reason == "claimed by 2 annotations: ann/photo_09.xml and bob/photo_09.xml; keep one of them"


def test_what_macos_leaves_is_no_annotation(photos):
    (photos.annotations / "__MACOSX" / "labels").mkdir(parents=True)
    for name in ("._photo_00.xml", "__MACOSX/labels/._photo_00.xml", "__MACOSX/labels/photo_01.xml"):
        (photos.annotations / name).write_bytes(b"\0\5\x16\7")
    items, refusals = split(folder(photos))
    assert [item.state for item in items.values()].count("labeled") == 8
    assert refusals == {}


def test_the_root_of_a_voc_archive_may_be_given_for_both(tmp_path):
    photos = Photos(tmp_path / "p").draw(3, annotated=2)
    (tmp_path / "set").mkdir()
    photos.images.rename(tmp_path / "set" / "JPEGImages")
    photos.annotations.rename(tmp_path / "set" / "Annotations")
    platform = Folder(Folder.Options(images=tmp_path / "set", annotations=tmp_path / "set"), tmp_path)
    items, refusals = split(platform)
    assert [(name, item.state) for name, item in items.items()] == [
        ("JPEGImages/photo_00.jpg", "labeled"),
        ("JPEGImages/photo_01.jpg", "labeled"),
        ("JPEGImages/photo_02.jpg", "unlabeled"),
    ]
    assert refusals == {}
    assert list(platform.notes) == ["2 of 2 annotations matched after the prefix Annotations/ was dropped."]


def test_overlays_and_the_folder_of_masks_are_no_images(tmp_path):
    for name in ("a.jpg", "a.jpg___fuse.png", "b.jpg", "b_mask.png", "lone_mask.png", "masks/a.png", "c.JFIF"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (16, 16)).save(tmp_path / name, "PNG")
    (tmp_path / "masks/classes.txt").write_text("ground\n")
    for name in ("d.heic", "e.heic", "f.dcm"):
        (tmp_path / name).write_bytes(b"x")
    folder = Folder(Folder.Options(images=tmp_path, annotations=tmp_path / "masks"), tmp_path / "cache")
    folder.set_task(TaskOptions(name="segmentation"))
    assert sorted(item.name for item in folder.items()) == ["a.jpg", "b.jpg", "c.JFIF", "lone_mask.png"]
    assert folder.notes[:2] == [
        "2 overlays and masks among the images are no images to annotate.",
        "3 files of kinds that alcli does not read: .dcm 1, .heic 2.",
    ]


def at(photos: Photos, workspace: Path) -> Folder:
    """The platform as a workspace there has it, with the queue in the labels' folder."""
    workspace.mkdir(exist_ok=True)
    (workspace / "alcli.toml").touch()
    options = Folder.Options(images=photos.images, annotations=photos.annotations)
    return Folder(options, workspace / "cache")


def test_two_workspaces_do_not_write_one_queue(photos, tmp_path):
    first, second = at(photos, tmp_path / "A"), at(photos, tmp_path / "B")
    items, _ = split(first)
    second.check_queue()
    list(first.push(rows([items["photo_11.jpg"]])))
    content = (photos.annotations / "queue.csv").read_text()
    for call in (second.check_queue, lambda: list(second.push([]))):
        with pytest.raises(UsageError) as error:
            call()
        assert (
            error.value.what == f"The queue {photos.annotations}/queue.csv belongs to another workspace: {tmp_path}/A."
        )
        assert f"--set platform.queue={tmp_path}/B/queue.csv" in error.value.do
        assert f"delete {photos.annotations}/.queue.csv.owner" in error.value.do
    assert (photos.annotations / "queue.csv").read_text() == content
    list(first.push([]))
    assert not split(first)[1]


def test_the_queue_of_a_deleted_workspace_can_be_taken_over(photos, tmp_path):
    list(at(photos, tmp_path / "A").push([]))
    (tmp_path / "A/alcli.toml").unlink()
    second = at(photos, tmp_path / "B")
    with pytest.raises(UsageError, match="A, which is not there any more"):
        second.check_queue()
    (photos.annotations / ".queue.csv.owner").unlink()
    list(second.push([]))
    with pytest.raises(UsageError, match=r"belongs to another workspace: .*B"):
        at(photos, tmp_path / "A").check_queue()


def test_a_queue_inside_its_workspace_moves_with_it(photos, tmp_path):
    options = Folder.Options(images=photos.images, annotations=photos.annotations, queue=tmp_path / "A/queue.csv")
    (tmp_path / "A").mkdir()
    list(Folder(options, tmp_path / "A/cache").push([]))
    assert [path.name for path in (tmp_path / "A").iterdir()] == ["queue.csv"]


def test_a_folder_with_only_a_queue_and_its_owner_waits_for_annotations(photos, tmp_path):
    for path in photos.annotations.iterdir():
        path.unlink()
    platform = at(photos, tmp_path / "A")
    list(platform.push([]))
    items, refusals = split(at(photos, tmp_path / "A"))
    assert (len(items), refusals) == (12, {})


ODD_NAMES = (
    "a.jpg",
    "b c%.jpg",
    "é.JPG",
    "e\u0301.png",
    "x;y?#.jpg",
    "~t_.-.jpeg",
    "tab\t.jpg",
    os.fsdecode(b"\xff.jpg"),
)


@pytest.mark.parametrize("root", ["photos", ".", "..", "./photos/../photos", "photos/deep"])
def test_names_and_addresses_are_those_of_each_file_alone(root, tmp_path, monkeypatch):
    """They are put together by folder; here each is worked out from its whole path."""
    for place in ("photos", "photos/deep", "photos/deep/sub é%", "inside"):
        (tmp_path / place).mkdir()
        for name in ODD_NAMES:
            (tmp_path / place / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path / "inside" if root == ".." else tmp_path)
    listing = list_images(Path(root))
    expected = {}
    for start, _, names in os.walk(Path(root)):
        for path in (os.path.join(start, name) for name in names):  # noqa: PTH118 (as a walk spells it)
            spelled = path if start == "." else str(Path(path))
            expected[readable(os.path.relpath(path, root))] = path_to_uri(spelled)
    assert {name: address for name, (address, _) in listing.images.items()} == expected
