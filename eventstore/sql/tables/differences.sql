-- Name some keys whose rows differ between the live table and the one beside it, or that only one of them has.
-- The slots are named in projections/table.py; the statements made of this for `orders` are in tests/golden/sql.
SELECT ({key})::pg_catalog.text AS key
FROM {live} AS old
FULL JOIN {beside} AS new ON {same_key}
WHERE {differ}
ORDER BY {key}
LIMIT $1::bigint
