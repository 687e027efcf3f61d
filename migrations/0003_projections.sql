-- Projections: which there are, how far each partition is folded, which keys are in quarantine, which events are left out, and what
-- each partition was given.
-- migrate:creates: projections, projection_checkpoints, projection_quarantine, projection_discards, projection_delivery_counts, projection_position_is_assigned, projection_is_of_version

-- migrate:up

CREATE TABLE projections (
    name          text     NOT NULL,
    partitions    smallint NOT NULL DEFAULT 1,
    version       integer  NOT NULL DEFAULT 1,
    counted_after bigint   NOT NULL DEFAULT 0,
    CONSTRAINT projections_pkey PRIMARY KEY (name),
    CONSTRAINT projections_partitions_check CHECK (partitions BETWEEN 1 AND 256)
);

COMMENT ON TABLE projections IS 'The projections that keep a table in this database.';
COMMENT ON COLUMN projections.name IS 'The name of the projection.';
COMMENT ON COLUMN projections.partitions IS
    'How many partitions its keys are split into. Its checkpoints are those of the partitions below this number.';
COMMENT ON COLUMN projections.version IS 'The version of the code that built the live table.';
COMMENT ON COLUMN projections.counted_after IS 'Deliveries are counted for the events after this position.';

CREATE TABLE projection_checkpoints (
    projection       text        NOT NULL,
    partition        smallint    NOT NULL DEFAULT 0,
    position         bigint      NOT NULL DEFAULT 0,
    epoch            bigint      NOT NULL DEFAULT 0,
    moved_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_owner      text,
    lease_expires_at timestamptz,
    CONSTRAINT projection_checkpoints_pkey PRIMARY KEY (projection, partition),
    CONSTRAINT projection_checkpoints_position_check CHECK (position >= 0)
) WITH (fillfactor = 50);  -- each batch updates a row: leave room to do so within the page

COMMENT ON TABLE projection_checkpoints IS
    'How far each partition of a projection is folded, and the lease of its worker.';
COMMENT ON COLUMN projection_checkpoints.projection IS 'The name of the projection.';
COMMENT ON COLUMN projection_checkpoints.partition IS 'The partition, from 0.';
COMMENT ON COLUMN projection_checkpoints.position IS
    'Every event of the partition up to this position is folded into the table.';
COMMENT ON COLUMN projection_checkpoints.epoch IS
    'Rises each time the lease changes hands. A worker with an older epoch cannot write.';
COMMENT ON COLUMN projection_checkpoints.moved_at IS 'When the position last moved.';
COMMENT ON COLUMN projection_checkpoints.lease_owner IS 'The process that holds the lease; NULL if nobody does.';
COMMENT ON COLUMN projection_checkpoints.lease_expires_at IS
    'When the lease ends unless it is renewed, by the clock of the database.';

CREATE TABLE projection_quarantine (
    projection     text        NOT NULL,
    key            text        NOT NULL,
    stream_id      uuid        NOT NULL,
    position       bigint      NOT NULL,
    type           text        NOT NULL,
    error          text        NOT NULL,
    traceback      text        NOT NULL,
    attempts       integer     NOT NULL DEFAULT 1,
    quarantined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT projection_quarantine_pkey PRIMARY KEY (projection, key)
);

COMMENT ON TABLE projection_quarantine IS
    'Keys with an event that could not be folded. Later events of the key wait; all other keys go on.';
COMMENT ON COLUMN projection_quarantine.projection IS 'The name of the projection.';
COMMENT ON COLUMN projection_quarantine.key IS 'The key, as JSON.';
COMMENT ON COLUMN projection_quarantine.stream_id IS 'The stream of that event.';
COMMENT ON COLUMN projection_quarantine.position IS 'The first event of the key that is not folded into its row.';
COMMENT ON COLUMN projection_quarantine.type IS 'The type of that event.';
COMMENT ON COLUMN projection_quarantine.error IS 'Why it could not be folded.';
COMMENT ON COLUMN projection_quarantine.traceback IS 'Where the error came from.';
COMMENT ON COLUMN projection_quarantine.attempts IS 'How many times it was tried.';
COMMENT ON COLUMN projection_quarantine.quarantined_at IS 'When the key was put in quarantine.';

CREATE TABLE projection_discards (
    projection      text        NOT NULL,
    position        bigint      NOT NULL,
    key             text        NOT NULL,
    discarded_by    text        NOT NULL,
    reason          text        NOT NULL,
    discarded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    folded_again_at timestamptz,
    CONSTRAINT projection_discards_pkey PRIMARY KEY (projection, position, key)
);

COMMENT ON TABLE projection_discards IS
    'The skip list: events that somebody has decided to leave out of a projection.';
COMMENT ON COLUMN projection_discards.projection IS 'The name of the projection.';
COMMENT ON COLUMN projection_discards.position IS 'The position of the event that is left out.';
COMMENT ON COLUMN projection_discards.key IS
    'The key, as JSON. An event that upcasters split may be left out for several keys.';
COMMENT ON COLUMN projection_discards.discarded_by IS 'Who decided it.';
COMMENT ON COLUMN projection_discards.reason IS 'Why it was decided.';
COMMENT ON COLUMN projection_discards.discarded_at IS 'When it was decided.';
COMMENT ON COLUMN projection_discards.folded_again_at IS
    'When a rebuild could fold the event after all; it is no longer left out then.';

CREATE TABLE projection_delivery_counts (
    projection text     NOT NULL,
    partition  smallint NOT NULL,
    range      bigint   NOT NULL,
    events     bigint   NOT NULL,
    digest     bigint   NOT NULL,
    CONSTRAINT projection_delivery_counts_pkey PRIMARY KEY (projection, partition, range)
) WITH (fillfactor = 50);

COMMENT ON TABLE projection_delivery_counts IS
    'What each partition was given, for the audit. Written in the transaction that moves the checkpoint.';
COMMENT ON COLUMN projection_delivery_counts.projection IS 'The name of the projection.';
COMMENT ON COLUMN projection_delivery_counts.partition IS 'The partition.';
COMMENT ON COLUMN projection_delivery_counts.range IS 'The number of the range of 65,536 positions.';
COMMENT ON COLUMN projection_delivery_counts.events IS 'How many events of the range it was given.';
COMMENT ON COLUMN projection_delivery_counts.digest IS 'The exclusive or of a digest of each of them.';

-- Workers write these tables. A position that was never assigned would look like the trace of a log that a restore has cut off, and
-- stores would refuse to open. Only the owner, who may correct things by hand, may write such a position.
CREATE FUNCTION projection_position_is_assigned() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF NEW.position > coalesce(pg_sequence_last_value({regclass events_position_seq}), 0)
        AND NOT pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE')
    THEN
        RAISE EXCEPTION 'position % of % was never assigned', NEW.position, TG_TABLE_NAME
            USING ERRCODE = 'check_violation', CONSTRAINT = 'projection_position_is_assigned';
    END IF;
    RETURN NULL;
END
$body$;

CREATE TRIGGER projection_position_is_assigned
    AFTER INSERT OR UPDATE OF position ON projection_checkpoints
    FOR EACH ROW EXECUTE FUNCTION projection_position_is_assigned();

CREATE TRIGGER projection_position_is_assigned
    AFTER INSERT OR UPDATE OF position ON projection_quarantine
    FOR EACH ROW EXECUTE FUNCTION projection_position_is_assigned();

CREATE TRIGGER projection_position_is_assigned
    AFTER INSERT OR UPDATE OF position ON projection_discards
    FOR EACH ROW EXECUTE FUNCTION projection_position_is_assigned();

REVOKE ALL ON FUNCTION projection_position_is_assigned() FROM PUBLIC;

-- A list that corrects rows by the tail of the log needs rows that its own code has folded. STABLE, so that the function sees
-- what its statement sees.
CREATE FUNCTION projection_is_of_version(projection_name text, code_version integer) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    table_version integer;
BEGIN
    SELECT version INTO table_version FROM {schema}.projections WHERE name = projection_name;
    IF table_version <> code_version THEN
        RAISE EXCEPTION 'the table of projection % was built by version %, this code has version %',
                projection_name, table_version, code_version
            USING ERRCODE = 'ES002';
    END IF;
    RETURN true;
END
$$;

-- migrate:down

DROP FUNCTION projection_is_of_version(text, integer);
DROP TABLE projection_delivery_counts, projection_discards, projection_quarantine, projection_checkpoints, projections;
DROP FUNCTION projection_position_is_assigned();
