"""Label Studio: the real adapter before a small server of its protocol."""

from __future__ import annotations

import copy
import io
import itertools
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from alcli.annotations import Annotation, Box, Keypoint, Polygon, Pose
from alcli.config import TaskOptions
from alcli.errors import AuthError, DataError, PlatformError, UsageError
from alcli.items import LABELED, SKIPPED, UNLABELED, Item, Refusal
from alcli.platforms import _label_studio_client
from alcli.platforms._label_studio_records import image_name
from alcli.platforms._label_studio_setup import labeling_interface
from alcli.platforms.label_studio import LabelStudio
from tests.platforms.conftest import ranked
from tests.support.brush import encode_brush
from tests.support.label_studio_server import BOXES, LEGACY, PERSONAL, LabelStudioServer
from tests.support.superannotate_server import Fault

Connect = Callable[..., LabelStudio]
SIZE = {"original_width": 200, "original_height": 100}
CAT = {
    "id": "a1", "from_name": "label", "to_name": "image", "type": "rectanglelabels", **SIZE,
    "value": {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["cat"]},
}  # fmt: skip
JPEG = b"\xff\xd8\xff" + bytes(100)


@pytest.fixture
def server(monkeypatch) -> Iterator[LabelStudioServer]:
    with LabelStudioServer() as running:
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", LEGACY)
        yield running


@pytest.fixture
def connect(server: LabelStudioServer, tmp_path: Path) -> Connect:
    """A platform on the server's project; keywords are options."""

    def call(task: str = "detection", **options: object) -> LabelStudio:
        settings = {
            "project": "Cells", "url": server.url, "backoff": 0.001, "timeout": 2, "deadline": 20, **options
        }  # fmt: skip
        platform = LabelStudio(LabelStudio.Options(name="label-studio", **settings), tmp_path / "W" / "cache")
        platform.set_task(TaskOptions(name=task))
        return platform

    return call


def listed(platform: LabelStudio) -> list[Item]:
    return [item for item in platform.items() if isinstance(item, Item)]


def push(platform: LabelStudio, items: list[Item]) -> list[bool]:
    return [receipt.accepted for receipt in platform.push(ranked(items))]


def choices(*names: str) -> dict:
    described = {**BOXES["label"], "type": "Choices", "labels": ["day", "night", "dusk"]}
    return dict.fromkeys(names, described)


def chosen(*labels: str, control: str = "when") -> dict:
    return {"from_name": control, "to_name": "image", "type": "choices", "value": {"choices": list(labels)}}


# Listing


def test_tasks_are_items_with_their_state(server, connect):
    plain, answered, skipped = (server.add_task(f"pool/{name}.jpg") for name in "abc")
    server.answer_task(answered, [CAT])
    server.answer_task(skipped, [], was_cancelled=True)
    items = listed(connect())
    assert [(item.id, item.name, item.state) for item in items] == [
        (str(plain), "/pool/a.jpg".lstrip("/"), UNLABELED),
        (str(answered), "pool/b.jpg", LABELED),
        (str(skipped), "pool/c.jpg", SKIPPED),
    ]


ADDRESSES = {
    "/data/local-files/?d=lot%201/a%23b%25.jpg": "lot 1/a#b%.jpg",
    "/data/upload/4/1a2b3c4d-räder.jpg": "räder.jpg",
    "s3://bucket/sub/a.jpg": "sub/a.jpg",
    "https://example.com/sub/a%20b.jpg?sig=1": "sub/a b.jpg",
    "photo.jpg": "photo.jpg",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_name_of_an_image_is_the_end_of_its_address(address):
    assert image_name(address) == ADDRESSES[address]


def test_two_tasks_with_one_image_have_two_names(server, connect):
    first, second = server.add_task("a.jpg"), server.add_task("a.jpg")
    assert [item.name for item in listed(connect())] == ["a.jpg", f"a.jpg (task {second})"]
    assert first < second


def test_a_task_without_an_image_is_refused_by_name(server, connect):
    number = server.add_task("a.jpg")
    server.tasks[number]["data"] = {"text": "hello"}
    refusals = [row for row in connect().items() if isinstance(row, Refusal)]
    assert [(row.id, row.reason) for row in refusals] == [(str(number), "it has no image in 'image'")]


def test_all_pages_are_read(server, connect, monkeypatch):
    monkeypatch.setattr(_label_studio_client, "TASKS_A_PAGE", 4)
    numbers = [server.add_task(f"{number}.jpg") for number in range(10)]
    assert [int(item.id) for item in listed(connect())] == numbers


def test_a_second_pull_asks_only_for_what_changed(server, connect):
    numbers = [server.add_task(f"{number}.jpg") for number in range(10)]
    listed(connect())
    server.requests.clear()
    assert len(listed(connect())) == 10
    assert len(server.requests) <= 3
    server.answer_task(numbers[3], [CAT])
    assert [item.id for item in listed(connect()) if item.state == LABELED] == [str(numbers[3])]
    # A deleted annotation, a deleted task, and one deleted while another is added.
    server.tasks[numbers[3]]["annotations"].clear()
    server.touch(numbers[3])
    assert {item.state for item in listed(connect())} == {UNLABELED}
    del server.tasks[numbers[0]]
    assert [int(item.id) for item in listed(connect())] == numbers[1:]
    del server.tasks[numbers[1]]
    new = server.add_task("new.jpg")
    assert [int(item.id) for item in listed(connect())] == [*numbers[2:], new]


def test_a_list_kept_for_another_project_or_damaged_is_not_used(server, connect, tmp_path):
    server.add_task("a.jpg")
    listed(connect())
    kept = tmp_path / "W" / "cache" / "label-studio-tasks.json"
    kept.write_text(kept.read_text().replace("a.jpg", "b.jpg").replace('"image"', '"photo"'))
    assert [item.name for item in listed(connect())] == ["a.jpg"]
    kept.write_text("{")
    assert [item.name for item in listed(connect())] == ["a.jpg"]


# Annotations


def annotation_of(server: LabelStudioServer, platform: LabelStudio, *documents: dict) -> Annotation | Refusal:
    number = server.add_task("a.jpg")
    for document in documents:
        facts = {key: value for key, value in document.items() if key != "result"}
        server.answer_task(number, document["result"], **facts)
    return next(iter(platform.annotations([item for item in listed(platform) if item.id == str(number)])))


def test_boxes_are_read_in_pixels_with_the_time_they_took(server, connect):
    annotation = annotation_of(server, connect(), {"result": [CAT]})
    assert isinstance(annotation, Annotation)
    assert annotation.boxes == (Box("cat", 20, 20, 80, 60),)
    assert annotation.seconds == 12.5


@pytest.mark.parametrize(
    ("lead_time", "seconds"),
    [(None, None), (0, None), (-3, None), ("12", None), (True, None), (7, 7.0), (3 * 86400.0, 259200.0)],
)
def test_a_working_time_that_is_none_says_nothing(server, connect, lead_time, seconds):
    annotation = annotation_of(server, connect(), {"result": [CAT], "lead_time": lead_time})
    assert isinstance(annotation, Annotation)
    assert annotation.seconds == seconds


def test_only_results_of_fitting_controls_count(server, connect):
    annotation = annotation_of(server, connect(), {"result": [CAT, chosen("night")]})
    assert isinstance(annotation, Annotation)
    assert (len(annotation.boxes), annotation.labels) == (1, ())


def test_joints_belong_to_the_region_around_them(server, connect):
    server.settings_of_project["parsed_label_config"] = {
        "joint": {**BOXES["label"], "type": "KeyPointLabels", "labels": ["head", "foot"]},
        "label": BOXES["label"],
    }

    def joint(name: str, x: float, y: float, region: str) -> dict:
        value = {"x": x, "y": y, "width": 0.5, "keypointlabels": [name]}
        return {"from_name": "joint", "type": "keypointlabels", "parentID": region, **SIZE, "value": value}

    two = [joint("head", 10, 10, "a1"), joint("foot", 10, 50, "a1"), joint("head", 60, 10, "b2")]
    annotation = annotation_of(server, connect("pose"), {"result": two})
    assert isinstance(annotation, Annotation)
    assert annotation.poses == (
        Pose("person", (Keypoint("head", 20, 10), Keypoint("foot", 20, 50))),
        Pose("person", (Keypoint("head", 120, 10),)),
    )
    alone = [joint("head", 10, 10, ""), joint("head", 60, 10, "")]
    refusal = annotation_of(server, connect("pose"), {"result": alone})
    assert isinstance(refusal, Refusal)
    assert "the joint 'head' occurs twice" in refusal.reason


def test_painted_masks_and_polygons_are_read_for_segmentation(server, connect):
    server.settings_of_project["parsed_label_config"] = {
        "brush": {**BOXES["label"], "type": "BrushLabels"}, "outline": {**BOXES["label"], "type": "PolygonLabels"},
    }  # fmt: skip
    size = {"original_width": 4, "original_height": 2}
    painted = np.zeros((2, 4, 4), dtype=np.uint8)
    painted[0, 1:3] = 255
    results = [
        {"from_name": "brush", "type": "brushlabels", **size,
         "value": {"format": "rle", "rle": encode_brush(painted.tobytes()), "brushlabels": ["cat"]}},
        {"from_name": "outline", "type": "polygonlabels", **size,
         "value": {"points": [[0, 0], [50, 0], [50, 100]], "polygonlabels": ["dog"]}},
    ]  # fmt: skip
    annotation = annotation_of(server, connect("segmentation"), {"result": results})
    assert isinstance(annotation, Annotation)
    assert annotation.masks[0].pixels().tolist() == [[0, 1, 1, 0], [0, 0, 0, 0]]
    assert annotation.polygons == (Polygon("dog", ((0, 0, 2, 0, 2, 2),)),)


@pytest.mark.parametrize(
    ("rule", "people", "label"),
    [
        ("newest", [("day", 1), ("night", 2)], "night"),
        ("majority", [("day", 1), ("night", 2), ("day", 3), ("dusk", 4), ("day", 5)], "day"),
        ("ann@example.com", [("day", 1), ("night", 2)], "day"),
    ],
)
def test_one_of_several_annotations_counts(server, connect, rule, people, label):
    server.settings_of_project["parsed_label_config"] = choices("when")
    documents = [{"result": [chosen(each)], "completed_by": person} for each, person in people]
    annotation = annotation_of(server, connect("classification", annotator=rule), *documents)
    assert isinstance(annotation, Annotation)
    assert annotation.labels == (label,)


def test_without_a_majority_or_the_named_person_there_is_a_reason(server, connect):
    server.settings_of_project["parsed_label_config"] = choices("when")
    documents = [{"result": [chosen(each)]} for each in ("day", "night")]
    refusal = annotation_of(server, connect("classification", annotator="majority"), *documents)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "its 2 annotators do not agree: no choice has a majority"
    refusal = annotation_of(server, connect("classification", annotator="bob@example.com"), documents[0])
    assert isinstance(refusal, Refusal)
    assert "bob@example.com is not among its annotators" in refusal.reason


def test_ground_truth_counts_before_newer_annotations_and_skipped_ones_never(server, connect):
    server.settings_of_project["parsed_label_config"] = choices("when")
    documents = [
        {"result": [chosen("day")], "ground_truth": True},
        {"result": [chosen("night")]},
        {"result": [chosen("dusk")], "was_cancelled": True},
    ]
    annotation = annotation_of(server, connect("classification"), *documents)
    assert isinstance(annotation, Annotation)
    assert annotation.labels == ("day",)


# The order


def test_annotators_receive_the_pushed_order(server, connect):
    for number in range(7):
        server.add_task(f"{number}.jpg")
    platform = connect()
    order = listed(platform)[::-1]
    assert all(push(platform, order))
    assert server.served() == [int(item.id) for item in order]
    assert [(row.position, row.item_id) for row in platform.queue()] == [
        (position, item.id) for position, item in enumerate(order, 1)
    ]


def test_the_same_list_again_changes_nothing(server, connect):
    for number in range(3):
        server.add_task(f"{number}.jpg")
    platform = connect()
    push(platform, listed(platform))
    state = server.state()
    server.requests.clear()
    push(platform, listed(platform))
    assert server.state() == state
    assert not [request for request in server.requests if request.startswith(("POST", "PATCH", "DELETE"))]


@pytest.mark.parametrize("path", ["POST /api/projects/7/import", "PATCH /api/projects/7/"])
def test_annotators_keep_the_old_order_until_the_new_one_is_complete(server, connect, path):
    for number in range(4):
        server.add_task(f"{number}.jpg")
    platform = connect()
    order = listed(platform)
    push(platform, order)
    before = server.served()
    server.faults = [Fault("500", path, times=20)]
    with pytest.raises(PlatformError):
        push(platform, order[::-1])
    assert server.served() == before
    server.faults = []
    push(platform, order[::-1])
    assert server.served() == before[::-1]
    assert len({(each["task"], each["model_version"]) for each in server.predictions.values()}) == len(
        server.predictions
    )


def test_a_lost_answer_scores_no_task_twice(server, connect):
    for number in range(4):
        server.add_task(f"{number}.jpg")
    platform = connect()
    server.faults = [Fault("drop", "import/predictions")]
    assert all(push(platform, listed(platform)))
    assert len(server.predictions) == 4


def test_a_task_that_was_deleted_meanwhile_is_refused_alone(server, connect):
    numbers = [server.add_task(f"{number}.jpg") for number in range(4)]
    platform = connect()
    order = listed(platform)
    del server.tasks[numbers[1]]
    assert push(platform, order) == [True, False, True, True]
    assert server.served() == [numbers[0], numbers[2], numbers[3]]


def test_a_server_that_takes_small_requests_gets_small_ones(server, connect):
    for number in range(9):
        server.add_task(f"{number}.jpg")
    server.most_scores = 2
    platform = connect()
    assert all(push(platform, listed(platform)[::-1]))
    assert len(server.served()) == 9


def test_scores_that_the_server_drops_without_a_word_are_noticed(server, connect, monkeypatch):
    for number in range(3):
        server.add_task(f"{number}.jpg")
    platform = connect()
    monkeypatch.setattr("alcli.platforms.label_studio._version", lambda query: "alcli-x")
    monkeypatch.setattr(platform._client, "add_scores", lambda scores, version: 0)
    with pytest.raises(PlatformError, match="did not take the scores of 3 tasks"):
        push(platform, listed(platform))
    assert server.settings_of_project["model_version"] == ""


def test_old_orders_are_removed_but_the_last_one_and_those_of_others(server, connect):
    for number in range(3):
        server.add_task(f"{number}.jpg")
    platform = connect()
    order = listed(platform)
    server.predictions[900] = {"id": 900, "task": int(order[0].id), "model_version": "theirs", "score": 0.5}
    lists = [order, order[::-1], [order[1], order[0], order[2]]]
    for each in lists:
        push(platform, each)
    versions = {each["model_version"] for each in server.predictions.values()}
    assert len(versions) == 3 and "theirs" in versions
    assert server.served() == [int(item.id) for item in lists[-1]]
    push(connect(old_scores="at once"), order)
    assert len({each["model_version"] for each in server.predictions.values()}) == 3


def test_an_order_that_somebody_else_switches_away_is_noticed(server, connect):
    server.add_task("a.jpg")
    platform = connect()
    push(platform, listed(platform))
    server.settings_of_project["sampling"] = "Sequential sampling"
    assert platform.queue() == []
    checks = {name: (fine, details) for name, fine, details in platform.checks()}
    assert checks["sampling"] == (False, "Sequential sampling; so alcli's order has no effect; push again")
    assert checks["project"] == (True, "Cells (number 7), 1 tasks")


def test_an_empty_list_leaves_no_order(server, connect):
    server.add_task("a.jpg")
    platform = connect()
    push(platform, listed(platform))
    assert len(platform.queue()) == 1
    push(platform, [])
    assert platform.queue() == []


# Shapes for annotators


def test_pre_labels_are_shapes_in_percent_and_keep_the_order(server, connect):
    first, second = server.add_task("a.jpg"), server.add_task("b.jpg")
    platform = connect()
    items = listed(platform)
    push(platform, items)
    annotation = Annotation(str(second), (Box("dog", 20, 20, 80, 60, 0.75),), (200, 100))
    assert platform.prelabel([items[1]], [annotation]) == []
    result = next(each["result"] for each in server.predictions.values() if each["task"] == second)
    assert [(each["from_name"], each["type"], each["score"]) for each in result] == [("label", "rectanglelabels", 0.75)]
    assert result[0]["value"] == {
        "x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["dog"]
    }  # fmt: skip
    assert server.served() == [first, second]


def test_a_class_that_the_interface_lacks_is_named(server, connect):
    server.add_task("a.jpg")
    platform = connect()
    items = listed(platform)
    push(platform, items)
    with pytest.raises(DataError, match="no label 'cow'"):
        platform.prelabel(items, [Annotation(items[0].id, (Box("cow", 1, 1, 2, 2),), (200, 100))])


def test_a_subset_is_a_tab_and_statuses_are_refused(server, connect):
    number = server.add_task("a.jpg")
    platform = connect()
    rows = ranked(listed(platform))
    for _ in range(2):
        platform.add_to_subset(rows, "hard")
    tabs = [tab["data"] for tab in server.tabs.values()]
    assert [tab["title"] for tab in tabs] == ["hard"]
    assert tabs[0]["filters"]["items"][0]["value"] == [number]
    with pytest.raises(UsageError, match="no status"):
        platform.set_status(rows, "done")
    with pytest.raises(UsageError, match="no assignments"):
        platform.assign(rows, ["bob@example.com"])
    with pytest.raises(UsageError, match=r"no user eve@example\.com"):
        platform.assign(rows, ["eve@example.com"])


# Images


def test_images_come_from_the_server_with_the_token_and_from_others_without(server, connect):
    with LabelStudioServer() as other:
        other.images |= {"far.jpg": JPEG, "bucket.jpg": JPEG}
        server.images |= {"near.jpg": JPEG, "up.jpg": JPEG}
        server.bucket = other.url
        addresses = [
            "/data/local-files/?d=near.jpg", "/data/upload/7/up.jpg", f"{other.url}/photos/far.jpg",
            "s3://lot/bucket.jpg",
        ]  # fmt: skip
        for address in addresses:
            server.add_task(address)
        platform = connect(allow_private_hosts=True)
        for item in listed(platform):
            assert platform.image(item).read_bytes() == JPEG
        assert other.requests == ["GET /photos/far.jpg", "GET /photos/bucket.jpg"]
        assert all("authorization" not in headers for headers in other.headers)


def test_an_image_that_is_missing_is_named(server, connect):
    server.add_task("gone.jpg")
    platform = connect()
    with pytest.raises(DataError, match="status 404"):
        platform.image(listed(platform)[0])


def test_a_local_copy_comes_first(server, connect, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "here.jpg").write_bytes(JPEG)
    server.images["there.jpg"] = JPEG + b"x"
    for name in ("here.jpg", "there.jpg"):
        server.add_task(name)
    platform = connect(images=tmp_path / "photos")
    assert [platform.image(item).read_bytes() for item in listed(platform)] == [JPEG, JPEG + b"x"]


# A new project


@pytest.mark.parametrize(
    ("task", "controls"),
    [
        (TaskOptions(name="detection", classes=("cat & dog", "<b>")), {"RectangleLabels"}),
        (TaskOptions(name="segmentation", classes=("road",)), {"BrushLabels", "PolygonLabels"}),
        (TaskOptions(name="pose", classes=("head", "foot")), {"RectangleLabels", "KeyPointLabels"}),
        (TaskOptions(name="classification", classes=("day",)), {"Choices"}),
    ],
)
def test_a_new_project_has_an_interface_for_its_task(task, controls):
    view = ElementTree.fromstring(labeling_interface(task))
    kinds = {element.tag for element in view if element.tag != "Image"}
    assert kinds == controls
    offered = [element.get("value") for control in view for element in control if control.tag != "Image"]
    assert set(task.classes) <= set(offered)


def test_a_project_is_made_with_the_images_that_it_lacks(server, connect, tmp_path):
    photos = tmp_path / "photos"
    (photos / "sub").mkdir(parents=True)
    for name in ("a b.jpg", "sub/c.jpg"):
        (photos / name).write_bytes(JPEG)
    server.settings_of_project["title"] = "another"
    platform = connect(project="Fresh", images=photos)
    task = TaskOptions(name="detection", classes=("cat",))
    assert platform.create(task) == "The project 'Fresh' was made; 2 images uploaded."
    assert [item.name for item in listed(platform)] == ["a_b.jpg", "c.jpg"]
    (photos / "d.jpg").write_bytes(JPEG)
    assert (
        connect(project="Fresh", images=photos).create(task)
        == "The project 'Fresh' was there already; 1 image uploaded."
    )
    (photos / "c.jpg").write_bytes(JPEG)
    with pytest.raises(UsageError, match=r"Two images would be called 'c\.jpg'"):
        connect(project="Fresh", images=photos).create(task)


def test_a_new_project_needs_classes_and_a_title_that_the_server_takes(connect):
    with pytest.raises(UsageError, match="needs class names"):
        connect().create(TaskOptions(name="detection"))
    with pytest.raises(UsageError, match="3 to 50 characters"):
        connect(project="ab").create(TaskOptions(name="detection", classes=("cat",)))


# Tokens


def test_a_personal_token_buys_short_lived_ones(server, connect, monkeypatch):
    server.add_task("a.jpg")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", PERSONAL)
    platform = connect()
    assert len(listed(platform)) == 1
    assert server.bought == 1
    server.token = "Bearer of-an-other-time"
    assert len(listed(platform)) == 1
    assert server.bought == 2
    assert not [headers for headers in server.headers if PERSONAL in headers.get("authorization", "")]


@pytest.mark.parametrize("status", ["401", "403"])
def test_a_rejected_token_is_said_without_the_token(server, connect, status):
    server.faults = [Fault(status, times=9)]
    with pytest.raises(AuthError) as error:
        listed(connect())
    assert LEGACY not in str(error.value)
    assert "LABEL_STUDIO_API_KEY in the environment" in error.value.what


def test_a_token_file_that_others_can_read_is_refused(connect, monkeypatch, tmp_path):
    monkeypatch.delenv("LABEL_STUDIO_API_KEY")
    file = tmp_path / "token"
    file.write_text(LEGACY)
    file.chmod(0o644)
    with pytest.raises(AuthError, match="Other users can read the token"):
        connect(token_file=file)
    file.chmod(0o600)
    connect(token_file=file)


def test_a_token_goes_unencrypted_only_where_that_is_allowed(connect):
    with pytest.raises(UsageError, match="unencrypted"):
        connect(url="http://192.168.1.5:8080")
    connect(url="http://192.168.1.5:8080", plain_http=True)


def test_a_redirect_is_not_followed(server, connect):
    with LabelStudioServer() as other:
        server.faults = [Fault("redirect", "/api/projects/", headers={"Location": f"{other.url}/api/projects/"})]
        with pytest.raises(PlatformError, match="was redirected"):
            listed(connect())
        assert other.requests == []


# What is wrong


def test_a_project_that_does_not_exist_gets_a_suggestion(server, connect):
    with pytest.raises(DataError) as error:
        listed(connect(project="Cell"))
    assert "Cells" in error.value.do
    assert len(listed(connect(project="7"))) == 0


@pytest.mark.parametrize("kind", ["html", "garbage", "empty"])
def test_an_answer_that_is_no_json_is_said(server, connect, kind):
    server.faults = [Fault(kind, "/api/projects/", times=9)]
    with pytest.raises(PlatformError):
        listed(connect())


def test_an_interface_that_does_not_fit_is_said(server, connect):
    with pytest.raises(UsageError, match="no control that fits pose: it has RectangleLabels 'label'"):
        listed(connect("pose"))
    server.settings_of_project["parsed_label_config"] = choices("when", "where")
    with pytest.raises(UsageError, match="several choices: when, where"):
        listed(connect("classification"))
    assert listed(connect("classification", control="when")) == []
    server.settings_of_project["parsed_label_config"] = {}
    with pytest.raises(UsageError, match="shows no image"):
        listed(connect())


def test_a_server_that_fails_once_is_asked_again(server, connect):
    server.add_task("a.jpg")
    server.faults = [Fault("502", "/api/tasks/"), Fault("hang", "/api/projects/7/")]
    assert len(listed(connect(timeout=0.2))) == 1


# Kills


def test_a_push_that_is_killed_at_any_change_ends_as_if_it_had_not_been(server, alcli, tmp_path):
    """The changes of the last push: scores are added, the project is switched, old scores are removed."""
    for number in range(5):
        server.add_task(f"{number}.jpg")
        picture = io.BytesIO()
        Image.new("RGB", (40, 30), (40 * number, 90, 20)).save(picture, "JPEG")
        server.images[f"{number}.jpg"] = picture.getvalue()
    root = tmp_path / "W"
    flags = ["--platform", "label-studio", "--project", "Cells", "--url", server.url]
    assert alcli("init", root, *flags)[0] == 0
    assert alcli("cycle", "-w", root)[0] == 0
    assert alcli("push", "-w", root, "--top", 4)[0] == 0
    before = copy.deepcopy((server.predictions, server.settings_of_project))

    def push_three() -> int:
        command = [sys.executable, "-m", "alcli", "push", "-w", str(root), "--top", "3", "-q"]
        process = subprocess.Popen(command)
        server.client = process.pid
        return process.wait(120)

    assert push_three() == 0
    undisturbed = server.seen()
    for call, applied in itertools.product((1, 2, 3), (False, True)):
        server.predictions, server.settings_of_project = copy.deepcopy(before)
        server.kill_at, server.kills_after = call, applied
        assert push_three() == -signal.SIGKILL
        server.kill_at = 0
        assert push_three() == 0
        # Old scores that a kill has left are removed by the next push that changes something.
        assert server.seen() == undisturbed, (call, applied)
        assert server.given_twice() == 0
