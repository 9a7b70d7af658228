"""The turns of a chat: one message in, one reply out, and the words that begin with a slash."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from chatstep.cli.complete import summary, write_stream
from chatstep.cli.conversations_files import assistants
from chatstep.cli.failures import INTERRUPTED, print_error
from chatstep.cli.screen import money, note, warn
from chatstep.errors import ChatstepError, StoreError
from chatstep.message import Author, History, Message
from chatstep.registry import near

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.modules.openai.inputs import Completion
    from chatstep.store import Conversation

__all__ = ["Turns"]

_MOST_READ = 2000  # messages; more than any prompt takes, and little to read


class Turns:
    """One conversation while it is held. ``exit_code`` is that of the last turn."""

    def __init__(
        self, runner: asyncio.Runner, app: App, conversation: Conversation, fields: dict[str, Any], name: str
    ) -> None:
        self.exit_code = 0
        self._runner, self._app, self._conversation, self._fields = runner, app, conversation, dict(fields)
        self._person = Author(name)
        self._messages = app.store.conversations.read(conversation.id, last=_MOST_READ)
        self._who = assistants(conversation, self._messages)
        self._older_exist = conversation.messages > len(self._messages)
        if self._older_exist:  # instructions stand at the very beginning
            self._messages[:0] = [
                each for each in app.store.conversations.read(conversation.id, first=1) if each.role == "system"
            ]
        self._instructions = "" if self._messages else str(self._fields.pop("instructions", ""))
        self._titled = bool(conversation.title)
        self._calls: list[Completion] = []

    def said_before(self) -> list[str]:
        """What people said earlier, for the line editor's history."""
        return [message.text for message in self._messages if self._is_said(message)]

    def latest(self) -> list[Message]:
        """The newest message that somebody wrote, and its reply."""
        return [message for message in self._messages[-2:] if message.role != "system"]

    def unanswered(self) -> bool:
        """Whether the last message has no reply."""
        return bool(self._messages) and self._is_said(self._messages[-1])

    def forget_if_empty(self) -> bool:
        """Remove the conversation when nothing was ever said in it."""
        if not self._messages:
            self._app.store.conversations.delete(self._conversation.id)
        return not self._messages

    def take(self, text: str) -> bool:
        """One line of a person; False when it ends the chat."""
        if not text.strip():
            return True
        if text.startswith("/") and not text.startswith("//"):
            return self._command(text[1:].split(maxsplit=1)[0] if text[1:].strip() else "")
        try:
            self._say(text.removeprefix("/") if text.startswith("//") else text)
        except ChatstepError as error:  # it could not be stored, so it is not sent either
            self._failed(error)
            return True
        self._answer()
        return True

    def _say(self, text: str) -> None:
        message = Message(self._person, text, id=uuid.uuid4().hex)
        store = self._app.store.conversations
        if self._instructions:  # they begin the conversation, so that it goes on with them
            beginning = Message(Author("system"), self._instructions, id=uuid.uuid4().hex, role="system")
            store.append(self._conversation.id, beginning)
            self._messages.append(beginning)
            self._instructions = ""
        store.append(self._conversation.id, message)
        self._messages.append(message)
        if not self._titled:
            store.rename(self._conversation.id, text)
            self._titled = True

    def _answer(self) -> None:
        """Ask for the reply to the last message, show it, and keep it when it is whole."""
        *earlier, newest = self._messages
        who = self._conversation.assistant
        history = History(self._who, earlier, self._older_exist)
        fields = {**self._fields, "history": history if earlier else None, "message": newest}
        try:
            done = self._runner.run(write_stream(self._app, fields))
        except KeyboardInterrupt:
            note("Stopped; what there was of the reply is not kept. /retry asks again.")
            self.exit_code = INTERRUPTED
            return
        except ChatstepError as error:
            self._failed(error)
            note("  Your message is kept: /retry asks again.")
            return
        self.exit_code = 0
        self._calls.append(done)
        for warning in done.warnings if len(self._calls) == 1 or done.truncated else ():
            warn(warning)
        self._keep(Message(who, done.message, id=uuid.uuid4().hex))

    def _keep(self, reply: Message) -> None:
        self._messages.append(reply)
        try:
            self._app.store.conversations.append(self._conversation.id, reply)
        except StoreError as error:
            self._failed(error)

    def _failed(self, error: ChatstepError) -> None:
        print_error(error)
        self.exit_code = error.exit_code

    def _is_reply(self, message: Message) -> bool:
        return message.author == self._conversation.assistant or message.role == "assistant"

    def _is_said(self, message: Message) -> bool:
        return message.role != "system" and not self._is_reply(message)

    def _command(self, word: str) -> bool:
        commands: dict[str, Callable[[], None]] = {"help": self._help, "retry": self._retry, "usage": self._usage}
        if word in ("quit", "exit"):
            return False
        if word in commands:
            commands[word]()
            return True
        close = near(word, (*commands, "quit"))
        note(f"There is no /{word}." + (f" Did you mean /{close[0]}?" if close else " /help lists what there is."))
        return True

    def _help(self) -> None:
        note(
            "/retry   ask again for a reply to your last message\n"
            "/usage   what this chat took so far\n"
            "/quit    leave (also Ctrl-D)\n"
            "/help    this\n"
            "End a line with \\ to go on in the next one.\n"
            "Begin with // to send a message that begins with /.\n"
            "Ctrl-C stops a reply; at the prompt it clears the line."
        )

    def _retry(self) -> None:
        if self.unanswered():
            self._answer()
        else:
            note("The last message has its reply." if self._messages else "Nothing was said yet.")

    def _usage(self) -> None:
        if not self._calls:
            note("No reply came in this sitting yet.")
            return
        prompt = sum(done.usage.prompt for done in self._calls)
        reply = sum(done.usage.completion for done in self._calls)
        known = [done.cost.amount for done in self._calls if not isinstance(done.cost, str)]
        unknown = len(self._calls) - len(known)
        more = f" and {unknown} of unknown cost" if unknown else ""
        replies = "1 reply" if len(self._calls) == 1 else f"{len(self._calls)} replies"
        note(f"{replies}: {prompt:,} + {reply:,} tokens, {money(sum(known, Decimal(0)))}{more}.")
        note(f"The last one: {summary(self._calls[-1])}")
