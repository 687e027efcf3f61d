-- Purpose: Count the events of each type, exactly or from a sample of the table's pages.
-- Parameters:
--   $1 sample real percent of the pages; 100 counts every event
-- Result: category text, type text, events bigint (projected to the whole table where $1 is below 100)
-- Locks: none beyond ACCESS SHARE
-- Index: none, all of the sample is read
SELECT category, type, pg_catalog.round((pg_catalog.count(*) * 100)::double precision / $1::real::double precision)::bigint AS events
FROM {schema}.events TABLESAMPLE pg_catalog.system ($1::real)
GROUP BY category, type
ORDER BY category, events DESC, type
