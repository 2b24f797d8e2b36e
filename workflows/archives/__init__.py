"""Archives of recordings: what they hold, and how it is fetched."""
