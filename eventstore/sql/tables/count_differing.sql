-- Count the keys whose rows differ between the live table and the one beside it, and those that only one of them has.
-- The slots are named in projections/table.py; the statements made of this for `orders` are in tests/golden/sql.
SELECT pg_catalog.count(*) FROM {live} AS old
FULL JOIN {beside} AS new ON {same_key}
WHERE {differ}
