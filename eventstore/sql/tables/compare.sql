-- Count the keys whose rows are equal in the live table and the one beside it, and those whose rows differ or that only one has.
-- The slots are named in projections/table.py; the statements made of this for `orders` are in tests/golden/sql.
SELECT
    pg_catalog.count(*) FILTER (WHERE NOT ({differ})) AS equal,
    pg_catalog.count(*) FILTER (WHERE {differ}) AS different
FROM {live} AS old
FULL JOIN {beside} AS new ON {same_key}
