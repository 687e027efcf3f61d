-- Remove the rows of the live table that the table beside it lacks, or has with other values.
-- The slots are named in projections/table.py; the statements made of this for `orders` are in tests/golden/sql.
DELETE FROM {live} AS old
WHERE NOT EXISTS (SELECT FROM {beside} AS new WHERE {same_key} AND NOT ({differ}))
