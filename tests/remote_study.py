"""The toy study for runs that are kept at a URL: the pace of the copy and of the leases is in its config."""

from __future__ import annotations

import toy_study

from workflows import lease as local
from workflows.remote import lease, mirror


class KeptConfig(toy_study.ToyConfig):
    study: str = "remote_study:Kept"
    pass_seconds: float = 0.3
    beat_seconds: float = 1.0
    silence_seconds: float = 60.0
    last_tries: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)


class Kept(toy_study.Toy):
    """Settings are read when the driver makes its study, before it takes the lease."""

    name = "kept"
    Config = KeptConfig

    def __init__(self, config):
        super().__init__(config)
        mirror.PASS_SECONDS, mirror.LAST_TRIES = config.pass_seconds, config.last_tries
        mirror.MOST_SECONDS = 4 * config.pass_seconds
        lease.HEARTBEAT_SECONDS = config.beat_seconds
        local.SILENCE_SECONDS, lease.TRUST_SECONDS = config.silence_seconds, config.silence_seconds / 2
