"""The command as a process of its own: start-up, streams, exit codes, signals, and what a pipe sees."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chatstep.cli.root import COMMANDS
from chatstep.rehearsal import Rehearsal
from command_line import KEY, Commands

Serve = Callable[..., Rehearsal]
ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("aiohttp", "rich", "sqlite3", "cryptography", "genai_prices", "ruamel", "splintr", "psycopg")


def imported(chatstep: Commands, *args: str) -> set[str]:
    """The modules that a run imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "chatstep", *args],
        env=chatstep.environment(),
        cwd=chatstep.folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=100,
        check=True,
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def test_help_and_version_load_nothing_heavy(chatstep: Commands) -> None:
    """Neither network, database nor tables; and no command's own module."""
    for args in (["--help"], ["--version"]):
        found = imported(chatstep, *args)
        assert not [name for name in (*HEAVY, "msgspec", "asyncio") if name in found]
        assert not [name for name in found if name.startswith(("chatstep.modules", "chatstep.store", "chatstep.app"))]
    assert not (chatstep.folder / "home").exists()


def test_complete_loads_no_more_than_it_sends(chatstep: Commands, serve: Serve) -> None:
    """No tables, no cipher, no web server of ours; nothing that reads settings where there are none."""
    serve("- reply: ok\n")
    found = imported(chatstep, "complete", "Hi", "-m", "own-model")
    needless = ("rich", "cryptography", "ruamel", "tomllib", "chatstep.rehearsal.provider")
    assert not [name for name in needless if name in found]


@pytest.mark.parametrize(
    ("script", "args", "code"),
    [
        ("- reply: ok\n", ["complete", "Hi"], 0),
        ("- reply: ok\n", ["complete", "Hi", "--history", "none.json"], 4),
        ("- fault: {status: 400}\n", ["complete", "Hi"], 16),
        ("- fault: {code: insufficient_quota}\n", ["complete", "Hi"], 13),
        ("- {filter: true, reply: Half}\n", ["complete", "Hi", "--json"], 33),
    ],
)
def test_exit_codes(chatstep: Commands, serve: Serve, script: str, args: list[str], code: int) -> None:
    """Success has the reply alone on stdout; an error has nothing there and one line on stderr."""
    serve(script)
    done = chatstep.process(*args)
    assert done.returncode == code, done.stderr
    if code == 0:
        assert (done.stdout, done.stderr) == (b"ok\n", b"")
    elif "--json" in args:
        assert json.loads(done.stderr)["error"] == "answer_filtered"
    else:
        assert done.stdout == b""
        assert done.stderr.startswith(b"Error: ")


def test_a_damaged_data_folder(chatstep: Commands) -> None:
    """A store that is none, and a settings file that is wrong, have their codes."""
    home = chatstep.folder / "home"
    home.mkdir()
    (home / "chatstep.db").write_bytes(b"this is no database" * 100)
    result = chatstep("usage", code=6)
    assert "chatstep.db" in result.stderr
    (home / "settings.toml").write_text("colour = 'red'\n")
    assert "There is no setting 'colour'" in chatstep("usage", code=2).stderr


def test_a_reader_that_goes_away(chatstep: Commands, serve: Serve) -> None:
    """Nobody is told, and the exit code is that of the signal which is usual then."""
    serve("- reply: " + "word " * 2000 + "\n  chunks: 500\n  delay: {first: 0.3}\n")
    with chatstep.running("complete", "Hi", "--max-tokens", "4000") as process:
        process.stdout.close()
        said = process.stderr.read()
        assert (process.wait(100), said) == (141, b"")


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_reply_cleanly(chatstep: Commands, serve: Serve, sent: signal.Signals, code: int) -> None:
    """What came stays, the line is ended, and the ledger knows of the call."""
    serve("- {reply: One two three, chunks: [One, ' two', ' three'], delay: {between: 30}}\n")
    with chatstep.running("complete", "Hi") as process:
        assert process.stdout.read(3) == b"One"
        process.send_signal(sent)
        rest, said = process.communicate(timeout=100)
    assert process.returncode == code, said
    assert rest.endswith(b"\n")
    assert b"Traceback" not in said
    (day,) = chatstep.json("usage")
    assert (day["calls"], day["failed"]) == (1, 1)


def test_rehearse_serves_until_it_is_ended(chatstep: Commands) -> None:
    """It says how to use it, a line per request without texts, and ends cleanly; a recording is replayed."""
    script = chatstep.file("script.yaml", "- reply: From the script.\n")
    with chatstep.running("rehearse", "--port", "0", "--script", script, text=True) as process:
        address = process.stdout.readline().split()[-1]
        while f"export OPENAI_BASE_URL={address}" not in process.stdout.readline():
            assert process.poll() is None
        chatstep.env |= {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": KEY}
        assert chatstep("complete", "secret words", "--no-stream").stdout == "From the script.\n"
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=100)
    assert process.returncode == 0, said
    assert "1 200 POST /v1/chat/completions gpt-4o-mini" in said[1]
    assert "secret" not in "".join(said)


def test_rehearse_records_the_default_connection(chatstep: Commands, serve: Serve) -> None:
    """What was answered is replayed without the provider; the key is in no file."""
    real = serve("- reply: From the real one.\n")
    path = chatstep.folder / "talk.jsonl"
    for args in (("--record", "--to", str(path)), ("--replay", str(path))):
        with chatstep.running("rehearse", "--port", "0", *args, text=True) as process:
            address = process.stdout.readline().split()[-1]
            asked = Commands(chatstep.folder)
            asked.env |= {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": "other"}
            assert asked("complete", "Hi", "--no-stream").stdout == "From the real one.\n"
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=100)
    assert len(real.requests) == 1
    assert KEY not in path.read_text()


def test_rehearse_says_what_is_wrong(chatstep: Commands) -> None:
    """A script with its line, contradicting options, an address that others reach; and the faults there are."""
    script = chatstep.file("script.yaml", "- reply: x\n- replay: y\n")
    assert "script.yaml line 2" in chatstep("rehearse", "--script", script, code=2).stderr
    chatstep("rehearse", "--script", script, "--replay", script, code=2)
    assert "needs --to FILE" in chatstep("rehearse", "--record", code=2).stderr
    chatstep("rehearse", "--to", "x", code=2)
    chatstep("rehearse", "--host", "0.0.0.0", code=2)
    assert "cut_at" in chatstep("rehearse", "--list-faults").stdout


def test_the_demo(chatstep: Commands) -> None:
    """It shows all its parts, plain where stdout is no terminal, and needs nothing."""
    done = chatstep.process("demo")
    shown = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    for part in ("Harbour Street", "June 🌻", "assistant", "name Tomasz", "Finish reason", "at OpenAI's price", "next"):
        assert part in shown
    assert "\x1b" not in shown
    assert max(map(len, shown.split("3  Robin")[0].splitlines())) <= 120


def test_the_demo_names_what_can_be_typed(chatstep: Commands) -> None:
    """After `make demo` no shell finds chatstep; what to try next then begins with where it is."""
    folder = Path(sys.executable).parent
    for path, program in ((f"{folder}:/usr/bin", "chatstep"), ("/usr/bin", str(folder / "chatstep"))):
        chatstep.env["PATH"] = path
        done = subprocess.run(
            [folder / "chatstep", "demo"], env=chatstep.environment(), capture_output=True, text=True, check=True
        )
        assert f"\n  {program} chat --connection rehearsal\n" in done.stdout


def test_the_demo_on_another_connection(chatstep: Commands, serve: Serve) -> None:
    """The same conversation goes there."""
    provider = serve("- reply: You missed beans.\n")
    assert "You missed beans." in chatstep("demo", "--connection", "environment", "-m", "gpt-4.1").stdout
    assert provider.requests[0].model == "gpt-4.1"
    assert len(provider.requests[0].body["messages"]) == 15


def test_help_has_an_example_everywhere(chatstep: Commands) -> None:
    """Every command shows how it is used; a wrong name comes with near ones."""
    paths = [[name] for name in COMMANDS] + [
        ["connections", name] for name in ("add", "list", "show", "test", "limit", "rotate", "remove")
    ]
    for path in paths:
        assert "Example" in chatstep(*path, "--help").stdout, path
    assert "Did you mean 'complete'" in chatstep("compleet", code=2).stderr
    for shell in ("bash", "zsh", "fish"):
        assert "_CHATSTEP_COMPLETE" in chatstep("completion", shell).stdout


def test_an_unexpected_defect_shows_no_texts(chatstep: Commands) -> None:
    """One line with the type; where it happened only with CHATSTEP_LOG=debug."""
    program = (
        "from chatstep.cli.failures import Invocation, told\n"
        "with told(Invocation()):\n    raise ZeroDivisionError('with a secret')\n"
    )
    for level, wanted in (("", b"CHATSTEP_LOG=debug"), ("debug", b"<string>:3 in <module>")):
        chatstep.env["CHATSTEP_LOG"] = level
        done = subprocess.run(
            [sys.executable, "-c", program], env=chatstep.environment(), capture_output=True, timeout=100, check=False
        )
        assert b"Error: Something unexpected happened (ZeroDivisionError)" in done.stderr
        assert wanted in done.stderr
        assert b"secret" not in done.stderr


def test_the_page_of_commands_is_fresh() -> None:
    """docs/commands.md is what the code says."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("docs_commands", ROOT / "scripts" / "docs_commands.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "commands.md").read_text() == module.commands_page(), "run `make docs`"


def test_a_full_disk_is_told_before_anything_is_sent(chatstep: Commands) -> None:
    """No file may grow beyond 100 bytes: one line, the exit code of the store, and what is stored stays."""
    chatstep("complete", "Hello", "--connection", "rehearsal")
    before = chatstep("usage", "--json").stdout
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100));"
        "from chatstep.cli import main; main()"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "complete", "Hello", "--connection", "rehearsal"],
        check=False,
        env=chatstep.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stdout) == (6, "")
    assert run.stderr.count("\n") == 1
    assert run.stderr.startswith("Error: ")
    assert chatstep("usage", "--json").stdout == before


def test_a_key_that_was_typed_where_none_belongs_is_not_printed_back(chatstep: Commands) -> None:
    for words in (["add", "shop", "sk-abcdefghijklmnop"], ["add", "shop", "--from-env", "sk-abcdefghijklmnop"]):
        said = chatstep("connections", *words, code=2)
        assert "abcdefgh" not in said.stderr + said.stdout
        assert "***" in said.stderr


def test_output_that_cannot_be_written_is_no_defect(chatstep: Commands) -> None:
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "chatstep", "demo"],
            check=False,
            env=chatstep.environment(),
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert run.returncode == 1
    assert "No space left on device" in run.stderr
    assert "defect" not in run.stderr
