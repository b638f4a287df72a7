import pytest

from alcli.errors import DataError
from alcli.items import Item, QueryRow
from alcli.platforms._queue_file import QueueFile

HEADER = "position,name,entropy_value,asked"


@pytest.fixture
def platform(tmp_path):
    """A queue of two images, one of them with a name that is not in ASCII."""
    made = QueueFile()
    made._queue = tmp_path / "queue.csv"
    rows = [
        QueryRow(rank, Item(name, name, "u"), 0.5, True) for rank, name in enumerate(["ä\U0001f600.jpg", "b.jpg"], 1)
    ]
    assert all(receipt.accepted for receipt in made.push(rows))
    return made


def test_what_push_writes_is_read_as_it_is(platform):
    assert [entry.name for entry in platform.queue()] == ["ä\U0001f600.jpg", "b.jpg"]
    assert not platform.queue_was_edited and platform.queue_sha256 == platform.hash_queue()


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (f"\ufeff{HEADER}\r\n1,a,1,yes\r\n\r\n2,b,,\r\n", ["a", "b"]),
        (HEADER.replace(",", ";") + '\n1;"a\r\nb";1;yes\n', ["a\r\nb"]),
        (f"{HEADER},\n1,a,1,yes,\n", ["a"]),
        ("\ufeff \n", []),
    ],
    ids=["spreadsheet", "semicolons", "an empty column", "blank"],
)
def test_a_file_that_a_spreadsheet_has_saved_is_read_and_was_edited(platform, content, names):
    platform._queue.write_bytes(content.encode())
    assert [entry.name for entry in platform.queue()] == names
    assert platform.queue_was_edited


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (f"{HEADER},notes\n1,a,1,yes,blurred\n2,b,0,no,\n", r"somebody's own.*notes \(1 row\)"),
        (f"{HEADER}\n1,a,1,yes,x\n2,b,0,no,y\n", r"somebody's own.*without a name \(2 rows\)"),
        (f"{HEADER}\n1,a,1,yes\nfirst,b,0,no\n", "was not written by alcli"),
        ("rank,name\n1,a\n", "was not written by alcli"),
        (",,\n", "was not written by alcli"),
    ],
)
def test_what_is_no_queue_is_refused(platform, content, why):
    platform._queue.write_text(content)
    with pytest.raises(DataError, match=why):
        platform.queue()
