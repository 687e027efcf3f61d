-- Purpose: Read one portfolio_snapshot: its row, and the events of its stream from the last one that is folded into the row on.
-- Parameters:
--   $1 id uuid
-- Result: the columns of portfolio_snapshots (numbers and enums as text, version as row_version), last_position bigint, and the columns of
--   an event; either part may be NULL; one row for each event, and one where there is only a row
-- Locks: none beyond ACCESS SHARE
-- Index: portfolio_snapshots_pkey, events_pkey
SELECT
    folded.id,
    folded.version AS row_version,
    row.portfolio_id,
    row.taken_at,
    row.currency,
    row.rates,
    row.initial_capital::pg_catalog.text AS initial_capital,
    row.net_deposits::pg_catalog.text AS net_deposits,
    row.cash_balance::pg_catalog.text AS cash_balance,
    row.realized_pnl::pg_catalog.text AS realized_pnl,
    row.commission_paid::pg_catalog.text AS commission_paid,
    row.income::pg_catalog.text AS income,
    row.conversion_pnl::pg_catalog.text AS conversion_pnl,
    row.gross_profit::pg_catalog.text AS gross_profit,
    row.gross_loss::pg_catalog.text AS gross_loss,
    row.trades_count,
    row.winning_trades,
    row.losing_trades,
    row.open_positions,
    row.unmarked_positions,
    row.exposure::pg_catalog.text AS exposure,
    row.net_exposure::pg_catalog.text AS net_exposure,
    row.unrealized_pnl::pg_catalog.text AS unrealized_pnl,
    folded.last_position,
    event.position, event.stream_id, event.version,
    CASE WHEN event.version IS DISTINCT FROM folded.version THEN event.event_id END AS event_id,
    CASE WHEN event.version IS DISTINCT FROM folded.version THEN event.category END AS category,
    CASE WHEN event.version IS DISTINCT FROM folded.version THEN event.type END AS type,
    CASE WHEN event.version IS DISTINCT FROM folded.version THEN event.schema_version END AS schema_version,
    CASE WHEN event.version IS DISTINCT FROM folded.version THEN event.data END AS data,
    CASE WHEN event.version IS DISTINCT FROM folded.version THEN event.metadata END AS metadata,
    CASE WHEN event.version IS DISTINCT FROM folded.version THEN event.occurred_at END AS occurred_at,
    CASE WHEN event.version IS DISTINCT FROM folded.version THEN event.recorded_at END AS recorded_at
FROM (SELECT) AS one
LEFT JOIN {schema}.portfolio_snapshots AS folded ON folded.id = $1::pg_catalog.uuid
    -- A row from another version of the fold cannot be used: then the whole stream is folded.
    AND NOT EXISTS (
        SELECT FROM {schema}.projections AS built WHERE built.name = 'portfolio_snapshots' AND built.version <> 1
    )
-- The versions of a stream have no gaps, so this is at most that many events; what comes after them is read in pages.
LEFT JOIN {schema}.events AS event ON event.stream_id = $1::pg_catalog.uuid
    AND event.version >= coalesce(folded.version, 1) AND event.version < coalesce(folded.version, 1) + 200
LEFT JOIN LATERAL (SELECT folded.* WHERE folded.version = event.version) AS row ON true
