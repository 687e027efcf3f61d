-- Purpose: Let one migration run at a time, until the transaction ends. Only a role that may write the table can take this lock,
--   so that nobody else can hold up a migration.
-- Parameters: none
-- Result: none
-- Locks: SHARE ROW EXCLUSIVE on schema_migrations; reads go on
-- Index: none
LOCK TABLE {schema}.schema_migrations IN SHARE ROW EXCLUSIVE MODE
