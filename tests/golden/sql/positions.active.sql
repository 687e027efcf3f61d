-- Purpose: Read the open positions.
-- Parameters:
--   $1 tail_events_max bigint events; 0 reads the table alone
--   $2 limit bigint rows, NULL for all
--   $3 after_opened_at timestamp with time zone where the page begins, exclusive; NULL at the start
--   $4 after_id uuid
-- Result: the columns of positions (numbers and enums as text, version as row_version) and of an event;
--   either half may be NULL
-- Locks: none beyond ACCESS SHARE
-- Index: positions_open_idx; events_position_key
WITH folded AS MATERIALIZED (
    SELECT coalesce(pg_catalog.min(checkpoint.position), 0) AS position FROM {schema}.projection_checkpoints AS checkpoint
    WHERE checkpoint.projection = 'positions'
        AND CASE (SELECT version FROM {schema}.projections WHERE name = 'positions')
            WHEN 1 THEN true
            ELSE {schema}.projection_is_of_version('positions', 1)  -- raises where there is another
        END
),
tail AS MATERIALIZED (
    SELECT
        position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at,
        recorded_at
    FROM (
        (
            SELECT * FROM {schema}.events
            WHERE position > (SELECT position FROM folded) AND category = 'position'
            ORDER BY position
            LIMIT $1::bigint
        )
        UNION ALL
        (
            -- The waiting events of the keys in quarantine.
            SELECT event.* FROM {schema}.projection_quarantine AS held
            JOIN {schema}.events AS event ON event.stream_id = held.stream_id
            WHERE held.projection = 'positions'
                AND event.position >= held.position
                AND event.position <= (SELECT position FROM folded)
            LIMIT $1::bigint
        )
    ) AS waiting
),
touched AS MATERIALIZED (
    SELECT DISTINCT stream_id FROM tail
),
candidates AS (
    (
        SELECT row.* FROM {schema}.positions AS row
        WHERE row.closed_at IS NULL
            AND ($3::pg_catalog.timestamptz IS NULL OR (row.opened_at, row.id) > ($3::pg_catalog.timestamptz, $4::pg_catalog.uuid))
        ORDER BY row.opened_at, row.id
        LIMIT $2::bigint + (SELECT pg_catalog.count(*) FROM touched)
    )
    UNION ALL
    SELECT row.* FROM {schema}.positions AS row
    WHERE row.id = ANY (ARRAY(SELECT stream_id FROM touched))
)
SELECT
    candidates.id,
    candidates.version AS row_version,
    candidates.symbol,
    candidates.quantity::pg_catalog.text AS quantity,
    candidates.cost::pg_catalog.text AS cost,
    candidates.multiplier::pg_catalog.text AS multiplier,
    candidates.current_price::pg_catalog.text AS current_price,
    candidates.marked_at,
    candidates.marked_at_ns,
    candidates.realized_pnl::pg_catalog.text AS realized_pnl,
    candidates.commission_paid::pg_catalog.text AS commission_paid,
    candidates.other_commissions,
    candidates.stop_loss_price::pg_catalog.text AS stop_loss_price,
    candidates.take_profit_price::pg_catalog.text AS take_profit_price,
    candidates.strategy,
    candidates.portfolio_id,
    candidates.account,
    candidates.venue,
    candidates.currency,
    candidates.position_side::pg_catalog.text AS position_side,
    candidates.tags,
    candidates.details,
    candidates.executions,
    candidates.opened_at,
    candidates.closed_at,
    candidates.last_updated,
    tail.*
FROM candidates
FULL JOIN tail ON tail.stream_id = candidates.id
