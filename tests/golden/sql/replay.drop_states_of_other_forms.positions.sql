-- Purpose: Drop the stored states of orders that another form of the class left behind. Another table's name is put in
--   the place of this one's.
-- Parameters:
--   $1 form integer
-- Result: none
-- Locks: none beyond the rows'
-- Index: none, it is run once after the form has changed
DELETE FROM {schema}.milestone_positions WHERE form <> $1::integer

