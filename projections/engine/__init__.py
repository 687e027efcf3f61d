"""The engine: workers fold the final events of the log into the read tables, one worker for each partition at a time."""

from projections.engine.partitions import set_partitions as set_partitions
from projections.engine.supervisor import (
    ProjectionRunner as ProjectionRunner,
    Supervisor as Supervisor,
    run as run,
)
from projections.engine.worker import ProjectionWorker as ProjectionWorker
