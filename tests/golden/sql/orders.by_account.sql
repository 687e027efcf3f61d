-- Purpose: Read the orders of an account.
-- Parameters:
--   $1 tail_events_max bigint events; 0 reads the table alone
--   $2 limit bigint rows, NULL for all
--   $3 after_created_at timestamp with time zone where the page begins, exclusive; NULL at the start
--   $4 after_id uuid
--   $5 account text
-- Result: the columns of orders (numbers and enums as text, version as row_version) and of an event;
--   either half may be NULL
-- Locks: none beyond ACCESS SHARE
-- Index: orders_account_idx; events_position_key
WITH folded AS MATERIALIZED (
    SELECT coalesce(pg_catalog.min(checkpoint.position), 0) AS position FROM {schema}.projection_checkpoints AS checkpoint
    WHERE checkpoint.projection = 'orders'
        AND CASE (SELECT version FROM {schema}.projections WHERE name = 'orders')
            WHEN 1 THEN true
            ELSE {schema}.projection_is_of_version('orders', 1)  -- raises where there is another
        END
),
tail AS MATERIALIZED (
    SELECT
        position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at,
        recorded_at
    FROM (
        (
            SELECT * FROM {schema}.events
            WHERE position > (SELECT position FROM folded) AND category = 'order'
            ORDER BY position
            LIMIT $1::bigint
        )
        UNION ALL
        (
            -- The waiting events of the keys in quarantine.
            SELECT event.* FROM {schema}.projection_quarantine AS held
            JOIN {schema}.events AS event ON event.stream_id = held.stream_id
            WHERE held.projection = 'orders'
                AND event.position >= held.position
                AND event.position <= (SELECT position FROM folded)
            LIMIT $1::bigint
        )
    ) AS waiting
),
named AS MATERIALIZED (
    SELECT row.* FROM {schema}.orders AS row WHERE row.id = ANY (ARRAY(SELECT DISTINCT stream_id FROM tail))
),
-- The entities that may belong to the answer.
touched AS MATERIALIZED (
    SELECT stream_id FROM tail
    WHERE data ->> 'account'::pg_catalog.text = $5::pg_catalog.text
        OR (schema_version <> 1 OR type NOT IN ('OrderCreated', 'OrderSubmitted', 'OrderFilled', 'OrderFillBusted', 'OrderFillCorrected', 'OrderReplaced', 'OrderCancelRequested', 'OrderReplaceRequested', 'OrderRequestRejected', 'OrderCancelled', 'OrderExpired', 'OrderRejected', 'OrderCompleted', 'OrderSplit', 'OrderSymbolChanged', 'OrderAmended', 'OrderDeleted'))
        OR position <= (SELECT position FROM folded)
    UNION
    SELECT id FROM named WHERE account = $5::pg_catalog.text
),
candidates AS (
    (
        SELECT row.* FROM {schema}.orders AS row
        WHERE row.account = $5::pg_catalog.text
            AND ($3::pg_catalog.timestamptz IS NULL OR (row.created_at, row.id) > ($3::pg_catalog.timestamptz, $4::pg_catalog.uuid))
        ORDER BY row.created_at, row.id
        LIMIT $2::bigint + (SELECT pg_catalog.count(*) FROM touched)
    )
    UNION ALL
    SELECT * FROM named WHERE account = $5::pg_catalog.text OR id IN (SELECT stream_id FROM touched)
),
-- The whole tail if it is too long, so that the reader can report its length.
correction AS (
    SELECT * FROM tail
    WHERE stream_id IN (SELECT stream_id FROM touched) OR (SELECT pg_catalog.count(*) FROM tail) >= $1::bigint
)
SELECT
    candidates.id,
    candidates.version AS row_version,
    candidates.symbol,
    candidates.side::pg_catalog.text AS side,
    candidates.order_type::pg_catalog.text AS order_type,
    candidates.quantity::pg_catalog.text AS quantity,
    candidates.cash_quantity::pg_catalog.text AS cash_quantity,
    candidates.limit_price::pg_catalog.text AS limit_price,
    candidates.stop_price::pg_catalog.text AS stop_price,
    candidates.trailing_offset::pg_catalog.text AS trailing_offset,
    candidates.time_in_force::pg_catalog.text AS time_in_force,
    candidates.expire_at,
    candidates.status::pg_catalog.text AS status,
    candidates.client_order_id,
    candidates.replaced_client_order_ids,
    candidates.broker_order_id,
    candidates.broker_order_ids,
    candidates.parent_id,
    candidates.list_id,
    candidates.account,
    candidates.venue,
    candidates.currency,
    candidates.position_side::pg_catalog.text AS position_side,
    candidates.reduce_only,
    candidates.post_only,
    candidates.short_sale,
    candidates.display_quantity::pg_catalog.text AS display_quantity,
    candidates.requests,
    candidates.filled_quantity::pg_catalog.text AS filled_quantity,
    candidates.filled_cost::pg_catalog.text AS filled_cost,
    candidates.commission::pg_catalog.text AS commission,
    candidates.other_commissions,
    candidates.was_filled_after_end,
    candidates.multiplier::pg_catalog.text AS multiplier,
    candidates.executions,
    candidates.split_ratio,
    candidates.reason,
    candidates.tags,
    candidates.details,
    candidates.portfolio_id,
    candidates.strategy,
    candidates.created_at,
    candidates.submitted_at,
    candidates.filled_at,
    candidates.completed_at,
    candidates.cancelled_at,
    candidates.expired_at,
    candidates.rejected_at,
    correction.*
FROM candidates
FULL JOIN correction ON correction.stream_id = candidates.id
