-- Purpose: Read of a page of streams what a curve of equity needs, as one row of columns, in the order of positions.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 through bigint position, inclusive
--   $3 limit bigint events
--   $4 streams uuid[] positions and their portfolio
--   $5 by_recorded boolean whether the times are those of recording
--   $6 currency text of the portfolio; NULL if it has no name
-- Result: times bytea (8 bytes each, as timestamptz_send), occurred bytea (the same of occurred_at; NULL unless $5), streams bytea
--   (16 bytes each), kinds bytea (2 bytes each, see eventstore/replay/equity_fold.py; 0 for what needs the whole event), firsts text,
--   seconds text (with commas between, empty for NULL), events bigint, reached bigint position of the last one
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT
    pg_catalog.string_agg(pg_catalog.timestamptz_send(moment), ''::pg_catalog.bytea) AS times,
    pg_catalog.string_agg(CASE WHEN $5::boolean THEN pg_catalog.timestamptz_send(occurred_at) END, ''::pg_catalog.bytea) AS occurred,
    pg_catalog.string_agg(pg_catalog.uuid_send(stream_id), ''::pg_catalog.bytea) AS streams,
    pg_catalog.string_agg(pg_catalog.int2send(kind::smallint), ''::pg_catalog.bytea) AS kinds,
    pg_catalog.string_agg(coalesce(first, ''::pg_catalog.text), ','::pg_catalog.text) AS firsts,
    pg_catalog.string_agg(coalesce(second, ''::pg_catalog.text), ','::pg_catalog.text) AS seconds,
    pg_catalog.count(*) AS events,
    pg_catalog.max(position) AS reached
FROM (
    SELECT
        position,
        stream_id,
        occurred_at,
        CASE WHEN $5::boolean THEN recorded_at ELSE occurred_at END AS moment,
        CASE
            WHEN schema_version <> 1::smallint THEN 0
            WHEN category = 'position'::pg_catalog.text THEN CASE
                WHEN type = 'PositionMarked'::pg_catalog.text
                    THEN CASE WHEN data ->> 'transact_time_ns'::pg_catalog.text IS NULL THEN 1 ELSE 2 END
                WHEN type = 'PositionFilled'::pg_catalog.text
                    THEN CASE WHEN data ->> 'side'::pg_catalog.text = 'BUY'::pg_catalog.text THEN 3 ELSE 4 END
                WHEN type = 'PositionOpened'::pg_catalog.text THEN 5
                ELSE 0
            END
            WHEN category <> 'portfolio'::pg_catalog.text THEN 0
            WHEN type = 'PortfolioCreated'::pg_catalog.text THEN 5
            WHEN NOT coalesce(data ->> 'currency'::pg_catalog.text = $6::pg_catalog.text, data ->> 'currency'::pg_catalog.text IS NULL) THEN 0
            WHEN type = 'PortfolioTradeRecorded'::pg_catalog.text THEN CASE
                WHEN coalesce(
                    data ->> 'commission_currency'::pg_catalog.text = $6::pg_catalog.text,
                    data ->> 'commission_currency'::pg_catalog.text IS NULL
                ) THEN 6
                ELSE 0
            END
            WHEN type = 'PortfolioCashMoved'::pg_catalog.text AND data ->> 'kind'::pg_catalog.text <> 'CONVERSION'::pg_catalog.text THEN 7
            ELSE 0
        END AS kind,
        CASE
            WHEN category = 'position'::pg_catalog.text THEN data ->> 'price'::pg_catalog.text
            WHEN type = 'PortfolioTradeRecorded'::pg_catalog.text THEN data ->> 'realized_pnl'::pg_catalog.text
            ELSE data ->> 'amount'::pg_catalog.text
        END AS first,
        CASE
            WHEN type = 'PositionFilled'::pg_catalog.text THEN data ->> 'quantity'::pg_catalog.text
            WHEN type = 'PositionMarked'::pg_catalog.text THEN data ->> 'transact_time_ns'::pg_catalog.text
            WHEN type = 'PortfolioTradeRecorded'::pg_catalog.text THEN data ->> 'commission'::pg_catalog.text
        END AS second
    FROM {schema}.events
    WHERE position > $1::bigint AND position <= $2::bigint
        AND stream_id IN (SELECT pg_catalog.unnest($4::pg_catalog.uuid[]))
    ORDER BY position
    LIMIT $3::bigint
) AS page
