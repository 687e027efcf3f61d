-- Purpose: Describe this connection and its server.
-- Parameters: none
-- Result: server_version text, database text, "user" text, schema text (NULL: none), backend_pid integer,
--   encrypted boolean, in_recovery boolean
-- Locks: none
-- Index: none: functions, and one row of pg_stat_ssl
SELECT pg_catalog.current_setting('server_version') AS server_version,
       pg_catalog.current_database()::pg_catalog.text AS database,
       current_user::pg_catalog.text AS "user",
       {schema_name} AS schema,
       pg_catalog.pg_backend_pid() AS backend_pid,
       coalesce((SELECT s.ssl FROM pg_catalog.pg_stat_ssl AS s WHERE s.pid = pg_catalog.pg_backend_pid()), false) AS encrypted,
       pg_catalog.pg_is_in_recovery() AS in_recovery
