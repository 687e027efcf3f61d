-- Read all columns of all rows of a table, in no order.
SELECT * FROM {table}
