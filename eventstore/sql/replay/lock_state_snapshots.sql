-- Purpose: Wait for those who are storing state snapshots or segments of the log, and prevent others from doing so until
--   the transaction ends; readers go on.
-- Parameters: none
-- Result: none
-- Locks: SHARE ROW EXCLUSIVE on state_snapshots and log_segments
-- Index: none, it reads no table
LOCK TABLE {schema}.state_snapshots, {schema}.log_segments IN SHARE ROW EXCLUSIVE MODE
