-- An event that upcasters split may be left out of a projection for several keys: each is a decision of its own.

-- migrate:up

-- Locks out workers and reads of the decisions for a point in time; there are few.
ALTER TABLE projection_discards
    DROP CONSTRAINT projection_discards_pkey,
    ADD CONSTRAINT projection_discards_pkey PRIMARY KEY (projection, position, key);

-- migrate:down

-- One decision of each position is kept.
DELETE FROM projection_discards AS one
USING projection_discards AS other
WHERE one.projection = other.projection AND one.position = other.position AND one.key > other.key;
ALTER TABLE projection_discards
    DROP CONSTRAINT projection_discards_pkey,
    ADD CONSTRAINT projection_discards_pkey PRIMARY KEY (projection, position);
