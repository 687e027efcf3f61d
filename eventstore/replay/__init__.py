"""What the log knows of the past: replays, rebuilt state, histories and curves."""

from eventstore.replay.replay import OnProgress, Replay, ReplayProgress

__all__ = ["OnProgress", "Replay", "ReplayProgress"]
