"""Settings from environment and file, and what each wrong value says."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatstep.errors import ChatstepError, InvalidInput, UnreadableFile
from chatstep.settings import SETTINGS, Settings


def load(home: Path, file: str | bytes | None = None, **environ: str) -> Settings:
    if file is not None:
        (home / "settings.toml").write_bytes(file.encode() if isinstance(file, str) else file)
    return Settings.load({"CHATSTEP_HOME": str(home), **environ})


def test_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "not there yet") == Settings(home=tmp_path / "not there yet")
    assert load(tmp_path, "") == Settings(home=tmp_path, log="warning")


def test_the_environment_outranks_the_file(tmp_path: Path) -> None:
    file = 'connection = "work"\nlog = "info"\n'
    assert load(tmp_path, file).connection == "work"
    settings = load(tmp_path, file, CHATSTEP_CONNECTION="home", CHATSTEP_LOG=" DEBUG ", CHATSTEP_STORE="")
    assert (settings.connection, settings.log, settings.store) == ("home", "debug", None)


def test_days_are_a_number_above_0(tmp_path: Path) -> None:
    assert load(tmp_path, 'retention_days = "30"').retention_days == 30
    assert load(tmp_path, CHATSTEP_RETENTION_DAYS="0.5").retention_days == 0.5
    for wrong in ("0", "-1", "a month", "nan", "inf"):
        with pytest.raises(InvalidInput, match="number of days") as caught:
            load(tmp_path, CHATSTEP_RETENTION_DAYS=wrong)
        assert caught.value.place == "CHATSTEP_RETENTION_DAYS"


def test_the_table_is_the_fields() -> None:
    assert tuple(setting.name for setting in SETTINGS) == Settings.__struct_fields__
    assert all(setting.help for setting in SETTINGS)
    assert {setting.variable for setting in SETTINGS} >= {"CHATSTEP_HOME", "CHATSTEP_SEAL_KEY"}


def test_the_home_folder(tmp_path: Path) -> None:
    assert Settings.load({"CHATSTEP_HOME": "~/x"}).home == Path.home() / "x"
    assert Settings.load({"XDG_DATA_HOME": str(tmp_path), "HOME": str(tmp_path)}).home.name == "chatstep"
    with pytest.raises(InvalidInput) as caught:
        Settings.load({"CHATSTEP_HOME": "~nobody-of-that-name/x"})
    assert caught.value.place == "CHATSTEP_HOME"


BAD: dict[str, tuple[str | bytes, type[ChatstepError]]] = {
    "not TOML": ("connection = work", UnreadableFile),
    "cut": ('connection = "wor', UnreadableFile),
    "not UTF-8": (b'connection = "\xff"', UnreadableFile),
    "deep": ("a = " + "[" * 100_000, UnreadableFile),
    "unknown": ('conection = "work"', InvalidInput),
    "home": ('home = "/"', InvalidInput),
    "number": ("connection = 7", InvalidInput),
    "table": ("[connection]\nname = 'work'", InvalidInput),
    "log": ('log = "loud"', InvalidInput),
}


@pytest.mark.parametrize(("file", "kind"), BAD.values(), ids=BAD)
def test_a_wrong_file_says_where(tmp_path: Path, file: str | bytes, kind: type[ChatstepError]) -> None:
    with pytest.raises(kind) as caught:
        load(tmp_path, file)
    assert caught.value.place == str(tmp_path / "settings.toml")
    assert caught.value.hint


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").mkdir()
    with pytest.raises(UnreadableFile):
        load(tmp_path)


def test_a_wrong_variable_says_which(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load(tmp_path, 'log = "info"', CHATSTEP_LOG="loud")
    assert caught.value.place == "CHATSTEP_LOG"


def test_secrets_are_not_printed(tmp_path: Path) -> None:
    settings = load(tmp_path, CHATSTEP_STORE="postgresql://me:MARKER@host/db", CHATSTEP_SEAL_KEY="MARKER")
    assert settings.seal_key == "MARKER"
    assert "MARKER" not in f"{settings!r} {settings} {[settings]}"
