-- How far each projection has folded the log.
-- migrate:creates: projection_checkpoints

-- migrate:up

-- A projection may be split into lanes by a hash of its key; each lane has a checkpoint of its own. The epoch
-- goes up whenever a lane changes hands: a worker that was replaced cannot write any more.
CREATE TABLE projection_checkpoints (
    projection text        NOT NULL,
    lane       smallint    NOT NULL DEFAULT 0,
    position   bigint      NOT NULL DEFAULT 0,
    epoch      bigint      NOT NULL DEFAULT 0,
    moved_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT projection_checkpoints_pkey PRIMARY KEY (projection, lane),
    CONSTRAINT projection_checkpoints_position_check CHECK (position >= 0)
) WITH (fillfactor = 50);  -- updated at each batch: leave room to do so within the page

COMMENT ON TABLE projection_checkpoints IS 'Every event up to position is folded into the table of the projection.';

-- migrate:down

DROP TABLE projection_checkpoints;
