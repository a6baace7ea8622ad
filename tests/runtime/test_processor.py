"""Vector instructions of processors, from what systems say."""

from pathlib import Path

import pytest

from tasks.runtime.processor import has_bfloat16, instruction_set, linux_features, widest


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("flags\t\t: fpu sse4_2 avx avx2 fma", "AVX2"),
        ("flags\t\t: fpu avx avx2 avx512f avx512bw", "AVX-512"),
        ("Features\t: fp asimd evtstrm aes", "NEON"),
        ("Features\t: fp asimd sve", "SVE"),
        ("isa\t: rv64imafdc", None),
    ],
)
def test_features_of_linux(tmp_path: Path, line: str, name: str | None) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\n\nprocessor\t: 1\n")
    assert widest(linux_features(tmp_path / "cpuinfo")) == name


def test_without_cpuinfo(tmp_path: Path) -> None:
    assert linux_features(tmp_path / "none") == frozenset()
    assert instruction_set()


def test_bfloat16_is_found_where_the_system_lists_it() -> None:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    words = {word for line in lines for word in line.split()}
    assert has_bfloat16() == bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
