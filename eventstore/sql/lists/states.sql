-- The states of one state snapshot, under the name that the list reads. The planner merges it, so that indexes serve it.
-- The slots are named in eventstore/repositories/lists.py.
states AS NOT MATERIALIZED (
    SELECT * FROM {schema}.state_snapshot_{table} WHERE during OPERATOR(pg_catalog.@>) {position}
),
