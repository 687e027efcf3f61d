-- Purpose: Tell which server a session is of, to find out that another one has taken its place, and the session's schema.
--   The timeline is that of the write-ahead log, which a promotion changes at once; a base backup put in the place of a
--   server has its system identifier and its timeline, and another start.
-- Parameters: none
-- Result: schema text, NULL where the search path names no schema that exists; backend_pid integer; in_recovery boolean;
--   started_at timestamp with time zone; system_identifier bigint; timeline text, hexadecimal, and wal bigint, how many bytes of
--   write-ahead log were ever written, both NULL on a standby
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
