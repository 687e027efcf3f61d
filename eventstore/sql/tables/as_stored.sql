-- Return rows as the table would: with the digits, times and enums of its columns. The parameters are those of
-- `upsert`. The slots are named in projections/table.py; the statements made of this for `orders` are in
-- tests/golden/sql.
SELECT {values}, last_position FROM {given}
