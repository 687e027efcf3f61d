"""What developers of this project run; none of it is installed."""
