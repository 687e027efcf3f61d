-- Read expressions over all rows of a table.
SELECT {expressions} FROM {table}
