import json
import re
from typing import Any

import pytest

from service.notifications import BadNotification, Dropped, dropped


def record(key: str = "delayed/input/a.ndjson", event: str = "ObjectCreated:Put", **about: Any) -> dict[str, Any]:
    found = {"key": key, "size": 3, "eTag": "0a6b", "sequencer": "0055", **about}
    return {"eventName": event, "eventSource": "aws:s3", "s3": {"bucket": {"name": "data"}, "object": found}}


def body(*records: dict[str, Any]) -> str:
    return json.dumps({"Records": list(records)})


def test_a_new_object_is_read_with_its_key_as_it_was_written() -> None:
    # As S3 sends it: a form's escapes, and a plus for a blank (S3 user guide, "Event message structure").
    found = dropped(body(record("delayed/input/a+b%2B%C3%BC%2Fd.ndjson", versionId="v1")))
    assert found == [Dropped("data", "delayed/input/a b+ü/d.ndjson", "v1", "0a6b")]


def test_a_multipart_upload_and_a_copy_are_new_objects_too() -> None:
    events = ["ObjectCreated:CompleteMultipartUpload", "ObjectCreated:Copy", "s3:ObjectCreated:Post"]
    assert len(dropped(body(*(record(event=event) for event in events)))) == 3


def test_other_events_are_not_work() -> None:
    assert dropped(body(record(event="ObjectRemoved:Delete"), record(event="ObjectTagging:Put"))) == []


def test_the_message_that_s3_sends_when_it_is_connected_is_no_work() -> None:
    assert dropped('{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "data"}') == []


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("", "not JSON"),
        ("nope", "not JSON"),
        ("[]", "no object but list"),
        ("{}", "no notification of S3: KeyError('Records')"),
        ('{"Records": 3}', "no notification of S3"),
        ('{"Records": [3]}', "no notification of S3"),
        ('{"Records": [{"eventName": "ObjectCreated:Put"}]}', "KeyError('s3')"),
        ('{"Records": [{"eventName": 3, "s3": {}}]}', "no notification of S3"),
        (body(record("delayed/%FF.ndjson")), "UnicodeDecodeError"),
        ('{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {}}}]}', "KeyError('key')"),
    ],
)
def test_what_is_no_notification_is_refused(bad: str, says: str) -> None:
    with pytest.raises(BadNotification, match=re.escape(says)):
        dropped(bad)


def test_a_job_is_an_object_as_it_was() -> None:
    first = Dropped("data", "k", "v1", "e")
    assert first.job == Dropped("data", "k", "v1", "other").job
    others = [Dropped("data", "k", "v2", "e"), Dropped("data", "l", "v1", "e"), Dropped("date", "k", "v1", "e")]
    unversioned = [Dropped("data", "k", None, "e"), Dropped("data", "k", None, "f")]
    assert len({each.job for each in (first, *others, *unversioned)}) == 6
    assert len(first.job) == 32
