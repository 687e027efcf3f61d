"""An event-sourced persistence store for trading systems, on PostgreSQL and asyncio."""
