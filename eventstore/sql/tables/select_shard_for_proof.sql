-- Read every row of one shard, in no order, each number as its text. The parameters are those of `Shard.bounds`.
-- The slots are named in projections/table.py; the statements made of this for `orders` are in tests/golden/sql.
SELECT {columns}, last_position FROM {table}
WHERE {key_hash} % $1::integer = $2::integer
