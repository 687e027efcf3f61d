-- The read table of portfolio snapshots, and an index for a portfolio's open positions.
-- Locks: the index keeps the worker of the projection `positions` from writing while it is built; appends and reads go on.
-- migrate:creates: portfolio_snapshots

-- migrate:up

CREATE TABLE portfolio_snapshots (
    id                 uuid        NOT NULL,
    version            integer     NOT NULL,
    portfolio_id       uuid        NOT NULL,
    taken_at           timestamptz NOT NULL,
    initial_capital    numeric     NOT NULL,
    net_deposits       numeric     NOT NULL,
    cash_balance       numeric     NOT NULL,
    realized_pnl       numeric     NOT NULL,
    commission_paid    numeric     NOT NULL,
    gross_profit       numeric     NOT NULL,
    gross_loss         numeric     NOT NULL,
    trades_count       bigint      NOT NULL,
    winning_trades     bigint      NOT NULL,
    losing_trades      bigint      NOT NULL,
    open_positions     bigint      NOT NULL,
    unmarked_positions bigint      NOT NULL,
    exposure           numeric     NOT NULL,
    net_exposure       numeric     NOT NULL,
    unrealized_pnl     numeric     NOT NULL,
    last_position      bigint      NOT NULL,
    CONSTRAINT portfolio_snapshots_pkey PRIMARY KEY (id)
);

CREATE INDEX portfolio_snapshots_portfolio_id_idx ON portfolio_snapshots (portfolio_id, taken_at, id);

-- The summary of a portfolio reads its open positions, which are few among all that it ever had.
CREATE INDEX positions_open_portfolio_id_idx ON positions (portfolio_id, opened_at, id)
    WHERE closed_at IS NULL AND portfolio_id IS NOT NULL;

-- migrate:down

DROP TABLE portfolio_snapshots;
-- A rebuilt table has its indexes under other names.
DROP INDEX IF EXISTS positions_open_portfolio_id_idx;
