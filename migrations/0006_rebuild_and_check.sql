-- Rebuilds that go on after a kill, the version that each table was built by, and a count of the events delivered.
-- Locks: three small tables of the projection engine, for a point in time each.
-- migrate:creates: projection_rebuilds, projection_rebuild_failures, projection_delivery_counts, projection_is_of_version

-- migrate:up

-- The version of the code that the table was built by; and from where on its deliveries are counted, which is the
-- start but for tables that were folded before this migration.
ALTER TABLE projections
    ADD COLUMN version       integer NOT NULL DEFAULT 1,
    ADD COLUMN counted_after bigint  NOT NULL DEFAULT 0;

UPDATE projections SET counted_after = (
    SELECT coalesce(max(position), 0) FROM projection_checkpoints WHERE projection = name
);

-- A rebuild tries each discarded event again: what it could fold is no longer left out.
ALTER TABLE projection_discards ADD COLUMN folded_again_at timestamptz;

-- A table that is being built beside the live one. The epoch goes up with each process that takes the build over.
CREATE TABLE projection_rebuilds (
    projection text        NOT NULL,
    version    integer     NOT NULL,
    position   bigint      NOT NULL DEFAULT 0,
    events     bigint      NOT NULL DEFAULT 0,
    epoch      bigint      NOT NULL DEFAULT 0,
    lease_owner      text,
    lease_expires_at timestamptz,
    started_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    is_comparison    boolean     NOT NULL DEFAULT false,
    CONSTRAINT projection_rebuilds_pkey PRIMARY KEY (projection)
) WITH (fillfactor = 50);  -- updated at each step: leave room to do so within the page

COMMENT ON COLUMN projection_rebuilds.position IS 'Every event up to position is folded into the table beside.';
COMMENT ON COLUMN projection_rebuilds.is_comparison IS 'The table beside is for a comparison only: no rebuild goes on with it.';

-- The keys that a rebuild could not fold; they are in quarantine once its table is the live one.
CREATE TABLE projection_rebuild_failures (
    projection text   NOT NULL,
    key        text   NOT NULL,
    stream_id  uuid   NOT NULL,
    position   bigint NOT NULL,
    type       text   NOT NULL,
    error      text   NOT NULL,
    traceback  text   NOT NULL,
    CONSTRAINT projection_rebuild_failures_pkey PRIMARY KEY (projection, key)
);

-- What each partition was given, by ranges of 65,536 positions, for an audit to hold against the log. Written in the
-- transaction that moves the checkpoint; a rebuild writes it anew. The digest is the exclusive or of one of each event.
CREATE TABLE projection_delivery_counts (
    projection text     NOT NULL,
    partition       smallint NOT NULL,
    range      bigint   NOT NULL,
    events     bigint   NOT NULL,
    digest     bigint   NOT NULL,
    CONSTRAINT projection_delivery_counts_pkey PRIMARY KEY (projection, partition, range)
) WITH (fillfactor = 50);

-- A list that corrects rows by the tail of the log must have rows that its own code has folded. STABLE, so that it sees
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
DROP TABLE projection_delivery_counts, projection_rebuild_failures, projection_rebuilds;
ALTER TABLE projection_discards DROP COLUMN folded_again_at;
ALTER TABLE projections DROP COLUMN version, DROP COLUMN counted_after;
