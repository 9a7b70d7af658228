"""Opening and closing DBOS: its database, its logs kept quiet, its threads on our event loop.

DBOS is one per process. Its SQLite file is put into WAL mode before it starts, with one connection: that is four times
fewer syncs per run than as it comes, and no wait for locks within the process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from chatstep.errors import ChatstepError, StoreError, from_data
from chatstep.flows import needs_flows

if TYPE_CHECKING:
    import sqlalchemy as sa
    from dbos import DBOS

__all__ = [
    "APPLICATION",
    "FILE",
    "QUEUE",
    "SCHEMA",
    "VERSION",
    "WORKFLOW",
    "Body",
    "abandon",
    "close",
    "explained",
    "launch",
    "open_database",
    "serializer",
]

APPLICATION = "chatstep"
FILE = "runs.db"
SCHEMA = "chatstep_runs"
WORKFLOW = "chatstep_run"
QUEUE = "chatstep_conversations"
VERSION = "1"
"""The version that DBOS binds runs to. It stays the same, so that runs go on after an upgrade."""
AT_ONCE = 200
MOST_CRASHES = 1000
"""A run whose process died so often is given up: it may well be what kills them."""
THREADS = 64

Body = Callable[[dict[str, Any]], Awaitable[Any]]

_log = logging.getLogger("chatstep.engine")
_body: Body | None = None
_workflow: Any = None


@contextmanager
def explained() -> Iterator[None]:
    """What SQLAlchemy and DBOS raise becomes a StoreError, without values that may be in its text."""
    import sqlalchemy as sa
    from dbos._error import DBOSException

    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        reason = type(getattr(error, "orig", None) or error).__name__
        full = "is full" in str(getattr(error, "orig", ""))
        failure = StoreError(
            "The disk is full, so the database of runs could not be written."
            if full
            else f"The database of runs refused ({reason}).",
            place=FILE if "sqlite" in type(getattr(error, "orig", error)).__module__ else SCHEMA,
            hint="Free some space; what was stored before is safe."
            if full
            else "Check that it can be written, and that nothing else has changed it.",
        )
    except DBOSException as error:
        failure = StoreError(
            f"The engine of flows could not use its database ({type(error).__name__}).",
            place=SCHEMA,
            hint="Was it written by a newer chatstep? With CHATSTEP_LOG=debug more is said.",
        )
    else:
        return
    raise failure  # outside of `except`: the text of a driver can quote stored values


def open_database(home: Path, url: str | None) -> sa.Engine:
    """The SQLAlchemy engine of the database that holds the runs. Blocks."""
    needs_flows()
    import sqlalchemy as sa

    _hush()
    if url and "://" in url and not url.startswith("sqlite:///"):
        address = sa.make_url(url).set(drivername="postgresql+psycopg")
        return sa.create_engine(
            address,
            hide_parameters=True,
            pool_size=10,
            max_overflow=0,
            connect_args={"application_name": "chatstep", "connect_timeout": 10},
        )
    path = (Path(url.removeprefix("sqlite:///")).parent if url else home) / FILE
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    engine = sa.create_engine(f"sqlite:///{path}", hide_parameters=True, pool_size=1, max_overflow=0)
    sa.event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _unixepoch(modifier: str) -> float | None:
    """What newer releases of SQLite give for ``unixepoch('subsec')``."""
    return time.time() if modifier == "subsec" else None


def _set_up_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = "IMMEDIATE"
    ((release,),) = connection.execute("SELECT sqlite_version()").fetchall()
    if tuple(map(int, release.split(".")[:2])) < (3, 42):
        # From Python 3.12 on, DBOS takes it for granted that SQLite counts in parts of a second, as it does since 3.42.
        connection.create_function("unixepoch", 1, _unixepoch)
    connection.execute("PRAGMA busy_timeout = 30000")
    connection.execute("PRAGMA foreign_keys = ON")
    deadline = time.monotonic() + 10
    while True:  # SQLite does not wait its turn here by itself when two processes start on a new file
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except Exception as error:  # the driver's own, which only the store may import
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


class JsonSerializer:
    """Stores what DBOS keeps as JSON, readable in the database and free of class paths."""

    def name(self) -> str:
        """How rows are marked that were written by it."""
        return "chatstep_json"

    def serialize(self, data: Any) -> str:
        """JSON; an exception becomes the data of an error."""
        if isinstance(data, BaseException):
            known = data.to_data() if isinstance(data, ChatstepError) else {"message": type(data).__name__}
            data = {"$error": msgspec.to_builtins(known, enc_hook=str)}
        return msgspec.json.encode(data).decode()

    def deserialize(self, serialized_data: str) -> Any:
        """What `serialize` was given, in plain data."""
        data = msgspec.json.decode(serialized_data)
        if isinstance(data, dict) and "$error" in data:
            return from_data(data["$error"])
        return data


def serializer() -> Any:
    """The serializer for DBOS."""
    return JsonSerializer()


def launch(database: sa.Engine, executor: str, body: Body, loop: asyncio.AbstractEventLoop) -> DBOS:
    """Start DBOS, whose runs do ``body`` on ``loop``. Blocks for about a second; call it in a thread."""
    global _body  # noqa: PLW0603 - DBOS finds its workflows by name in a registry of the process
    from dbos import DBOS

    if _body is not None:
        raise RuntimeError("Flows run in one App per process, and another one is open.")
    _body = body
    try:
        workflow()
        dbos = DBOS(
            config={
                "name": APPLICATION,
                "system_database_engine": database,
                "dbos_system_schema": SCHEMA,
                "application_version": VERSION,
                "executor_id": executor,
                "serializer": serializer(),
                "use_listen_notify": False,
                "notification_listener_polling_interval_sec": 0.5,
                "scheduler_polling_interval_sec": 3600.0,
                "log_level": "WARNING",
                "max_executor_threads": THREADS,
            }
        )
        dbos._background_event_loop._main_loop = loop
        DBOS.launch()
        DBOS.register_queue(QUEUE, partition_concurrency=1, worker_concurrency=AT_ONCE, on_conflict="always_update")
    except BaseException:
        _body = None
        DBOS.destroy()
        raise
    return dbos


def workflow() -> Any:
    """The one workflow that DBOS knows: a run of any flow."""
    global _workflow  # noqa: PLW0603
    if _workflow is None:
        from dbos import DBOS

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=MOST_CRASHES)
        async def run(data: dict[str, Any]) -> Any:
            if _body is None:
                raise asyncio.CancelledError
            return await _body(data)

        _workflow = run
    return _workflow


async def abandon(dbos: DBOS) -> None:
    """Stop what is still under way; it stays to be taken up again."""
    left = list(dbos._workflow_tasks)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def close() -> None:
    """Stop DBOS."""
    global _body  # noqa: PLW0603
    from dbos import DBOS

    # DBOS made its own threads the loop's default ones, and takes them away with it.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="chatstep"))
    await asyncio.to_thread(DBOS.destroy)
    _body = None


class _Quiet(logging.Handler):
    """Passes on that the engine had something to say, at debug level and without values that may be in its text."""

    def emit(self, record: logging.LogRecord) -> None:
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s: %s", record.name, str(record.msg).partition(":")[0][:200])


def _hush() -> None:
    for name in ("dbos", "sqlalchemy"):
        logger = logging.getLogger(name)
        if not any(isinstance(handler, _Quiet) for handler in logger.handlers):
            logger.addHandler(_Quiet())
            logger.propagate = False
