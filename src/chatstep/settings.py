"""The settings of chatstep: one table, read from the environment and one file.

A setting is looked up in the environment first (``CHATSTEP_...``), then in ``settings.toml`` in the data folder, then
its default holds. Nothing is read at import.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from chatstep.errors import InvalidInput, UnreadableFile

__all__ = ["SETTINGS", "Setting", "Settings"]


class Setting(Struct, frozen=True):
    """One row of the table."""

    name: str
    default: str | None
    help: str

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return f"CHATSTEP_{self.name.upper()}"


SETTINGS = (
    Setting("home", None, "The data folder. Default: the platform's folder for application data. Environment only."),
    Setting(
        "store", None, "Address of a Postgres database (postgresql://...). Default: chatstep.db in the data folder."
    ),
    Setting("connection", None, "The connection to use where none is named."),
    Setting("model", None, "The model to ask where none is named. Default: gpt-4o-mini."),
    Setting("seal_key", None, "The key that seals stored keys. Default: the file seal.key in the data folder."),
    Setting(
        "private_addresses",
        "refuse",
        "Whether steps of flows may reach addresses in private networks without a connection that allows it: refuse or "
        "allow.",
    ),
    Setting("log", "warning", "How much is logged: debug, info, warning or error. Keys and texts are never logged."),
    Setting(
        "log_format",
        None,
        "The form of the log: text or json. Set, it also brings a line for each request to the server. Default: text.",
    ),
    Setting("retention_days", None, "For how many days runs of flows are kept after their end. Default: for ever."),
)

_NAMES = {setting.name: setting for setting in SETTINGS}
_LEVELS = ("debug", "info", "warning", "error")


class Settings(Struct, frozen=True):
    """The settings in force."""

    home: Path
    store: str | None = None
    connection: str | None = None
    model: str | None = None
    seal_key: str | None = None
    private_addresses: str = "refuse"
    log: str = "warning"
    log_format: str | None = None
    retention_days: float | None = None

    def __repr__(self) -> str:  # the store's address may hold a password, the seal key is one
        return f"Settings(home={str(self.home)!r}, connection={self.connection!r}, log={self.log!r})"

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment and the file; raises InvalidInput or UnreadableFile with the place."""
        environ = os.environ if environ is None else environ
        home = _home(environ)
        file = home / "settings.toml"
        values = _from_file(file)
        places = dict.fromkeys(values, str(file))
        for setting in SETTINGS:
            if setting.name != "home" and environ.get(setting.variable):
                values[setting.name] = environ[setting.variable]
                places[setting.name] = setting.variable
        if "log" in values:
            values["log"] = values["log"].strip().lower()
            if values["log"] not in _LEVELS:
                level = reprlib.repr(values["log"])
                raise InvalidInput(f"{level} is no log level.", place=places["log"], hint=f"Use {', '.join(_LEVELS)}.")
        if values.get("log_format", "text") not in ("text", "json"):
            raise InvalidInput(
                f"{reprlib.repr(values['log_format'])} is neither text nor json.", place=places["log_format"]
            )
        private = values.get("private_addresses", "refuse")
        if private not in ("refuse", "allow"):
            raise InvalidInput(
                f"{reprlib.repr(private)} is neither refuse nor allow.", place=places["private_addresses"]
            )
        days = _days(values.pop("retention_days"), places["retention_days"]) if "retention_days" in values else None
        return cls(home=home, retention_days=days, **values)


def _days(text: str, place: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 < days < 1e6:
        raise InvalidInput("Expected a number of days above 0.", place=place, hint="Write a number such as 30.")
    return days


def _home(environ: Mapping[str, str]) -> Path:
    if given := environ.get("CHATSTEP_HOME"):
        try:
            return Path(given).expanduser()
        except RuntimeError:
            raise InvalidInput(
                "The data folder begins with a home folder that is not known here.",
                place="CHATSTEP_HOME",
                hint="Write the whole path.",
            ) from None
    from platformdirs import user_data_path  # 40 ms, only where the folder was not named

    return user_data_path("chatstep", appauthor=False)


def _from_file(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
        import tomllib  # 2 ms, only where there is a file

        values = tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, no TOML
        raise UnreadableFile(
            f"The settings cannot be read: {error}.", place=str(path), hint='Write lines such as: connection = "work".'
        ) from None
    for name, value in values.items():
        if name not in _NAMES or name == "home":
            known = ", ".join(sorted(set(_NAMES) - {"home"}))
            raise InvalidInput(f"There is no setting {name!r}.", place=str(path), hint=f"Known: {known}.")
        if not isinstance(value, str):
            raise InvalidInput(f"Setting {name!r} must be text.", place=str(path), hint=f'Write {name} = "...".')
    return values
