-- The rows of a read table up to a position, under the name that the list reads. The planner merges it, so that indexes
-- serve it. The slots are named in eventstore/repositories/lists.py.
states AS NOT MATERIALIZED (
    SELECT * FROM {schema}.{table} WHERE last_position <= {position}
),
