"""The pictures of the report, each with the words that go with it."""
