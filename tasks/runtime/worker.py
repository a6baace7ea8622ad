"""A Prefect worker that also watches for runs whose process has gone.

`python -m tasks.runtime.worker` is `prefect worker start` for this project's work pool, with the
watch of `watch.py` in a thread. `--silence SECONDS` comes before options of `prefect worker start`.
"""

import runpy
import sys
import threading

from tasks.runtime.deploy import POOL
from tasks.runtime.watch import SILENCE_SECONDS, Watch

if __name__ == "__main__":
    silence, arguments = SILENCE_SECONDS, sys.argv[1:]
    if arguments[:1] == ["--silence"]:
        silence, arguments = float(arguments[1]), arguments[2:]
    watch = Watch(POOL, silence=silence, poll=min(5.0, silence / 6))
    threading.Thread(target=watch.run, name="watch", daemon=True).start()
    sys.argv = ["prefect", "--no-prompt", "worker", "start", "--pool", POOL, *arguments]
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)
