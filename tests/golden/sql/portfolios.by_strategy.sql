-- Purpose: Read the portfolios of a strategy.
-- Parameters:
--   $1 tail_events_max bigint events; 0 reads the table alone
--   $2 limit bigint rows, NULL for all
--   $3 after_created_at timestamp with time zone where the page begins, exclusive; NULL at the start
--   $4 after_id uuid
--   $5 strategy text
-- Result: the columns of portfolios (numbers and enums as text, version as row_version) and of an event;
--   either half may be NULL
-- Locks: none beyond ACCESS SHARE
-- Index: portfolios_strategy_idx; events_position_key
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
named AS MATERIALIZED (
    SELECT row.* FROM {schema}.portfolios AS row WHERE row.id = ANY (ARRAY(SELECT DISTINCT stream_id FROM tail))
),
-- The entities that may belong to the answer.
touched AS MATERIALIZED (
    SELECT stream_id FROM tail
    WHERE data ->> 'strategy'::pg_catalog.text = $5::pg_catalog.text
        OR (schema_version <> 1 OR type NOT IN ('PortfolioCreated', 'PortfolioTradeRecorded', 'PortfolioTradeBusted', 'PortfolioCashMoved', 'PortfolioAmended', 'PortfolioDeleted'))
        OR position <= (SELECT position FROM folded)
    UNION
    SELECT id FROM named WHERE strategy = $5::pg_catalog.text
),
candidates AS (
    (
        SELECT row.* FROM {schema}.portfolios AS row
        WHERE row.strategy = $5::pg_catalog.text
            AND ($3::pg_catalog.timestamptz IS NULL OR (row.created_at, row.id) > ($3::pg_catalog.timestamptz, $4::pg_catalog.uuid))
        ORDER BY row.created_at, row.id
        LIMIT $2::bigint + (SELECT pg_catalog.count(*) FROM touched)
    )
    UNION ALL
    SELECT * FROM named WHERE strategy = $5::pg_catalog.text OR id IN (SELECT stream_id FROM touched)
),
-- The whole tail if it is too long, so that the reader can report its length.
correction AS (
    SELECT * FROM tail
    WHERE stream_id IN (SELECT stream_id FROM touched) OR (SELECT pg_catalog.count(*) FROM tail) >= $1::bigint
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
    correction.*
FROM candidates
FULL JOIN correction ON correction.stream_id = candidates.id
