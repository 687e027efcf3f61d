-- Rebuilds: how far each has come, so that it continues after a kill, and the keys that it could not fold.
-- migrate:creates: projection_rebuilds, projection_rebuild_failures, projection_rebuild_shards

-- migrate:up

CREATE TABLE projection_rebuilds (
    projection       text        NOT NULL,
    version          integer     NOT NULL,
    position         bigint      NOT NULL DEFAULT 0,
    events           bigint      NOT NULL DEFAULT 0,
    epoch            bigint      NOT NULL DEFAULT 0,
    lease_owner      text,
    lease_expires_at timestamptz,
    started_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    is_comparison    boolean     NOT NULL DEFAULT false,
    CONSTRAINT projection_rebuilds_pkey PRIMARY KEY (projection)
) WITH (fillfactor = 50);  -- each step updates a row: leave room to do so within the page

COMMENT ON TABLE projection_rebuilds IS 'Read tables that are being built beside the live ones.';
COMMENT ON COLUMN projection_rebuilds.projection IS 'The name of the projection.';
COMMENT ON COLUMN projection_rebuilds.version IS 'The version of the code that builds the table.';
COMMENT ON COLUMN projection_rebuilds.position IS 'Every event up to this position is folded into the table beside.';
COMMENT ON COLUMN projection_rebuilds.events IS 'How many events were folded.';
COMMENT ON COLUMN projection_rebuilds.epoch IS
    'Rises each time another process takes the build over. A process with an older epoch cannot write.';
COMMENT ON COLUMN projection_rebuilds.lease_owner IS 'The process that holds the lease; NULL if nobody does.';
COMMENT ON COLUMN projection_rebuilds.lease_expires_at IS
    'When the lease ends unless it is renewed, by the clock of the database.';
COMMENT ON COLUMN projection_rebuilds.started_at IS 'When the build began.';
COMMENT ON COLUMN projection_rebuilds.is_comparison IS
    'The table beside is only for a comparison: no rebuild continues with it.';

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

COMMENT ON TABLE projection_rebuild_failures IS
    'The keys that a rebuild could not fold. They go into quarantine when its table becomes the live one.';
COMMENT ON COLUMN projection_rebuild_failures.projection IS 'The name of the projection.';
COMMENT ON COLUMN projection_rebuild_failures.key IS 'The key, as JSON.';
COMMENT ON COLUMN projection_rebuild_failures.stream_id IS 'The stream of the event that could not be folded.';
COMMENT ON COLUMN projection_rebuild_failures.position IS 'The position of that event.';
COMMENT ON COLUMN projection_rebuild_failures.type IS 'The type of that event.';
COMMENT ON COLUMN projection_rebuild_failures.error IS 'Why it could not be folded.';
COMMENT ON COLUMN projection_rebuild_failures.traceback IS 'Where the error came from.';

CREATE TABLE projection_rebuild_shards (
    projection text     NOT NULL,
    shard      smallint NOT NULL,
    shards     smallint NOT NULL,
    position   bigint   NOT NULL DEFAULT 0,
    events     bigint   NOT NULL DEFAULT 0,
    CONSTRAINT projection_rebuild_shards_pkey PRIMARY KEY (projection, shard)
) WITH (fillfactor = 50);  -- each step updates a row: leave room to do so within the page

COMMENT ON TABLE projection_rebuild_shards IS
    'How far each shard of a build is. When all shards are at one position, the build continues as a whole and these rows go.';
COMMENT ON COLUMN projection_rebuild_shards.projection IS 'The name of the projection.';
COMMENT ON COLUMN projection_rebuild_shards.shard IS 'The shard, from 0.';
COMMENT ON COLUMN projection_rebuild_shards.shards IS 'How many shards the keys are split into.';
COMMENT ON COLUMN projection_rebuild_shards.position IS 'Every event of the shard up to this position is folded.';
COMMENT ON COLUMN projection_rebuild_shards.events IS 'How many events of the shard were folded.';

-- migrate:down

DROP TABLE projection_rebuild_shards, projection_rebuild_failures, projection_rebuilds;
