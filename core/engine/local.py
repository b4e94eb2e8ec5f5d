"""The embedded cluster, a process of its own: `python -m core.engine.local WORKERS IDLE_SECONDS`.

Prints the scheduler's address, then reads standard input to its end and closes, so that it never
outlives the process that started it. Workers are started when work arrives and let go when idle.
"""

from __future__ import annotations

import os
import sys
import threading
import time


def main(workers: int, idle_seconds: float) -> None:
    """Serve until standard input ends."""
    os.environ |= {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "OMP_NUM_THREADS": "1",
        "KERAS_BACKEND": "tensorflow",
    }
    import dask
    from distributed import LocalCluster

    dask.config.set(
        {
            "distributed.worker.preload": ["core.engine.preload"],
            "distributed.comm.timeouts.connect": "30s",
            "distributed.scheduler.allowed-failures": 3,
            "distributed.scheduler.worker-saturation": 1.0,  # a worker takes no second run ahead of its turn
            "distributed.worker.profile.enabled": False,
        }
    )
    cluster = LocalCluster(
        n_workers=0,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address=None,
        silence_logs=40,
        memory_limit="auto",
    )
    print(cluster.scheduler_address, flush=True)
    closed = threading.Event()
    threading.Thread(target=_scale, args=(cluster, workers, idle_seconds, closed), daemon=True).start()
    sys.stdin.buffer.read()
    closed.set()
    cluster.close(timeout=5)


def _scale(cluster, workers: int, idle_seconds: float, closed: threading.Event) -> None:
    """Hold `workers` processes while there is work, and none after `idle_seconds` without."""
    busy_at = time.monotonic()
    while not closed.wait(0.2):
        tasks = list(cluster.scheduler.tasks.values())
        if any(task.state in ("waiting", "no-worker", "queued", "processing") for task in tasks):
            busy_at = time.monotonic()
            if len(cluster.worker_spec) < workers:
                cluster.scale(workers)
        elif cluster.worker_spec and time.monotonic() - busy_at > idle_seconds:
            cluster.scale(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
