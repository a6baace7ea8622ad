"""Tests of settings of the data: digests, URLs, class names."""

import re

import pytest
from helpers.settings_models import fault, fields

from tasks.settings import (
    ConvertSettings,
    DownloadSettings,
    Settings,
)

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize("digests", ["mnist", "none", ",".join([DIGEST] * 4)])
def test_valid_digests(digests: str) -> None:
    assert DownloadSettings(digests=digests).digests == digests


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "mnist"),
        ({"url": "http://a/"}, "mnist"),
        ({"digests": "auto"}, "mnist"),
        ({"source": "digits"}, "auto"),
        ({"source": "/data"}, "auto"),
        ({"source": "/data", "digests": "mnist"}, "mnist"),
        ({"source": "/data", "digests": "none"}, "none"),
    ],
)
def test_a_download_is_mnist_unless_said_otherwise(values: dict[str, str], expected: str) -> None:
    settings = DownloadSettings.model_validate(values)
    assert settings.digests == expected
    assert DownloadSettings.model_validate(settings.model_dump()) == settings


@pytest.mark.parametrize("names", ["a,b,a", "a,,b", "a,b\x1b[2J"])
def test_class_names_are_different_printable_words(names: str) -> None:
    fault(ConvertSettings, class_names=names)


@pytest.mark.parametrize(
    "digests",
    [
        "",
        "mnists",
        "mnist\n",
        DIGEST,
        ",".join([DIGEST] * 3),
        ",".join([DIGEST] * 5),
        ",".join([DIGEST.upper()] * 4),
        ",".join([DIGEST[1:]] * 4),
    ],
)
def test_invalid_digests_are_refused_with_the_allowed_values(digests: str) -> None:
    message = fault(DownloadSettings, digests=digests)
    for allowed in ("mnist", "none", "four SHA-256"):
        assert allowed in message


@pytest.mark.parametrize("url", ["ftp://example.org/", "example.org/mnist", "/data/mnist", ""])
def test_url_must_be_a_web_address(url: str) -> None:
    assert "http://" in fault(DownloadSettings, url=url)


@pytest.mark.parametrize(
    "url",
    ["https://me:x@a.org/", "https://me@a.org/", "https://a.org/d?token=x", "http://a.org/#x"],
)
def test_url_with_secrets_is_refused(url: str) -> None:
    assert "records would show it" in fault(DownloadSettings, url=url)
    (schema,) = (s for n, s in fields(Settings.model_json_schema()) if n == "url")
    assert not re.match(schema["pattern"], url)
    assert re.match(schema["pattern"], "https://a.org:80/data/")
