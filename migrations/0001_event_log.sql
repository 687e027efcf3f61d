-- The event log: one append-only table, its sequence and its guards.
-- migrate:creates: events, events_position_seq, events_refuse_change

-- migrate:up

-- CACHE 1: a session that cached positions would hand out old ones after newer ones were read.
CREATE SEQUENCE events_position_seq AS bigint CACHE 1;

-- Columns from wide to narrow, so that no row pays for padding. No default for position: it is drawn inside the
-- append statement and nowhere else.
CREATE TABLE events (
    position       bigint      NOT NULL,
    occurred_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    version        integer     NOT NULL,
    schema_version smallint    NOT NULL,
    stream_id      uuid        NOT NULL,
    event_id       uuid        NOT NULL,
    category       text        NOT NULL,
    type           text        NOT NULL,
    data           jsonb       NOT NULL,
    metadata       jsonb       NOT NULL,
    CONSTRAINT events_pkey PRIMARY KEY (stream_id, version),
    CONSTRAINT events_position_key UNIQUE (position),
    CONSTRAINT events_version_positive CHECK (version >= 1),
    CONSTRAINT events_position_positive CHECK (position >= 1)
);

ALTER SEQUENCE events_position_seq OWNED BY events.position;

COMMENT ON TABLE events IS 'Append-only: the only truth. Read tables are folded from it and can be rebuilt.';
COMMENT ON COLUMN events.position IS 'Global order; has holes; final only once settled.';
COMMENT ON COLUMN events.version IS '1, 2, 3 ... in the stream, without holes.';
COMMENT ON COLUMN events.occurred_at IS 'The clock of the domain.';
COMMENT ON COLUMN events.recorded_at IS 'The clock of the database when the statement of the append began.';

CREATE FUNCTION events_refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog
AS $$
BEGIN
    RAISE EXCEPTION 'the event log is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'ES001',
              HINT = 'Append an event that corrects what an earlier one says.';
END
$$;

-- For each statement, so that one that would touch no row is refused as well; and always, so that a session in
-- replica mode is refused too.
CREATE TRIGGER events_refuse_change
    BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_change();
ALTER TABLE events ENABLE ALWAYS TRIGGER events_refuse_change;

REVOKE UPDATE, DELETE, TRUNCATE ON events FROM PUBLIC, CURRENT_USER;

-- migrate:requires-empty: events
-- migrate:down

DROP TABLE events;
DROP FUNCTION events_refuse_change();
