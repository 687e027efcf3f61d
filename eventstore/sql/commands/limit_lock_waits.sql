-- Limit how long each statement of the open transaction may wait for a lock. Unlike a SELECT it takes no snapshot.
-- {milliseconds} is a number.
SET LOCAL lock_timeout = {milliseconds}
