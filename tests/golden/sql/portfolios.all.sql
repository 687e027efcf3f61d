-- Purpose: Read the portfolios in the order of their creation.
-- Parameters:
--   $1 tail_events_max bigint events; 0 reads the table alone
--   $2 limit bigint rows, NULL for all
--   $3 after_created_at timestamp with time zone where the page begins, exclusive; NULL at the start
--   $4 after_id uuid
-- Result: the columns of portfolios (numbers and enums as text, version as row_version) and of an event;
--   either half may be NULL
-- Locks: none beyond ACCESS SHARE
-- Index: portfolios_created_at_idx; events_position_key
WITH folded AS MATERIALIZED (
    SELECT coalesce(pg_catalog.min(checkpoint.position), 0) AS position FROM {schema}.projection_checkpoints AS checkpoint
    WHERE checkpoint.projection = 'portfolios'
        AND CASE (SELECT version FROM {schema}.projections WHERE name = 'portfolios')
            WHEN 1 THEN true
            ELSE {schema}.projection_is_of_version('portfolios', 1)  -- raises where there is another
        END
),
tail AS MATERIALIZED (
    SELECT
        position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at,
        recorded_at
    FROM (
        (
            SELECT * FROM {schema}.events
            WHERE position > (SELECT position FROM folded) AND category = 'portfolio'
            ORDER BY position
            LIMIT $1::bigint
        )
        UNION ALL
        (
            -- The waiting events of the keys in quarantine.
            SELECT event.* FROM {schema}.projection_quarantine AS held
            JOIN {schema}.events AS event ON event.stream_id = held.stream_id
            WHERE held.projection = 'portfolios'
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
        SELECT row.* FROM {schema}.portfolios AS row
        WHERE true
            AND ($3::pg_catalog.timestamptz IS NULL OR (row.created_at, row.id) > ($3::pg_catalog.timestamptz, $4::pg_catalog.uuid))
        ORDER BY row.created_at, row.id
        LIMIT $2::bigint + (SELECT pg_catalog.count(*) FROM touched)
    )
    UNION ALL
    SELECT row.* FROM {schema}.portfolios AS row
    WHERE row.id = ANY (ARRAY(SELECT stream_id FROM touched))
)
SELECT
    candidates.id,
    candidates.version AS row_version,
    candidates.name,
    candidates.currency,
    candidates.initial_capital::pg_catalog.text AS initial_capital,
    candidates.cash_balance::pg_catalog.text AS cash_balance,
    candidates.other_balances,
    candidates.position_mode::pg_catalog.text AS position_mode,
    candidates.settlement::pg_catalog.text AS settlement,
    candidates.may_go_below_zero,
    candidates.max_position_size::pg_catalog.text AS max_position_size,
    candidates.max_portfolio_risk::pg_catalog.text AS max_portfolio_risk,
    candidates.max_positions,
    candidates.max_leverage::pg_catalog.text AS max_leverage,
    candidates.net_deposits::pg_catalog.text AS net_deposits,
    candidates.other_deposits,
    candidates.conversions,
    candidates.total_realized_pnl::pg_catalog.text AS total_realized_pnl,
    candidates.other_realized_pnl,
    candidates.total_commission_paid::pg_catalog.text AS total_commission_paid,
    candidates.other_commissions,
    candidates.total_income::pg_catalog.text AS total_income,
    candidates.other_income,
    candidates.gross_profit::pg_catalog.text AS gross_profit,
    candidates.gross_loss::pg_catalog.text AS gross_loss,
    candidates.trades_count,
    candidates.winning_trades,
    candidates.losing_trades,
    candidates.trades,
    candidates.movements,
    candidates.strategy,
    candidates.details,
    candidates.created_at,
    candidates.last_updated,
    tail.*
FROM candidates
FULL JOIN tail ON tail.stream_id = candidates.id
