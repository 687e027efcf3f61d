-- Purpose: Read one portfolio: its row, and the events of its stream from the last one that is folded into the row on.
-- Parameters:
--   $1 id uuid
-- Result: the columns of portfolios (numbers and enums as text, version as row_version), last_position bigint, and the columns of
--   an event; either part may be NULL; one row for each event, and one where there is only a row
-- Locks: none beyond ACCESS SHARE
-- Index: portfolios_pkey, events_pkey
SELECT
    folded.id,
    folded.version AS row_version,
    row.name,
    row.currency,
    row.initial_capital::pg_catalog.text AS initial_capital,
    row.cash_balance::pg_catalog.text AS cash_balance,
    row.other_balances,
    row.position_mode::pg_catalog.text AS position_mode,
    row.settlement::pg_catalog.text AS settlement,
    row.may_go_below_zero,
    row.max_position_size::pg_catalog.text AS max_position_size,
    row.max_portfolio_risk::pg_catalog.text AS max_portfolio_risk,
    row.max_positions,
    row.max_leverage::pg_catalog.text AS max_leverage,
    row.net_deposits::pg_catalog.text AS net_deposits,
    row.other_deposits,
    row.conversions,
    row.total_realized_pnl::pg_catalog.text AS total_realized_pnl,
    row.other_realized_pnl,
    row.total_commission_paid::pg_catalog.text AS total_commission_paid,
    row.other_commissions,
    row.total_income::pg_catalog.text AS total_income,
    row.other_income,
    row.gross_profit::pg_catalog.text AS gross_profit,
    row.gross_loss::pg_catalog.text AS gross_loss,
    row.trades_count,
    row.winning_trades,
    row.losing_trades,
    row.trades,
    row.movements,
    row.strategy,
    row.details,
    row.created_at,
    row.last_updated,
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
LEFT JOIN {schema}.portfolios AS folded ON folded.id = $1::pg_catalog.uuid
    -- A row from another version of the fold cannot be used: then the whole stream is folded.
    AND NOT EXISTS (
        SELECT FROM {schema}.projections AS built WHERE built.name = 'portfolios' AND built.version <> 1
    )
-- The versions of a stream have no gaps, so this is at most that many events; what comes after them is read in pages.
LEFT JOIN {schema}.events AS event ON event.stream_id = $1::pg_catalog.uuid
    AND event.version >= coalesce(folded.version, 1) AND event.version < coalesce(folded.version, 1) + 200
LEFT JOIN LATERAL (SELECT folded.* WHERE folded.version = event.version) AS row ON true
