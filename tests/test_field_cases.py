"""What real tools write, from public reports: each comes in with the right values, or one message says why not."""

from __future__ import annotations

import json
import unicodedata
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from alcli import images as image_files
from alcli.annotations import Annotation
from alcli.system.tables import read as read_table
from alcli.workspace import Workspace

WIDTH, HEIGHT = 96, 64
SIZE = (WIDTH, HEIGHT)
CAT = (10, 10, 40, 40)
CAT_LINE = f"{25 / WIDTH} {25 / HEIGHT} {30 / WIDTH} {30 / HEIGHT}"
FAST = ("--set", "train.epochs=1", "--set", "train.workers=0", "--set", "score.workers=0")
TINY = ("--model", "ssd-tiny", "--set", "model.input_size=64", *FAST)


@dataclass
class Case:
    """A project folder, and the command line on it."""

    root: Path
    call: Callable[..., tuple[int, str, str]]

    def picture(self, *names: str) -> Case:
        for name in names:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            # Copies would all be held out, or none of them.
            Image.new("RGB", SIZE, (zlib.crc32(name.encode()) % 256, 128, 128)).save(
                path, "PNG" if path.suffix == ".png" else "JPEG"
            )
        return self

    def text(self, name: str, content: str | dict | list) -> Case:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return self

    def mask(self, name: str, inside: object, mode: str = "L") -> Case:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.new(mode, SIZE)
        image.paste(inside, CAT)  # type: ignore[arg-type]
        image.save(path)
        return self

    def run(self, command: str, *arguments: object) -> tuple[int, str, str]:
        return self.call(command, "-w", self.root / "W", *arguments)

    def pull(self, images: str = "images", annotations: str = "ann", *options: str) -> tuple[int, str, str]:
        """Initialize and pull; init may already refuse."""
        folders = ("--images", self.root / images, "--annotations", self.root / annotations)
        code, out, err = self.call("init", self.root / "W", *folders, *options)
        return (code, out, err) if code not in (0, 3) else self.run("pull")

    def annotations(self) -> dict[str, Annotation]:
        workspace = Workspace.open(self.root / "W", read_only=True)
        try:
            labeled = workspace.store.pool().in_state("labeled")
            return {row.item_id: row for row in workspace.store.annotations(item.id for item in labeled)}
        finally:
            workspace.close()

    def boxes(self) -> dict[str, list[tuple]]:
        return {
            name: [(box.label, *(round(value, 3) for value in (box.x1, box.y1, box.x2, box.y2)))
                   for box in annotation.in_pixels(*SIZE).boxes]
            for name, annotation in self.annotations().items()
        }  # fmt: skip

    def queue(self) -> list[str]:
        path = self.root / "W" / "queue.csv"
        return [row["name"] for row in read_table(path)] if path.exists() else []


@pytest.fixture
def case(tmp_path, alcli) -> Case:
    return Case(tmp_path, alcli)


def cats(*names: str) -> dict[str, list[tuple]]:
    return {name: [("cat", *CAT)] for name in names}


def coco(files: Iterable[str], **content: object) -> dict:
    """One cat in each file; the further keys go into every annotation."""
    images = [
        {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT} for number, name in enumerate(files, 1)
    ]
    annotations = [
        {
            "id": image["id"],
            "image_id": image["id"],
            "category_id": 1,
            "bbox": [10, 10, 30, 30],
            "iscrowd": 0,
            **content,
        }
        for image in images
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}


def voc(name: str) -> str:
    corners = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), CAT, strict=True)
    )
    box = f"<object><name>cat</name><bndbox>{corners}</bndbox></object>"
    return f"<annotation><filename>{name}</filename>{box}</annotation>"


def test_yolo_of_labelimg_with_a_class_list(case):
    case.picture("images/a.jpg", "images/b.jpg", "images/c.jpg").text("ann/classes.txt", "cat\ndog\n")
    case.text("ann/a.txt", f"0 {CAT_LINE}\n").text("ann/b.txt", f"1 {CAT_LINE}\n")
    assert case.pull()[0] == 0
    assert case.boxes() == {"a.jpg": [("cat", *CAT)], "b.jpg": [("dog", *CAT)]}


def yolo(case: Case, content: str, *names: str) -> Case:
    case.picture(*(f"images/{name}.jpg" for name in (*names, "c"))).text("ann/data.yaml", "names: [cat, dog]\n")
    for name in names:
        case.text(f"ann/labels/{name}.txt", content)
    return case


def test_yolo_boxes_and_polygons_in_one_file(case):
    yolo(case, f"0 {CAT_LINE}\n1 0.6 0.2 0.9 0.2 0.9 0.6 0.6 0.6\n", "a", "b")
    assert case.pull("images", "ann", "--task", "detection")[0] == 0
    dog = ("dog", 57.6, 12.8, 86.4, 38.4)
    assert case.boxes() == {"a.jpg": [("cat", *CAT), dog], "b.jpg": [("cat", *CAT), dog]}


@pytest.mark.parametrize("number", ["0.0", "0.000000000000000000e+00"])
def test_yolo_classes_as_decimals(case, number):
    assert yolo(case, f"{number} {CAT_LINE}\n", "a", "b").pull()[0] == 0
    assert case.boxes() == cats("a.jpg", "b.jpg")


def test_percent_escapes_in_names(case):
    yolo(case, f"0 {CAT_LINE}\n", "a%20b", "x%3Ay")
    assert case.pull("images", "ann", *TINY)[0] == 0
    assert case.boxes() == cats("a%20b.jpg", "x%3Ay.jpg")
    _, out, _ = case.call("list", "items", "-w", case.root / "W", "--json")
    assert [item["name"] for item in json.loads(out)["items"]] == ["a%20b.jpg", "c.jpg", "x%3Ay.jpg"]


def test_a_yolo_description_of_another_name(case):
    case.picture(*(f"set/images/{name}.jpg" for name in ("train/a", "train/b", "val/c")))
    case.text("set/coco8.yaml", "path: .\ntrain: images/train\nval: images/val\nnames: {0: cat}\n")
    case.text("set/labels/train/a.txt", f"0 {CAT_LINE}\n").text("set/labels/val/c.txt", f"0 {CAT_LINE}\n")
    assert case.pull("set/images", "set", "--task", "detection")[0] == 0
    assert case.boxes() == cats("train/a.jpg", "val/c.jpg")


def test_a_corner_outside_is_cut_at_the_border(case):
    yolo(case, "0 0.80 0.10 1.04 0.15 0.97 0.40 0.75 0.35\n", "a")
    assert case.pull("images", "ann", "--task", "detection")[0] == 0
    assert case.boxes() == {"a.jpg": [("cat", 72, 6.4, 96, 25.6)]}


PREFIXES = ["images/", "../../label-studio/media/upload/4/", "C:\\photos\\"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_coco_with_a_path_of_another_machine(case, prefix):
    case.picture("images/a.jpg", "images/b.jpg", "images/c.jpg")
    case.text("ann.json", coco([f"{prefix}a.jpg", f"{prefix}b.jpg"]))
    code, _, err = case.pull("images", "ann.json")
    assert code == 0 and "2 of 2 annotations matched after the prefix" in err
    assert case.boxes() == cats("a.jpg", "b.jpg")


def test_coco_with_an_annotation_of_no_image(case):
    document = coco(["a.jpg", "b.jpg"])
    document["annotations"].append({"id": 9, "image_id": 777, "category_id": 1, "bbox": [1, 2, 3, 4]})
    code, _, err = case.picture("images/a.jpg", "images/b.jpg").text("ann.json", document).pull("images", "ann.json")
    assert code == 3 and "annotations[2]: there is no image 777" in err
    assert case.boxes() == cats("a.jpg", "b.jpg")


def test_coco_with_ids_as_text(case):
    document = coco(["a.jpg", "b.jpg"])
    for annotation in document["annotations"]:
        annotation |= {"image_id": str(annotation["image_id"]), "category_id": "1"}
    assert case.picture("images/a.jpg", "images/b.jpg").text("ann.json", document).pull("images", "ann.json")[0] == 0
    assert case.boxes() == cats("a.jpg", "b.jpg")


@pytest.mark.parametrize("outline", [[[]], [[10, 10, 40, 40]], [10, 10, 40, 10, 40, 40]])
def test_coco_with_an_odd_segmentation(case, outline):
    case.picture("images/a.jpg").text("ann.json", coco(["a.jpg"], segmentation=outline))
    assert case.pull("images", "ann.json", "--task", "detection")[0] == 0
    assert case.boxes() == cats("a.jpg")


def brush_masks() -> dict:
    pixels = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order="F")
    pixels[10:40, 10:40] = 1
    runs = {"size": [HEIGHT, WIDTH], "counts": coco_mask.encode(pixels)["counts"].decode()}
    return coco(["a.jpg", "b.jpg"], iscrowd=1, segmentation=runs)


def test_brush_masks_of_cvat_are_crowd_regions(case):
    case.picture("images/a.jpg", "images/b.jpg", "images/c.jpg").text("ann.json", brush_masks())
    code, out, err = case.pull("images", "ann.json", "--task", "detection", *TINY)
    assert code == 3
    assert "Passed over: 2 crowd regions." in out
    assert "all its objects are passed over (1 crowd region)" in err and "platform.crowds=objects" in err
    assert case.annotations() == {}
    code, _, err = case.run("cycle")
    assert code == 5 and "None of the 2 annotations can be used; 2 of them: all its objects are passed over" in err
    assert not (case.root / "W" / "queue.csv").exists()
    code, out, _ = case.run("pull", "--set", "platform.crowds=objects")
    assert code == 0 and "Passed over" not in out
    assert case.boxes() == cats("a.jpg", "b.jpg")


def test_decomposed_unicode_in_a_file_name(case):
    name = unicodedata.normalize("NFD", "Müller.jpg")
    case.picture(f"images/{name}", "images/b.jpg").text("ann.json", coco(["Müller.jpg", "b.jpg"]))
    assert case.pull("images", "ann.json")[0] == 0
    assert case.boxes() == cats("b.jpg", name)


def test_names_in_another_case_or_with_another_suffix(case):
    case.picture("images/a.jpg", "images/b.jpg", "images/c.jpg").text("ann.json", coco(["A.JPG", "b.jpeg", "c.jpg"]))
    code, _, err = case.pull("images", "ann.json")
    assert code == 0 and "ignoring case" in err and "without suffix" in err
    assert case.boxes() == cats("a.jpg", "b.jpg", "c.jpg")


def half_done(case: Case) -> Case:
    document = coco([f"{letter}.jpg" for letter in "abcdef"])
    document["annotations"] = document["annotations"][:2]
    return case.picture(*(f"images/{letter}.jpg" for letter in "abcdef")).text("ann.json", document)


def test_a_coco_export_that_lists_all_images(case):
    code, out, err = half_done(case).pull("images", "ann.json", "--task", "detection", *TINY)
    assert code == 0 and "\n6 images, 6 annotated (COCO)" in out
    assert "4 of 6 listed images have no annotation and count as looked at" in err and "platform.empty=pool" in err
    code, _, err = case.run("cycle")
    assert code == 2 and "--set platform.empty=pool" in err and "--set platform.empty=labeled" in err
    assert not (case.root / "W" / "queue.csv").exists()
    _, out, _ = case.run("status")
    assert "annotate the first images" not in out
    code, out, _ = case.run("cycle", "--set", "platform.empty=pool")
    assert code == 0 and "Ranked 4 images" in out
    assert case.boxes() == cats("a.jpg", "b.jpg")


def test_who_says_that_there_is_nothing_is_believed(case):
    half_done(case).pull("images", "ann.json", "--task", "detection", *TINY, "--set", "platform.empty=labeled")
    code, out, err = case.run("cycle")
    assert code == 0 and "Ranked 0 images" in out and "listed images" not in err
    assert "annotate the first images" not in case.run("status")[1]


def test_the_root_of_a_voc_archive(case):
    case.picture(*(f"set/JPEGImages/{name}.jpg" for name in "abc"))
    case.text("set/Annotations/a.xml", voc("a.jpg")).text("set/Annotations/b.xml", voc("b.jpg"))
    assert case.pull("set", "set")[0] == 0
    assert case.boxes() == cats("JPEGImages/a.jpg", "JPEGImages/b.jpg")


def test_cvat_for_images(case):
    box = '<box label="cat" xtl="10.00" ytl="10.00" xbr="40.00" ybr="40.00"/>'
    images = "".join(f'<image name="{name}.jpg" width="96" height="64">{box}</image>' for name in "ab")
    case.picture(*(f"images/{name}.jpg" for name in "abc"))
    assert case.text("ann/annotations.xml", f"<annotations>{images}</annotations>").pull()[0] == 0
    assert case.boxes() == cats("a.jpg", "b.jpg")


def test_two_annotators_of_one_image(case):
    case.picture(*(f"images/{name}.jpg" for name in "abc")).text("ann/b.xml", voc("b.jpg"))
    case.text("ann/ann/a.xml", voc("a.jpg")).text("ann/bob/a.xml", voc("a.jpg"))
    code, _, err = case.pull()
    assert code == 3 and "claimed by 2 annotations: ann/a.xml and bob/a.xml" in err
    assert case.boxes() == cats("b.jpg")


def test_the_oldest_superannotate_export(case):
    corners = {"x1": 10, "y1": 10, "x2": 40, "y2": 40}
    case.picture(*(f"images/{name}.jpg" for name in "abc")).text("ann/classes/classes.json", [{"id": 1, "name": "cat"}])
    for name in "ab":
        case.text(f"ann/{name}.jpg___objects.json", [{"type": "bbox", "className": "cat", "points": corners}])
    assert case.pull()[0] == 0
    assert case.boxes() == cats("a.jpg", "b.jpg")


def test_overlays_of_superannotate(case):
    instance = {"type": "bbox", "className": "cat", "points": {"x1": 10, "y1": 10, "x2": 40, "y2": 40}}
    case.picture(*(f"export/{name}.jpg" for name in "abc"), "export/a.jpg___fuse.png", "export/b.jpg___fuse.png")
    for name in "ab":
        case.text(f"export/{name}.jpg.json", {"metadata": {"name": f"{name}.jpg"}, "instances": [instance]})
    code, out, _ = case.pull("export", "export")
    assert code == 0 and "\n3 images, 2 annotated (SuperAnnotate)" in out


def areas(case: Case) -> dict[str, dict[str, int]]:
    return {
        name: {mask.label or str(mask.pixel_id): int(mask.pixels().sum()) for mask in annotation.masks}
        for name, annotation in case.annotations().items()
    }


def test_segmentation_masks_of_cvat(case):
    case.picture(*(f"images/{name}.png" for name in "abc"))
    case.text("ann/labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncrack:184,61,245::\n")
    for name in "ab":
        case.mask(f"ann/SegmentationClass/{name}.png", (184, 61, 245), "RGB")
        case.mask(f"ann/SegmentationObject/{name}.png", (128, 0, 0), "RGB")
    assert case.pull("images", "ann", "--task", "segmentation")[0] == 0
    assert areas(case) == {name: {"background": WIDTH * HEIGHT - 900, "crack": 900} for name in ("a.png", "b.png")}


def test_black_and_white_masks(case):
    case.picture(*(f"images/{name}.jpg" for name in "abcdefgh")).text("ann/classes.txt", "background\ncrack\n")
    for name in "abcdefg":
        case.mask(f"ann/{name}.png", 255)
    settings = ("--set", "model.input_size=64", "--set", "train.validation=0.5", *FAST)
    code, _, err = case.pull("images", "ann", "--task", "segmentation", *settings)
    assert code == 0
    assert "Pixels of id 255 are ignored in 7 masks (task.ignore_index)." in err
    assert "Class crack occurs in no mask." in err
    code, out, err = case.run("cycle")
    assert code == 0 and "1.000" not in out and "over one class only, mIoU says nothing" in err


def test_masks_without_a_class_list(case):
    case.picture("images/a.jpg", "images/b.jpg").mask("ann/a.png", 1)
    code, _, err = case.pull("images", "ann", "--task", "segmentation")
    assert code == 2 and "PNG masks need classes.txt" in err


def test_images_of_other_kinds(case):
    case.picture("images/a.jpg", "images/b.jfif")
    for name in ("c.avif", "d.HEIC", "e.dcm"):
        case.text(f"images/{name}", "")
    for name in "abcd":
        case.text(f"ann/{name}.xml", voc(name))
    code, _, err = case.pull()
    assert code == 3 and "3 files of kinds that alcli does not read: .avif 1, .dcm 1, .heic 1." in err
    assert case.boxes() == cats("a.jpg", "b.jfif")


def test_twelve_bits_in_sixteen(case):
    path = case.root / "xray.png"
    Image.fromarray(np.linspace(0, 4095, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.uint16)).save(path)
    assert image_files.load(path).getextrema() == ((0, 255),) * 3


def test_files_that_macos_adds(case):
    case.picture(*(f"images/{name}.jpg" for name in "abc")).text("ann/a.xml", voc("a")).text("ann/b.xml", voc("b"))
    case.text("ann/._a.xml", "\0\5").text("ann/__MACOSX/._b.xml", "\0\5")
    assert case.pull()[0] == 0
    assert case.boxes() == cats("a.jpg", "b.jpg")


def test_a_cold_start_asks_for_no_broken_image(case):
    case.picture("images/a.jpg", "images/b.jpg").text("images/empty.jpg", "").text("images/page.jpg", "<html>")
    whole = (case.root / "images" / "a.jpg").read_bytes()
    (case.root / "images" / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (case.root / "ann").mkdir()
    assert case.pull("images", "ann", "--budget", "5")[0] == 0
    code, out, err = case.run("cycle")
    assert code == 3 and "nothing to train on yet" in out
    assert all(name in err for name in ("empty.jpg: empty file", "half.jpg", "page.jpg"))
    assert sorted(case.queue()) == ["a.jpg", "b.jpg"]


def test_a_class_list_among_the_labels(case):
    yolo(case, f"0 {CAT_LINE}\n", "a", "b").text("ann/labels/classes.txt", "cat\ndog\n")
    assert case.pull()[0] == 0
    assert case.boxes() == cats("a.jpg", "b.jpg")


TABLES = ["sep=;\nname;label\na.jpg;cat\nb.jpg;cat\n", "name,label,\na.jpg,cat,\nb.jpg,cat,\n,,\n,,\n"]


@pytest.mark.parametrize("table", TABLES)
def test_tables_of_spreadsheets(case, table):
    case.picture(*(f"images/{name}.jpg" for name in "abc")).text("labels.csv", table)
    assert case.pull("images", "labels.csv", "--task", "classification")[0] == 0
    assert {name: annotation.labels for name, annotation in case.annotations().items()} == {
        "a.jpg": ("cat",), "b.jpg": ("cat",),
    }  # fmt: skip
