from __future__ import annotations

from dataclasses import fields

import pytest

from service.settings import Settings, SettingsError, table, unknown_variables, variable


def test_defaults_need_no_variable():
    assert Settings.from_env({}) == Settings()
    assert Settings().port == 8000
    assert not Settings().explain


def test_every_field_is_read_from_its_variable():
    given = {
        "PODIUM_MODEL": "file:///registry/models/web/20260101-0123456789ab",
        "PODIUM_MODEL_SHA256": "ab" * 32,
        "PODIUM_REGISTRY": "file:///registry",
        "PODIUM_MODEL_FOLDER": "/models",
        "PODIUM_HOST": "::1",
        "PODIUM_PORT": "0",
        "PODIUM_MAX_ITEMS": "10",
        "PODIUM_MAX_BODY_BYTES": "1024",
        "PODIUM_EXPLAIN": "on",
        "PODIUM_EXPLAIN_MAX_ITEMS": "5",
        "PODIUM_MAX_IN_FLIGHT": "9",
        "PODIUM_MAX_QUEUE_MS": "11",
        "PODIUM_DEFAULT_DEADLINE_MS": "12",
        "PODIUM_RETRY_AFTER_SECONDS": "7",
        "PODIUM_LOG_LEVEL": "debug",
        "PODIUM_COMMIT": "f" * 40,
        "PODIUM_S3_ENDPOINT": "http://[::1]:9000",
        "PODIUM_S3_REGION": "eu-central-1",
        "PODIUM_S3_TIMEOUT_SECONDS": "3",
        "PODIUM_TABLE": "podium-staging-rankings",
        "PODIUM_RESULT_DAYS": "3",
    }
    assert set(given) == {variable(each) for each in fields(Settings)}
    settings = Settings.from_env(given)
    assert settings == Settings(
        model=given["PODIUM_MODEL"],
        model_sha256="sha256:" + "ab" * 32,
        registry="file:///registry",
        model_folder="/models",
        host="::1",
        port=0,
        max_items=10,
        max_body_bytes=1024,
        explain=True,
        explain_max_items=5,
        max_in_flight=9,
        max_queue_ms=11,
        default_deadline_ms=12,
        retry_after_seconds=7,
        log_level="debug",
        commit="f" * 40,
        s3_endpoint="http://[::1]:9000",
        s3_region="eu-central-1",
        s3_timeout_seconds=3,
        table="podium-staging-rankings",
        result_days=3,
    )
    assert set(settings.public) == {each.name for each in fields(Settings)}


def test_a_part_of_the_settings_can_be_read_alone():
    given = {"PODIUM_PORT": "eighty", "PODIUM_S3_REGION": "eu-central-1"}
    assert Settings.from_env(given, "s3_") == Settings(s3_region="eu-central-1")


def test_an_empty_variable_is_unset():
    assert Settings.from_env({"PODIUM_PORT": "", "PODIUM_MODEL": ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("PODIUM_PORT", "eighty", "from 0 to 65535"),
        ("PODIUM_PORT", "65536", "from 0 to 65535"),
        ("PODIUM_PORT", "-1", "from 0 to 65535"),
        ("PODIUM_PORT", " 8000", "from 0 to 65535"),
        ("PODIUM_PORT", "8_000", "from 0 to 65535"),
        ("PODIUM_PORT", "8000.0", "from 0 to 65535"),
        ("PODIUM_PORT", "٨٠٠٠", "from 0 to 65535"),
        ("PODIUM_PORT", "9" * 5000, "from 0 to 65535"),
        ("PODIUM_MAX_ITEMS", "0", "from 1 to 100000"),
        ("PODIUM_MAX_BODY_BYTES", "1023", "from 1024"),
        ("PODIUM_EXPLAIN", "yes", "on or off"),
        ("PODIUM_EXPLAIN", "ON", "on or off"),
        ("PODIUM_LOG_LEVEL", "verbose", "debug or info or warning or error"),
        ("PODIUM_MODEL_SHA256", "abc", "64 hex digits"),
        ("PODIUM_MODEL_SHA256", "sha512:" + "a" * 64, "64 hex digits"),
        ("PODIUM_MODEL_SHA256", "A" * 64, "64 hex digits"),
        ("PODIUM_MODEL", "file:///a\n", "the URI or folder of a model"),
        ("PODIUM_HOST", " ", "an address"),
        ("PODIUM_RETRY_AFTER_SECONDS", "0", "from 1 to 3600"),
        ("PODIUM_S3_ENDPOINT", "localhost:9000", "https://host"),
        ("PODIUM_S3_ENDPOINT", "ftp://host", "https://host"),
        ("PODIUM_S3_ENDPOINT", "https://key:secret@host", "https://host"),
        ("PODIUM_S3_ENDPOINT", "https://host/path", "https://host"),
        ("PODIUM_S3_ENDPOINT", "https://host\n", "https://host"),
        ("PODIUM_S3_REGION", "eu central", "the name of a region"),
        ("PODIUM_S3_TIMEOUT_SECONDS", "0", "from 1 to 300"),
        ("PODIUM_TABLE", "a table", "the name of a DynamoDB table"),
        ("PODIUM_TABLE", "ab", "the name of a DynamoDB table"),
        ("PODIUM_RESULT_DAYS", "0", "from 1 to 3650"),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: str, allowed: str):
    with pytest.raises(SettingsError) as refusal:
        Settings.from_env({name: value})
    text = str(refusal.value)
    assert text.startswith(f"{name}=")
    assert repr(value)[:40] in text
    assert allowed in text
    assert len(text) < 400


def test_unknown_variables_come_with_the_closest_name():
    environ = {
        "PODIUM_MAX_ITEM": "5",
        "PODIUM_SERVICE_HOST": "10.0.0.1",
        "PODIUM_PORT": "1",
        "PODIUM_CACHE": "/cache",
        "PODIUM_SAGEMAKER_ROLE": "arn",
        "HOME": "/root",
    }
    unknown = unknown_variables(environ)
    assert set(unknown) == {"PODIUM_MAX_ITEM", "PODIUM_SERVICE_HOST"}
    assert unknown["PODIUM_MAX_ITEM"] == "PODIUM_MAX_ITEMS"


def test_a_kubernetes_service_link_is_not_our_port():
    environ = {"PODIUM_PORT": "tcp://10.0.0.1:80", "PODIUM_PORT_80_TCP": "tcp://10.0.0.1:80"}
    assert Settings.from_env(environ).port == 8000
    assert unknown_variables(environ) == {"PODIUM_PORT": "PODIUM_PORT", "PODIUM_PORT_80_TCP": "PODIUM_PORT"}


def test_a_name_like_no_other_has_no_closest():
    assert unknown_variables({"PODIUM_ZZZZZZZZZZZZZZZZ": ""}) == {"PODIUM_ZZZZZZZZZZZZZZZZ": None}


def test_the_table_documents_every_setting():
    rows = table()
    assert [row.variable for row in rows] == [variable(each) for each in fields(Settings)]
    for row in rows:
        assert row.doc.endswith(".")
        assert row.why.endswith(".")
        assert row.allowed
    defaults = {row.variable: row.default for row in rows}
    assert defaults["PODIUM_EXPLAIN"] == "off"
    assert defaults["PODIUM_MODEL"] == ""
    assert defaults["PODIUM_MAX_BODY_BYTES"] == "8388608"
