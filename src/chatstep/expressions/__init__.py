"""Expressions: ``${{ steps.reply.message }}`` in the texts of a flow, read and evaluated.

Jinja2 reads what stands in the braces; a small evaluator of our own gives its value. No Python is generated, nothing is
called but the filters of filters.py, and a dot is a look-up in data, never an attribute of Python: there is no sandbox
to leave. Texts that come in as values are never read as expressions. Knows nothing of flows.
"""

from chatstep.expressions.filters import FILTERS, TESTS
from chatstep.expressions.template import Template, evaluate, parse

__all__ = ["FILTERS", "TESTS", "Template", "evaluate", "parse"]
