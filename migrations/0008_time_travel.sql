-- Time travel: stored sets of states (state snapshots), and the streams whose events did not occur in the order of their versions.
-- migrate:creates: state_snapshots, state_snapshot_orders, state_snapshot_positions, state_snapshot_portfolios, state_snapshot_portfolio_snapshots, disordered_streams, disorder_search

-- migrate:up

-- At each state snapshot, every entity of the category that was there has a row in the category's table, whose range
-- holds the position. All of it can be dropped and made again from the log.
CREATE TABLE state_snapshots (
    id               bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    category         text        NOT NULL,
    position         bigint      NOT NULL,
    schema_hash             integer     NOT NULL,
    recorded_through timestamptz,
    occurred_through timestamptz,
    made_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT state_snapshots_pkey PRIMARY KEY (category, position),
    CONSTRAINT state_snapshots_id_key UNIQUE (id)
);

COMMENT ON COLUMN state_snapshots.schema_hash IS 'A checksum of the fields of the class: states of another schema are not read.';
COMMENT ON COLUMN state_snapshots.recorded_through IS 'The highest recorded_at of the category''s events up to position.';
COMMENT ON COLUMN state_snapshots.occurred_through IS 'The highest occurred_at of the category''s events up to position.';

-- A row is a state, the version of the stream it is of, and from which position up to which it held: one row serves all
-- state snapshots between two events of its stream, so what does not change is stored once.
CREATE TABLE state_snapshot_orders (
    LIKE orders,
    stream_version   integer     NOT NULL,
    schema_hash             integer     NOT NULL,
    recorded_through timestamptz NOT NULL,
    occurred_through timestamptz NOT NULL,
    during           int8range   NOT NULL,
    CONSTRAINT state_snapshot_orders_pkey PRIMARY KEY (id, stream_version)
);
-- As the read table's, for the same queries; what is few at a time but many over time is found by its range.
CREATE INDEX state_snapshot_orders_symbol_idx ON state_snapshot_orders (symbol, created_at, id);
CREATE INDEX state_snapshot_orders_status_idx ON state_snapshot_orders (status, created_at, id);
CREATE INDEX state_snapshot_orders_active_idx ON state_snapshot_orders USING gist (during)
    WHERE status IN ('PENDING', 'SUBMITTED', 'PARTIALLY_FILLED');
CREATE INDEX state_snapshot_orders_broker_order_id_idx ON state_snapshot_orders (broker_order_id, created_at, id)
    WHERE broker_order_id IS NOT NULL;
CREATE INDEX state_snapshot_orders_created_at_idx ON state_snapshot_orders (created_at, id);

CREATE TABLE state_snapshot_positions (
    LIKE positions,
    stream_version   integer     NOT NULL,
    schema_hash             integer     NOT NULL,
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
CREATE INDEX state_snapshot_positions_opened_at_idx ON state_snapshot_positions (opened_at, id);

CREATE TABLE state_snapshot_portfolios (
    LIKE portfolios,
    stream_version   integer     NOT NULL,
    schema_hash             integer     NOT NULL,
    recorded_through timestamptz NOT NULL,
    occurred_through timestamptz NOT NULL,
    during           int8range   NOT NULL,
    CONSTRAINT state_snapshot_portfolios_pkey PRIMARY KEY (id, stream_version)
);
-- A portfolio has a state at nearly every state snapshot: all its queries are found by their range.
CREATE INDEX state_snapshot_portfolios_during_idx ON state_snapshot_portfolios USING gist (during);

CREATE TABLE state_snapshot_portfolio_snapshots (
    LIKE portfolio_snapshots,
    stream_version   integer     NOT NULL,
    schema_hash             integer     NOT NULL,
    recorded_through timestamptz NOT NULL,
    occurred_through timestamptz NOT NULL,
    during           int8range   NOT NULL,
    CONSTRAINT state_snapshot_portfolio_snapshots_pkey PRIMARY KEY (id, stream_version)
);
CREATE INDEX state_snapshot_portfolio_snapshots_portfolio_id_idx
    ON state_snapshot_portfolio_snapshots (portfolio_id, taken_at, id);

-- Streams in which an event occurred before its predecessor: as of a time of the domain they are folded in another order.
CREATE TABLE disordered_streams (
    stream_id uuid    NOT NULL,
    category  text    NOT NULL,
    version   integer NOT NULL,
    CONSTRAINT disordered_streams_pkey PRIMARY KEY (stream_id)
);
CREATE INDEX disordered_streams_category_idx ON disordered_streams (category);

COMMENT ON COLUMN disordered_streams.version IS 'The first event that occurred before its predecessor.';

-- One row: how far the log was searched for them.
CREATE TABLE disorder_search (
    only_row boolean NOT NULL DEFAULT true,
    position bigint  NOT NULL DEFAULT 0,
    CONSTRAINT disorder_search_pkey PRIMARY KEY (only_row),
    CONSTRAINT disorder_search_only_row_check CHECK (only_row)
);
INSERT INTO disorder_search DEFAULT VALUES;

CREATE TRIGGER projection_position_is_assigned
    AFTER INSERT OR UPDATE OF position ON state_snapshots
    FOR EACH ROW EXECUTE FUNCTION projection_position_is_assigned();

CREATE TRIGGER projection_position_is_assigned
    AFTER INSERT OR UPDATE OF position ON disorder_search
    FOR EACH ROW EXECUTE FUNCTION projection_position_is_assigned();

-- migrate:down

DROP TABLE disorder_search, disordered_streams, state_snapshot_portfolio_snapshots, state_snapshot_portfolios,
    state_snapshot_positions, state_snapshot_orders, state_snapshots;
