"""Flows: steps in a row, started by an event, that survive crashes.

`definition` says what a flow is, `reading` reads one from YAML, `checking` finds what is wrong with it, `walk` runs it
and knows no engine, `engine` is the one folder that imports DBOS. Light until an engine is opened.
"""
