-- Purpose: Find the preconditions of the store that do not hold, each with the statement that repairs it. The names
--   are those of eventstore/database/preconditions.py, which describes the risk of each.
-- Parameters:
--   $1 read_tables text[] names of the tables of projections
-- Result: precondition text, found text what is wrong, repair text the statement (NULL if no statement does); no row
--   if all hold
-- Locks: none
-- Index: those of the system tables
WITH store AS (
    SELECT
        pg_catalog.to_regnamespace(pg_catalog.quote_ident({schema_name}))::pg_catalog.oid AS schema,
        pg_catalog.to_regclass(pg_catalog.format('%I.events', {schema_name}))::pg_catalog.oid AS events,
        pg_catalog.format('%I.events', {schema_name}) AS events_name,
        pg_catalog.to_regclass(pg_catalog.format('%I.events_position_seq', {schema_name}))::pg_catalog.oid AS sequence,
        pg_catalog.format('%I.events_position_seq', {schema_name}) AS sequence_name
),
-- The store's own tables with their primary keys; the keys of the projections' tables are in their row models.
named (name, is_own, key) AS (
    VALUES
        ('events', true, ARRAY['stream_id', 'version']),
        ('event_seals', true, ARRAY['block']),
        ('projections', true, ARRAY['name']),
        ('projection_checkpoints', true, ARRAY['projection', 'partition']),
        ('projection_delivery_counts', true, ARRAY['projection', 'partition', 'range']),
        ('projection_discards', true, ARRAY['projection', 'position', 'key']),
        ('projection_quarantine', true, ARRAY['projection', 'key']),
        ('projection_rebuilds', true, ARRAY['projection']),
        ('projection_rebuild_failures', true, ARRAY['projection', 'key']),
        ('projection_rebuild_shards', true, ARRAY['projection', 'shard']),
        ('state_snapshots', true, ARRAY['stream_id', 'version']),
        ('log_segments', true, ARRAY['category', 'after_position', 'level'])
    UNION ALL
    SELECT name, false, NULL FROM pg_catalog.unnest($1::pg_catalog.text[]) AS read_tables (name)
),
tables AS (
    SELECT
        named.name, named.is_own, named.key, pg_catalog.format('%I.%I', {schema_name}, named.name) AS quoted,
        relation.oid, relation.relkind AS kind, relation.relpersistence AS persistence, relation.relrowsecurity
    FROM named
    CROSS JOIN store
    LEFT JOIN pg_catalog.pg_class AS relation
        ON relation.relname = named.name::pg_catalog.name AND relation.relnamespace = store.schema
),
keys (name, oid, quoted, constraint_name, type, key) AS (
    SELECT name, oid, quoted, name || '_pkey', 'PRIMARY KEY', key FROM tables WHERE is_own AND kind = 'r'
    UNION ALL
    SELECT name, oid, quoted, 'events_position_key', 'UNIQUE', ARRAY['position'] FROM tables WHERE name = 'events' AND kind = 'r'
),
event_columns (name, type) AS (
    VALUES
        ('position', 'bigint'), ('occurred_at', 'timestamp with time zone'), ('recorded_at', 'timestamp with time zone'),
        ('version', 'integer'), ('schema_version', 'smallint'), ('stream_id', 'uuid'), ('event_id', 'uuid'),
        ('category', 'text'), ('type', 'text'), ('data', 'jsonb'), ('metadata', 'jsonb')
),
columns AS (
    SELECT
        wanted.name AS wanted, wanted.type AS wanted_type, there.attname AS name,
        -- By its oid: the result of format_type depends on quote_all_identifiers and on the search path.
        there.atttypid <> pg_catalog.to_regtype(wanted.type)::pg_catalog.oid OR there.atttypmod <> -1 AS has_other_type,
        pg_catalog.format_type(there.atttypid, there.atttypmod) AS type, there.attnotnull, there.atthasdef,
        there.attgenerated, there.attidentity
    FROM store
    JOIN pg_catalog.pg_attribute AS there
        ON there.attrelid = store.events AND there.attnum > 0 AND NOT there.attisdropped
    LEFT JOIN event_columns AS wanted ON wanted.name::pg_catalog.name = there.attname
),
settings (precondition, name, wrong, right_value) AS (
    VALUES
        ('session may write', 'default_transaction_read_only', 'on', 'off'),
        ('durability', 'synchronous_commit', 'off', 'on'),
        ('durability', 'fsync', 'off', 'on'),
        ('durability', 'full_page_writes', 'off', 'on'),
        ('no damage is passed over', 'zero_damaged_pages', 'on', 'off'),
        ('no damage is passed over', 'ignore_checksum_failure', 'on', 'off'),
        ('triggers of users fire', 'session_replication_role', 'replica', 'origin')
),
guards (table_name, name) AS (
    VALUES ('events', 'events_refuse_change'), ('event_seals', 'event_seals_refuse_change')
),
guard_triggers AS (
    SELECT
        tables.quoted, guards.name, there.tgenabled,
        -- BEFORE (2), for each statement, DELETE (8), UPDATE (16) and TRUNCATE (32), under no condition, of any column.
        coalesce(
            there.tgtype = 58 AND there.tgqual IS NULL AND there.tgnattr = 0 AND there.is_ours, false
        ) AS is_whole
    FROM guards
    JOIN tables ON tables.name = guards.table_name AND tables.kind = 'r'
    LEFT JOIN LATERAL (
        SELECT
            trigger.tgenabled, trigger.tgtype, trigger.tgqual, pg_catalog.cardinality(trigger.tgattr::pg_catalog.int2[]) AS tgnattr,
            function.proname = 'events_refuse_change' AND function.pronamespace = (SELECT schema FROM store) AS is_ours
        FROM pg_catalog.pg_trigger AS trigger
        JOIN pg_catalog.pg_proc AS function ON function.oid = trigger.tgfoid
        WHERE trigger.tgrelid = tables.oid AND trigger.tgname = guards.name::pg_catalog.name
    ) AS there ON true
),
functions (name, raises) AS (
    VALUES
        ('events_refuse_change', 'ES001'), ('projection_is_of_version', 'ES002'),
        ('append_event', 'statement_timestamp()'), ('append_events', 'statement_timestamp()'),
        ('lock_event_log', 'ENABLE ALWAYS TRIGGER')
),
violations (precondition, found, repair) AS (
    -- ---- the database and the session ----
    SELECT
        'encoding',
        pg_catalog.format('the database %I has the encoding %s', pg_catalog.current_database(), pg_catalog.current_setting('server_encoding')),
        pg_catalog.format('CREATE DATABASE %I ENCODING ''UTF8'' TEMPLATE template0', pg_catalog.current_database()::pg_catalog.text || '_utf8')
    WHERE pg_catalog.current_setting('server_encoding') <> 'UTF8'
    UNION ALL
    SELECT 'binary formats', 'the server has integer_datetimes ' || pg_catalog.current_setting('integer_datetimes'), NULL
    WHERE pg_catalog.current_setting('integer_datetimes') <> 'on'
    UNION ALL
    SELECT 'length of names', 'the server cuts names to ' || pg_catalog.current_setting('max_identifier_length') || ' bytes', NULL
    WHERE pg_catalog.current_setting('max_identifier_length')::integer < 63
    UNION ALL
    SELECT 'schema', pg_catalog.format('the schema of the store is %I', {schema_name}), NULL
    WHERE pg_catalog.starts_with({schema_name}, 'pg_') OR {schema_name} = 'information_schema'
    UNION ALL
    SELECT 'primary', 'a standby answers', NULL WHERE pg_catalog.pg_is_in_recovery()
    UNION ALL
    SELECT
        settings.precondition,
        pg_catalog.format('%s is %s', settings.name, settings.wrong),
        (
            -- The repair must run in a session that may not write, so it enables writing first.
            SELECT CASE WHEN settings.name = 'default_transaction_read_only' THEN pg_catalog.format('BEGIN READ WRITE; %s; COMMIT', reset.statement)
                ELSE reset.statement END
            FROM pg_catalog.pg_settings AS there
            CROSS JOIN LATERAL (
                SELECT CASE there.source
                    WHEN 'database' THEN pg_catalog.format('ALTER DATABASE %I RESET %I', pg_catalog.current_database(), settings.name)
                    WHEN 'user' THEN pg_catalog.format('ALTER ROLE %I RESET %I', session_user, settings.name)
                    WHEN 'database user' THEN
                        pg_catalog.format('ALTER ROLE %I IN DATABASE %I RESET %I', session_user, pg_catalog.current_database(), settings.name)
                    WHEN 'global' THEN pg_catalog.format('ALTER ROLE ALL RESET %I', settings.name)
                    WHEN 'client' THEN pg_catalog.format('SET %I TO %L', settings.name, settings.right_value)
                    WHEN 'session' THEN pg_catalog.format('RESET %I', settings.name)
                    ELSE pg_catalog.format('ALTER SYSTEM SET %I TO %L', settings.name, settings.right_value)
                END AS statement
            ) AS reset
            WHERE there.name = settings.name
        )
    FROM settings
    WHERE pg_catalog.current_setting(settings.name) = settings.wrong
    UNION ALL
    SELECT
        'collation',
        pg_catalog.format('the database was made with version %s of its collation, the system now has %s', here.datcollversion, actual.version),
        pg_catalog.format('REINDEX DATABASE %1$I; ALTER DATABASE %1$I REFRESH COLLATION VERSION', here.datname)
    FROM pg_catalog.pg_database AS here
    CROSS JOIN LATERAL (SELECT pg_catalog.pg_database_collation_actual_version(here.oid) AS version) AS actual
    WHERE here.datname = pg_catalog.current_database() AND here.datcollversion <> actual.version
    UNION ALL
    -- ---- tables ----
    SELECT 'tables', pg_catalog.format('the table %s is missing', quoted), NULL FROM tables WHERE oid IS NULL AND is_own
    UNION ALL
    SELECT
        'tables',
        pg_catalog.format('%s is not an ordinary table but %s', quoted, CASE kind
            WHEN 'p' THEN 'a partitioned one' WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a materialized view'
            WHEN 'f' THEN 'a foreign table' ELSE 'another relation' END),
        NULL
    FROM tables WHERE kind <> 'r' AND (is_own OR kind <> 'p')
    UNION ALL
    SELECT 'tables are logged', pg_catalog.format('the table %s is UNLOGGED', quoted), pg_catalog.format('ALTER TABLE %s SET LOGGED', quoted)
    FROM tables WHERE kind = 'r' AND persistence <> 'p'
    UNION ALL
    SELECT
        'no children', pg_catalog.format('the table %s has the child %s', tables.quoted, child.name),
        pg_catalog.format('ALTER TABLE %s NO INHERIT %s', child.name, tables.quoted)
    FROM tables
    JOIN pg_catalog.pg_inherits AS heir ON heir.inhparent = tables.oid
    CROSS JOIN LATERAL (
        SELECT pg_catalog.format('%I.%I', namespace.nspname, relation.relname) AS name
        FROM pg_catalog.pg_class AS relation
        JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = relation.relnamespace
        WHERE relation.oid = heir.inhrelid
    ) AS child
    WHERE tables.kind = 'r'
    UNION ALL
    SELECT
        'no rules', pg_catalog.format('the table %s has the rule %I', tables.quoted, rule.rulename),
        pg_catalog.format('ALTER TABLE %s DISABLE RULE %I', tables.quoted, rule.rulename)
    FROM tables
    JOIN pg_catalog.pg_rewrite AS rule ON rule.ev_class = tables.oid AND rule.ev_enabled <> 'D'
    WHERE tables.kind = 'r'
    UNION ALL
    -- For each row (1) and BEFORE (2).
    SELECT
        CASE WHEN tables.is_own THEN 'no triggers before rows' ELSE 'no triggers before rows of projections' END,
        pg_catalog.format('the table %s has the trigger %I before each row', tables.quoted, trigger.tgname),
        pg_catalog.format('ALTER TABLE %s DISABLE TRIGGER %I', tables.quoted, trigger.tgname)
    FROM tables
    JOIN pg_catalog.pg_trigger AS trigger
        ON trigger.tgrelid = tables.oid AND trigger.tgtype & 3 = 3 AND trigger.tgenabled <> 'D' AND NOT trigger.tgisinternal
    UNION ALL
    SELECT
        CASE WHEN tables.is_own AND active.here THEN 'no row security' ELSE 'row security is for others' END,
        pg_catalog.format(
            'the table %s has row security%s', tables.quoted,
            CASE WHEN active.here THEN pg_catalog.format(', which is in force for the role %I', current_user) END
        ),
        pg_catalog.format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', tables.quoted)
    FROM tables
    CROSS JOIN LATERAL (SELECT pg_catalog.row_security_active(tables.oid) AS here) AS active
    WHERE tables.kind = 'r' AND tables.relrowsecurity
    UNION ALL
    SELECT
        'equal text', pg_catalog.format('the column %I of the table %s has the collation %I, under which other text is equal', part.attname, tables.quoted, ordering.collname),
        pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I TYPE %s COLLATE pg_catalog."default"', tables.quoted, part.attname,
            pg_catalog.format_type(part.atttypid, part.atttypmod))
    FROM tables
    JOIN pg_catalog.pg_attribute AS part ON part.attrelid = tables.oid AND part.attnum > 0 AND NOT part.attisdropped
    JOIN pg_catalog.pg_collation AS ordering ON ordering.oid = part.attcollation AND NOT ordering.collisdeterministic
    WHERE tables.kind = 'r'
    UNION ALL
    -- ---- keys and constraints ----
    SELECT
        'keys',
        pg_catalog.format(
            'the table %s %s', keys.quoted,
            CASE
                WHEN there.name IS NULL THEN pg_catalog.format('lacks the constraint %I', keys.constraint_name)
                WHEN NOT there.is_immediate THEN pg_catalog.format('has the constraint %I deferrable', keys.constraint_name)
                WHEN NOT there.is_valid THEN pg_catalog.format('has an invalid index for the constraint %I', keys.constraint_name)
                ELSE pg_catalog.format('has another constraint of the name %I', keys.constraint_name)
            END
        ),
        CASE
            WHEN there.name IS NOT NULL AND there.is_immediate AND NOT there.is_valid
            THEN pg_catalog.format('REINDEX INDEX %I.%I', {schema_name}, keys.constraint_name)
            ELSE pg_catalog.format(
                'ALTER TABLE %s %sADD CONSTRAINT %I %s (%s)', keys.quoted,
                CASE WHEN there.name IS NOT NULL THEN pg_catalog.format('DROP CONSTRAINT %I, ', keys.constraint_name) END,
                keys.constraint_name, keys.type, pg_catalog.array_to_string(keys.key, ', ')
            )
        END
    FROM keys
    LEFT JOIN LATERAL (
        SELECT
            each.conname AS name, index.indimmediate AS is_immediate, index.indisvalid AND index.indisready AS is_valid,
            (
                SELECT pg_catalog.array_agg(part.attname::pg_catalog.text ORDER BY place.number)
                FROM pg_catalog.unnest(each.conkey) WITH ORDINALITY AS place (attnum, number)
                JOIN pg_catalog.pg_attribute AS part ON part.attrelid = each.conrelid AND part.attnum = place.attnum
            ) AS key
        FROM pg_catalog.pg_constraint AS each
        JOIN pg_catalog.pg_index AS index ON index.indexrelid = each.conindid
        WHERE each.conrelid = keys.oid AND each.conname = keys.constraint_name::pg_catalog.name AND each.contype IN ('p', 'u')
    ) AS there ON true
    WHERE there.name IS NULL OR NOT there.is_immediate OR NOT there.is_valid OR there.key OPERATOR(pg_catalog.<>) keys.key
    UNION ALL
    SELECT
        'checks',
        pg_catalog.format('the table %s %s %I', store.events_name, CASE WHEN there.conname IS NULL THEN 'lacks the constraint' ELSE 'has not validated the constraint' END, wanted.name),
        CASE
            WHEN there.conname IS NULL
            THEN pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I CHECK (%I >= 1)', store.events_name, wanted.name, wanted.part)
            ELSE pg_catalog.format('ALTER TABLE %s VALIDATE CONSTRAINT %I', store.events_name, wanted.name)
        END
    FROM store
    CROSS JOIN (
        VALUES ('events_version_positive', 'version'), ('events_position_positive', 'position')
    ) AS wanted (name, part)
    LEFT JOIN pg_catalog.pg_constraint AS there
        ON there.conrelid = store.events AND there.conname = wanted.name::pg_catalog.name AND there.contype = 'c'
    WHERE store.events IS NOT NULL AND there.convalidated IS NOT TRUE
    UNION ALL
    SELECT
        'indexes', pg_catalog.format('the index %I of the table %s is invalid', relation.relname, tables.quoted),
        pg_catalog.format('REINDEX INDEX %I.%I', {schema_name}, relation.relname)
    FROM tables
    JOIN pg_catalog.pg_index AS index ON index.indrelid = tables.oid AND NOT (index.indisvalid AND index.indisready)
    JOIN pg_catalog.pg_class AS relation ON relation.oid = index.indexrelid
    WHERE NOT EXISTS (
        SELECT FROM keys WHERE keys.oid = tables.oid AND keys.constraint_name::pg_catalog.name = relation.relname
    )
    UNION ALL
    -- ---- the columns of the log ----
    SELECT
        'columns of events', pg_catalog.format('the column %I of the table %s is missing', wanted.name, store.events_name), NULL
    FROM store
    CROSS JOIN event_columns AS wanted
    WHERE store.events IS NOT NULL AND NOT EXISTS (SELECT FROM columns WHERE columns.wanted = wanted.name)
    UNION ALL
    SELECT
        'columns of events',
        pg_catalog.format('the column %I of the table %s is of the type %s', columns.name, store.events_name, columns.type),
        pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I TYPE %s', store.events_name, columns.name, columns.wanted_type)
    FROM columns CROSS JOIN store WHERE columns.has_other_type
    UNION ALL
    SELECT
        'columns of events',
        pg_catalog.format('the column %I of the table %s may be NULL', columns.name, store.events_name),
        pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', store.events_name, columns.name)
    FROM columns CROSS JOIN store WHERE columns.wanted IS NOT NULL AND NOT columns.attnotnull
    UNION ALL
    SELECT
        'columns of events',
        pg_catalog.format('the column %I of the table %s is generated', columns.name, store.events_name),
        pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I DROP %s', store.events_name, columns.name,
            CASE WHEN columns.attidentity <> '' THEN 'IDENTITY' ELSE 'EXPRESSION' END)
    FROM columns CROSS JOIN store WHERE columns.wanted IS NOT NULL AND (columns.attgenerated <> '' OR columns.attidentity <> '')
    UNION ALL
    SELECT
        'columns of events',
        pg_catalog.format('the table %s has the column %I NOT NULL without a default', store.events_name, columns.name),
        pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', store.events_name, columns.name)
    FROM columns CROSS JOIN store
    WHERE columns.wanted IS NULL AND columns.attnotnull AND NOT columns.atthasdef AND columns.attidentity = ''
    UNION ALL
    -- ---- the guards of what is append-only ----
    SELECT
        'guards',
        pg_catalog.format(
            'the trigger %I of the table %s %s', name, quoted,
            CASE
                WHEN tgenabled IS NULL THEN 'is missing' WHEN NOT is_whole THEN 'is another one'
                WHEN tgenabled = 'D' THEN 'is disabled' ELSE 'is not ENABLE ALWAYS'
            END
        ),
        CASE WHEN NOT is_whole THEN pg_catalog.format(
            'CREATE OR REPLACE TRIGGER %1$I BEFORE UPDATE OR DELETE OR TRUNCATE ON %2$s FOR EACH STATEMENT EXECUTE FUNCTION %3$I.events_refuse_change(); ',
            name, quoted, {schema_name}
        ) ELSE '' END || pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', quoted, name)
    FROM guard_triggers
    WHERE NOT is_whole OR tgenabled <> 'A'
    UNION ALL
    SELECT
        'functions',
        pg_catalog.format(
            'the function %I.%I %s', {schema_name}, functions.name, CASE WHEN there.prosrc IS NULL THEN 'is missing' ELSE 'is another one' END
        ),
        NULL
    FROM functions
    LEFT JOIN LATERAL (
        SELECT pg_catalog.string_agg(each.prosrc, '') AS prosrc
        FROM pg_catalog.pg_proc AS each
        WHERE each.proname = functions.name::pg_catalog.name AND each.pronamespace = (SELECT schema FROM store)
    ) AS there ON true
    WHERE pg_catalog.strpos(there.prosrc, functions.raises) > 0 IS NOT TRUE
    UNION ALL
    -- ---- the sequence of positions ----
    SELECT
        'sequence of positions', pg_catalog.format('the sequence %s is missing', sequence_name),
        pg_catalog.format('CREATE SEQUENCE %s AS bigint CACHE 1 OWNED BY %s.position', sequence_name, events_name)
    FROM store WHERE sequence IS NULL
    UNION ALL
    SELECT
        'sequence of positions',
        pg_catalog.format('the sequence %s has %s', store.sequence_name, differs.found),
        pg_catalog.format('ALTER SEQUENCE %s %s', store.sequence_name, differs.repair)
    FROM store
    JOIN pg_catalog.pg_sequence AS there ON there.seqrelid = store.sequence
    CROSS JOIN LATERAL (
        SELECT
            pg_catalog.string_agg(option.found, ', ' ORDER BY option.place) AS found,
            pg_catalog.string_agg(option.repair, ' ' ORDER BY option.place) AS repair
        FROM (
            VALUES
                (1, there.seqtypid <> 'bigint'::pg_catalog.regtype::pg_catalog.oid, 'the type ' || pg_catalog.format_type(there.seqtypid, NULL), 'AS bigint'),
                (2, there.seqincrement <> 1, 'INCREMENT ' || there.seqincrement::pg_catalog.text, 'INCREMENT 1'),
                (3, there.seqmin <> 1, 'MINVALUE ' || there.seqmin::pg_catalog.text, 'MINVALUE 1'),
                (4, there.seqmax <> 9223372036854775807, 'MAXVALUE ' || there.seqmax::pg_catalog.text, 'MAXVALUE 9223372036854775807'),
                (5, there.seqcache <> 1, 'CACHE ' || there.seqcache::pg_catalog.text, 'CACHE 1'),
                (6, there.seqcycle, 'CYCLE', 'NO CYCLE')
        ) AS option (place, differs, found, repair)
        WHERE option.differs
    ) AS differs
    WHERE differs.found IS NOT NULL
    UNION ALL
    SELECT
        'sequence of positions', pg_catalog.format('the sequence %s is UNLOGGED', store.sequence_name),
        pg_catalog.format('ALTER SEQUENCE %s SET LOGGED', store.sequence_name)
    FROM store
    JOIN pg_catalog.pg_class AS there ON there.oid = store.sequence AND there.relpersistence <> 'p'
    UNION ALL
    SELECT
        'owner of the sequence', pg_catalog.format('the sequence %s is not owned by %s.position', store.sequence_name, store.events_name),
        pg_catalog.format('ALTER SEQUENCE %s OWNED BY %s.position', store.sequence_name, store.events_name)
    FROM store
    WHERE store.sequence IS NOT NULL AND store.events IS NOT NULL AND NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_depend AS needs
        JOIN pg_catalog.pg_attribute AS part
            ON part.attrelid = needs.refobjid AND part.attnum = needs.refobjsubid AND part.attname = 'position'
        WHERE needs.classid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid AND needs.objid = store.sequence
            AND needs.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
            AND needs.refobjid = store.events AND needs.deptype IN ('a', 'i')
    )
    UNION ALL
    -- ---- replication ----
    SELECT
        'no subscription', pg_catalog.format('the subscription %I writes to the table %s', subscription.subname, tables.quoted),
        pg_catalog.format('ALTER SUBSCRIPTION %I DISABLE', subscription.subname)
    FROM tables
    JOIN pg_catalog.pg_subscription_rel AS part ON part.srrelid = tables.oid
    JOIN pg_catalog.pg_subscription AS subscription ON subscription.oid = part.srsubid AND subscription.subenabled
    WHERE tables.name = 'events'
)
SELECT precondition, found, repair FROM violations
