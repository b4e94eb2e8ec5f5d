"""Worker preload of Dask: have TensorFlow ready before the first run arrives."""

from core.engine.task import prepare


def dask_setup(_worker) -> None:
    """Called by Dask in every worker process as it starts."""
    prepare()
