-- A table beside the live one that several processes build, each the rows of some keys.
-- migrate:creates: projection_rebuild_shards

-- migrate:up

-- How far each shard is, until all of them have come to one position: then that is the build's, and these rows are gone.
CREATE TABLE projection_rebuild_shards (
    projection text     NOT NULL,
    shard       smallint NOT NULL,
    shards      smallint NOT NULL,
    position   bigint   NOT NULL DEFAULT 0,
    events     bigint   NOT NULL DEFAULT 0,
    CONSTRAINT projection_rebuild_shards_pkey PRIMARY KEY (projection, shard)
) WITH (fillfactor = 50);  -- updated at each step: leave room to do so within the page

-- migrate:down

DROP TABLE projection_rebuild_shards;
