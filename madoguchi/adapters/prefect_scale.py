"""The part of Prefect's environment that its server needs when it stands on PostgreSQL and Redis.

Only the server gets it: the addresses hold passwords, and workers and runs need neither. Nothing here imports Prefect.
"""

from __future__ import annotations

from importlib.util import find_spec

from madoguchi.adapters.prefect_server import PrefectServerError

_ASYNC_DRIVER = "postgresql+asyncpg://"


def scale_environment(database_url: str, redis_url: str) -> dict[str, str]:
    """Return the server's variables for these addresses; empty ones leave Prefect's default (SQLite, memory).

    `database_url`: `postgresql://…`, with or without a driver's name. `redis_url`: `redis://…` or `rediss://…`; then
    everything that Prefect can keep in Redis is kept there: messages between its services, their cache, the order of
    events, the leases of concurrency slots, what dead workers left, background work. PrefectServerError when the
    library for it is missing.
    """
    variables = {}
    if database_url:
        scheme, separator, rest = database_url.partition("://")
        if not separator or scheme.partition("+")[0] != "postgresql":
            raise PrefectServerError("MADOGUCHI_PREFECT__DATABASE_URL: must begin with postgresql://")
        variables["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = _ASYNC_DRIVER + rest
        # One server: it brings its own tables up to date. With several servers only one of them may (docs/scale.md).
        variables["PREFECT_SERVER_DATABASE_MIGRATE_ON_START"] = "true"
    if redis_url:
        if find_spec("prefect_redis") is None:
            raise PrefectServerError(
                "MADOGUCHI_PREFECT__REDIS_URL is set, but prefect-redis is not installed: "
                "pip install -e '.[scale]', or unset it"
            )
        variables |= {
            "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "prefect_redis.messaging",
            "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": "prefect_redis.messaging",
            # Without it states arrive minutes late as soon as events pass through Redis.
            "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
            "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE": "prefect_redis.cleanup_queue",
            "PREFECT_REDIS_MESSAGING_URL": redis_url,
            # It does not fall back on the former: without it a loop of the server asks localhost:6379 and fails.
            "PREFECT_REDIS_WORKER_CLEANUP_QUEUE_URL": redis_url,
            "PREFECT_SERVER_DOCKET_URL": redis_url,
        }
    return variables
