"""The multiplications of an iteration alone, at the rate of this machine's matrix product."""

import json
import time

import numpy as np

BATCH, SIDE = 64, 2048
FORWARD = 28 * 28 * 25 * 16 + 14 * 14 * 25 * 16 * 36 + 1764 * 128 + 128 * 10
"""Multiply-adds of the network for one image."""
FIRST = 28 * 28 * 25 * 16
"""Those of the first layer, whose input needs no gradient."""

a, b = np.random.default_rng(0).random((2, SIDE, SIDE), dtype=np.float32)
seconds = []
for _ in range(8):
    start = time.perf_counter()
    a @ b
    seconds.append(time.perf_counter() - start)
rate = 2 * SIDE**3 / min(seconds)
work = 2 * BATCH * (3 * FORWARD - FIRST)
print(json.dumps({"ms": 1000 * work / rate, "gflops": rate / 1e9}))
