"""What is told to people holds no secrets."""

import pytest

from tasks.runtime.errors import without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no secrets: a@b.org, 3 > 2?", "no secrets: a@b.org, 3 > 2?"),
        ("https://a.org/data/: HTTP 404", "https://a.org/data/: HTTP 404"),
        ("https://me:secret@a.org/: gone", "https://***@a.org/: gone"),
        ("(https://a.org/d?sig=secret): gone", "(https://a.org/d?***): gone"),
        ("at https://a.org/d?sig=secret&e=1 now", "at https://a.org/d?*** now"),
        ("url='http://me@a.org/#secret' was", "url='http://***@a.org/?***' was"),
    ],
)
def test_web_addresses_are_told_without_what_may_be_secret(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
