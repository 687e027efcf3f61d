-- The past: segments of the log and state snapshots, which make reads of any moment fast.
-- migrate:creates: log_segments, state_snapshots

-- migrate:up

-- Both tables can be emptied at any time, and made again from the log: no answer depends on them, only its cost.
-- The segments of a level of a category follow each other: one begins where the one before ends. Two workers that make the
-- same one meet at the primary key. Its columns are in the order in which the longest segment after a position is found.
CREATE TABLE log_segments (
    after_position   bigint      NOT NULL,
    position         bigint      NOT NULL,
    recorded_from    timestamptz,
    recorded_through timestamptz,
    occurred_from    timestamptz,
    occurred_through timestamptz,
    level            smallint    NOT NULL,
    category         text        NOT NULL,
    continued        bigint[],
    CONSTRAINT log_segments_pkey PRIMARY KEY (category, after_position, level),
    CONSTRAINT log_segments_range_check CHECK (after_position >= 0 AND position > after_position)
);
CREATE INDEX log_segments_position_idx ON log_segments (position);

COMMENT ON TABLE log_segments IS
    'Ranges of positions, with what a question about the past has to know of the events of a category in them.';
COMMENT ON COLUMN log_segments.after_position IS 'The segment begins after this position.';
COMMENT ON COLUMN log_segments.position IS 'The segment ends with this position.';
COMMENT ON COLUMN log_segments.recorded_from IS 'The lowest recorded_at of the events; NULL if there are none.';
COMMENT ON COLUMN log_segments.recorded_through IS 'The highest recorded_at of the events; NULL if there are none.';
COMMENT ON COLUMN log_segments.occurred_from IS 'The lowest occurred_at of the events; NULL if there are none.';
COMMENT ON COLUMN log_segments.occurred_through IS 'The highest occurred_at of the events; NULL if there are none.';
COMMENT ON COLUMN log_segments.category IS 'The category, such as order.';
COMMENT ON COLUMN log_segments.level IS '0, or one more than that of the segments that it joins.';
COMMENT ON COLUMN log_segments.continued IS
    'The positions of the first events of the streams that began before the segment and have events in it; NULL if they are too many to be joined.';

CREATE TABLE state_snapshots (
    position         bigint      NOT NULL,
    recorded_through timestamptz NOT NULL,
    occurred_from    timestamptz NOT NULL,
    occurred_through timestamptz NOT NULL,
    stream_id        uuid        NOT NULL,
    version          integer     NOT NULL,
    after_version    integer     NOT NULL,
    schema_hash      integer     NOT NULL,
    state            bytea       NOT NULL,
    CONSTRAINT state_snapshots_pkey PRIMARY KEY (stream_id, version)
);
ALTER TABLE state_snapshots ALTER COLUMN state SET STORAGE EXTERNAL;  -- compressed already
-- Within a stream the four ascend together. So each index finds the last state within a bound by one look, in a stream of
-- any length.
CREATE INDEX state_snapshots_position_idx ON state_snapshots (position);
CREATE INDEX state_snapshots_stream_position_idx ON state_snapshots (stream_id, position);
CREATE INDEX state_snapshots_recorded_idx ON state_snapshots (stream_id, recorded_through, version);
CREATE INDEX state_snapshots_occurred_idx ON state_snapshots (stream_id, occurred_through, version);

COMMENT ON TABLE state_snapshots IS 'States of long streams, one every so many versions.';
COMMENT ON COLUMN state_snapshots.position IS 'The position of the last event in the state.';
COMMENT ON COLUMN state_snapshots.recorded_through IS 'The highest recorded_at of the events up to this version.';
COMMENT ON COLUMN state_snapshots.occurred_from IS 'The lowest occurred_at of the events after after_version.';
COMMENT ON COLUMN state_snapshots.occurred_through IS 'The highest occurred_at of the events up to this version.';
COMMENT ON COLUMN state_snapshots.stream_id IS 'The stream: the id of the entity.';
COMMENT ON COLUMN state_snapshots.version IS 'The version of the stream that the state is of.';
COMMENT ON COLUMN state_snapshots.after_version IS 'The version of the state before, when this one was made; 0 if there was none.';
COMMENT ON COLUMN state_snapshots.schema_hash IS 'The schema hash of the class: states of another schema are not read.';
COMMENT ON COLUMN state_snapshots.state IS 'The fields of the entity as JSON, compressed by zlib. Decimals are strings.';

CREATE TRIGGER projection_position_is_assigned
    AFTER INSERT OR UPDATE OF position ON log_segments
    FOR EACH ROW EXECUTE FUNCTION projection_position_is_assigned();

CREATE TRIGGER projection_position_is_assigned
    AFTER INSERT OR UPDATE OF position ON state_snapshots
    FOR EACH ROW EXECUTE FUNCTION projection_position_is_assigned();

-- migrate:down

DROP TABLE state_snapshots, log_segments;
