-- Purpose: List the publications that send the rows of a table to subscribers.
-- Parameters:
--   $1 table text the name of the table, quoted
-- Result: name text; no row for an UNLOGGED table, which no publication includes
-- Locks: none
-- Index: those of the system tables
SELECT publication.pubname::pg_catalog.text AS name
FROM pg_catalog.pg_class AS relation
JOIN pg_catalog.pg_publication AS publication
    ON publication.puballtables
    OR EXISTS (
        SELECT FROM pg_catalog.pg_publication_rel AS part
        WHERE part.prpubid = publication.oid AND part.prrelid = relation.oid
    )
    OR EXISTS (
        SELECT FROM pg_catalog.pg_publication_namespace AS part
        WHERE part.pnpubid = publication.oid AND part.pnnspid = relation.relnamespace
    )
WHERE relation.oid = $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid AND relation.relpersistence = 'p'
ORDER BY name
