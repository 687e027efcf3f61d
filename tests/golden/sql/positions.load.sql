-- Purpose: Read one position: its row, and the events of its stream from the last one that is folded into the row on.
-- Parameters:
--   $1 id uuid
-- Result: the columns of positions (numbers and enums as text, version as row_version), last_position bigint, and the columns of
--   an event; either part may be NULL; one row for each event, and one where there is only a row
-- Locks: none beyond ACCESS SHARE
-- Index: positions_pkey, events_pkey
SELECT
    folded.id,
    folded.version AS row_version,
    row.symbol,
    row.quantity::pg_catalog.text AS quantity,
    row.cost::pg_catalog.text AS cost,
    row.multiplier::pg_catalog.text AS multiplier,
    row.current_price::pg_catalog.text AS current_price,
    row.marked_at,
    row.marked_at_ns,
    row.realized_pnl::pg_catalog.text AS realized_pnl,
    row.commission_paid::pg_catalog.text AS commission_paid,
    row.other_commissions,
    row.stop_loss_price::pg_catalog.text AS stop_loss_price,
    row.take_profit_price::pg_catalog.text AS take_profit_price,
    row.strategy,
    row.portfolio_id,
    row.account,
    row.venue,
    row.currency,
    row.position_side::pg_catalog.text AS position_side,
    row.tags,
    row.details,
    row.executions,
    row.opened_at,
    row.closed_at,
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
LEFT JOIN {schema}.positions AS folded ON folded.id = $1::pg_catalog.uuid
    -- A row from another version of the fold cannot be used: then the whole stream is folded.
    AND NOT EXISTS (
        SELECT FROM {schema}.projections AS built WHERE built.name = 'positions' AND built.version <> 1
    )
-- The versions of a stream have no gaps, so this is at most that many events; what comes after them is read in pages.
LEFT JOIN {schema}.events AS event ON event.stream_id = $1::pg_catalog.uuid
    AND event.version >= coalesce(folded.version, 1) AND event.version < coalesce(folded.version, 1) + 200
LEFT JOIN LATERAL (SELECT folded.* WHERE folded.version = event.version) AS row ON true
