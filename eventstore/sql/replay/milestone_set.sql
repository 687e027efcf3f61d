-- Purpose: Read the states of orders at a milestone: it takes the place of the table in the lists' statements. Another
--   table's name is put in the place of this one's, and another number in the place of the parameter's.
-- Parameters:
--   $1 position bigint of the milestone
-- Result: the columns of milestone_orders
-- Locks: none beyond ACCESS SHARE
-- Index: those of milestone_orders, as the list around it says
SELECT * FROM {schema}.milestone_orders WHERE during OPERATOR(pg_catalog.@>) $1::bigint
