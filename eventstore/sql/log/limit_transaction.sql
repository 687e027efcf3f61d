-- Purpose: Limit how long this transaction may stay open, because readers of the log wait for it. A setting that the
--   server does not have (transaction_timeout before 17) is left out.
-- Parameters:
--   $1 idle_in_transaction text with a unit, such as 1000ms
--   $2 transaction text with a unit
-- Result: the settings
-- Locks: none
-- Index: none
SELECT pg_catalog.set_config(limits.name, limits.setting, true)
FROM (VALUES ('idle_in_transaction_session_timeout', $1::pg_catalog.text), ('transaction_timeout', $2::pg_catalog.text)) AS limits (name, setting)
WHERE EXISTS (SELECT FROM pg_catalog.pg_settings WHERE pg_settings.name = limits.name)
