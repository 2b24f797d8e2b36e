"""``python toy_killer.py FOLDER CONFIG_AS_JSON SEED KILLS``: a driver without a cluster, killed at random moments.

Each child takes the lease, makes or opens the store and computes its blocks one by one, until SIGKILL. The parent only
forks, waits and kills, so that a kill costs milliseconds and not the start of a cluster. Prints how many kills there
were and how many landed between the first and the last chunk of a flush.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import toy_study

from workflows import engine, layout, lease
from workflows.blocks import owners, task


def drive(folder, keys):
    study = toy_study.Toy(toy_study.ToyConfig(**keys))
    with lease.acquire(folder) as held:
        store = engine.prepare_store(folder, study, [], held)
        owners.revoke_all(folder, held.epoch)
        for block in store.blocks.holding(store.status() == layout.PENDING):
            token = held.token()
            owners.grant(folder, block, token)
            task.run_block(str(folder), block, token)
            owners.finish(folder, block, held.epoch)


def inside_flush(folder):
    """Whether some block has a chunk of its first variable that is younger than its status."""
    for value in (folder / "sweep.zarr" / "value").glob("c.*"):
        status = folder / "sweep.zarr" / "status" / value.name
        if not status.exists() or status.stat().st_mtime_ns < value.stat().st_mtime_ns:
            return True
    return False


def main(folder, keys, seed, kills):
    folder, keys, rng = Path(folder), json.loads(keys), random.Random(int(seed))
    killed = inside = 0
    while killed < int(kills):
        child = os.fork()
        if not child:
            drive(folder, keys)
            os._exit(0)
        time.sleep(rng.uniform(0.02, 0.6))
        os.kill(child, signal.SIGKILL)
        if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            break
        killed += 1
        inside += inside_flush(folder)
    print(killed, inside)


if __name__ == "__main__":
    main(*sys.argv[1:])
