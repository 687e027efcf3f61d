-- How far each projection has folded the log.
-- migrate:creates: projection_checkpoints, projection_position_is_assigned

-- migrate:up

-- A projection may be split into partitions by a hash of its key; each partition has a checkpoint of its own. The epoch
-- goes up whenever a partition changes hands: a worker that was replaced cannot write any more.
CREATE TABLE projection_checkpoints (
    projection text        NOT NULL,
    partition       smallint    NOT NULL DEFAULT 0,
    position   bigint      NOT NULL DEFAULT 0,
    epoch      bigint      NOT NULL DEFAULT 0,
    moved_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT projection_checkpoints_pkey PRIMARY KEY (projection, partition),
    CONSTRAINT projection_checkpoints_position_check CHECK (position >= 0)
) WITH (fillfactor = 50);  -- updated at each batch: leave room to do so within the page

-- A position that was never assigned, in a table that workers write, would pass for the trace of a log that a restore has cut
-- off, and keep stores from opening. Only the owner, who may put things right by hand, writes such a one.
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

REVOKE ALL ON FUNCTION projection_position_is_assigned() FROM PUBLIC;

COMMENT ON TABLE projection_checkpoints IS 'Every event up to position is folded into the table of the projection.';

-- migrate:down

DROP TABLE projection_checkpoints;
DROP FUNCTION projection_position_is_assigned();
