-- The read tables of orders, positions and portfolios, folded from the log.
-- migrate:creates: order_side, order_type, order_status, time_in_force, orders, positions, portfolios

-- migrate:up

CREATE TYPE order_side AS ENUM ('BUY', 'SELL');
CREATE TYPE order_type AS ENUM ('MARKET', 'LIMIT', 'STOP', 'STOP_LIMIT');
CREATE TYPE order_status AS ENUM (
    'PENDING', 'SUBMITTED', 'PARTIALLY_FILLED', 'FILLED', 'CANCELLED', 'REJECTED', 'EXPIRED'
);
CREATE TYPE time_in_force AS ENUM ('DAY', 'GTC', 'IOC', 'FOK');

-- A row is the whole state of its entity. Nothing here is checked that the domain checks: the events have happened.
CREATE TABLE orders (
    id               uuid          NOT NULL,
    version          integer       NOT NULL,
    symbol           text          NOT NULL,
    side             order_side    NOT NULL,
    order_type       order_type    NOT NULL,
    quantity         numeric       NOT NULL,
    limit_price      numeric,
    stop_price       numeric,
    time_in_force    time_in_force NOT NULL,
    status           order_status  NOT NULL,
    broker_order_id  text,
    filled_quantity  numeric       NOT NULL,
    filled_cost      numeric       NOT NULL,
    commission       numeric       NOT NULL,
    multiplier       numeric       NOT NULL,
    executions       jsonb         NOT NULL,
    reason           text,
    tags             jsonb         NOT NULL,
    portfolio_id     uuid,
    strategy         text,
    created_at       timestamptz   NOT NULL,
    submitted_at     timestamptz,
    filled_at        timestamptz,
    cancelled_at     timestamptz,
    expired_at       timestamptz,
    rejected_at      timestamptz,
    last_position    bigint        NOT NULL,
    CONSTRAINT orders_pkey PRIMARY KEY (id)
) WITH (fillfactor = 80);  -- rows are updated a few times: leave room to do so within the page

CREATE INDEX orders_symbol_idx ON orders (symbol, created_at, id);
CREATE INDEX orders_status_idx ON orders (status, created_at, id);
CREATE INDEX orders_active_idx ON orders (created_at, id) WHERE status IN ('PENDING', 'SUBMITTED', 'PARTIALLY_FILLED');
CREATE INDEX orders_broker_order_id_idx ON orders (broker_order_id, created_at, id)
    WHERE broker_order_id IS NOT NULL;
CREATE INDEX orders_created_at_idx ON orders (created_at, id);

CREATE TABLE positions (
    id                uuid        NOT NULL,
    version           integer     NOT NULL,
    symbol            text        NOT NULL,
    quantity          numeric     NOT NULL,
    cost              numeric     NOT NULL,
    multiplier        numeric     NOT NULL,
    current_price     numeric,
    realized_pnl      numeric     NOT NULL,
    commission_paid   numeric     NOT NULL,
    stop_loss_price   numeric,
    take_profit_price numeric,
    strategy          text,
    portfolio_id      uuid,
    tags              jsonb       NOT NULL,
    execution_ids     jsonb       NOT NULL,
    opened_at         timestamptz NOT NULL,
    closed_at         timestamptz,
    last_updated      timestamptz,
    last_position     bigint      NOT NULL,
    CONSTRAINT positions_pkey PRIMARY KEY (id)
) WITH (fillfactor = 80);

CREATE INDEX positions_symbol_idx ON positions (symbol, opened_at, id);
CREATE INDEX positions_open_symbol_idx ON positions (symbol, opened_at, id) WHERE closed_at IS NULL;
CREATE INDEX positions_open_idx ON positions (opened_at, id) WHERE closed_at IS NULL;
CREATE INDEX positions_closed_idx ON positions (opened_at, id) WHERE closed_at IS NOT NULL;
CREATE INDEX positions_strategy_idx ON positions (strategy, opened_at, id) WHERE strategy IS NOT NULL;
CREATE INDEX positions_portfolio_id_idx ON positions (portfolio_id, opened_at, id) WHERE portfolio_id IS NOT NULL;
CREATE INDEX positions_opened_at_idx ON positions (opened_at, id);

CREATE TABLE portfolios (
    id                    uuid        NOT NULL,
    version               integer     NOT NULL,
    name                  text        NOT NULL,
    initial_capital       numeric     NOT NULL,
    cash_balance          numeric     NOT NULL,
    max_position_size     numeric,
    max_portfolio_risk    numeric,
    max_positions         bigint,
    max_leverage          numeric,
    net_deposits          numeric     NOT NULL,
    total_realized_pnl    numeric     NOT NULL,
    total_commission_paid numeric     NOT NULL,
    gross_profit          numeric     NOT NULL,
    gross_loss            numeric     NOT NULL,
    trades_count          bigint      NOT NULL,
    winning_trades        bigint      NOT NULL,
    losing_trades         bigint      NOT NULL,
    trade_ids             jsonb       NOT NULL,
    strategy              text,
    created_at            timestamptz NOT NULL,
    last_updated          timestamptz,
    last_position         bigint      NOT NULL,
    CONSTRAINT portfolios_pkey PRIMARY KEY (id)
) WITH (fillfactor = 80);

CREATE INDEX portfolios_name_idx ON portfolios (name, created_at, id);
CREATE INDEX portfolios_created_at_idx ON portfolios (created_at, id);
CREATE INDEX portfolios_strategy_idx ON portfolios (strategy, created_at, id) WHERE strategy IS NOT NULL;

-- migrate:down

DROP TABLE portfolios, positions, orders;
DROP TYPE order_side, order_type, order_status, time_in_force;
