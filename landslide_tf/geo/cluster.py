"""Blocks of a scene on a Dask cluster: the same results, a lost worker's share done again."""

from __future__ import annotations

import threading
from functools import lru_cache

from landslide_tf.checks import InputError, JobError
from landslide_tf.geo.infer import BlockResult, compute_blocks
from landslide_tf.runs.run import load_run

AHEAD = 3  # blocks given out for each thread of the cluster: results wait in its memory
_ONE_MODEL = threading.Lock()  # a worker may have several threads, Keras has one


@lru_cache(maxsize=2)
def _run(run_dir, stamp):
    return load_run(run_dir)


def compute_block(scene, run_dir, stamp, block, tta, batch) -> BlockResult:
    """The `BlockResult` of one block, on a worker; a new `stamp` (model hash) reloads the run."""
    with _ONE_MODEL:
        return next(compute_blocks(scene, _run(run_dir, stamp), [block], tta=tta, batch=batch))


def connect(scheduler: str):
    """A Dask client of the scheduler at an address such as tcp://10.0.0.1:8786.

    Raises:
        InputError: Dask is not installed, or nobody answers there.
    """
    try:
        from distributed import Client
        from distributed.comm import get_address_host_port
    except ImportError:
        raise InputError(
            "--scheduler needs Dask: pip install -r requirements-cluster.txt"
        ) from None
    try:
        if not scheduler.startswith("inproc://"):
            get_address_host_port(scheduler)  # else a half-made client hangs at the end
        client = Client(scheduler, timeout=20, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--scheduler {scheduler}: does not answer ({error}); start one with 'dask scheduler'"
        ) from None
    if not client.nthreads():  # by worker
        client.close()
        raise InputError(
            f"--scheduler {scheduler}: has no workers; start some with 'dask worker {scheduler}'"
        )
    return client


def compute_on_cluster(client, scene, run_dir, stamp, blocks, *, tta, batch):
    """`compute_blocks` on the workers, in the order in which they finish.

    Workers need this package, and scene, DEM and run under the same paths.
    """
    from distributed import as_completed

    waiting = iter(blocks)
    futures = as_completed(loop=client.loop)

    def give_out(count):
        for _, block in zip(range(count), waiting, strict=False):
            # With a key made of the arguments, equal blocks of two maps would share one task, and
            # its result would stay in memory.
            futures.add(
                client.submit(compute_block, scene, run_dir, stamp, block, tta, batch, pure=False)
            )

    give_out(AHEAD * max(1, sum(client.nthreads().values())))
    for future in futures:
        try:
            result = future.result()
        except (InputError, JobError):
            raise
        except Exception as error:  # whatever a worker raises, or KilledWorker
            raise JobError(
                f"the cluster failed ({type(error).__name__}: {error}); continue with --resume"
            ) from None
        future.release()
        give_out(1)
        yield result
