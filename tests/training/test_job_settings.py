from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest

from training.job_errors import JobSettingsError
from training.job_settings import PREFIX, JobSettings, help_text, option

ROLE = "arn:aws:iam::123456789012:role/podium-training"
NONE: dict[str, str | None] = {}


def test_options_come_before_variables_before_the_file_before_defaults(tmp_path: Path) -> None:
    config = tmp_path / "job.toml"
    config.write_text(
        'volume_gb = 1\ninstance_count = 2\nspot = true\nprefix = "file"\nsubnets = ["subnet-1", "subnet-2"]\n'
        'security_groups = ["sg-1"]\n[tags]\nteam = "search"\n'
    )
    environ = {"PODIUM_SAGEMAKER_VOLUME_GB": "3", "PODIUM_SAGEMAKER_PREFIX": "variable", f"{PREFIX}CONFIG": str(config)}
    found = JobSettings.read({"prefix": "option", "role": None}, environ)
    assert (found.prefix, found.volume_gb, found.instance_count, found.spot) == ("option", 3, 2, True)
    assert found.subnets == ("subnet-1", "subnet-2")
    assert found.tags == ("team=search",)
    assert found.max_runtime_seconds == 10_800
    other = tmp_path / "other.toml"
    other.write_text("volume_gb = 7\n")
    assert JobSettings.read({"config": str(other)}, environ).instance_count == 1, (
        "the option's file, not the variable's"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("role", "podium"),
        ("role", "arn:aws:iam::123:role/x"),
        ("image", "repo:tag"),
        ("image", "repo@sha256:abc"),
        ("store", "bucket/prefix"),
        ("store", "s3://Bucket/prefix"),
        ("store", "s3://bucket/../x"),
        ("prefix", "-a"),
        ("prefix", "a" * 25),
        ("prefix", f"a{'-' * 24}b"),
        ("prefix", "a_b"),
        ("instance_type", "m5.large"),
        ("instance_count", "0"),
        ("instance_count", "1_0"),
        ("volume_gb", "٣"),
        ("volume_gb", "99999999999999999999999999"),
        ("input_mode", "Pipe"),
        ("subnets", "subnet-1,,subnet-2"),
        ("subnets", "a/b"),
        ("volume_key", "key with blanks"),
        ("max_runtime_seconds", "59"),
        ("spot", "yes"),
        ("tags", "team"),
        ("tags", "=x"),
    ],
)
def test_what_is_not_allowed_is_named(name: str, text: str) -> None:
    with pytest.raises(JobSettingsError, match=option(_field(name))):
        JobSettings.read({name: text}, {})
    with pytest.raises(JobSettingsError, match=f"{PREFIX}{name.upper()}"):
        JobSettings.read(NONE, {f"{PREFIX}{name.upper()}": text})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"subnets": "subnet-1"}, "both"),
        ({"security_groups": "sg-1"}, "both"),
        ({"max_wait_seconds": "9000"}, "--spot on"),
        ({"spot": "on", "max_runtime_seconds": "9000", "max_wait_seconds": "8999"}, "shorter"),
    ],
)
def test_what_does_not_go_together(given: dict[str, str | None], message: str) -> None:
    with pytest.raises(JobSettingsError, match=message):
        JobSettings.read(given, {})


@pytest.mark.parametrize("text", ["volumegb = 1", "volume_gb = ", "spot = 'perhaps'"])
def test_a_bad_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(text)
    with pytest.raises(JobSettingsError, match=r"job\.toml"):
        JobSettings.read({"config": str(tmp_path / "job.toml")}, {})


def test_what_must_be_set_is_said_with_all_ways_to_set_it() -> None:
    with pytest.raises(JobSettingsError, match="--role or PODIUM_SAGEMAKER_ROLE, the ARN"):
        JobSettings.read(NONE, {}).require("role")
    assert JobSettings.read({"role": ROLE}, {}).require("role") == ROLE


def test_every_setting_has_words_for_its_help() -> None:
    assert all(len(help_text(each)) > 10 for each in fields(JobSettings))
    assert help_text(_field("spot")).endswith("on or off (default: off)")


def _field(name: str) -> Field[Any]:
    return next(each for each in fields(JobSettings) if each.name == name)
