"""aiohttp and msgspec with nothing around them: no retries, no ledger, no checks. The yardstick of chatstep."""

from __future__ import annotations

import aiohttp
import msgspec


class Message(msgspec.Struct):
    """One message of the conversation, either way."""

    content: str | None = None
    role: str = "user"


class Request(msgspec.Struct, omit_defaults=True):
    """What is sent."""

    model: str
    messages: list[Message]
    max_tokens: int
    stream: bool = False


class Choice(msgspec.Struct):
    """An answer, or a piece of one."""

    message: Message | None = None
    delta: Message | None = None
    finish_reason: str | None = None


class Answer(msgspec.Struct):
    """What comes back."""

    choices: list[Choice]


class Client:
    """One session, its pool without a limit."""

    encode = msgspec.json.Encoder().encode
    decode = msgspec.json.Decoder(Answer).decode

    async def open(self, base_url: str, connections: int = 0) -> None:
        self.url = f"{base_url}/chat/completions"
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers={"authorization": "Bearer sk-bench", "content-type": "application/json"},
        )

    def body(self, prompt: str, streaming: bool) -> bytes:
        """The request as bytes."""
        return self.encode(Request("gpt-4o-mini", [Message(prompt, "user")], 256, streaming))

    async def complete(self, prompt: str) -> str | None:
        async with self.session.post(self.url, data=self.body(prompt, streaming=False)) as response:
            answer = self.decode(await response.read())
        return answer.choices[0].message.content  # type: ignore[union-attr]

    def piece(self, line: bytes) -> int:
        """Length of the text that one line of the stream carries."""
        if not line.startswith(b"data: {"):
            return 0
        choices = self.decode(line[6:]).choices
        return len(choices[0].delta.content or "") if choices and choices[0].delta else 0

    async def stream(self, prompt: str) -> int:
        length, rest = 0, b""
        async with self.session.post(self.url, data=self.body(prompt, streaming=True)) as response:
            async for block in response.content.iter_any():
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    length += self.piece(line)
        return length

    async def settle(self) -> None:
        """Nothing is left to do."""

    async def close(self) -> None:
        await self.session.close()
