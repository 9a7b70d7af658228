"""The engine: what makes runs of flows survive crashes. Durable execution is DBOS's; only this folder imports it.

`engine` starts runs and waits for them; `process` is this process's part in doing them, `execution` one run under way,
`job` what it is begun with, `context` what its steps may ask for; `saved` does runs that need not survive a crash, and
`ends` is what is written of them; `heart` says that this process lives and takes over from those that do not; `lookup`
finds runs and calls them back, `shown` makes records of rows, `sealing` hides what must not stay readable; `launching`
opens and closes DBOS, `rows` is what is asked of its tables. DBOS is loaded when the first run is started or shown.
"""

from chatstep.flows.engine.engine import Engine, Started
from chatstep.flows.engine.job import run_id
from chatstep.flows.engine.rows import Wanted

__all__ = ["Engine", "Started", "Wanted", "run_id"]
