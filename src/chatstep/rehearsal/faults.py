"""The catalogue of faults, complete. Scripts, docs and the command line read it from here."""

from __future__ import annotations

from chatstep.rehearsal import fault_bodies, fault_errors, fault_streams, fault_wire
from chatstep.rehearsal.fault_table import FAULTS, Fault, Parameter, apply

__all__ = ["FAULTS", "Fault", "Parameter", "apply"]

# Importing these four fills the table.
_ROOMS = (fault_errors, fault_bodies, fault_streams, fault_wire)
