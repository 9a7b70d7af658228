"""What a person at a real terminal meets: hidden keys, editing, Ctrl-C, colours. Over a pseudo-terminal."""

from __future__ import annotations

import codecs
import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from rich.cells import cell_len

from chatstep.rehearsal import Rehearsal
from command_line import KEY, Commands

Serve = Callable[..., Rehearsal]


class Terminal:
    """A person at a terminal: types, and waits for what appears."""

    def __init__(self, descriptor: int, pid: int) -> None:
        self.descriptor = descriptor
        self.pid = pid
        self.seen = ""
        self._looked = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def expect(self, pattern: str, seconds: float = 60.0) -> str:
        """Wait until this appears after what was expected before."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen[self._looked :], re.DOTALL)):
            ready, _, _ = select.select([self.descriptor], [], [], max(0, end - time.monotonic()))
            assert ready, (pattern, self.seen)
            try:
                data = os.read(self.descriptor, 65536)
            except OSError:  # how Linux tells that the other side is closed
                data = b""
            assert data, (pattern, self.seen)
            self.seen += self._decoder.decode(data)
        self._looked += found.end()
        return found[0]

    def type(self, text: str) -> None:
        """Type; a line ends with \\r."""
        os.write(self.descriptor, text.encode())

    def press_ctrl_c(self, pattern: str) -> None:
        """Press Ctrl-C at a prompt until this appears.

        CPython's line editor notices one that falls into the microseconds between two keys only at the next; a person
        presses again.
        """
        for _ in range(5):
            self.type("\x03")
            if self._appears(pattern, 2.0):
                break
        self.expect(pattern)

    def _appears(self, pattern: str, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not re.search(pattern, self.seen[self._looked :], re.DOTALL):
            ready, _, _ = select.select([self.descriptor], [], [], max(0, end - time.monotonic()))
            if not ready:
                return False
            self.seen += self._decoder.decode(os.read(self.descriptor, 65536))
        return True

    def wait(self) -> int:
        """Wait for the end, and give the exit code."""
        try:
            while data := os.read(self.descriptor, 65536):
                self.seen += self._decoder.decode(data)
        except OSError:
            pass
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)


@contextmanager
def terminal(chatstep: Commands, *args: str, **env: str) -> Iterator[Terminal]:
    """Run the command on a pseudo-terminal."""
    environment = {**chatstep.environment(), "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "40", **env}
    if "NO_COLOR" not in env:
        environment.pop("NO_COLOR")
    command = [sys.executable, "-m", "chatstep", *args]
    pid, descriptor = _spawn(command, environment)
    held = Terminal(descriptor, pid)
    try:
        yield held
    finally:
        if held.pid:
            os.kill(held.pid, signal.SIGKILL)
            os.waitpid(held.pid, 0)
        os.close(descriptor)


def _spawn(command: list[str], environment: dict[str, str]) -> tuple[int, int]:
    """Another Python makes the terminal its own and becomes the command: forking beside threads is not safe."""
    ours, theirs = pty.openpty()
    program = (
        "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", program, *command],
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, theirs, number) for number in (0, 1, 2)],
    )
    os.close(theirs)
    return pid, ours


@pytest.fixture
def slow(serve: Serve) -> Rehearsal:
    """A provider whose reply to `long` takes its time; everything else is answered at once."""
    return serve(
        "- {when: long, reply: One two three, chunks: [One, ' two', ' three'], delay: {between: 30}, times: 1}\n"
        "- {reply: 'Sure.'}\n"
    )


def test_a_chat_at_a_terminal(chatstep: Commands, slow: Rehearsal) -> None:
    """Ctrl-C stops a reply and clears a line; the chat goes on; Ctrl-D leaves."""
    with terminal(chatstep, "chat", "--conversation", "talk") as person:
        person.expect("Conversation talk.*› ")
        person.type("a long one\r")
        person.expect("One")
        person.type("\x03")
        person.expect("Stopped; what there was of the reply is not kept.*› ")
        person.type("half a line")
        person.expect("half a line")
        person.press_ctrl_c("› ")
        person.type("/retry\r")
        person.expect(r"Sure\.")
        person.expect("› ")
        person.type("first \\\r")
        person.expect("… ")
        person.type("sekond\x1b[D\x1b[D\x1b[D\x7fc\r")
        person.expect(r"Sure\.")
        person.expect("› ")
        person.type("\x04")
        person.expect("Kept. Go on with: chatstep chat --conversation talk")
        assert person.wait() == 0
    with terminal(chatstep, "chat", "--continue") as person:
        person.expect(r"  You: first second\r\n  assistant: Sure\.\r\n› ")
        person.type("\x04")
        assert person.wait() == 0
    said = [request.body["messages"] for request in slow.requests]
    assert [message["content"] for message in said[-1]] == ["a long one", "Sure.", "first \nsecond"]


def test_a_key_is_typed_hidden(chatstep: Commands) -> None:
    """What is typed does not appear."""
    with terminal(chatstep, "connections", "add", "work") as person:
        person.expect("API Key: ")
        person.type(f"{KEY}\r")
        person.expect("Added work")
        assert person.wait() == 0
        assert KEY not in person.seen
    with terminal(chatstep, "connections", "remove", "work") as person:
        person.expect("Remove the connection work")
        person.type("n\r")
        person.expect("Nothing was removed")
        assert person.wait() == 0


def test_ctrl_c_at_a_question(chatstep: Commands) -> None:
    """Nothing is stored."""
    with terminal(chatstep, "connections", "add", "work") as person:
        person.expect("API Key: ")
        person.type("\x03")
        person.expect("Interrupted")
        assert person.wait() == 130
    assert [row["name"] for row in chatstep.json("connections", "list")] == ["rehearsal"]


def test_what_a_person_sees_of_a_reply(chatstep: Commands, serve: Serve) -> None:
    """No codes that a terminal would obey; a summary; errors in colour unless NO_COLOR is set."""
    serve('- reply: "a\\e]0;title\\ab"\n  times: 1\n- fault: {status: 400}\n')
    with terminal(chatstep, "complete", "Hi") as person:
        person.expect(r"a\]0;titleb")
        person.expect("tokens")
        assert person.wait() == 0
        assert "\x1b]0" not in person.seen
    with terminal(chatstep, "complete", "Hi") as person:
        person.expect("\x1b\\[31m[^\n]*Error:")
        assert person.wait() == 16
    with terminal(chatstep, "complete", "Hi", NO_COLOR="1") as person:
        assert person.wait() == 16
        assert "Error: " in person.seen
        assert "\x1b" not in person.seen


@pytest.mark.parametrize("way", ["--stream", "--no-stream"])
def test_a_person_sees_that_a_reply_is_waited_for(chatstep: Commands, serve: Serve, way: str) -> None:
    """The line is erased before the reply, also by Ctrl-C; nothing of it where stderr is no terminal."""
    serve("- {reply: At last., delay: {first: 3}, times: 2}\n- fault: hang\n")
    with terminal(chatstep, "complete", "Hi", way) as person:
        person.expect(r"Waiting for the reply … \d s \(Ctrl-C stops\)\r\x1b\[2KAt last\.")
        assert person.wait() == 0
    assert b"Waiting" not in chatstep.process("complete", "Hi", way).stderr
    with terminal(chatstep, "complete", "Hi", way) as person:
        person.expect("Waiting for the reply")
        person.type("\x03")
        person.expect(r"\r\x1b\[2K.*Interrupted")
        assert person.wait() == 130


def test_a_message_is_wanted_at_a_terminal(chatstep: Commands) -> None:
    """Nobody waits for stdin silently."""
    with terminal(chatstep, "complete", "--connection", "rehearsal") as person:
        person.expect("There is nothing to send")
        assert person.wait() == 2


@pytest.mark.parametrize("columns", ["40", "80"])
def test_the_demo_in_colour(chatstep: Commands, columns: str) -> None:
    """The assistant's lines stand out, and no line of it is wider than the terminal."""
    with terminal(chatstep, "demo", COLUMNS=columns) as person:
        assert person.wait() == 0
    assert "\x1b[36m" in person.seen
    plain = re.sub(r"\x1b\[[0-9;]*m", "", person.seen)
    assert "What to try next" in plain
    assert max(cell_len(line) for line in plain.partition("Warning:")[0].splitlines()) <= int(columns)


@pytest.mark.parametrize("columns", ["44", "80", "120"])
def test_pictures_fit_the_terminal(chatstep: Commands, columns: str) -> None:
    """No line of a prompt or a transcript is wider, whatever stands in it; bars are in colour."""
    names = ["一" * 40, "Ana\x1b[0m", "Robo"]
    talk = [
        {"author": {"name": names[at % 3], "id": f"10293847561{at % 3:08d}"}, "text": f"{at}\n二三\u202e " * 40}
        for at in range(60)
    ]
    path = chatstep.file("talk.json", talk)
    asked = ("--assistant", "Robo", "-o", "history_tokens", "1500", "--speakers", "prefix", "-s", "Be kind.")
    for args in (("complete", "And?", "--dry-run", "--history", path, *asked), ("transcript", path, *asked)):
        with terminal(chatstep, *args, COLUMNS=columns) as person:
            assert person.wait() == 0
        assert "\x1b[32m" in person.seen
        lines = re.sub(r"\x1b\[[0-9;]*m", "", person.seen).splitlines()
        assert max(cell_len(line) for line in lines if not line.startswith("Read ")) <= int(columns)
        assert any("older messages left out" in line for line in lines)
        assert not any("\x1b" in line or "\u202e" in line for line in lines)


def test_what_was_read_is_told_to_a_person(chatstep: Commands) -> None:
    """On one line, before the reply."""
    path = chatstep.file("talk.json", [{"author": "Ana", "text": "Hi"}, {"author": "Ana", "text": ""}])
    args = ("complete", "Well?", "--connection", "rehearsal", "--history", path, "--assistant", "Ana")
    with terminal(chatstep, *args) as person:
        person.expect(r"Read 1 message of 1 author \(Plain JSON[^)]*\); 1 left out \(see chatstep transcript")
        assert person.wait() == 0
