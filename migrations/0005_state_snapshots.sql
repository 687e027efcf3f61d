-- The past: state snapshots, which make reads of the far past faster.
-- migrate:creates: state_snapshots, state_snapshot_orders, state_snapshot_positions, state_snapshot_portfolios, state_snapshot_portfolio_snapshots, state_snapshot_instruments

-- migrate:up

-- Every entity of the category that existed at a state snapshot has a row in the table of the category whose range contains the
-- position. All of this can be dropped and made again from the log.
CREATE TABLE state_snapshots (
    id               bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    category         text        NOT NULL,
    position         bigint      NOT NULL,
    schema_hash      integer     NOT NULL,
    recorded_through timestamptz,
    occurred_through timestamptz,
    made_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT state_snapshots_pkey PRIMARY KEY (category, position),
    CONSTRAINT state_snapshots_id_key UNIQUE (id)
);

COMMENT ON TABLE state_snapshots IS
    'Stored sets of the states of all entities of a category, as of one position.';
COMMENT ON COLUMN state_snapshots.id IS 'The number of the state snapshot.';
COMMENT ON COLUMN state_snapshots.category IS 'The category, such as order.';
COMMENT ON COLUMN state_snapshots.position IS 'The states are as of this position.';
COMMENT ON COLUMN state_snapshots.schema_hash IS 'The schema hash of the class: states of another schema are not read.';
COMMENT ON COLUMN state_snapshots.recorded_through IS
    'The highest recorded_at of the events of the category up to the position.';
COMMENT ON COLUMN state_snapshots.occurred_through IS
    'The highest occurred_at of the events of the category up to the position.';
COMMENT ON COLUMN state_snapshots.made_at IS 'When it was made.';

-- One row serves all state snapshots between two events of its stream, so a state that does not change is stored once. The indexes
-- are those of the read table, for the same queries. States that are few at a time but many over time are found by their range.
CREATE TABLE state_snapshot_orders (
    LIKE orders,
    stream_version   integer     NOT NULL,
    schema_hash      integer     NOT NULL,
    recorded_through timestamptz NOT NULL,
    occurred_through timestamptz NOT NULL,
    during           int8range   NOT NULL,
    CONSTRAINT state_snapshot_orders_pkey PRIMARY KEY (id, stream_version)
);
CREATE INDEX state_snapshot_orders_symbol_idx ON state_snapshot_orders (symbol, created_at, id);
CREATE INDEX state_snapshot_orders_status_idx ON state_snapshot_orders (status, created_at, id);
CREATE INDEX state_snapshot_orders_active_idx ON state_snapshot_orders USING gist (during)
    WHERE status IN ('PENDING', 'SUBMITTED', 'PARTIALLY_FILLED', 'PENDING_CANCEL', 'PENDING_REPLACE');
CREATE INDEX state_snapshot_orders_broker_order_ids_idx ON state_snapshot_orders
    USING gin (broker_order_ids jsonb_path_ops);
CREATE INDEX state_snapshot_orders_client_order_id_idx ON state_snapshot_orders (client_order_id, created_at, id)
    WHERE client_order_id IS NOT NULL;
CREATE INDEX state_snapshot_orders_replaced_client_order_ids_idx ON state_snapshot_orders
    USING gin (replaced_client_order_ids jsonb_path_ops);
CREATE INDEX state_snapshot_orders_parent_id_idx ON state_snapshot_orders (parent_id, created_at, id)
    WHERE parent_id IS NOT NULL;
CREATE INDEX state_snapshot_orders_list_id_idx ON state_snapshot_orders (list_id, created_at, id)
    WHERE list_id IS NOT NULL;
CREATE INDEX state_snapshot_orders_account_idx ON state_snapshot_orders (account, created_at, id)
    WHERE account IS NOT NULL;
CREATE INDEX state_snapshot_orders_created_at_idx ON state_snapshot_orders (created_at, id);

COMMENT ON TABLE state_snapshot_orders IS 'States of orders that state snapshots consist of.';
COMMENT ON COLUMN state_snapshot_orders.stream_version IS 'The version of the stream that the state is of.';
COMMENT ON COLUMN state_snapshot_orders.schema_hash IS
    'The schema hash of the class: states of another schema are not read.';
COMMENT ON COLUMN state_snapshot_orders.recorded_through IS
    'The highest recorded_at of the events of the stream up to this version.';
COMMENT ON COLUMN state_snapshot_orders.occurred_through IS
    'The highest occurred_at of the events of the stream up to this version.';
COMMENT ON COLUMN state_snapshot_orders.during IS
    'The positions at which the state is valid: from its last event to the next event of the stream.';

CREATE TABLE state_snapshot_positions (
    LIKE positions,
    stream_version   integer     NOT NULL,
    schema_hash      integer     NOT NULL,
    recorded_through timestamptz NOT NULL,
    occurred_through timestamptz NOT NULL,
    during           int8range   NOT NULL,
    CONSTRAINT state_snapshot_positions_pkey PRIMARY KEY (id, stream_version)
);
CREATE INDEX state_snapshot_positions_symbol_idx ON state_snapshot_positions (symbol, opened_at, id);
CREATE INDEX state_snapshot_positions_open_idx ON state_snapshot_positions USING gist (during) WHERE closed_at IS NULL;
CREATE INDEX state_snapshot_positions_strategy_idx ON state_snapshot_positions (strategy, opened_at, id)
    WHERE strategy IS NOT NULL;
CREATE INDEX state_snapshot_positions_portfolio_id_idx ON state_snapshot_positions (portfolio_id, opened_at, id)
    WHERE portfolio_id IS NOT NULL;
CREATE INDEX state_snapshot_positions_account_idx ON state_snapshot_positions (account, opened_at, id)
    WHERE account IS NOT NULL;
CREATE INDEX state_snapshot_positions_opened_at_idx ON state_snapshot_positions (opened_at, id);

COMMENT ON TABLE state_snapshot_positions IS 'States of positions that state snapshots consist of.';
COMMENT ON COLUMN state_snapshot_positions.stream_version IS 'The version of the stream that the state is of.';
COMMENT ON COLUMN state_snapshot_positions.schema_hash IS
    'The schema hash of the class: states of another schema are not read.';
COMMENT ON COLUMN state_snapshot_positions.recorded_through IS
    'The highest recorded_at of the events of the stream up to this version.';
COMMENT ON COLUMN state_snapshot_positions.occurred_through IS
    'The highest occurred_at of the events of the stream up to this version.';
COMMENT ON COLUMN state_snapshot_positions.during IS
    'The positions at which the state is valid: from its last event to the next event of the stream.';

CREATE TABLE state_snapshot_portfolios (
    LIKE portfolios,
    stream_version   integer     NOT NULL,
    schema_hash      integer     NOT NULL,
    recorded_through timestamptz NOT NULL,
    occurred_through timestamptz NOT NULL,
    during           int8range   NOT NULL,
    CONSTRAINT state_snapshot_portfolios_pkey PRIMARY KEY (id, stream_version)
);
-- A portfolio has a state at nearly every state snapshot, so all its queries use the range.
CREATE INDEX state_snapshot_portfolios_during_idx ON state_snapshot_portfolios USING gist (during);

COMMENT ON TABLE state_snapshot_portfolios IS 'States of portfolios that state snapshots consist of.';
COMMENT ON COLUMN state_snapshot_portfolios.stream_version IS 'The version of the stream that the state is of.';
COMMENT ON COLUMN state_snapshot_portfolios.schema_hash IS
    'The schema hash of the class: states of another schema are not read.';
COMMENT ON COLUMN state_snapshot_portfolios.recorded_through IS
    'The highest recorded_at of the events of the stream up to this version.';
COMMENT ON COLUMN state_snapshot_portfolios.occurred_through IS
    'The highest occurred_at of the events of the stream up to this version.';
COMMENT ON COLUMN state_snapshot_portfolios.during IS
    'The positions at which the state is valid: from its last event to the next event of the stream.';

CREATE TABLE state_snapshot_portfolio_snapshots (
    LIKE portfolio_snapshots,
    stream_version   integer     NOT NULL,
    schema_hash      integer     NOT NULL,
    recorded_through timestamptz NOT NULL,
    occurred_through timestamptz NOT NULL,
    during           int8range   NOT NULL,
    CONSTRAINT state_snapshot_portfolio_snapshots_pkey PRIMARY KEY (id, stream_version)
);
CREATE INDEX state_snapshot_portfolio_snapshots_portfolio_id_idx
    ON state_snapshot_portfolio_snapshots (portfolio_id, taken_at, id);

COMMENT ON TABLE state_snapshot_portfolio_snapshots IS 'States of portfolio snapshots that state snapshots consist of.';
COMMENT ON COLUMN state_snapshot_portfolio_snapshots.stream_version IS
    'The version of the stream that the state is of.';
COMMENT ON COLUMN state_snapshot_portfolio_snapshots.schema_hash IS
    'The schema hash of the class: states of another schema are not read.';
COMMENT ON COLUMN state_snapshot_portfolio_snapshots.recorded_through IS
    'The highest recorded_at of the events of the stream up to this version.';
COMMENT ON COLUMN state_snapshot_portfolio_snapshots.occurred_through IS
    'The highest occurred_at of the events of the stream up to this version.';
COMMENT ON COLUMN state_snapshot_portfolio_snapshots.during IS
    'The positions at which the state is valid: from its last event to the next event of the stream.';

CREATE TABLE state_snapshot_instruments (
    LIKE instruments,
    stream_version   integer     NOT NULL,
    schema_hash      integer     NOT NULL,
    recorded_through timestamptz NOT NULL,
    occurred_through timestamptz NOT NULL,
    during           int8range   NOT NULL,
    CONSTRAINT state_snapshot_instruments_pkey PRIMARY KEY (id, stream_version)
);
CREATE INDEX state_snapshot_instruments_symbol_idx ON state_snapshot_instruments (symbol, created_at, id);
CREATE INDEX state_snapshot_instruments_created_at_idx ON state_snapshot_instruments (created_at, id);

COMMENT ON TABLE state_snapshot_instruments IS 'States of instruments that state snapshots consist of.';
COMMENT ON COLUMN state_snapshot_instruments.stream_version IS 'The version of the stream that the state is of.';
COMMENT ON COLUMN state_snapshot_instruments.schema_hash IS
    'The schema hash of the class: states of another schema are not read.';
COMMENT ON COLUMN state_snapshot_instruments.recorded_through IS
    'The highest recorded_at of the events of the stream up to this version.';
COMMENT ON COLUMN state_snapshot_instruments.occurred_through IS
    'The highest occurred_at of the events of the stream up to this version.';
COMMENT ON COLUMN state_snapshot_instruments.during IS
    'The positions at which the state is valid: from its last event to the next event of the stream.';

CREATE TRIGGER projection_position_is_assigned
    AFTER INSERT OR UPDATE OF position ON state_snapshots
    FOR EACH ROW EXECUTE FUNCTION projection_position_is_assigned();

-- migrate:down

DROP TABLE state_snapshot_instruments, state_snapshot_portfolio_snapshots, state_snapshot_portfolios,
    state_snapshot_positions, state_snapshot_orders, state_snapshots;
