"""The SuperAnnotate platform: the real SDK against a local service."""

from __future__ import annotations

import asyncio
import importlib
import ssl
from types import SimpleNamespace

import pytest

from alcli.annotations import Annotation, Box, PassedOver
from alcli.errors import AlcliError, AuthError, DataError, PlatformError, Unreadable, UsageError
from alcli.items import LABELED, SKIPPED, UNLABELED, Refusal
from tests.platforms.conftest import ranked
from tests.support.superannotate_server import Fault

CAT = {"type": "bbox", "className": "cat", "points": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}}
HOSTILE = ("../../etc/passwd", 'with "quotes"', "line\nbreak.jpg", "ünï cödé.jpg", "comma,semicolon;.jpg", "%2e%2e")


def test_a_listing_has_every_page_state_and_folder(server, connect):
    for number in range(2003):
        server.add(f"{number}.jpg")
    server.add("done.jpg", "sub", "Completed")
    server.add("busy.jpg", "sub", "InProgress")
    items = list(connect().items())
    assert len(items) == 2005 and len({item.id for item in items}) == 2005
    by_name = {item.name: item for item in items}
    assert (by_name["done.jpg"].state, by_name["done.jpg"].folder) == (LABELED, "sub")
    assert by_name["busy.jpg"].state == SKIPPED
    assert (by_name["7.jpg"].state, by_name["7.jpg"].folder) == (UNLABELED, "")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"project": "Cells"}, ["root.jpg"]),
        ({"project": "Cells/a"}, ["a.jpg"]),
        ({"project": "Cells", "folders": ("a", "b")}, ["a.jpg", "b.jpg"]),
        ({"project": "Cells/*"}, ["a.jpg", "b.jpg", "root.jpg"]),
    ],
)
def test_the_project_option_names_root_one_several_or_all_folders(server, connect, options, expected):
    server.add("root.jpg")
    server.add("a.jpg", "a")
    server.add("b.jpg", "b")
    assert sorted(item.name for item in connect(**options).items()) == expected


def test_a_folder_without_a_name_is_the_services_fault(server, connect):
    server.add("root.jpg")
    server.folders[555] = None
    with pytest.raises(PlatformError, match="the folders: TypeError: a folder without a name"):
        list(connect(project="Cells/*").items())


def test_the_same_name_in_two_folders_is_two_items_each_with_its_own_place(server, connect):
    first, second = server.add("x.jpg", "a"), server.add("x.jpg", "b")
    platform = connect()
    items = {item.id: item for item in platform.items()}
    list(platform.push(ranked([items[str(second)], items[str(first)]])))
    assert [place.item_id for place in platform.queue()] == [str(second), str(first)]
    assert server.items[second]["entropy_value"] > server.items[first]["entropy_value"] > 0


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_only_text(server, connect, name):
    server.add(name)
    platform = connect()
    items = list(platform.items())
    receipts = list(platform.push(ranked(items)))
    assert [receipt.accepted for receipt in receipts] == [True]
    assert [place.name for place in platform.queue()] == [name]


def test_custom_statuses_decide_what_is_labeled_and_what_is_asked_for(server, connect):
    server.statuses = ["Fresh", "Working", "Approved"]
    server.add("a.jpg", status="Fresh")
    server.add("b.jpg", status="Approved")
    states = {
        item.name: item.state
        for item in connect(pool_statuses=("Fresh", "Working"), labeled_statuses=("Approved",)).items()
    }
    assert states == {"a.jpg": UNLABELED, "b.jpg": LABELED}
    with pytest.raises(UsageError, match="no status 'Completed'"):
        list(connect().items())


def test_a_priority_that_was_written_changes_no_items_version(server, connect):
    server.add("a.jpg")
    platform = connect()
    before = list(platform.items())
    list(platform.push(ranked(before)))
    assert server.items[int(before[0].id)]["updatedAt"] != before[0].version
    assert list(platform.items()) == before


def test_annotations_come_in_pages_in_the_order_asked_for(server, connect):
    for number in range(520):
        item_id = server.add(f"{number}.jpg", "pool")
        server.annotate(item_id, [{**CAT, "points": {"x1": number, "y1": 0, "x2": number + 9, "y2": 9}}], width=64)
    platform = connect()
    items = list(reversed(list(platform.items())))
    answers = list(platform.annotations(items))
    assert [answer.item_id for answer in answers] == [item.id for item in items]
    assert [answer.boxes[0].x1 for answer in answers] == [float(number) for number in reversed(range(520))]
    assert answers[0].size is None  # a height is missing: the image will say


def test_an_annotation_that_is_broken_is_refused_and_unknown_kinds_are_counted(server, connect):
    good, broken = server.add("good.jpg"), server.add("broken.jpg")
    server.annotate(good, [CAT, {"type": "blob", "className": "cat"}, {"type": "comment"}])
    server.annotate(broken, [{"type": "bbox", "className": "cat", "points": {"x1": 1}}])
    platform = connect()
    answers = list(platform.annotations(list(platform.items())))
    assert isinstance(answers[0], Annotation) and len(answers[0].boxes) == 1
    assert isinstance(answers[1], Refusal) and "instance 0 (bbox)" in answers[1].reason
    assert answers[0].passed_over == (PassedOver("blob"), PassedOver("comment"))


def test_an_annotation_that_never_arrives_is_an_error_that_names_it(server, connect):
    item_id = server.add("a.jpg", status="Completed")
    platform = connect()
    with pytest.raises(PlatformError, match=f"1 of 1 annotations did not arrive .*{item_id}"):
        list(platform.annotations(list(platform.items())))


@pytest.mark.parametrize("kind", ["cut", "500", "hang"])
def test_a_broken_stream_is_fetched_again(server, connect, kind):
    for number in range(10):
        server.annotate(server.add(f"{number}.jpg"), [CAT])
    server.faults = [Fault(kind, "annotations/download", 2)]
    platform = connect(timeout=0.3)
    assert len(list(platform.annotations(list(platform.items())))) == 10


@pytest.fixture
def no_naps(monkeypatch, server, connect):
    """The SDK sleeps five seconds after each look at a large annotation; not here."""
    list(connect().items())
    module = importlib.import_module("lib.infrastructure.services.annotation")

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0.001)

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=sleep))


def test_a_large_annotation_comes_by_its_own_way(server, connect, no_naps):
    ids = [server.add(f"{number}.jpg") for number in range(3)]
    for item_id in ids:
        server.annotate(item_id, [CAT])
    server.large = {ids[1]}
    platform = connect()
    answers = list(platform.annotations(list(platform.items())))
    assert [answer.item_id for answer in answers] == [str(item_id) for item_id in ids]


def test_a_large_annotation_that_is_never_ready_is_given_up(server, connect, no_naps):
    server.annotate(server.add("a.jpg"), [CAT])
    server.large, server.sync = {1001}, "PENDING"
    platform = connect(deadline=0.2)
    with pytest.raises(PlatformError, match="did not finish"):
        list(platform.annotations(list(platform.items())))


@pytest.mark.parametrize("kind", ["duplicate", "short", "delete"])
def test_a_page_that_moved_while_it_was_read_is_read_again(server, connect, kind):
    for number in range(2100):
        server.add(f"{number}.jpg")
    server.faults = [Fault("none", "items/search"), Fault(kind, "items/search")]
    names = [item.name for item in connect().items()]
    assert sorted(names) == sorted(item["name"] for item in server.items.values())


def test_what_is_no_longer_asked_for_leaves_the_queue(server, connect):
    for number in range(5):
        server.add(f"{number}.jpg")
    platform = connect()
    items = list(platform.items())
    list(platform.push(ranked(items)))
    list(platform.push(ranked(items[3:])))
    assert server.queue() == ["3.jpg", "4.jpg"]
    assert [place.name for place in platform.queue()] == ["3.jpg", "4.jpg"]


def test_only_what_differs_is_sent_a_hundred_at_a_time(server, connect):
    for number in range(250):
        server.add(f"{number}.jpg")
    platform = connect()
    items = list(platform.items())
    list(platform.push(ranked(items)))
    assert sum("updateEntropy" in line for line in server.requests) == 3
    server.items[int(items[7].id)]["entropy_value"] = 0.5
    server.requests.clear()
    list(platform.push(ranked(items)))
    assert sum("updateEntropy" in line for line in server.requests) == 1


def test_equal_priorities_share_a_position_so_that_a_lost_order_shows(server, connect):
    for number in range(30):
        server.add(f"{number}.jpg")
    server.decimals = 1
    platform = connect()
    list(platform.push(ranked(list(platform.items()))))
    positions = [place.position for place in platform.queue()]
    assert len(set(positions)) < 30


def test_an_item_that_vanished_in_between_is_not_accepted(server, connect):
    for number in range(3):
        server.add(f"{number}.jpg")
    platform = connect()
    rows = ranked(list(platform.items()))
    server.faults = [Fault("delete", "updateEntropy")]
    assert [receipt.accepted for receipt in platform.push(rows)] == [False, True, True]


def test_expired_addresses_of_all_images_are_asked_for_anew_by_one_listing(server, connect):
    numbers = [server.add(f"{number}.jpg") for number in range(3)]
    platform = connect()
    items = list(platform.items())
    for number in numbers:
        server.images[f"new-{number}.jpg"] = b"\xff\xd8\xff pixels"
        server.items[number]["metadata"]["path"] = f"{server.url}/photos/new-{number}.jpg"
    server.faults = [Fault("403", f"/photos/{number}.jpg", 99) for number in numbers]
    server.requests.clear()
    assert [platform.image(item).read_bytes() for item in items] == [b"\xff\xd8\xff pixels"] * 3
    assert sum("items/search" in request for request in server.requests) <= 2
    server.faults.append(Fault("403", "/photos/new-", 99))
    platform.drop_image(items[0])
    with pytest.raises(Unreadable, match="status 403"):
        platform.image(items[0])


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (Fault("401", "", 99), AuthError, "SA_TOKEN in the environment was rejected"),
        (Fault("403", "updateEntropy", 99), AuthError, "not allowed"),
        (Fault("html", "items/search", 99), PlatformError, "web page instead of JSON"),
        (Fault("302", "items/search", 99, {"Location": "https://example.com/"}), PlatformError, "redirected"),
        (Fault("500", "items/search", 99), PlatformError, "status 500"),
        (Fault("429", "items/search", 99, {"Retry-After": "86400"}), PlatformError, "wait 86400 s"),
        (Fault("hang", "updateEntropy", 99), PlatformError, "no answer in time"),
        (Fault("drop", "updateEntropy", 99), PlatformError, "the connection failed"),
    ],
)
def test_what_the_service_does_wrong_is_said_as_it_is(server, connect, fault, error, message):
    server.add("a.jpg")
    server.faults = [fault]
    server.hang = 0.2
    platform = connect(timeout=0.1 if fault.kind == "hang" else 5)
    with pytest.raises(error, match=message) as caught:
        list(platform.push(ranked(list(platform.items()))))
    assert caught.value.do and server.token not in str(caught.value.parts())


def test_too_many_requests_is_waited_for_and_then_done(server, connect):
    server.add("a.jpg")
    server.faults = [Fault("429", "updateEntropy", 2, {"Retry-After": "0"}), Fault("503", "updateEntropy", 1)]
    platform = connect()
    assert [receipt.accepted for receipt in platform.push(ranked(list(platform.items())))] == [True]


@pytest.mark.parametrize(
    ("options", "error", "message", "advice"),
    [
        ({"project": "Cels"}, DataError, "no project 'Cels'", "Cells"),
        ({"project": "Cells/pol"}, DataError, "no folder 'pol'", "pool"),
        ({"project": None}, UsageError, "No project is configured", "platform.project"),
        ({"pool_statuses": ("NotStartet",)}, UsageError, "no status 'NotStartet'", "NotStarted"),
        ({"url": "http://example.com"}, UsageError, "unencrypted", "https"),
    ],
)
def test_bad_settings_are_named_with_the_nearest_good_one(server, connect, options, error, message, advice):
    server.add("a.jpg", "pool")
    with pytest.raises(error, match=message) as caught:
        list(connect(**options).items())
    assert advice in caught.value.do


def test_an_api_key_is_resolved_below_the_configured_address(server, connect, monkeypatch):
    server.token = "sa_" + "k" * 40
    monkeypatch.setenv("SA_TOKEN", server.token)
    server.add("a.jpg")
    assert [item.name for item in connect().items()] == ["a.jpg"]
    assert "POST /wm/api/v1/users/me" in server.requests


def test_no_other_host_is_ever_given_the_token(server, connect, monkeypatch):
    """Not even one that an earlier account of the same process used."""
    from alcli.platforms._superannotate_wire import new_session

    with monkeypatch.context() as public:
        public.delenv("SA_URL")
        connect()
    server.add("a.jpg")
    list(connect().items())
    for url in (
        "https://item.devsuperannotate.com/api/v1/items",
        "https://api.superannotate.com/x",
        server.url.replace("127.0.0.1", "localhost"),
    ):
        with pytest.raises(AlcliError, match="does not send the token"):
            new_session().get(url)


def test_the_annotation_stream_checks_certificates_and_follows_nobody(server, connect):
    from alcli.platforms._superannotate_wire import send_request

    list(connect().items())
    given: dict[str, object] = {}

    async def send(session, method, url, **options):
        given.update(options)
        return SimpleNamespace(status=200, headers={}, content_length=2, content=None)

    asyncio.run(send_request(send, None, "post", f"{server.url}/x", ssl=False, timeout=None))
    assert given["ssl"].verify_mode is ssl.CERT_REQUIRED and given["ssl"].check_hostname
    assert given["allow_redirects"] is False and given["timeout"].sock_read == 2
    assert 0 < given["timeout"].total <= 20


def test_every_service_of_another_host_is_taken_below_it():
    from alcli.platforms._superannotate_sdk import address

    assert address("https://sa.example.com/x", "assets", "v3.01") == "https://sa.example.com/x/assets/api/v3.01/"
    assert address("https://api.superannotate.com", "item", "v1") == "https://item.superannotate.com/api/v1/"


def test_the_public_typed_dict_calls_of_the_sdk_work_on_every_python(server, connect):
    server.add("a.jpg", "pool")
    platform = connect()
    list(platform.items())
    uploaded, skipped = platform._client.account.upload_priority_scores(
        "Cells/pool", [{"name": "a.jpg", "priority": 0.5}, {"name": "ghost.jpg", "priority": 0.4}]
    )
    assert (uploaded, skipped) == (["a.jpg"], ["ghost.jpg"])


def test_images_come_from_their_address_from_storage_or_from_a_mirror(server, connect, tmp_path):
    item_id = server.add("../a.jpg", "pool")
    server.images[f"{item_id}.jpg"] = b"\xff\xd8\xffpixels"
    platform = connect()
    (item,) = platform.items()
    path = platform.image(item)
    assert path.read_bytes() == b"\xff\xd8\xffpixels" and path.is_relative_to(tmp_path / "W" / "cache")
    server.images.clear()
    assert platform.image(item) == path  # once
    server.images[f"{item_id}.jpg"] = b"\xff\xd8\xffstored pixels"
    server.project["upload_state"] = 2
    platform = connect()
    (item,) = platform.items()
    assert platform.image(item).read_bytes() == b"\xff\xd8\xffstored pixels"
    with pytest.raises(DataError, match="points outside"):
        connect(images=tmp_path).image(item)


def test_a_mirror_is_searched_by_folder_and_name(server, connect, tmp_path):
    server.add("a.jpg", "pool")
    (tmp_path / "mirror" / "pool").mkdir(parents=True)
    (tmp_path / "mirror" / "pool" / "a.jpg").write_bytes(b"local")
    platform = connect(images=tmp_path / "mirror")
    (item,) = platform.items()
    assert platform.image(item).read_bytes() == b"local"


def test_work_is_dealt_round_robin_and_nobody_loses_what_they_have(server, connect):
    taken = server.add("0.jpg", "pool", assignments=[{"user_id": "old@x.io", "user_role": 1}])
    others = [server.add(f"{number}.jpg", "pool") for number in range(1, 5)]
    platform = connect()
    platform.assign(ranked(list(platform.items())), ["ann@x.io", "bob@x.io"])
    people = [server.items[item_id]["assignments"][0]["user_id"] for item_id in [taken, *others]]
    assert people == ["old@x.io", "ann@x.io", "bob@x.io", "ann@x.io", "bob@x.io"]


def test_pre_labels_keep_the_status_and_need_their_class(server, connect):
    item_id = server.add("a.jpg", "pool")
    platform = connect()
    (item,) = platform.items()
    boxes = (Box("cat", 1, 2, 3, 4, 0.5),)
    assert platform.prelabel([item], [Annotation(item.id, boxes)]) == []
    assert server.uploaded["a.jpg"]["instances"][0]["points"] == {"x1": 1, "y1": 2, "x2": 3, "y2": 4}
    assert server.items[item_id]["annotation_status"] == 1
    with pytest.raises(DataError, match="no class 'unicorn'"):
        platform.prelabel([item], [Annotation(item.id, (Box("unicorn", 1, 2, 3, 4),))])


def test_an_empty_selection_touches_nothing(server, connect):
    server.add("a.jpg", "pool")
    platform = connect()
    list(platform.items())
    before = server.state()
    platform.assign([], ["ann@x.io"])
    platform.set_status([], "Completed")
    platform.add_to_subset([], "s")
    assert list(platform.push([])) == [] and platform.prelabel([], []) == []
    assert server.state() == before


def test_the_doctor_is_told_what_steers_nothing(server, connect):
    server.add("a.jpg", "pool")
    server.settings["ShowEntropy"] = 0
    checks = {name: (good, found) for name, good, found in connect().checks()}
    assert checks["folder pool"] == (True, "1 NotStarted")
    assert checks["Priority scores"][0] is False and "off: priorities have no effect" in checks["Priority scores"][1]
    assert checks["Automatic assignment"][0] is True
    assert server.token not in str(checks)
