"""The variables that boto3 reads: unset, empty, absent and malformed. No request is sent."""

import os
from pathlib import Path

import pytest

from storage.environment import without_empty
from storage.s3 import S3Store

VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_CA_BUNDLE",
    "AWS_CONFIG_FILE",
    "AWS_DEFAULTS_MODE",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_MAX_ATTEMPTS",
    "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
    "AWS_METADATA_SERVICE_TIMEOUT",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_REQUEST_CHECKSUM_CALCULATION",
    "AWS_RETRY_MODE",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_USE_FIPS_ENDPOINT",
)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove the variables of this machine, and keep boto3 from its files."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("name", VARIABLES)
def test_an_empty_variable_counts_as_unset(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    S3Store("bucket")
    assert os.environ[name] == "", "the environment stays as it was"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_PROFILE", "absent"),
        ("AWS_ENDPOINT_URL", "no url"),
        ("AWS_DEFAULT_REGION", "??"),
        ("AWS_DEFAULTS_MODE", "bogus"),
        ("AWS_METADATA_SERVICE_TIMEOUT", "many"),
        ("AWS_REQUEST_CHECKSUM_CALCULATION", "bogus"),
    ],
)
def test_a_malformed_one_is_told_by_its_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"the settings for S3 .* your environment sets {name}$"):
        S3Store("bucket")


def test_what_is_empty_is_unset_in_the_block_only() -> None:
    environment = {"AWS_A": "", "AWS_B": "x", "OTHER": ""}
    with without_empty("AWS_", environment):
        assert environment == {"AWS_B": "x", "OTHER": ""}
    assert environment == {"AWS_A": "", "AWS_B": "x", "OTHER": ""}
