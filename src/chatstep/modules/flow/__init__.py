"""Flow: steps about the flow itself: values, waiting, and other flows."""

from chatstep.modules.flow.call import call
from chatstep.modules.flow.set import set_values
from chatstep.modules.flow.wait import wait
from chatstep.step import Module

__all__ = ["module"]

module = Module("flow", "Flow", steps=(set_values, wait, call))
