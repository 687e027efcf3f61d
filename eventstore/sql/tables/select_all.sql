-- Read every row, in the order of the key.
-- The slots are named in projections/table.py; the statements made of this for `orders` are in tests/golden/sql.
SELECT {columns}, last_position FROM {table} ORDER BY {key}
