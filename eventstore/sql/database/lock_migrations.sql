-- Purpose: Let only one process migrate at a time, until the transaction ends. Only a role that may write the table
--   can take this lock, so other roles cannot block a migration.
-- Parameters: none
-- Result: none
-- Locks: SHARE ROW EXCLUSIVE on schema_migrations; reads go on
-- Index: none
LOCK TABLE {schema}.schema_migrations IN SHARE ROW EXCLUSIVE MODE
