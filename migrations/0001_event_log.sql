-- The event log: the append-only table of events, its sequence, the triggers that protect it, the functions that append to it,
-- and the index that finds events by id, correlation and time.
-- migrate:creates: events, events_position_seq, events_refuse_change, append_event, append_events, lock_event_log

-- migrate:up

-- CACHE 1: a session that caches positions would hand out old ones after others had read newer ones.
CREATE SEQUENCE events_position_seq AS bigint CACHE 1;

-- The columns go from wide to narrow, so that no row contains padding. `append_digest` comes last, so that the columns of the event
-- itself stand together. `position` has no default: the statement of an append draws it, and nothing else does.
CREATE TABLE events (
    position       bigint      NOT NULL,
    occurred_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    version        integer     NOT NULL,
    schema_version smallint    NOT NULL,
    stream_id      uuid        NOT NULL,
    event_id       uuid        NOT NULL,
    category       text        NOT NULL,
    type           text        NOT NULL,
    data           jsonb       NOT NULL,
    metadata       jsonb       NOT NULL,
    append_digest  integer     NOT NULL DEFAULT 0,
    CONSTRAINT events_pkey PRIMARY KEY (stream_id, version),
    CONSTRAINT events_position_key UNIQUE (position),
    CONSTRAINT events_version_positive CHECK (version >= 1),
    CONSTRAINT events_position_positive CHECK (position >= 1)
);

ALTER SEQUENCE events_position_seq OWNED BY events.position;

COMMENT ON TABLE events IS
    'The event log: append-only, and the only truth. Read tables are folded from it and can be rebuilt.';
COMMENT ON COLUMN events.position IS
    'The place in the one order of the whole log. Has gaps. Final when no writer in flight can still precede it.';
COMMENT ON COLUMN events.occurred_at IS 'When it happened, by the clock of the domain.';
COMMENT ON COLUMN events.recorded_at IS
    'When the statement of the append began, by the clock of the database; one value for all events of an append.';
COMMENT ON COLUMN events.version IS 'The number of the event in its stream: 1, 2, 3 without gaps.';
COMMENT ON COLUMN events.schema_version IS 'The schema version of the event class that wrote the event.';
COMMENT ON COLUMN events.stream_id IS 'The stream: the id of the entity.';
COMMENT ON COLUMN events.event_id IS 'The id of the event, made before the append, so that an append can be repeated.';
COMMENT ON COLUMN events.category IS 'The kind of entity, such as order.';
COMMENT ON COLUMN events.type IS 'The event class within the category, such as OrderFilled.';
COMMENT ON COLUMN events.data IS 'The fields of the event. Decimals are strings.';
COMMENT ON COLUMN events.metadata IS 'Correlation id, causation id, actor, and anything else that the writer adds.';
COMMENT ON COLUMN events.append_digest IS
    'The sum of the CRC-32 of the ids of all events of the append; it tells a repeat from a part. 0: appended alone, or imported.';

CREATE FUNCTION events_refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'the event log is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'ES001',
              HINT = 'Append an event that corrects what an earlier one says.';
END
$$;

-- FOR EACH STATEMENT, so that a statement that would touch no row is refused as well. ENABLE ALWAYS, so that a session in
-- replica mode is refused too.
CREATE TRIGGER events_refuse_change
    BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_change();
ALTER TABLE events ENABLE ALWAYS TRIGGER events_refuse_change;

REVOKE UPDATE, DELETE, TRUNCATE ON events FROM PUBLIC, CURRENT_USER;

-- A writer needs no right on the table. These functions run with the rights of their owner, and take `position` and
-- `recorded_at` from the server alone. `eventstore grant --writer` lets a role call them. Each INSERT locks the table (ROW
-- EXCLUSIVE) before it draws its first position, also from a cached plan: reading in order depends on that.

CREATE FUNCTION append_event(
    stream_id uuid, version integer, event_id uuid, category text, type text, schema_version smallint, data text,
    metadata text, occurred_at timestamptz, lock_timeout text,
    OUT "position" bigint, OUT recorded_at timestamptz, OUT actual integer
)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
#variable_conflict use_column
BEGIN
    -- Text that begins so and is JSON is an object.
    IF (
        schema_version >= 1
        AND category <> '' AND type <> '' AND greatest(octet_length(category), octet_length(type)) <= 255
        AND occurred_at >= '0001-01-01 00:00:00+00' AND occurred_at < '10000-01-01 00:00:00+00'
        AND starts_with(data, '{') AND starts_with(metadata, '{')
    ) IS NOT TRUE THEN
        RAISE EXCEPTION 'the log does not take this event: schema_version is 1 or more, category and type have 1 to '
                '255 bytes, occurred_at lies in the years 1 to 9999, data and metadata are JSON objects'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'events_event_check';
    END IF;
    IF lock_timeout IS NOT NULL THEN
        lock_timeout := set_config('lock_timeout', lock_timeout, true);
    END IF;
    -- One statement where all is well: it costs a tenth less than a look at the stream and then an INSERT. Where others
    -- append between that and the look, it is tried again.
    FOR attempt IN 1 .. 2 LOOP
        INSERT INTO {schema}.events AS appended (
            position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at,
            recorded_at
        )
        SELECT
            nextval({regclass events_position_seq}), append_event.stream_id, append_event.version, append_event.event_id,
            append_event.category, append_event.type, append_event.schema_version, append_event.data::jsonb,
            append_event.metadata::jsonb, append_event.occurred_at, statement_timestamp()
        WHERE append_event.version - 1 = coalesce((
            SELECT last.version FROM {schema}.events AS last
            WHERE last.stream_id = append_event.stream_id
            ORDER BY last.version DESC
            LIMIT 1
        ), 0)
        RETURNING appended.position, appended.recorded_at INTO position, recorded_at;
        EXIT WHEN position IS NOT NULL;
        actual := coalesce((
            SELECT last.version FROM {schema}.events AS last
            WHERE last.stream_id = append_event.stream_id
            ORDER BY last.version DESC
            LIMIT 1
        ), 0);
        EXIT WHEN actual <> append_event.version - 1;
    END LOOP;
END
$body$;

-- The events come as one document, an array of objects in the order of staging. It costs the client half as much as
-- an array for each column.
CREATE FUNCTION append_events(
    document text, lock_timeout text,
    OUT positions bigint[], OUT recorded_at timestamptz, OUT conflicts text
)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
#variable_conflict use_column
DECLARE
    has_fault boolean;
BEGIN
    IF lock_timeout IS NOT NULL THEN
        lock_timeout := set_config('lock_timeout', lock_timeout, true);
    END IF;
    WITH given AS MATERIALIZED (
        -- In a sub-select, so that the planner cannot look at the document: every plan then costs the same, and
        -- PostgreSQL goes over to a generic one after five calls.
        SELECT event.*
        FROM json_to_recordset((SELECT document::json)) AS event (
            stream_id uuid, version integer, event_id uuid, category text, type text, schema_version smallint,
            data jsonb, metadata jsonb, occurred_at timestamptz, append_digest integer
        )
    ),
    refused AS MATERIALIZED (
        SELECT head.stream_id, head.expected, head.actual, head.is_sound
        FROM (
            SELECT seen.stream_id, seen.expected, seen.is_sound, coalesce((
                SELECT last.version FROM {schema}.events AS last
                WHERE last.stream_id = seen.stream_id
                ORDER BY last.version DESC
                LIMIT 1
            ), 0) AS actual
            FROM (
                SELECT
                    stream_id,
                    min(version) - 1 AS expected,
                    max(version)::bigint - min(version) + 1 = count(*) AND bool_and(
                        schema_version >= 1
                        AND category <> '' AND type <> '' AND greatest(octet_length(category), octet_length(type)) <= 255
                        AND occurred_at >= '0001-01-01 00:00:00+00' AND occurred_at < '10000-01-01 00:00:00+00'
                        AND jsonb_typeof(data) = 'object' AND jsonb_typeof(metadata) = 'object'
                    ) AS is_sound
                FROM given
                GROUP BY stream_id
            ) AS seen
        ) AS head
        WHERE head.actual <> head.expected OR NOT head.is_sound
    ),
    staged AS MATERIALIZED (
        SELECT nextval({regclass events_position_seq}) AS position, given.*
        FROM given
        WHERE NOT EXISTS (SELECT FROM refused)
    ),
    appended AS (
        -- By stream and version, so that two appends which cross cannot deadlock.
        INSERT INTO {schema}.events (
            position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at,
            recorded_at, append_digest
        )
        SELECT
            position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at,
            statement_timestamp(), coalesce(append_digest, 0)
        FROM staged
        ORDER BY stream_id, version
        RETURNING position, recorded_at
    )
    SELECT
        array_agg(position ORDER BY position),
        min(recorded_at),
        (
            SELECT json_agg(json_build_object('stream_id', stream_id, 'expected', expected, 'actual', actual))::text
            FROM refused WHERE actual <> expected
        ),
        EXISTS (SELECT FROM refused WHERE NOT is_sound)
    INTO positions, recorded_at, conflicts, has_fault
    FROM appended;
    IF has_fault THEN
        RAISE EXCEPTION 'the log does not take one of these events: the versions of a stream follow one another, '
                'schema_version is 1 or more, category and type have 1 to 255 bytes, occurred_at lies in the years '
                '1 to 9999, data and metadata are JSON objects'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'events_event_check';
    END IF;
END
$body$;

-- LOCK TABLE needs rights that not even the owner of an append-only table has. This function takes SHARE ROW EXCLUSIVE and changes
-- nothing. Reads go on.
CREATE FUNCTION lock_event_log() RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    ALTER TABLE {schema}.events ENABLE ALWAYS TRIGGER events_refuse_change;
END
$body$;

-- Everybody may call a new function until that right is revoked.
REVOKE ALL ON FUNCTION
    append_event(uuid, integer, uuid, text, text, smallint, text, text, timestamptz, text),
    append_events(text, text),
    lock_event_log(),
    events_refuse_change()
    FROM PUBLIC;

-- One BRIN index serves all lookups, because every index is paid for at each append. It keeps one summary for 64 pages (half a
-- megabyte), so an append touches only the map of the index. The reasons for its parts:
--   bloom for ids, because they need not ascend; minmax_multi for times, so that one late report does not widen a summary;
--   2048 distinct values: 64 pages hold no more events of ordinary size, and a summary with two such filters must fit
--   into one page (8152 bytes);
--   (position + 0) instead of position: a query that means this index must not use the B-tree of position.
-- Pages after the last summary are read in full. With autosummarize, autovacuum writes a summary soon after 64 pages are full.
CREATE INDEX events_lookup_brin ON events USING brin (
    recorded_at timestamptz_minmax_multi_ops,
    occurred_at timestamptz_minmax_multi_ops,
    event_id uuid_bloom_ops (n_distinct_per_range = 2048),
    (metadata ->> 'correlation_id') text_bloom_ops (n_distinct_per_range = 2048),
    (position + 0) int8_minmax_ops
) WITH (pages_per_range = 64, autosummarize = on);

COMMENT ON INDEX events_lookup_brin IS 'Finds events by id, correlation id and time.';

-- A stream knows each execution that it has, however many: a repeat is found without reading the stream. Only events of
-- executions pay for the first index, and only corrections for the second.
CREATE INDEX events_execution_id_idx ON events (stream_id, (data ->> 'execution_id'))
    WHERE (data ->> 'execution_id') IS NOT NULL;
CREATE INDEX events_new_execution_id_idx ON events (stream_id, (data ->> 'new_execution_id'))
    WHERE (data ->> 'new_execution_id') IS NOT NULL;

COMMENT ON INDEX events_execution_id_idx IS 'Finds the events of an execution in its stream.';
COMMENT ON INDEX events_new_execution_id_idx IS 'Finds the correction that gave an execution its id.';

-- migrate:requires-empty: events
-- migrate:down

DROP FUNCTION lock_event_log();
DROP FUNCTION append_events(text, text);
DROP FUNCTION append_event(uuid, integer, uuid, text, text, smallint, text, text, timestamptz, text);
DROP TABLE events;
DROP FUNCTION events_refuse_change();
