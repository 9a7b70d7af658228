"""The server: doors over HTTP for everything that the App can do.

`listening` listens; `v1` speaks the protocol of chat completions; `guard` turns away whom it must; `envelope` says what
is wrong. Doors translate and decide nothing. Importing this loads aiohttp.
"""
