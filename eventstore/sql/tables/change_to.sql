-- Give the rows of the live table the values that the table beside it has for their key, where they differ.
-- The slots are named in projections/table.py; the statements made of this for `orders` are in tests/golden/sql.
UPDATE {live} AS old SET {updates} FROM {beside} AS new
WHERE {same_key} AND {differ}
