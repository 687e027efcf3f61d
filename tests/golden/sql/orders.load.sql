-- Purpose: Read one order: its row, and the events of its stream from the last one that is folded into the row on.
-- Parameters:
--   $1 id uuid
-- Result: the columns of orders (numbers and enums as text, version as row_version), last_position bigint, and the columns of
--   an event; either part may be NULL; one row for each event, and one where there is only a row
-- Locks: none beyond ACCESS SHARE
-- Index: orders_pkey, events_pkey
SELECT
    folded.id,
    folded.version AS row_version,
    row.symbol,
    row.side::pg_catalog.text AS side,
    row.order_type::pg_catalog.text AS order_type,
    row.quantity::pg_catalog.text AS quantity,
    row.cash_quantity::pg_catalog.text AS cash_quantity,
    row.limit_price::pg_catalog.text AS limit_price,
    row.stop_price::pg_catalog.text AS stop_price,
    row.trailing_offset::pg_catalog.text AS trailing_offset,
    row.time_in_force::pg_catalog.text AS time_in_force,
    row.expire_at,
    row.status::pg_catalog.text AS status,
    row.client_order_id,
    row.replaced_client_order_ids,
    row.broker_order_id,
    row.broker_order_ids,
    row.parent_id,
    row.list_id,
    row.account,
    row.venue,
    row.currency,
    row.position_side::pg_catalog.text AS position_side,
    row.reduce_only,
    row.post_only,
    row.short_sale,
    row.display_quantity::pg_catalog.text AS display_quantity,
    row.requests,
    row.filled_quantity::pg_catalog.text AS filled_quantity,
    row.filled_cost::pg_catalog.text AS filled_cost,
    row.commission::pg_catalog.text AS commission,
    row.other_commissions,
    row.was_filled_after_end,
    row.multiplier::pg_catalog.text AS multiplier,
    row.executions,
    row.split_ratio,
    row.reason,
    row.tags,
    row.details,
    row.portfolio_id,
    row.strategy,
    row.created_at,
    row.submitted_at,
    row.filled_at,
    row.completed_at,
    row.cancelled_at,
    row.expired_at,
    row.rejected_at,
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
LEFT JOIN {schema}.orders AS folded ON folded.id = $1::pg_catalog.uuid
    -- A row from another version of the fold cannot be used: then the whole stream is folded.
    AND NOT EXISTS (
        SELECT FROM {schema}.projections AS built WHERE built.name = 'orders' AND built.version <> 1
    )
-- The versions of a stream have no gaps, so this is at most that many events; what comes after them is read in pages.
LEFT JOIN {schema}.events AS event ON event.stream_id = $1::pg_catalog.uuid
    AND event.version >= coalesce(folded.version, 1) AND event.version < coalesce(folded.version, 1) + 200
LEFT JOIN LATERAL (SELECT folded.* WHERE folded.version = event.version) AS row ON true
