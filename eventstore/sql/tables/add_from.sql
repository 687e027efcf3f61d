-- Add the rows of the table beside whose key the live table lacks.
-- The slots are named in projections/table.py; the statements made of this for `orders` are in tests/golden/sql.
INSERT INTO {live} ({columns})
SELECT {columns} FROM {beside} AS new
WHERE NOT EXISTS (SELECT FROM {live} AS old WHERE {same_key})
