-- The read tables of orders, positions, portfolios, portfolio snapshots and instruments. Projections fold them from the log.
-- migrate:creates: order_side, order_type, order_status, time_in_force, orders, positions, portfolios, portfolio_snapshots, instruments

-- migrate:up

CREATE TYPE order_side AS ENUM ('BUY', 'SELL');
CREATE TYPE order_type AS ENUM (
    'MARKET', 'LIMIT', 'STOP', 'STOP_LIMIT', 'TRAILING_STOP', 'MARKET_ON_CLOSE', 'LIMIT_ON_CLOSE', 'MARKET_IF_TOUCHED',
    'LIMIT_IF_TOUCHED'
);
CREATE TYPE order_status AS ENUM (
    'PENDING', 'SUBMITTED', 'PARTIALLY_FILLED', 'PENDING_CANCEL', 'PENDING_REPLACE', 'FILLED', 'CANCELLED', 'REJECTED',
    'EXPIRED'
);
CREATE TYPE time_in_force AS ENUM ('DAY', 'GTC', 'IOC', 'FOK', 'GTD', 'OPG', 'CLS');

-- A row is the whole state of its entity. The tables repeat no rule of the domain: the events have happened. fillfactor 80
-- leaves room to update a row within its page.
CREATE TABLE orders (
    id                        uuid          NOT NULL,
    version                   integer       NOT NULL,
    symbol                    text          NOT NULL,
    side                      order_side    NOT NULL,
    order_type                order_type    NOT NULL,
    quantity                  numeric,
    cash_quantity             numeric,
    limit_price               numeric,
    stop_price                numeric,
    trailing_offset           numeric,
    time_in_force             time_in_force NOT NULL,
    expire_at                 timestamptz,
    status                    order_status  NOT NULL,
    client_order_id           text,
    replaced_client_order_ids jsonb         NOT NULL,
    broker_order_id           text,
    broker_order_ids          jsonb         NOT NULL,
    parent_id                 uuid,
    list_id                   text,
    account                   text,
    venue                     text,
    currency                  text,
    position_side             text,
    reduce_only               boolean       NOT NULL,
    post_only                 boolean       NOT NULL,
    short_sale                boolean       NOT NULL,
    display_quantity          numeric,
    requests                  jsonb         NOT NULL,
    filled_quantity           numeric       NOT NULL,
    filled_cost               numeric       NOT NULL,
    commission                numeric       NOT NULL,
    other_commissions         jsonb         NOT NULL,
    was_filled_after_end      boolean       NOT NULL,
    multiplier                numeric       NOT NULL,
    executions                jsonb         NOT NULL,
    split_ratio               jsonb,
    reason                    text,
    tags                      jsonb         NOT NULL,
    details                   jsonb         NOT NULL,
    portfolio_id              uuid,
    strategy                  text,
    created_at                timestamptz   NOT NULL,
    submitted_at              timestamptz,
    filled_at                 timestamptz,
    completed_at              timestamptz,
    cancelled_at              timestamptz,
    expired_at                timestamptz,
    rejected_at               timestamptz,
    last_position             bigint        NOT NULL,
    CONSTRAINT orders_pkey PRIMARY KEY (id)
) WITH (fillfactor = 80);

CREATE INDEX orders_symbol_idx ON orders (symbol, created_at, id);
CREATE INDEX orders_status_idx ON orders (status, created_at, id);
CREATE INDEX orders_active_idx ON orders (created_at, id)
    WHERE status IN ('PENDING', 'SUBMITTED', 'PARTIALLY_FILLED', 'PENDING_CANCEL', 'PENDING_REPLACE');
-- An order is found by the ids that it had, too. The ids of an order do not change with its fills.
CREATE INDEX orders_broker_order_ids_idx ON orders USING gin (broker_order_ids jsonb_path_ops);
CREATE INDEX orders_client_order_id_idx ON orders (client_order_id, created_at, id)
    WHERE client_order_id IS NOT NULL;
CREATE INDEX orders_replaced_client_order_ids_idx ON orders USING gin (replaced_client_order_ids jsonb_path_ops);
CREATE INDEX orders_parent_id_idx ON orders (parent_id, created_at, id) WHERE parent_id IS NOT NULL;
CREATE INDEX orders_list_id_idx ON orders (list_id, created_at, id) WHERE list_id IS NOT NULL;
CREATE INDEX orders_account_idx ON orders (account, created_at, id) WHERE account IS NOT NULL;
CREATE INDEX orders_created_at_idx ON orders (created_at, id);

COMMENT ON TABLE orders IS 'Orders: the state of each, folded from the log.';
COMMENT ON COLUMN orders.version IS 'The version of the stream that the row holds.';
COMMENT ON COLUMN orders.last_position IS 'The position of the last event that is folded into the row.';
COMMENT ON COLUMN orders.quantity IS 'NULL for an order of an amount of money, until it is filled.';
COMMENT ON COLUMN orders.cash_quantity IS 'The amount of money to trade for, in place of a quantity.';
COMMENT ON COLUMN orders.replaced_client_order_ids IS 'The client order ids that the order had before.';
COMMENT ON COLUMN orders.broker_order_ids IS 'Every broker id that the order ever had, the current one too.';
COMMENT ON COLUMN orders.list_id IS 'The group of orders that it belongs to, such as one-cancels-other.';
COMMENT ON COLUMN orders.requests IS 'The cancel and replace requests that the venue has not answered.';
COMMENT ON COLUMN orders.filled_quantity IS 'The sum of the quantities of the executions that count.';
COMMENT ON COLUMN orders.filled_cost IS
    'The sum of quantity x price of the executions that count, without the multiplier.';
COMMENT ON COLUMN orders.commission IS
    'The sum of the commissions in the currency of the order, of the executions that count; a rebate is negative.';
COMMENT ON COLUMN orders.other_commissions IS 'The sums of the commissions in other currencies.';
COMMENT ON COLUMN orders.was_filled_after_end IS
    'Whether the venue filled it after its cancel or expiry, or after it was believed rejected.';
COMMENT ON COLUMN orders.multiplier IS 'Currency for each point of price and contract.';
COMMENT ON COLUMN orders.executions IS 'The last executions that were reported, busted and corrected ones too.';
COMMENT ON COLUMN orders.split_ratio IS 'The splits since the order was made, as one ratio.';
COMMENT ON COLUMN orders.reason IS 'Why the order was cancelled, rejected or expired.';
COMMENT ON COLUMN orders.details IS 'The texts of the user, as pairs of name and text.';
COMMENT ON COLUMN orders.completed_at IS 'When the venue said that an order of an amount of money is done.';

CREATE TABLE positions (
    id                uuid        NOT NULL,
    version           integer     NOT NULL,
    symbol            text        NOT NULL,
    quantity          numeric     NOT NULL,
    cost              numeric     NOT NULL,
    multiplier        numeric     NOT NULL,
    current_price     numeric,
    marked_at         timestamptz,
    marked_at_ns      bigint,
    realized_pnl      numeric     NOT NULL,
    commission_paid   numeric     NOT NULL,
    other_commissions jsonb       NOT NULL,
    stop_loss_price   numeric,
    take_profit_price numeric,
    strategy          text,
    portfolio_id      uuid,
    account           text,
    venue             text,
    currency          text,
    position_side     text,
    tags              jsonb       NOT NULL,
    details           jsonb       NOT NULL,
    executions        jsonb       NOT NULL,
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
CREATE INDEX positions_account_idx ON positions (account, opened_at, id) WHERE account IS NOT NULL;
CREATE INDEX positions_opened_at_idx ON positions (opened_at, id);
-- The summary of a portfolio reads its open positions, which are few among all that it has had.
CREATE INDEX positions_open_portfolio_id_idx ON positions (portfolio_id, opened_at, id)
    WHERE closed_at IS NULL AND portfolio_id IS NOT NULL;

COMMENT ON TABLE positions IS 'Positions: the state of each, folded from the log.';
COMMENT ON COLUMN positions.version IS 'The version of the stream that the row holds.';
COMMENT ON COLUMN positions.last_position IS 'The position of the last event that is folded into the row.';
COMMENT ON COLUMN positions.quantity IS 'Positive for a long position, negative for a short one, 0 for a closed one.';
COMMENT ON COLUMN positions.cost IS 'The sum of signed quantity x price of what is open, without the multiplier.';
COMMENT ON COLUMN positions.multiplier IS 'Currency for each point of price and contract.';
COMMENT ON COLUMN positions.current_price IS 'The price of the latest mark; NULL if the position was never marked.';
COMMENT ON COLUMN positions.marked_at IS 'When that mark happened, or a split that changed its price.';
COMMENT ON COLUMN positions.marked_at_ns IS 'The venue''s time of that mark, in ns since the epoch.';
COMMENT ON COLUMN positions.realized_pnl IS 'What it has realised, in currency, before commissions.';
COMMENT ON COLUMN positions.commission_paid IS 'The sum of its commissions in its own currency.';
COMMENT ON COLUMN positions.other_commissions IS 'The sum of its commissions in each other currency or coin.';
COMMENT ON COLUMN positions.currency IS 'The currency of its prices and results.';
COMMENT ON COLUMN positions.position_side IS 'LONG or SHORT in a portfolio that hedges, whatever its quantity is now.';
COMMENT ON COLUMN positions.details IS 'The texts of the user, as pairs of name and text.';
COMMENT ON COLUMN positions.executions IS 'The last executions that were reported, busted and corrected ones too.';

CREATE TABLE portfolios (
    id                    uuid        NOT NULL,
    version               integer     NOT NULL,
    name                  text        NOT NULL,
    currency              text,
    initial_capital       numeric     NOT NULL,
    cash_balance          numeric     NOT NULL,
    other_balances        jsonb       NOT NULL,
    position_mode         text        NOT NULL,
    settlement            text        NOT NULL,
    may_go_below_zero     boolean     NOT NULL,
    max_position_size     numeric,
    max_portfolio_risk    numeric,
    max_positions         bigint,
    max_leverage          numeric,
    net_deposits          numeric     NOT NULL,
    other_deposits        jsonb       NOT NULL,
    conversions           jsonb       NOT NULL,
    total_realized_pnl    numeric     NOT NULL,
    other_realized_pnl    jsonb       NOT NULL,
    total_commission_paid numeric     NOT NULL,
    other_commissions     jsonb       NOT NULL,
    total_income          numeric     NOT NULL,
    other_income          jsonb       NOT NULL,
    gross_profit          numeric     NOT NULL,
    gross_loss            numeric     NOT NULL,
    trades_count          bigint      NOT NULL,
    winning_trades        bigint      NOT NULL,
    losing_trades         bigint      NOT NULL,
    trades                jsonb       NOT NULL,
    movements             jsonb       NOT NULL,
    strategy              text,
    details               jsonb       NOT NULL,
    created_at            timestamptz NOT NULL,
    last_updated          timestamptz,
    last_position         bigint      NOT NULL,
    CONSTRAINT portfolios_pkey PRIMARY KEY (id)
) WITH (fillfactor = 80);

CREATE INDEX portfolios_name_idx ON portfolios (name, created_at, id);
CREATE INDEX portfolios_created_at_idx ON portfolios (created_at, id);
CREATE INDEX portfolios_strategy_idx ON portfolios (strategy, created_at, id) WHERE strategy IS NOT NULL;

COMMENT ON TABLE portfolios IS 'Portfolios: the state of each, folded from the log.';
COMMENT ON COLUMN portfolios.version IS 'The version of the stream that the row holds.';
COMMENT ON COLUMN portfolios.last_position IS 'The position of the last event that is folded into the row.';
COMMENT ON COLUMN portfolios.currency IS 'The currency of the amounts; NULL if it has no name.';
COMMENT ON COLUMN portfolios.other_balances IS 'The cash of other currencies and coins.';
COMMENT ON COLUMN portfolios.position_mode IS 'NETTING: one position for each instrument; HEDGING: one for each side.';
COMMENT ON COLUMN portfolios.settlement IS 'IN_FULL: a fill moves cash by its value; ON_MARGIN: by what it realises.';
COMMENT ON COLUMN portfolios.may_go_below_zero IS 'Whether withdrawals and fees may overdraw the cash.';
COMMENT ON COLUMN portfolios.net_deposits IS
    'Deposits and transfers in, less withdrawals and transfers out, since it was created.';
COMMENT ON COLUMN portfolios.other_deposits IS
    'Deposits and transfers in, less withdrawals and transfers out, in other currencies.';
COMMENT ON COLUMN portfolios.conversions IS 'What conversions brought into each currency and took out of it.';
COMMENT ON COLUMN portfolios.total_income IS
    'The sum of dividends, coupons, funding, interest, fees, rebates, taxes and adjustments.';
COMMENT ON COLUMN portfolios.total_realized_pnl IS 'The sum of what its trades have realised, before commissions.';
COMMENT ON COLUMN portfolios.details IS 'The texts of the user, as pairs of name and text.';
COMMENT ON COLUMN portfolios.trades IS 'The last trades that it has counted.';
COMMENT ON COLUMN portfolios.movements IS 'The last movements of cash that were no trade.';

CREATE TABLE portfolio_snapshots (
    id                 uuid        NOT NULL,
    version            integer     NOT NULL,
    portfolio_id       uuid        NOT NULL,
    taken_at           timestamptz NOT NULL,
    currency           text,
    rates              jsonb       NOT NULL,
    initial_capital    numeric     NOT NULL,
    net_deposits       numeric     NOT NULL,
    cash_balance       numeric     NOT NULL,
    realized_pnl       numeric     NOT NULL,
    commission_paid    numeric     NOT NULL,
    income             numeric     NOT NULL,
    conversion_pnl     numeric     NOT NULL,
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

COMMENT ON TABLE portfolio_snapshots IS
    'Portfolio snapshots: a portfolio and its open positions in numbers, as of one time.';
COMMENT ON COLUMN portfolio_snapshots.version IS 'The version of the stream that the row holds.';
COMMENT ON COLUMN portfolio_snapshots.last_position IS 'The position of the last event that is folded into the row.';
COMMENT ON COLUMN portfolio_snapshots.taken_at IS 'The time that the snapshot is filed under.';
COMMENT ON COLUMN portfolio_snapshots.currency IS 'The currency of the amounts; NULL if it has no name.';
COMMENT ON COLUMN portfolio_snapshots.rates IS 'What one unit of each other currency was taken for.';
COMMENT ON COLUMN portfolio_snapshots.income IS
    'The sum of dividends, coupons, funding, interest, fees, rebates, taxes and adjustments.';
COMMENT ON COLUMN portfolio_snapshots.conversion_pnl IS
    'What conversions between currencies gained, at the rates of the snapshot.';
COMMENT ON COLUMN portfolio_snapshots.exposure IS
    'The sum of the market values of the open positions, without their signs.';
COMMENT ON COLUMN portfolio_snapshots.net_exposure IS
    'The sum of the market values of the open positions, with their signs.';
COMMENT ON COLUMN portfolio_snapshots.unmarked_positions IS
    'How many open positions were never marked; they count at their entry prices.';

CREATE TABLE instruments (
    id            uuid        NOT NULL,
    version       integer     NOT NULL,
    symbol        text        NOT NULL,
    venue         text,
    kind          text        NOT NULL,
    currency      text        NOT NULL,
    base          text,
    quote         text,
    multiplier    numeric     NOT NULL,
    is_inverse    boolean     NOT NULL,
    tick_size     numeric,
    lot_size      numeric,
    settlement    text        NOT NULL,
    expires_at    timestamptz,
    created_at    timestamptz NOT NULL,
    last_position bigint      NOT NULL,
    CONSTRAINT instruments_pkey PRIMARY KEY (id)
);

CREATE INDEX instruments_symbol_idx ON instruments (symbol, created_at, id);
CREATE INDEX instruments_created_at_idx ON instruments (created_at, id);

COMMENT ON TABLE instruments IS 'Instruments: the state of each, folded from the log.';
COMMENT ON COLUMN instruments.version IS 'The version of the stream that the row holds.';
COMMENT ON COLUMN instruments.last_position IS 'The position of the last event that is folded into the row.';
COMMENT ON COLUMN instruments.currency IS 'The currency or coin that its results and its value are paid in.';
COMMENT ON COLUMN instruments.base IS 'The currency or coin that one contract is of.';
COMMENT ON COLUMN instruments.quote IS 'The currency of its price; NULL for currency.';
COMMENT ON COLUMN instruments.multiplier IS 'Currency for each point of price and contract.';
COMMENT ON COLUMN instruments.is_inverse IS 'Whether it is worth multiplier / price.';
COMMENT ON COLUMN instruments.tick_size IS 'The increment of prices.';
COMMENT ON COLUMN instruments.lot_size IS 'The increment of quantities.';
COMMENT ON COLUMN instruments.settlement IS
    'IN_FULL: a fill moves cash by its value; ON_MARGIN: by what it realises.';

-- migrate:down

DROP TABLE instruments, portfolio_snapshots, portfolios, positions, orders;
DROP TYPE order_side, order_type, order_status, time_in_force;
