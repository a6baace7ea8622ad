"""The processor's vector instructions, on which the last bits of results depend."""

import functools
import platform
import subprocess
from pathlib import Path

LEVELS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "sve": "SVE", "asimd": "NEON"}
"""Names in /proc/cpuinfo → instruction sets, the widest first."""

BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Names in /proc/cpuinfo of instructions for bfloat16."""


@functools.cache
def instruction_set() -> str:
    """Return the widest vector instructions of this processor, such as `AVX2`.

    The machine's architecture, such as `riscv64`, where the system does not tell.
    """
    features = linux_features(Path("/proc/cpuinfo")) or mac_features()
    return widest(features) or platform.machine() or "unknown"


@functools.cache
def has_bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16; False where TensorFlow makes no use of it.

    TensorFlow's kernels for macOS have no such instructions.
    """
    return bool(BFLOAT16 & linux_features(Path("/proc/cpuinfo")))


def widest(features: frozenset[str]) -> str | None:
    """Return the widest of the instruction sets that a processor has."""
    return next((name for feature, name in LEVELS.items() if feature in features), None)


def linux_features(cpuinfo: Path) -> frozenset[str]:
    """Return the features of the first processor in /proc/cpuinfo; empty without such a file."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    named = (line.partition(":") for line in lines)
    found = (text for name, _, text in named if name.strip() in ("flags", "Features"))
    return frozenset(next(found, "").split())


def mac_features() -> frozenset[str]:
    """Return the features that macOS names; empty on other systems."""
    if platform.system() != "Darwin":
        return frozenset()
    if platform.machine() == "arm64":
        return frozenset({"asimd"})
    command = ["sysctl", "-n", "machdep.cpu.features", "machdep.cpu.leaf7_features"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return frozenset({"avx1.0": "avx"}.get(name, name) for name in done.stdout.lower().split())
