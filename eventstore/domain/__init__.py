"""The domain: entities and their events, pure."""
