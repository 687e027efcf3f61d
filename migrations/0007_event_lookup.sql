-- Finding events by id, by correlation id and by either of their times.

-- migrate:up

-- One BRIN index, since every index is paid for at each append: it keeps a summary of each 64 pages (half a megabyte),
-- so an append touches no more than the index's map. Each number has its reason:
--   bloom for ids, which need not ascend; minmax_multi for times, so that one late report does not widen a summary;
--   2048 distinct values: 64 pages hold no more events of an ordinary size, and the whole summary, with two such
--   filters, has to fit into one page (8152 bytes) whatever is in it;
--   (position + 0) and not position: no query may go through the B-tree of position where it means this index.
-- Pages after the last summary are read in full: autosummarize has the autovacuum worker write one soon after 64 pages
-- are full. It locks out appends while it is built: about half a second for each million events.
CREATE INDEX events_lookup_brin ON events USING brin (
    recorded_at timestamptz_minmax_multi_ops,
    occurred_at timestamptz_minmax_multi_ops,
    event_id uuid_bloom_ops (n_distinct_per_range = 2048),
    (metadata ->> 'correlation_id') text_bloom_ops (n_distinct_per_range = 2048),
    (position + 0) int8_minmax_ops
) WITH (pages_per_range = 64, autosummarize = on);

-- migrate:down

DROP INDEX events_lookup_brin;
