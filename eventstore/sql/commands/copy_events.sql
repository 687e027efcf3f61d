-- Copy columns of the events of some types between two positions, in order.
SELECT {columns}
FROM {table}
WHERE position > {after} AND position <= {through} AND type = ANY (ARRAY[{types}]::pg_catalog.text[])
ORDER BY position
