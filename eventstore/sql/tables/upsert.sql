-- Write rows, new ones and changed ones. The parameters are one array for each column, then one of the last positions.
-- The slots are named in projections/table.py; the statements made of this for `orders` are in tests/golden/sql.
INSERT INTO {table} ({columns}, last_position)
SELECT {values}, last_position FROM {given}
ON CONFLICT ({key}) DO UPDATE SET {updates}
