"""The recipes of the documentation, run as their readers run them: programs, notebooks, tools."""
