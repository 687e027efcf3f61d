-- Create the table of a projection: a column for each field of the row, the position of the last folded event, the key.
-- The slots are named in projections/table.py; the statements made of this for `orders` are in tests/golden/sql.
CREATE TABLE {table} (
    {columns},
    last_position bigint NOT NULL,
    CONSTRAINT {constraint} PRIMARY KEY ({key})
)
