"""The engine: workers fold the final events of the log into the read tables, one worker for each partition at a time."""

from projections.engine.partitions import set_partitions
from projections.engine.supervisor import ProjectionRunner, Supervisor, run
from projections.engine.worker import ProjectionWorker

__all__ = [
    "ProjectionRunner",
    "ProjectionWorker",
    "Supervisor",
    "run",
    "set_partitions",
]
