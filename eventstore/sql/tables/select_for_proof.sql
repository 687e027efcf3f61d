-- Read every row, in no order, each number as its text.
-- The slots are named in projections/table.py; the statements made of this for `orders` are in tests/golden/sql.
SELECT {columns}, last_position FROM {table}
