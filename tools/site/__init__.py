"""The documentation site: the pages of the project and the API reference, as files that need no server and no network."""
