-- A table beside the live one that several processes build, each the rows of some keys.
-- migrate:creates: projection_rebuild_parts

-- migrate:up

-- How far each part is, until all of them have come to one position: then that is the build's, and these rows are gone.
CREATE TABLE projection_rebuild_parts (
    projection text     NOT NULL,
    part       smallint NOT NULL,
    parts      smallint NOT NULL,
    position   bigint   NOT NULL DEFAULT 0,
    events     bigint   NOT NULL DEFAULT 0,
    CONSTRAINT projection_rebuild_parts_pkey PRIMARY KEY (projection, part)
) WITH (fillfactor = 50);  -- updated at each step: leave room to do so within the page

-- migrate:down

DROP TABLE projection_rebuild_parts;
