-- Many workers: leases and partitions, and the keys whose events cannot be folded.
-- migrate:creates: projections, projection_quarantine, projection_discards

-- migrate:up

-- How many partitions a projection is split into. Its checkpoints are those with partition < partitions.
CREATE TABLE projections (
    name  text     NOT NULL,
    partitions smallint NOT NULL DEFAULT 1,
    CONSTRAINT projections_pkey PRIMARY KEY (name),
    CONSTRAINT projections_partitions_check CHECK (partitions BETWEEN 1 AND 256)
);

INSERT INTO projections (name) SELECT DISTINCT projection FROM projection_checkpoints;

-- Who works on the partition, and until when unless it says so again; by the database's clock.
ALTER TABLE projection_checkpoints
    ADD COLUMN lease_owner text,
    ADD COLUMN lease_expires_at timestamptz;

-- Keys whose row stands still because one of their events could not be folded. Their later events wait with it.
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

COMMENT ON COLUMN projection_quarantine.position IS 'The first event of the key that is not folded into its row.';

-- Events that somebody decided to leave out of a projection.
CREATE TABLE projection_discards (
    projection   text        NOT NULL,
    position     bigint      NOT NULL,
    key          text        NOT NULL,
    discarded_by text        NOT NULL,
    reason       text        NOT NULL,
    discarded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT projection_discards_pkey PRIMARY KEY (projection, position)
);

CREATE TRIGGER projection_position_is_assigned
    AFTER INSERT OR UPDATE OF position ON projection_quarantine
    FOR EACH ROW EXECUTE FUNCTION projection_position_is_assigned();

CREATE TRIGGER projection_position_is_assigned
    AFTER INSERT OR UPDATE OF position ON projection_discards
    FOR EACH ROW EXECUTE FUNCTION projection_position_is_assigned();

-- migrate:down

DROP TABLE projection_discards, projection_quarantine, projections;
ALTER TABLE projection_checkpoints DROP COLUMN lease_owner, DROP COLUMN lease_expires_at;
