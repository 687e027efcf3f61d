-- Purpose: Identify the server of a session, to detect that another server has replaced it, and return the session's
--   schema. A promotion changes the timeline of the write-ahead log at once. A base backup that replaces a server has
--   the same system identifier and timeline, but a different start time.
-- Parameters: none
-- Result: schema text, NULL if no schema of the search path exists; backend_pid integer; in_recovery boolean;
--   started_at timestamp with time zone; system_identifier bigint; timeline text, hexadecimal, and wal bigint, the
--   bytes of write-ahead log written so far, both NULL on a standby
-- Locks: none
-- Index: none
SELECT
    pg_catalog.current_schema()::pg_catalog.text AS schema,
    pg_catalog.pg_backend_pid() AS backend_pid,
    recovery.is_under_way AS in_recovery,
    pg_catalog.pg_postmaster_start_time() AS started_at,
    control.system_identifier,
    CASE WHEN NOT recovery.is_under_way
        THEN pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)
    END AS timeline,
    CASE WHEN NOT recovery.is_under_way
        THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0'::pg_catalog.pg_lsn)::bigint
    END AS wal
FROM pg_catalog.pg_control_system() AS control
CROSS JOIN (SELECT pg_catalog.pg_is_in_recovery() AS is_under_way) AS recovery
