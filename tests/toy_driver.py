"""A driver for tests that kill one: ``python toy_driver.py FOLDER WORKERS CONFIG_AS_JSON``; says when it begins."""

import json
import sys

import toy_study

from cluster import local
from neq.errors import NeqError
from workflows import engine, lease, sources


def main(folder, workers, keys):
    study = toy_study.Toy(toy_study.ToyConfig(**json.loads(keys)))
    try:
        with lease.acquire(folder) as held, local.start(int(workers), "1GiB", dashboard=False) as client:
            prepared = sources.ingest(folder, study, client, held)
            engine.prepare_store(folder, study, prepared, held)
            print("begin", flush=True)
            result = engine.run_sweep(folder, study, study.config, client, held)
    except NeqError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    print(f"end {result.n_ok} {result.n_failed} {result.n_pending}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
