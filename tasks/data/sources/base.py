"""The interface of a source in the network, and the checks that files must pass."""

import hashlib
from typing import Protocol

from tasks.data import idx
from tasks.data.sources.mnist import IDX_FILES, MNIST, IdxFile
from tasks.runtime.errors import PipelineError

Contents = dict[str, bytes]
"""File name → uncompressed IDX."""


class Source(Protocol):
    """A place in the network that may have the four IDX files."""

    @property
    def name(self) -> str:
        """Name in records and messages; holds no secrets."""

    def collect(self, found: Contents) -> None:
        """Add the files that are missing in `found`, verified.

        Files that were added before an error stay there.

        Raises:
            PipelineError: a file is missing or not sound.
        """


def expected_digests(setting: str) -> dict[str, str | None]:
    """Return the digest that each file must have.

    Args:
        setting: `mnist`, `auto`, `none` or four SHA-256 separated by commas.

    Returns:
        File name → SHA-256 of the uncompressed file, or None if any content is accepted.
    """
    if setting == "mnist":
        return {file.name: file.sha256 for file in MNIST}
    if setting in ("auto", "none"):
        return dict.fromkeys(IDX_FILES)
    return dict(zip(IDX_FILES, setting.split(","), strict=True))


def verify(data: bytes, name: str, file: IdxFile, expected: str | None) -> bytes:
    """Check one file from outside.

    MNIST's files have a known size: a gzip file that declares another one is not decompressed.

    Args:
        data: the file, gzipped or not.
        name: name of the file in error messages.
        file: which of the four files it should be.
        expected: SHA-256 of its content; None accepts any.

    Returns:
        Its content, uncompressed IDX.

    Raises:
        PipelineError: it is damaged, not IDX, too large, of another rank, or has other content.
    """
    header = idx.read_header(data, name)
    idx.check_rank(header.rank, file.rank, name)
    is_mnist = expected == file.sha256
    if is_mnist and header.file_size != file.size:
        raise other_content(name, "MNIST's")
    content = idx.decompress(data, name)
    idx.loads(content, name)
    if expected is None or (is_mnist and digest(data) == file.archive_sha256):
        return content
    if digest(content) != expected:
        raise other_content(name, "MNIST's" if is_mnist else "what --digests says")
    return content


def other_content(name: str, expected: str) -> PipelineError:
    """Return the error for a sound file with unexpected content."""
    return PipelineError(
        f"{name}: its content is not {expected}; --digests none takes another data set"
    )


def digest(data: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def check_pairs(found: Contents) -> None:
    """Check that there is one label for each image.

    Raises:
        PipelineError: the numbers differ.
    """
    for images, labels in (IDX_FILES[:2], IDX_FILES[2:]):
        arrays = idx.loads(found[images], images), idx.loads(found[labels], labels)
        idx.check_pair(*arrays, images, labels)
