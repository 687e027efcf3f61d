-- Remove the rows of some keys. The parameters are the values of the keys, one array for each column of the key.
-- The slots are named in projections/table.py; the statements made of this for `orders` are in tests/golden/sql.
DELETE FROM {table}
WHERE ({key}) OPERATOR(pg_catalog.=) ANY (SELECT {key_values} FROM {given})
