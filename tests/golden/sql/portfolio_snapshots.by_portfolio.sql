-- Purpose: Read the snapshots of a portfolio in a range of time.
-- Parameters:
--   $1 tail_events_max bigint events; 0 reads the table alone
--   $2 limit bigint rows, NULL for all
--   $3 after_taken_at timestamp with time zone where the page begins, exclusive; NULL at the start
--   $4 after_id uuid
--   $5 portfolio_id uuid
--   $6 start timestamp with time zone inclusive
--   $7 end timestamp with time zone inclusive
-- Result: the columns of portfolio_snapshots (numbers and enums as text, version as row_version) and of an event;
--   either half may be NULL
-- Locks: none beyond ACCESS SHARE
-- Index: portfolio_snapshots_portfolio_id_idx; events_position_key
WITH folded AS MATERIALIZED (
    SELECT coalesce(pg_catalog.min(checkpoint.position), 0) AS position FROM {schema}.projection_checkpoints AS checkpoint
    WHERE checkpoint.projection = 'portfolio_snapshots'
        AND CASE (SELECT version FROM {schema}.projections WHERE name = 'portfolio_snapshots')
            WHEN 1 THEN true
            ELSE {schema}.projection_is_of_version('portfolio_snapshots', 1)  -- raises where there is another
        END
),
tail AS MATERIALIZED (
    SELECT
        position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at,
        recorded_at
    FROM (
        (
            SELECT * FROM {schema}.events
            WHERE position > (SELECT position FROM folded) AND category = 'portfolio_snapshot'
            ORDER BY position
            LIMIT $1::bigint
        )
        UNION ALL
        (
            -- The waiting events of the keys in quarantine.
            SELECT event.* FROM {schema}.projection_quarantine AS held
            JOIN {schema}.events AS event ON event.stream_id = held.stream_id
            WHERE held.projection = 'portfolio_snapshots'
                AND event.position >= held.position
                AND event.position <= (SELECT position FROM folded)
            LIMIT $1::bigint
        )
    ) AS waiting
),
named AS MATERIALIZED (
    SELECT row.* FROM {schema}.portfolio_snapshots AS row WHERE row.id = ANY (ARRAY(SELECT DISTINCT stream_id FROM tail))
),
-- The entities that may belong to the answer.
touched AS MATERIALIZED (
    SELECT stream_id FROM tail
    WHERE data ->> 'portfolio_id'::pg_catalog.text = $5::pg_catalog.uuid::pg_catalog.text
        OR (schema_version <> 1 OR type NOT IN ('PortfolioSnapshotTaken', 'PortfolioSnapshotAmended', 'PortfolioSnapshotDeleted'))
        OR position <= (SELECT position FROM folded)
    UNION
    SELECT id FROM named WHERE portfolio_id = $5::pg_catalog.uuid
),
candidates AS (
    (
        SELECT row.* FROM {schema}.portfolio_snapshots AS row
        WHERE row.portfolio_id = $5::pg_catalog.uuid
            AND row.taken_at BETWEEN $6::pg_catalog.timestamptz AND $7::pg_catalog.timestamptz
            AND ($3::pg_catalog.timestamptz IS NULL OR (row.taken_at, row.id) > ($3::pg_catalog.timestamptz, $4::pg_catalog.uuid))
        ORDER BY row.taken_at, row.id
        LIMIT $2::bigint + (SELECT pg_catalog.count(*) FROM touched)
    )
    UNION ALL
    SELECT * FROM named WHERE portfolio_id = $5::pg_catalog.uuid OR id IN (SELECT stream_id FROM touched)
),
-- The whole tail if it is too long, so that the reader can report its length.
correction AS (
    SELECT * FROM tail
    WHERE stream_id IN (SELECT stream_id FROM touched) OR (SELECT pg_catalog.count(*) FROM tail) >= $1::bigint
)
SELECT
    candidates.id,
    candidates.version AS row_version,
    candidates.portfolio_id,
    candidates.taken_at,
    candidates.currency,
    candidates.rates,
    candidates.initial_capital::pg_catalog.text AS initial_capital,
    candidates.net_deposits::pg_catalog.text AS net_deposits,
    candidates.cash_balance::pg_catalog.text AS cash_balance,
    candidates.realized_pnl::pg_catalog.text AS realized_pnl,
    candidates.commission_paid::pg_catalog.text AS commission_paid,
    candidates.income::pg_catalog.text AS income,
    candidates.conversion_pnl::pg_catalog.text AS conversion_pnl,
    candidates.gross_profit::pg_catalog.text AS gross_profit,
    candidates.gross_loss::pg_catalog.text AS gross_loss,
    candidates.trades_count,
    candidates.winning_trades,
    candidates.losing_trades,
    candidates.open_positions,
    candidates.unmarked_positions,
    candidates.exposure::pg_catalog.text AS exposure,
    candidates.net_exposure::pg_catalog.text AS net_exposure,
    candidates.unrealized_pnl::pg_catalog.text AS unrealized_pnl,
    correction.*
FROM candidates
FULL JOIN correction ON correction.stream_id = candidates.id
